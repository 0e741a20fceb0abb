/**
 * RFC 5322 section 3.3 date-time, with the obsolete forms of section 4.3 that are still seen.
 *
 * Never: `Date.parse`, whose leniency differs between engines. Linear in the input, which is cut at 200 characters.
 * @module
 */

const months: ReadonlyMap<string, number> = new Map(
  "jan feb mar apr may jun jul aug sep oct nov dec".split(" ").map((name, i) => [name, i]),
);

const zones: ReadonlyMap<string, number> = new Map([
  ["ut", 0],
  ["gmt", 0],
  ["utc", 0],
  ["z", 0],
  ["est", -300],
  ["edt", -240],
  ["cst", -360],
  ["cdt", -300],
  ["mst", -420],
  ["mdt", -360],
  ["pst", -480],
  ["pdt", -420],
]);

const weekdays: readonly string[] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** A date, and what is odd about it. */
export interface ReadDate {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** The weekday, where one is told, is another than that day's. */
  readonly wrongWeekday: boolean;
  /** The zone is none of the Earth's, from -1200 to +1400. */
  readonly strangeZone: boolean;
}

/** Milliseconds since the epoch; undefined for what is no date. */
export function parseDate(text: string): number | undefined {
  return readDate(text)?.time;
}

/** Reads a date; undefined for what is none. */
export function readDate(text: string): ReadDate | undefined {
  const words = wordsOf(text);
  const told = /^[A-Za-z]{3,9}$/.test(words[0]!) ? words.shift()!.slice(0, 3).toLowerCase() : "";
  const [day, monthName, yearText, time, zone = "+0000"] = words;
  if (
    day === undefined || monthName === undefined || yearText === undefined || time === undefined
  ) {
    return undefined;
  }
  const month = months.get(monthName.toLowerCase());
  if (month === undefined || !/^[0-9]{1,2}$/.test(day) || !/^[0-9]{2,4}$/.test(yearText)) {
    return undefined;
  }
  const clock = /^([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?$/.exec(time);
  const offset = offsetOf(zone);
  if (clock === null || offset === undefined) return undefined;
  const year = fullYear(yearText);
  const [hour, minute, second] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)];
  // 60 is the leap second.
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const midnight = Date.UTC(year, month, Number(day));
  const date = new Date(midnight);
  // 31 February rolls over into March: no such day.
  if (date.getUTCDate() !== Number(day)) return undefined;
  return {
    time: midnight + ((hour * 60 + minute - offset) * 60 + second) * 1000,
    wrongWeekday: weekdays.includes(told) && weekdays[date.getUTCDay()] !== told,
    strangeZone: offset < -12 * 60 || offset > 14 * 60,
  };
}

/** As nearly every program writes it; everything else goes the long way. */
const usual =
  /^(?:([A-Za-z]{3}), )?([0-9]{1,2}) ([A-Za-z]{3}) ([0-9]{4}) ([0-9:]{5,8}) ([+-][0-9]{4})$/;

function wordsOf(text: string): string[] {
  const short = text.slice(0, 200).trim();
  const parts = usual.exec(short);
  if (parts !== null) return parts.slice(parts[1] === undefined ? 2 : 1);
  return withoutComments(short).replaceAll(",", " ").trim().split(/[ \t]+/);
}

function fullYear(text: string): number {
  const year = Number(text);
  if (text.length === 2) return year < 50 ? 2000 + year : 1900 + year;
  return text.length === 3 ? 1900 + year : year;
}

/** Minutes east of Greenwich. */
function offsetOf(zone: string): number | undefined {
  const numeric = /^([+-])([0-9]{2})([0-9]{2})$/.exec(zone);
  if (numeric === null) return zones.get(zone.toLowerCase());
  const minutes = Number(numeric[2]) * 60 + Number(numeric[3]);
  if (Number(numeric[3]) > 59) return undefined;
  return numeric[1] === "-" ? -minutes : minutes;
}

function withoutComments(text: string): string {
  if (!text.includes("(")) return text;
  let depth = 0;
  let out = "";
  for (const char of text) {
    if (char === "(") depth++;
    else if (char === ")") depth = Math.max(0, depth - 1);
    else if (depth === 0) out += char;
  }
  return out;
}
