/**
 * Tells a web service of every message that was delivered: a JSON summary by POST, signed where there is a secret.
 *
 * It never holds mail up. What is to be told waits in a queue of bounded length, is sent one after the other, tried three
 * times, and dropped (and counted) when the queue is full or the service stays away. Nothing survives the process: who must
 * know of every message reads the log.
 *
 * ```toml
 * [[plugins]]
 * use = "./plugins/webhook.ts"
 * options = { url = "https://hooks.example.org/mail", secret_file = "webhook.secret" }
 * ```
 *
 * Options: `url` (needed), `secret_file` (the header `X-Signature: sha256=...` is the HMAC of the body by the text in it), `queue` (1000).
 * Cost: an object for each message, and a request beside the mail. On failure: nothing; observers answer nothing.
 */
import type {
  Manifest,
  OptionsSchema,
  PluginModule,
  Reply,
  TransactionFacts,
} from "@postern/postern/plugin";

interface Options {
  readonly url: string;
  readonly secret_file: string | undefined;
  readonly queue: number;
}

const TRIES = 3;
/** Milliseconds: for one request, before the second try, for what is left when the plugin is closed. */
const PATIENCE = 10_000;
const PAUSE = 1_000;
const FAREWELL = 2_000;

export const manifest: Manifest = { version: "1.0.0" };

export const options: OptionsSchema = {
  "~standard": {
    version: 1,
    vendor: "webhook",
    validate(value) {
      const { url, secret_file, queue = 1_000, ...rest } = value as Partial<Options>;
      const issues = Object.keys(rest).map((key) => ({ message: "unknown key", path: [key] }));
      if (typeof url !== "string" || !/^https?:\/\//.test(url) || !URL.canParse(url)) {
        issues.push({ message: "expected an address such as https://host/path", path: ["url"] });
      }
      if (secret_file !== undefined && (typeof secret_file !== "string" || secret_file === "")) {
        issues.push({ message: "expected a path", path: ["secret_file"] });
      }
      if (!Number.isInteger(queue) || queue < 1) {
        issues.push({ message: "expected a number of messages, from 1", path: ["queue"] });
      }
      return issues.length > 0 ? { issues } : { value: { url, secret_file, queue } };
    },
  },
};

export default (async (edge, { url, secret_file, queue: most }: Options) => {
  const sign = secret_file === undefined
    ? undefined
    : await signer((await edge.readText(secret_file)).trim());
  const queue: object[] = [];
  let running: Promise<void> | undefined;
  const closing = new AbortController();

  function tell(summary: object): void {
    if (queue.length >= most) {
      edge.metrics.count("dropped");
      return;
    }
    queue.push(summary);
    running ??= work().finally(() => running = undefined);
  }

  async function work(): Promise<void> {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const body = JSON.stringify(next);
      const told = await post(body);
      edge.metrics.count(told ? "sent" : "dropped");
    }
  }

  async function post(body: string): Promise<boolean> {
    const headers = {
      "Content-Type": "application/json",
      ...(sign === undefined ? {} : { "X-Signature": `sha256=${await sign(body)}` }),
    };
    for (let nth = 1; nth <= TRIES && !closing.signal.aborted; nth++) {
      if (nth > 1) await pause(PAUSE * (nth - 1), closing.signal);
      try {
        const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(PATIENCE)]);
        const response = await fetch(url, { method: "POST", headers, body, signal });
        await response.body?.cancel();
        if (response.ok) return true;
        edge.log.warn("the webhook was not taken", { status: response.status, try: nth });
      } catch (cause) {
        edge.log.warn("the webhook cannot be reached", { cause: String(cause), try: nth });
      }
    }
    return false;
  }

  return {
    name: "webhook",
    hooks: {
      on: {
        delivered: (tx, { upstream, reply }) =>
          tell(summaryOf(tx, upstream, reply, edge.clock.now())),
      },
    },
    async close() {
      const timer = setTimeout(() => closing.abort(), FAREWELL);
      await running;
      clearTimeout(timer);
    },
  };
}) satisfies PluginModule<Options>;

function summaryOf(tx: TransactionFacts, upstream: string, reply: Reply, now: number): object {
  return {
    id: tx.id,
    at: new Date(now).toISOString(),
    client: tx.session.remote.address,
    user: tx.session.identity?.user ?? null,
    from: tx.from?.address ?? "",
    to: tx.recipients.map(({ address }) => address),
    size: tx.size,
    score: tx.score,
    symbols: tx.symbols.map(({ symbol }) => symbol),
    upstream,
    reply: `${reply.code} ${reply.enhanced ?? ""}`.trim(),
  };
}

async function signer(secret: string): Promise<(body: string) => Promise<string>> {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, [
    "sign",
  ]);
  return async (body) => {
    const octets = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(body)));
    return Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
  };
}

/** Ends early when the plugin is closed. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
