// Numbers and times as people read them. Pure.

const UNKNOWN = "–";

/** 1 234, 12.3 k, 4.56 M; three digits that matter. */
export function count(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  if (size >= 1e9) return `${digits(value / 1e9)} G`;
  if (size >= 1e6) return `${digits(value / 1e6)} M`;
  if (size >= 1e4) return `${digits(value / 1e3)} k`;
  return Number.isInteger(value) ? String(value) : digits(value);
}

function digits(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

export function rate(value) {
  return value === null || value === undefined ? UNKNOWN : count(Math.round(value * 100) / 100);
}

/** Microseconds. */
export function latency(us) {
  if (us === null || us === undefined) return UNKNOWN;
  if (us >= 1e6) return `${digits(us / 1e6)} s`;
  if (us >= 1e3) return `${digits(us / 1e3)} ms`;
  return `${Math.round(us)} µs`;
}

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value >= 2 ** 30) return `${digits(value / 2 ** 30)} GiB`;
  if (value >= 2 ** 20) return `${digits(value / 2 ** 20)} MiB`;
  if (value >= 2 ** 10) return `${digits(value / 2 ** 10)} KiB`;
  return `${Math.round(value)} B`;
}

/** Bytes per second, in thousands as networks count them. */
export function byteRate(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value >= 1e9) return `${digits(value / 1e9)} GB`;
  if (value >= 1e6) return `${digits(value / 1e6)} MB`;
  if (value >= 1e3) return `${digits(value / 1e3)} kB`;
  return `${Math.round(value)} B`;
}

export function percent(share) {
  return `${digits(share * 100)} %`;
}

/**
 * Seconds as a setting is written: 250ms, 4s, 2m5s, 3h20m, 2d4h; two units at most, milliseconds below a second only.
 * The same rule as `show_age` of the server.
 */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  const ms = Math.max(0, Math.round(seconds * 1000));
  if (ms > 0 && ms < 1000) return `${ms}ms`;
  const parts = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  let rest = Math.floor(ms / 1000);
  const first = parts.findIndex(([, length]) => rest >= length);
  if (first < 0) return "0s";
  return parts.slice(first, first + 2).map(([unit, length]) => {
    const number = Math.floor(rest / length);
    rest -= number * length;
    return number ? `${number}${unit}` : "";
  }).join("");
}

/** What is left of a time: whole seconds, rounded up. */
export function left(seconds) {
  return span(seconds === null || seconds === undefined ? seconds : Math.ceil(seconds));
}

export function ago(unixMs) {
  if (!unixMs) return UNKNOWN;
  const sinceMs = Date.now() - unixMs;
  return sinceMs < 1000 ? "now" : `${span(sinceMs / 1000)} ago`;
}

/** The time of day; with the date when it was not today. */
export function clock(unixMs) {
  if (!unixMs) return UNKNOWN;
  const today = new Date().toDateString() === new Date(unixMs).toDateString();
  return today ? moment(unixMs).slice(11) : moment(unixMs);
}

/** Date and time of day, as they are sorted and laid beside other logs: 2026-11-29 08:56:40, in the reader's zone. */
export function moment(unixMs) {
  if (!unixMs) return UNKNOWN;
  const time = new Date(unixMs);
  const two = (number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** A setting as the file would have it, in words where that is kinder. */
export function setting(value) {
  if (value === true) return "On";
  if (value === false) return "Off";
  if (value === null || value === undefined || value === "") return UNKNOWN;
  if (Array.isArray(value)) return value.length ? value.join(", ") : UNKNOWN;
  return String(value);
}

/** "waits for 12 sessions" with a capital and a full stop. */
export function sentence(text) {
  return text && `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
