/**
 * Asks an HTTP service whether a recipient exists, before the message is taken.
 *
 * `GET url?address=user@example.org`: 2xx is yes, 404 is no, anything else is the service's trouble, and the client comes
 * again (`451`). Answers are kept: a yes or a no for `ttl` seconds, and for a day more in case the service is down.
 *
 * ```toml
 * [[plugins]]
 * use = "./plugins/recipient-check.ts"
 * budget = "3s"
 * options = { url = "http://127.0.0.1:8080/exists", ttl = 300 }
 * ```
 *
 * Options: `url` (needed), `ttl` in seconds (300). Cost: a request for each recipient that is not known, while its client
 * waits; a look into the state for the others. On failure: `tempfail`, so that no mail for nobody is taken.
 */
import type { Manifest, OptionsSchema, PluginModule } from "@postern/postern/plugin";

interface Options {
  readonly url: string;
  readonly ttl: number;
}

const DAY = 86_400_000;

export const manifest: Manifest = { version: "1.0.0" };

export const options: OptionsSchema = {
  "~standard": {
    version: 1,
    vendor: "recipient-check",
    validate(value) {
      const { url, ttl = 300, ...rest } = value as Partial<Options>;
      const issues = Object.keys(rest).map((key) => ({ message: "unknown key", path: [key] }));
      if (typeof url !== "string" || !/^https?:\/\//.test(url) || !URL.canParse(url)) {
        issues.push({ message: "expected an address such as http://host/path", path: ["url"] });
      }
      if (typeof ttl !== "number" || !(ttl >= 0)) {
        issues.push({ message: "expected a number of seconds", path: ["ttl"] });
      }
      return issues.length > 0 ? { issues } : { value: { url, ttl } };
    },
  },
};

export default ((edge, { url, ttl }: Options) => {
  const refusal = edge.refuse(550, "5.1.1", "No such user here");

  async function ask(address: string, signal: AbortSignal): Promise<boolean> {
    const question = new URL(url);
    question.searchParams.set("address", address);
    const response = await fetch(question, { signal });
    await response.body?.cancel();
    if (response.status === 404) return false;
    if (!response.ok) throw new Error(`The recipient service answered ${response.status}`);
    return true;
  }

  return {
    name: "recipient-check",
    onError: "tempfail",
    hooks: {
      async rcpt(to, { signal }) {
        // "yes" or "no", and until when that is fresh.
        const [known, until] = (await edge.state.get(to.address) ?? "").split(" ");
        if (known && Number(until) > edge.clock.now()) {
          edge.metrics.count("cached");
          return known === "yes" ? undefined : refusal;
        }
        let exists: boolean;
        try {
          exists = await ask(to.address, signal);
        } catch (cause) {
          if (!known) throw cause;
          edge.metrics.count("stale");
          return known === "yes" ? undefined : refusal;
        }
        const fresh = edge.clock.now() + ttl * 1_000;
        const value = `${exists ? "yes" : "no"} ${fresh}`;
        await edge.state.set(to.address, value, ttl * 1_000 + DAY);
        return exists ? undefined : refusal;
      },
    },
  };
}) satisfies PluginModule<Options>;
