/**
 * Ports for the demo: the ones that are easy to remember, else any.
 * @module
 */
import type { Network } from "../../transport/duplex.ts";
import type { Ports } from "./folder.ts";

/** RFC 6409's port and the usual alternative to 25, out of the range that needs root. */
const FRIENDLY: Ports = { mx: 2525, submission: 2587 };

/** Port 0 stands for any. A port that is free now can be taken a moment later: the start may still fail. */
export async function choosePorts(network: Network): Promise<Ports> {
  const [mx, submission] = await Promise.all([
    isFree(network, FRIENDLY.mx),
    isFree(network, FRIENDLY.submission),
  ]);
  return { mx: mx ? FRIENDLY.mx : 0, submission: submission ? FRIENDLY.submission : 0 };
}

/** Whatever the system gives. */
export const ANY_PORTS: Ports = { mx: 0, submission: 0 };

async function isFree(network: Network, port: number): Promise<boolean> {
  const found = await network.listen(
    { host: "127.0.0.1", port },
    {},
    (connection) => connection.destroy(),
  );
  if ("error" in found) return false;
  await found.close();
  return true;
}
