/**
 * The first module of a plugin's worker. A compiled program needs it as an entry of its own beside `main.ts`:
 * `bun build --compile src/main.ts src/plugin_worker.ts`.
 * @module
 */
import { bundled } from "../plugins/mod.ts";
import { runGuest } from "./isolation/guest.ts";
import { Held } from "./isolation/port.ts";
import { importUrl } from "./runtime/modules.ts";
import { resolvePath } from "./runtime/paths.ts";
import { systemNetwork } from "./runtime/system_net.ts";
import { guarded, listenToHost, onWorkerStray, postToHost } from "./runtime/worker_scope.ts";

runGuest({
  post: postToHost,
  listen: listenToHost,
  onStray: onWorkerStray,
  guard: (ms, run) => guarded(ms, run, () => new Held(ms)),
  now: Date.now,
}, {
  async load(module) {
    if ("url" in module) return await importUrl(module.url);
    const load = bundled.get(module.bundled);
    if (load === undefined) throw new TypeError(`There is no bundled plugin ${module.bundled}`);
    return await load();
  },
  network: (baseDir) => ({
    connect: (address, options, done) =>
      systemNetwork().connect(
        "path" in address ? { path: resolvePath(baseDir, address.path) } : address,
        options,
        done,
      ),
  }),
});
