/**
 * Lists of networks: IPv4 and IPv6, single addresses or CIDR.
 * @module
 */
import * as IpNetwork from "effect/net/IpNetwork";
import * as NetAddress from "effect/net/NetAddress";
import * as Result from "effect/Result";

/** Tells whether an address is in the list. */
export type NetworkList = (address: string) => boolean;

/** Compiles a list once; an empty list holds nobody. The settings have validated every entry. */
export function networkList(networks: readonly string[]): NetworkList {
  if (networks.length === 0) return () => false;
  const compiled = networks.map((network) =>
    IpNetwork.fromStringUnsafe(
      network.includes("/") ? network : `${network}/${network.includes(":") ? 128 : 32}`,
    )
  );
  return (address) => {
    const ip = NetAddress.ipFromString(address);
    return Result.isSuccess(ip) &&
      compiled.some((network) => IpNetwork.contains(network, ip.success));
  };
}
