// What is to be played, as parts one after another: each a fragment with its pictures and its sound. A feed begins
// sessions as it needs them, and goes on in another where one has ended.

import { master, media } from "./playlist.js";
import { between, pause, Refused } from "./service.js";

const DAY = 86_400_000;
// A fragment is selected by its beginning, and lasts no longer than this.
const LONGEST = 20_000;
// Behind the newest fragment of a stream that is being sent, the next one is waited for.
const RECENT = 90_000;
// A new session begins with parts of the one before; what is earlier than those was never seen.
const BACK = 60_000;
const LIVE = {
  PlaybackMode: "LIVE",
  HLSFragmentSelector: { FragmentSelectorType: "PRODUCER_TIMESTAMP" },
  MaxMediaPlaylistFragmentResults: 10,
};
const COMMON = { DisplayFragmentTimestamp: "ALWAYS", DiscontinuityMode: "ON_DISCONTINUITY", Expires: 43_200 };

/** A session's URL does not answer any more: it has expired, or its stream is another one now. */
class SessionOver extends Error {}

/** Times go back: whoever plays begins again. */
export class SetBack extends Error {}

async function read(url, signal) {
  const response = await fetch(url, { signal, cache: "no-store" });
  if (response.status === 403 || response.status === 404) throw new SessionOver(await response.text());
  if (!response.ok) throw new Refused(response.status, "", (await response.text()).trim());
  return response;
}

class Feed {
  /** The tracks of the session: `codec`, `url`. */
  tracks = [];
  /** How long fragments are at the most. */
  target = 1_000;
  /** The end of the last part that was given, and the beginning. */
  end = null;
  start = null;
  #sessions = 0;
  #sequence = -1;

  constructor(service, stream, signal) {
    Object.assign(this, { service, stream, signal });
  }

  async begin(wish) {
    const { service, stream, signal } = this;
    this.tracks = [];
    const place = await service.session(stream, { ...COMMON, ...wish }, signal);
    const base = new URL(place, location.href).href;
    this.tracks = master(await (await read(base, signal)).text(), base);
    // For browsers that play HLS themselves.
    this.base = base;
    this.#sessions += 1;
    this.#sequence = -1;
  }

  /** The parts that are new in the session's playlists, and whether there will be more in it. */
  async parts() {
    const { signal } = this;
    const lists = await Promise.all(
      this.tracks.map(async ({ url }) => media(await (await read(url, signal)).text(), url)),
    );
    const [lead, ...others] = lists;
    this.target = lead.target;
    const parts = [];
    for (const segment of lead.segments) {
      if (segment.sequence <= this.#sequence || segment.start === null) continue;
      const beside = others.map((list) => list.segments.find(({ sequence }) => sequence === segment.sequence));
      // The sound's list was read a moment earlier or later: this one's turn comes with the next reading.
      if (beside.includes(undefined)) break;
      this.#sequence = segment.sequence;
      const [start, end] = [segment.start, segment.start + segment.duration];
      const turn = `${this.#sessions}.${segment.turn}`;
      parts.push({ start, end, turn, tracks: this.tracks, segments: [segment, ...beside] });
    }
    return { parts, ended: lead.ended };
  }

  /** A segment or an init segment. */
  async fetch(url) {
    return new Uint8Array(await (await read(url, this.signal)).arrayBuffer());
  }

  given(parts) {
    const last = parts.at(-1);
    if (last) [this.first, this.start, this.end] = [parts[0].start, last.start, last.end];
    return parts;
  }
}

/** What comes in, from now on. */
export class LiveFeed extends Feed {
  isLive = true;

  /** The next parts, when there are some. Throws `Refused` when nobody sends. */
  async next() {
    const { signal } = this;
    for (;;) {
      try {
        if (!this.tracks.length) await this.begin(LIVE);
        const { parts, ended } = await this.parts();
        // The tracks change: what comes next is in another session.
        if (ended) this.tracks = [];
        // Whoever sends has set the clock back: what comes has another place in time.
        if (parts.some(({ start }) => this.start !== null && start < this.start - BACK)) throw new SetBack();
        const news = parts.filter(({ start }) => this.start === null || start > this.start);
        if (news.length) return this.given(news);
        const quiet = this.end !== null && this.service.now() - this.end > 2 * this.target + 30_000;
        if (quiet) this.tracks = [];
      } catch (error) {
        if (!(error instanceof SessionOver)) throw error;
        this.tracks = [];
        await pause(1_000, signal);
      }
      await pause(Math.min(Math.max(this.target / 4, 400), 1_500), signal);
    }
  }
}

/** What is recorded, from an instant on: gaps are passed over. */
export class RecordedFeed extends Feed {
  isLive = false;

  constructor(service, stream, from, signal) {
    super(service, stream, signal);
    Object.assign(this, { from, at: from - LONGEST });
  }

  /** The next parts; none at the end of what is recorded. */
  async next() {
    const { service, signal } = this;
    for (;;) {
      try {
        const range = between(this.at, this.at + DAY);
        await this.begin({
          PlaybackMode: "ON_DEMAND",
          HLSFragmentSelector: range,
          MaxMediaPlaylistFragmentResults: 200,
        });
        const { parts } = await this.parts();
        const last = parts.at(-1);
        if (last) this.at = last.start + 1;
        const news = parts.filter(({ start, end }) => end > this.from && (this.start === null || start > this.start));
        if (news.length) return this.given(news);
        if (!last) this.at += DAY;
      } catch (error) {
        const nothing = error instanceof SessionOver || error.isNothing;
        if (!nothing) throw error;
        const now = service.now();
        if (this.at + DAY < now) {
          this.at += DAY;
          continue;
        }
        if (this.end === null || now - this.end > RECENT) return [];
        await pause(2_000, signal);
      }
    }
  }
}
