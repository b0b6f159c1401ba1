// The time zone that times are shown and typed in. Everything else here knows Unix times only.

export interface Wall {
  year: number;
  /** From 1. */
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  milli: number;
}

const MINUTE = 60_000;
const DAY = 86_400_000;
/** Zones change their offset at whole quarters of an hour. */
const QUARTER = 15 * MINUTE;
const MOST_KNOWN = 20_000;

let chosen: string | null = null;
let format: Intl.DateTimeFormat | null = null;
const known = new Map<number, number>();

function formatOf(name: string): Intl.DateTimeFormat | null {
  try {
    return new Intl.DateTimeFormat("en-US", {
      timeZone: name, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
      hour: "numeric", minute: "numeric", second: "numeric",
    });
  } catch {
    return null;
  }
}

/** Whether this browser knows the zone. */
export function isZone(name: string): boolean {
  return formatOf(name) !== null;
}

/** Takes an IANA name, or the browser's own zone for null and for names that the browser does not know. */
export function setZone(name: string | null): void {
  format = name === null ? null : formatOf(name);
  chosen = format ? name : null;
  known.clear();
}

/** The zone's IANA name. */
export function zoneName(): string {
  return chosen ?? browserZone();
}

export function browserZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** What wall clocks are ahead of UTC at a Unix time, both in ms. */
export function offsetAt(ms: number): number {
  if (!format) return -new Date(ms).getTimezoneOffset() * MINUTE;
  const quarter = Math.floor(ms / QUARTER);
  const found = known.get(quarter);
  if (found !== undefined) return found;
  const at = quarter * QUARTER;
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(at)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  const offset = Date.UTC(year, month - 1, day, hour, minute, second) - at;
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(quarter, offset);
  return offset;
}

/** What a wall clock shows at a Unix time in ms. */
export function wallAt(ms: number): Wall {
  const date = new Date(ms + offsetAt(ms));
  return {
    year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(),
    hour: date.getUTCHours(), minute: date.getUTCMinutes(), second: date.getUTCSeconds(), milli: date.getUTCMilliseconds(),
  };
}

/**
 * The Unix time in ms of what a wall clock shows. Of a time that comes twice the first is meant; one
 * that is skipped is as late after the gap as it is inside.
 */
export function fromWall(wall: Omit<Wall, "milli">): number {
  const plain = Date.UTC(wall.year, wall.month - 1, wall.day, wall.hour, wall.minute, wall.second);
  const [before, after] = [offsetAt(plain - DAY), offsetAt(plain + DAY)];
  for (const offset of [Math.max(before, after), Math.min(before, after)]) {
    if (offsetAt(plain - offset) === offset) return plain - offset;
  }
  return plain - before;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** `2026-03-29T01:30:00`, as `<input type="datetime-local">` takes it. */
export function inputText(ms: number): string {
  const { year, month, day, hour, minute, second } = wallAt(ms);
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`;
}

/** Reads what such an input holds; null when it holds no time. */
export function parseInput(text: string): number | null {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?$/.exec(text);
  if (!match) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map((part) => Number(part ?? 0));
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59) return null;
  return fromWall({ year, month, day, hour, minute, second });
}

/** `UTC+02:00`. */
export function offsetText(ms: number): string {
  const minutes = Math.round(offsetAt(ms) / MINUTE);
  if (minutes === 0) return "UTC";
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** `Europe/Berlin (UTC+02:00)`, with what holds at a Unix time in ms. */
export function zoneText(ms: number): string {
  const [name, offset] = [zoneName(), offsetText(ms)];
  return name === offset ? name : `${name} (${offset})`;
}
