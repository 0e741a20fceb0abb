/**
 * Content on its way to a worker's scanner: each chunk is given away, not copied, and at most a window is under way.
 * @module
 */
import type { LineCall } from "./line.ts";
import { CONTENT_WINDOW } from "./protocol.ts";

/** Sends what the tee gives until its end, or until the scanner wants no more. Never rejects. */
export async function sendContent(
  content: AsyncIterable<Uint8Array>,
  call: LineCall,
): Promise<void> {
  const { id } = call;
  let room = CONTENT_WINDOW;
  let roomy: (() => void) | undefined;
  call.onRoom((octets) => {
    room += octets;
    roomy?.();
    roomy = undefined;
  });
  let broken: string | undefined;
  try {
    for await (const chunk of content) {
      while (room <= 0) await new Promise<void>((resolve) => roomy = resolve);
      if (room === Infinity) return;
      room -= chunk.length;
      // A tee gives copies that nobody else holds.
      call.send({ say: "chunk", id, chunk }, [chunk.buffer as ArrayBuffer]);
    }
  } catch (cause) {
    broken = cause instanceof Error ? cause.message : "The content is broken off";
  }
  call.send({ say: "end", id, broken });
}
