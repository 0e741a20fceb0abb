import { Stage } from "./stage.ts";
import { CLIENTS } from "./clients.ts";
import { KINDS } from "./messages.ts";
import { ownRuntime } from "../support/postern_process.ts";
const want = process.argv.slice(2);
await using stage = await Stage.open(["Maildir","Postfix","Exim"]);
console.log([...stage.missing], stage.entrances.map(e=>e.name+":"+e.port).join(" "));
for (const way of stage.ways.keys()) for (const kind of KINDS) {
  const c = await CLIENTS.get("Python smtplib")!({dir: stage.dir, entrances: stage.entrances, runtime: ownRuntime});
  if ("missing" in c) break;
  const t = Date.now();
  const m = stage.message(kind, way);
  try { await c.send(m, stage.entrance("plain")); const tr = await stage.arrived(m, way); console.log(way, kind.name, "ok", Date.now()-t); if (kind.name=="0 B") console.log(tr) }
  catch (e) { console.log(way, kind.name, "FAILED", String(e).slice(0,3000)); }
}
for (const [name, make] of CLIENTS) {
  if (want.length && !want.includes(name)) continue;
  const c = await make({dir: stage.dir, entrances: stage.entrances, runtime: ownRuntime});
  if ("missing" in c) { console.log(name, c.missing); continue; }
  console.log(name, c.version);
  for (const e of stage.entrances) for (const kind of KINDS) {
    const t = Date.now();
    const m = stage.message(kind, "maildir");
    try { await c.send(m, e); await stage.arrived(m, "maildir"); console.log(name, e.name, kind.name, "ok", Date.now()-t); }
    catch (err) { console.log(name, e.name, kind.name, "FAILED", String(err).slice(0,1000)); }
  }
  await c.close?.();
}
