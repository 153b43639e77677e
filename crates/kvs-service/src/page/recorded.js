// What is recorded: which spans of a day, what came last, and how much comes in.

import { pause } from "./service.js";

const HOUR = 3_600_000;
const MINUTE = 60_000;
// Fragments that are no further apart are one span.
const JOIN = 500;
// The last frame of a fragment, which its length lacks, lasts no longer.
const SLOW = 2_500;
// Fragments of a page, and the time between two: half of what a stream allows a second is left to others.
const PAGE = 1_000;
const PACE = 200;
// Whoever sends is heard once in a fragment; after a silence between these, nobody sends.
const [QUIET, SILENT] = [10_000, 30_000];

const row = (fragment) => ({
  number: fragment.FragmentNumber,
  start: Math.round(fragment.ProducerTimestamp * 1_000),
  server: Math.round(fragment.ServerTimestamp * 1_000),
  length: fragment.FragmentLengthInMilliseconds,
  bytes: fragment.FragmentSizeInBytes,
});

/** A page of fragments that begin in a range, in the order of their times. `clock` is `PRODUCER` or `SERVER`. */
export async function list(service, stream, clock, from, to, { signal, most = PAGE, token } = {}) {
  const answer = await service.call(
    "ListFragments",
    {
      StreamName: stream,
      MaxResults: most,
      NextToken: token,
      FragmentSelector: {
        FragmentSelectorType: `${clock}_TIMESTAMP`,
        TimestampRange: { StartTimestamp: from / 1_000, EndTimestamp: to / 1_000 },
      },
    },
    { signal },
  );
  const key = clock === "SERVER" ? "server" : "start";
  const rows = (answer.Fragments ?? []).map(row).sort((a, b) => a[key] - b[key]);
  return { rows, token: answer.NextToken };
}

/** The fragment that holds an instant, by the producer's clock: the last one that begins at or before it. */
export async function holding(service, stream, instant, signal) {
  const { rows } = await list(service, stream, "PRODUCER", instant - 20_000, instant, { signal });
  return rows.at(-1) ?? null;
}

/** The newest fragment of a stream, or none. Looks further and further back, and halves what it finds. */
export async function newest(service, stream, hours, signal) {
  const now = service.now() + MINUTE;
  const oldest = now - Math.max(hours, 1) * HOUR;
  const has = async (from, to) => (await list(service, stream, "SERVER", from, to, { signal, most: 1 })).rows.length > 0;
  let [from, to] = [now - 2 * MINUTE, now];
  while (!(await has(from, to))) {
    if (from <= oldest) return null;
    [from, to] = [Math.max(oldest, now - 4 * (now - from)), from];
  }
  for (;;) {
    const { rows, token } = await list(service, stream, "SERVER", from, to, { signal, most: 100 });
    if (!token || to - from < 1_000) return rows.at(-1) ?? null;
    const middle = (from + to) / 2;
    if (await has(middle, to)) from = middle;
    else to = middle;
  }
}

/** The bit rate of the fragments that lead up to the last one without a gap. */
function bits(rows) {
  let [bytes, next] = [0, rows.at(-1)];
  for (const fragment of rows.slice(0, -1).reverse()) {
    const apart = next.start - fragment.start - fragment.length;
    if (apart < -JOIN || apart > SLOW) break;
    bytes += fragment.bytes;
    next = fragment;
  }
  const time = rows.at(-1).start - next.start;
  return time > 0 ? (bytes * 8_000) / time : null;
}

/** How a stream is now: whether it is live, its bit rate, its newest fragment. */
export async function state(service, stream, hours, signal) {
  if (!hours) return { live: false, kept: false, last: null };
  const now = service.now();
  const { rows } = await list(service, stream, "SERVER", now - MINUTE, now + MINUTE, { signal, most: 200 });
  const last = rows.at(-1);
  if (!last) return { live: false, kept: true, last: await newest(service, stream, hours, signal) };
  const live = now - last.server - last.length < Math.min(Math.max(QUIET, 2 * last.length + 5_000), SILENT);
  return { live, kept: true, last, bits: bits(rows) };
}

/** Spans of what is recorded, in order and apart. */
export class Spans {
  #spans = [];

  add(start, end) {
    const spans = this.#spans;
    // Most often it is the last one that grows.
    let at = spans.length;
    while (at > 0 && spans[at - 1][0] > start) at -= 1;
    const before = spans[at - 1];
    if (before && before[1] + JOIN >= start) {
      before[1] = Math.max(before[1], end);
      at -= 1;
    } else {
      spans.splice(at, 0, [start, end]);
    }
    const grown = spans[at];
    while (spans[at + 1] && spans[at + 1][0] <= grown[1] + JOIN) {
      grown[1] = Math.max(grown[1], spans.splice(at + 1, 1)[0][1]);
    }
  }

  /** Those that reach into a range. */
  in(from, to) {
    return this.#spans.filter(([start, end]) => end > from && start < to);
  }

  /** The span that an instant lies in, or the next one behind it. */
  at(instant) {
    return this.#spans.find(([, end]) => end > instant) ?? null;
  }
}

/** What is recorded of a day, read hour by hour: its spans, and which of it is known. */
export class Day {
  spans = new Spans();
  known = new Spans();
  #hours = [];

  constructor(service, stream, from, to) {
    Object.assign(this, { service, stream, from, to });
    for (let at = from; at < to; at += HOUR) this.#hours.push({ from: at, to: Math.min(at + HOUR, to), until: at });
  }

  /** Reads what is not known yet, until now, first the hours near `focus`. `changed` is told after each page. */
  async read(focus, changed, signal) {
    const far = (hour) => Math.abs((hour.from + hour.to) / 2 - focus);
    for (const hour of [...this.#hours].sort((a, b) => far(a) - far(b))) {
      if (hour.until < hour.to && hour.from < this.service.now()) await this.#readHour(hour, changed, signal);
    }
  }

  async #readHour(hour, changed, signal) {
    const { service, stream } = this;
    const now = service.now();
    // A fragment of the hour before may reach into it, and of what is young not all may have been listed.
    const from = hour.until - MINUTE;
    const to = Math.min(hour.to, now + MINUTE);
    let [token, last, rest] = [undefined, null, 0];
    // A page costs as much as it may hold: whether there is anything is asked with a small one.
    const { rows } = await list(service, stream, "PRODUCER", from, to, { signal, most: 1 });
    const most = rows.length ? PAGE : 1;
    do {
      const page = await list(service, stream, "PRODUCER", from, to, { signal, token, most });
      for (const fragment of page.rows) {
        // A length lacks the last frame's; where the next fragment begins says what that is.
        const more = last === null ? 0 : fragment.start - last.start - last.length;
        if (more > 0 && more < SLOW) rest = more;
        if (last) this.spans.add(last.start, last.start + last.length + rest);
        last = fragment;
      }
      if (last) this.spans.add(last.start, last.start + Math.max(last.length + rest, 100));
      token = page.token;
      const until = token ? last.start : Math.min(hour.to, now);
      this.known.add(hour.from, until);
      hour.until = until === hour.to && now < hour.to + MINUTE ? until - 1 : until;
      changed();
      if (most === PAGE) await pause(PACE, signal);
    } while (token);
  }
}
