// Times, sizes and spans as people read them, in the time zone of the browser. Pure.

const two = (number) => String(Math.floor(number)).padStart(2, "0");

/** `19:05:10` */
export function clock(instant) {
  const at = new Date(instant);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
}

/** `2026-11-20` */
export function day(instant) {
  const at = new Date(instant);
  return [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
}

/** When a day begins here, and when it ends: days of a change to summer time have other lengths. */
export function dayRange(text) {
  const [year, month, date] = text.split("-").map(Number);
  return [new Date(year, month - 1, date).getTime(), new Date(year, month - 1, date + 1).getTime()];
}

/** For an input of date and time. */
export const local = (instant) => `${day(instant)}T${clock(instant)}`;

/** `Fri 20 Nov, 19:05:10` */
export function moment(instant) {
  const date = new Date(instant).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" });
  return `${date}, ${clock(instant)}`;
}

const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
];

/** `3 minutes 20 seconds`: the two largest units of it. */
export function span(milliseconds) {
  let left = Math.round(milliseconds / 1_000) * 1_000;
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${unit}${count === 1 ? "" : "s"}`);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "less than a second";
}

/** `20 minutes ago`: in the largest unit. */
export function ago(milliseconds) {
  const [unit, size] = UNITS.find(([, size]) => milliseconds >= size) ?? ["second", 1_000];
  const count = Math.max(0, Math.floor(milliseconds / size));
  return count ? `${count} ${unit}${count === 1 ? "" : "s"} ago` : "just now";
}

/** `1.2 Mbit/s` */
export function rate(bits) {
  if (bits >= 1e6) return `${(bits / 1e6).toFixed(bits >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${Math.max(1, Math.round(bits / 1e3))} kbit/s`;
}

/** `24 hours`, `7 days`, `nothing` */
export function retention(hours) {
  if (!hours) return "keeps nothing";
  return hours % 24 === 0 && hours > 24 ? `keeps ${hours / 24} days` : `keeps ${span(hours * 3_600_000)}`;
}

/** What people call a codec of RFC 6381. */
export function codecName(codec) {
  const names = { avc: "H.264", hvc: "H.265", hev: "H.265", av0: "AV1", vp0: "VP8 or VP9", mp4: "AAC", ala: "A-law", ula: "µ-law" };
  return names[codec.slice(0, 3).toLowerCase()] ?? codec;
}

/** The name of a file: `front-door_2026-11-20_19-05-10.mp4`. */
export function fileName(stream, instant, ending) {
  return `${stream}_${day(instant)}_${clock(instant).replaceAll(":", "-")}.${ending}`;
}
