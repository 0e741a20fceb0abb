/**
 * The demo's messages, and what is promised of each.
 * @module
 */
import { randomUUID } from "node:crypto";
import { type Mailbox, parseMailbox } from "../../wire/path.ts";
import { WORLD } from "./folder.ts";
import { makeMessage } from "../send/message.ts";

/** One message and how it is sent. */
export interface DemoMessage {
  readonly title: string;
  readonly listener: "mx" | "submission";
  /** Name in EHLO. */
  readonly helo: string;
  /** Log in as the demo's user. */
  readonly login: boolean;
  readonly from: Mailbox;
  readonly to: readonly Mailbox[];
  readonly content: Uint8Array;
  readonly promise: { readonly fate: "delivered" | "refused"; readonly code: number };
}

/**
 * The string that every spam filter knows for a test (GTUBE). In parts, so that our own sources are not taken for spam.
 */
const TEST_STRING = ["XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD-ANTI-UBE", "-TEST-EMAIL*C.34X"]
  .join("");

/** In the order they are sent. */
export function demoMessages(now: Date): readonly DemoMessage[] {
  const [alice, carol, stranger] = [WORLD.alice, WORLD.carol, WORLD.stranger].map(mailbox) as [
    Mailbox,
    Mailbox,
    Mailbox,
  ];
  const made = (
    from: Mailbox,
    to: Mailbox,
    subject: string,
    body: string,
    fields: readonly (readonly [string, string])[] = [],
  ) => ({
    from,
    to: [to],
    content: makeMessage({
      from,
      to: [to],
      subject,
      body,
      fields,
      date: now,
      unique: randomUUID(),
      hostname: WORLD.hostname,
    }),
  });
  return [
    {
      title: "Carol writes to Alice",
      listener: "mx",
      helo: "mail.example.com",
      login: false,
      promise: { fate: "delivered", code: 250 },
      ...made(
        carol,
        alice,
        "Lunch on Friday?",
        "Dear Alice,\n\nthe usual place, at one?\n\nCarol\n",
      ),
    },
    {
      title: "Somebody sends spam to Alice",
      listener: "mx",
      helo: "bulk.example.net",
      login: false,
      promise: { fate: "refused", code: 550 },
      ...made(
        stranger,
        alice,
        "YOU HAVE WON!!!! CLAIM NOW",
        `Send your account number to claim your prize.\n\n${TEST_STRING}\n`,
        [["Reply-To", "<claim.desk@gmail.com>"]],
      ),
    },
    {
      title: "Alice logs in and writes to Carol",
      listener: "submission",
      helo: "laptop.example.org",
      login: true,
      promise: { fate: "delivered", code: 250 },
      ...made(alice, carol, "Re: Lunch on Friday?", "Dear Carol,\n\nwith pleasure.\n\nAlice\n"),
    },
  ];
}

function mailbox(address: string): Mailbox {
  const parsed = parseMailbox(address);
  if (parsed === undefined) throw new TypeError(`Not an address: ${address}`);
  return parsed;
}
