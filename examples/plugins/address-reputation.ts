/**
 * Asks an HTTP service what it thinks of a client's address, with Effect: a layer for the service, a retry, a deadline, a
 * typed failure. `GET url/192.0.2.1` gives a number, which is added to the score of what this client sends.
 *
 * ```toml
 * [[plugins]]
 * use = "./plugins/address-reputation.ts"
 * options = { url = "http://127.0.0.1:8080/reputation" }
 * ```
 *
 * It imports `effect`, so it runs from source and not beside a compiled binary. Options: `url`. Cost: a request for each
 * session of a client that was not asked about in the last hour. On failure: `pass`, without a score.
 */
import * as Context from "effect/Context";
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schedule from "effect/Schedule";
import type { SessionFacts } from "@postern/postern/plugin";
import {
  Capabilities,
  type EffectPlugin,
  fromEffect,
  type PluginError,
  settled,
} from "@postern/postern/plugin/effect";

/** The service has no answer. */
export class Unanswered extends Data.TaggedError("Unanswered")<{ readonly reason: string }> {}

/** Who is asked; a test gives another one. */
export class Reputation
  extends Context.Service<Reputation, { of(address: string): Effect.Effect<number, Unanswered> }>()(
    "examples/Reputation",
  ) {}

const HOUR = 3_600_000;

/** Asked over HTTP: a second for each of three tries. */
export const overHttp = (url: string): Layer.Layer<Reputation> =>
  Layer.succeed(Reputation, {
    of: (address) =>
      Effect.tryPromise({
        try: async (signal) => {
          const response = await fetch(`${url}/${encodeURIComponent(address)}`, { signal });
          if (!response.ok) {
            await response.body?.cancel();
            throw new Error(`status ${response.status}`);
          }
          return Number((await response.text()).trim());
        },
        catch: (cause) => new Unanswered({ reason: String(cause) }),
      }).pipe(
        Effect.filterOrFail(Number.isFinite, () => new Unanswered({ reason: "not a number" })),
        Effect.timeoutOrElse({
          duration: "1 second",
          orElse: () => Effect.fail(new Unanswered({ reason: "no answer in a second" })),
        }),
        Effect.retry(Schedule.exponential("100 millis").pipe(Schedule.upTo({ times: 2 }))),
      ),
  });

/** The plugin, whoever is asked. */
export const make = (): EffectPlugin<Reputation | Capabilities, Unanswered | PluginError> => {
  const points = new WeakMap<SessionFacts, number>();
  return {
    name: "address-reputation",
    onError: "pass",
    hooks: {
      connect: Effect.fnUntraced(function* (session) {
        const { state } = yield* Capabilities;
        const { address } = session.remote;
        const known = yield* settled(state.get(address));
        if (known !== undefined) {
          points.set(session, Number(known));
          return;
        }
        const reputation = yield* Reputation;
        const found = yield* reputation.of(address).pipe(
          Effect.tapError(({ reason }) =>
            Effect.logWarning("no reputation").pipe(Effect.annotateLogs({ address, reason }))
          ),
        );
        points.set(session, found);
        yield* settled(state.set(address, String(found), HOUR));
      }),
      mail: (_, { session }) =>
        Effect.map(Capabilities, (edge) => {
          const found = points.get(session) ?? 0;
          return found === 0 ? undefined : edge.score(found, "REPUTATION");
        }),
    },
    // Nobody is turned away because a service is down.
    recover: ({ _tag }) => _tag === "Unanswered" ? { verdict: "pass" } : undefined,
  };
};

export default fromEffect<Reputation, { url: string }, Unanswered | PluginError>(
  make,
  (_, { url }) => overHttp(url),
);
