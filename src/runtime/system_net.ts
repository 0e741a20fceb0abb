/**
 * The network of the runtime this runs on.
 * @module
 */
import type { Network } from "../transport/duplex.ts";
import { bunNetwork } from "./bun_net.ts";
import { bunSockets } from "./bun_sockets.ts";
import { nodeNetwork } from "./node_net.ts";

/** Over `node:net` and `node:tls`; on Bun plain TCP goes over its own sockets. It holds no state of its own. */
export function systemNetwork(): Network {
  const bun = bunSockets();
  return bun === undefined ? nodeNetwork() : bunNetwork(bun, nodeNetwork());
}
