/**
 * HTTP to the authorization server: JSON of bounded size, within a time, from where it was asked and nowhere else.
 * @module
 */

/** Octets of an answer; a set of keys has some thousand. */
const LONGEST = 262_144;

/** An answer that is an object; anything else rejects with a reason that holds nothing of it. */
export async function fetchJson(
  url: string,
  timeout: number,
  init: RequestInit = {},
): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(url, {
    ...init,
    headers: { accept: "application/json", ...init.headers },
    redirect: "manual",
    signal: AbortSignal.timeout(timeout),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`The authorization server answered ${response.status}`);
  }
  const text = await boundedText(response);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("The authorization server's answer is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error("The authorization server's answer is no JSON object");
  }
  return value as Readonly<Record<string, unknown>>;
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    size += part.value.length;
    if (size > LONGEST) {
      await reader?.cancel();
      throw new Error("The authorization server's answer is too long");
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}
