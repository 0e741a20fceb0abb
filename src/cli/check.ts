/**
 * `postern check`: what is right and what is wrong with a configuration and with everything it names, all at once.
 *
 * Never: opens a port, sends a message, makes a certificate.
 * @module
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import { makeDns } from "../assembly/dns.ts";
import { startPlugins } from "../assembly/plugins.ts";
import type { StartFailed } from "../assembly/start_failed.ts";
import { systemNetwork } from "../runtime/system_net.ts";
import { describeAddress } from "../settings/describe.ts";
import { formatProblem, visible } from "../settings/problem.ts";
import type { ListenerSettings, Settings } from "../settings/settings.ts";
import type { Log } from "../telemetry/log.ts";
import { checkCertificates } from "./check/certificates.ts";
import { CheckReport, type Finding } from "./check/report.ts";
import { checkUpstreams, describeUpstreams } from "./check/upstreams.ts";
import type { Run } from "./io.ts";
import { loadConfiguration, type LoadedConfiguration } from "./load_configuration.ts";
import { withSpinner } from "./output.ts";
import type { checkSpec } from "./specs.ts";

/** 0: all is well (there may be warnings); 1: something is unreachable or expired; 2: the configuration is wrong. */
export const run: Run<typeof checkSpec> = async ({ flags }, io) => {
  const loaded = await loadConfiguration(flags.config, io);
  const { settings } = loaded;
  const report = new CheckReport(io);
  report.section(loaded.file, configurationFindings(loaded));
  report.section("Certificates", await checkCertificates(loaded));
  report.section(
    "Plugins",
    await withSpinner(io, "Starting the plugins", () => pluginFindings(loaded)),
  );
  report.section(
    "Upstreams",
    flags.offline ? describeUpstreams(loaded) : await withSpinner(
      io,
      `Asking ${settings.upstreams.map(({ name }) => name).join(", ")}`,
      () => checkUpstreams(loaded),
    ),
  );
  return report.end();
};

function configurationFindings({ settings, warnings }: LoadedConfiguration): Finding[] {
  const ok = (subject: string, detail: string): Finding => ({ status: "ok", subject, detail });
  return [
    ok("hostname", settings.hostname),
    ...settings.listeners.map((listener) => ok(listener.name, describeListener(listener))),
    ...settings.routes.map(({ to, authenticated, listeners, upstream }) =>
      ok(
        `to ${upstream}`,
        [
          to === undefined ? "every recipient" : to.join(", "),
          ...(authenticated === undefined ? [] : [authenticated ? "after login" : "without login"]),
          ...(listeners === undefined ? [] : [`by ${listeners.join(", ")}`]),
        ].join("; "),
      )
    ),
    ...warnings.map((problem): Finding => ({
      status: "warning",
      subject: "",
      detail: formatProblem(problem),
    })),
  ];
}

function describeListener({ listen, tls, requireTls, auth }: ListenerSettings): string {
  const security = tls === "none"
    ? "no TLS"
    : tls === "implicit"
    ? "TLS"
    : requireTls
    ? "STARTTLS needed"
    : "STARTTLS";
  const login = auth === "off" ? "" : auth === "required" ? ", login needed" : ", login offered";
  return `${describeAddress(listen)}, ${security}${login}`;
}

/** Starts all of them and stops them again; what they log as a warning or an error is a warning here. */
async function pluginFindings(loaded: LoadedConfiguration): Promise<Finding[]> {
  const { settings } = loaded;
  const said: Finding[] = [];
  const log: Log = {
    level: "warn",
    takes: (level) => level === "warn" || level === "error",
    flush: () => {},
    event: (level, message, fields = {}) => {
      if (!log.takes(level)) return;
      const { plugin, ...rest } = fields;
      const details = Object.entries(rest).filter(([, value]) => value !== undefined)
        .map(([name, value]) => ` ${name}=${value}`);
      said.push({
        status: "warning",
        subject: String(plugin ?? ""),
        detail: visible(`${message}${details.join("")}`),
      });
    },
  };
  const started = await Effect.runPromiseExit(
    Effect.scoped(
      Effect.gen(function* () {
        const dns = yield* makeDns(settings.dns, Date.now);
        const world = { log, now: Date.now, network: systemNetwork(), dns };
        const { pipeline } = yield* startPlugins(settings, world);
        return pipeline.plugins;
      }),
    ),
  );
  return Exit.isSuccess(started)
    ? [...started.value.map((name) => pluginFinding(settings, name)), ...said]
    : [...said, ...startFindings(loaded, started.cause)];
}

function pluginFinding({ plugins }: Settings, name: string): Finding {
  const { mode, percent } = plugins.find(({ use }) => use === name) ?? {};
  return {
    status: "ok",
    subject: name,
    detail: mode === "shadow"
      ? "starts; in shadow mode, without effect"
      : percent === undefined
      ? "starts"
      : `starts; enforced in ${percent} of 100 sessions, without effect in the others`,
  };
}

/** Why a part does not start, each problem with its place. A defect is thrown. */
function startFindings(
  { place }: LoadedConfiguration,
  cause: Cause.Cause<StartFailed>,
): Finding[] {
  const failed = Option.getOrUndefined(Cause.findErrorOption(cause));
  if (failed === undefined) throw Cause.squash(cause);
  return failed.problems.map(({ path, message }) => ({
    status: "wrong",
    subject: "",
    detail: place(path, message),
  }));
}
