// A player of fragmented MP4 over Media Source Extensions. The media time of the element is real time: seconds behind
// `origin`, so that gaps of a recording are gaps in what is buffered, and every picture has its instant.

import { LiveFeed, RecordedFeed, SetBack } from "./feed.js";
import { firstShown, init } from "./mp4.js";
import { pause } from "./service.js";

const Source = globalThis.MediaSource ?? globalThis.ManagedMediaSource;
// Seconds.
const BEFORE_FIRST = 5;
const AHEAD = 30;
const BEHIND = 20;
const STUCK = 3;
const STARVED = 4;
const TICK = 200;

const kindOf = (codec) => (/^(mp4a|opus|ac-3|ec-3|alaw|ulaw)/i.test(codec) ? "audio" : "video");
const typeOf = (codec) => `${kindOf(codec)}/mp4; codecs="${codec}"`;

/** The tracks change: what comes from `at` on needs other buffers. */
class Changed extends Error {
  constructor(at) {
    super("The tracks change.");
    this.at = at;
  }
}

const shapeOf = (tracks) => tracks.map(({ codec }) => codec.split(".")[0]).join();

/** Resolves when a source buffer has done what it was told. */
function done(buffer) {
  return new Promise((resolve, reject) => {
    const settle = () => {
      buffer.removeEventListener("updateend", settle);
      buffer.removeEventListener("error", fail);
      resolve();
    };
    const fail = () => {
      buffer.removeEventListener("updateend", settle);
      buffer.removeEventListener("error", fail);
      reject(new Error("The browser cannot read what is recorded."));
    };
    buffer.addEventListener("updateend", settle);
    buffer.addEventListener("error", fail);
  });
}

/**
 * Plays a stream in a `video` element. It tells `on(what, detail)`: `loading`, `playing`, `waiting` (nobody sends),
 * `gap` (jumped over one), `ended`, `blocked` (the browser wants a touch first), `unplayable` (a codec, or a reason),
 * `silent` (a codec of the sound), `failed` (an error).
 */
export class Player {
  #abort = null;
  #latency = 0;
  #first = 0;
  #placed = false;

  constructor(video, service, on) {
    Object.assign(this, { video, service, on, origin: null, feed: null });
  }

  /** The instant of the picture that is shown, in milliseconds of UTC. */
  get instant() {
    if (this.origin === null) {
      const start = this.video.getStartDate?.().getTime();
      return start ? start + this.video.currentTime * 1_000 : null;
    }
    return this.origin + this.video.currentTime * 1_000;
  }

  get isLive() {
    return this.feed?.isLive ?? false;
  }

  /** Plays what comes in. */
  live(stream) {
    return this.#begin((signal) => new LiveFeed(this.service, stream, signal), null);
  }

  /** Plays what is recorded from an instant on. */
  from(stream, instant) {
    return this.#begin((signal, from) => new RecordedFeed(this.service, stream, from, signal), instant);
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
    const { video } = this;
    if (video.src) {
      URL.revokeObjectURL(video.src);
      video.removeAttribute("src");
      video.load();
    }
    this.#placed = false;
    Object.assign(this, { origin: null, feed: null });
  }

  async #begin(make, from) {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    const { signal } = abort;
    this.feed = make(signal, from);
    this.on("loading");
    while (!signal.aborted) {
      try {
        await this.#run(this.feed, signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof SetBack || error instanceof Changed) {
          from = error.at ?? from;
          this.feed = make(signal, from);
          continue;
        }
        if (error.isUnplayable) return this.on("unplayable", { reason: error.message });
        if (error.isNothing && this.feed.isLive) this.on("waiting");
        else if (error.isNothing) return this.on("ended");
        else this.on("failed", error);
        if (error.isDenied || error.isUnknown) return;
        // The network, or nobody sends.
        await pause(2_000, signal).catch(() => {});
        // It goes on where it was.
        if (this.#placed) from = this.instant;
        this.#placed = false;
        if (!signal.aborted) this.feed = make(signal, from);
      }
    }
  }

  async #run(feed, signal) {
    const first = await feed.next();
    if (!first.length) return this.on("ended");
    if (!Source) return this.#runNatively(feed, signal);
    const [lead, beside] = feed.tracks;
    if (!Source.isTypeSupported(typeOf(lead.codec))) return this.on("unplayable", { codec: lead.codec });
    const silent = beside && !Source.isTypeSupported(typeOf(beside.codec));
    if (silent) this.on("silent", { codec: beside.codec });
    const tracks = feed.tracks.length - (silent ? 1 : 0);
    const { video } = this;
    const media = new Source();
    video.disableRemotePlayback = true;
    if (video.src) URL.revokeObjectURL(video.src);
    video.src = URL.createObjectURL(media);
    const opened = new Promise((open) => media.addEventListener("sourceopen", open, { once: true }));
    await Promise.race([opened, pause(10_000, signal)]);
    const lanes = feed.tracks.slice(0, tracks).map(({ codec }) => {
      const buffer = media.addSourceBuffer(typeOf(codec));
      return { buffer, type: typeOf(codec), map: null, timescale: 1 };
    });
    this.#latency = 0;
    this.#place(feed, first);
    const watching = new AbortController();
    signal.addEventListener("abort", () => watching.abort(), { signal: watching.signal });
    const watch = this.#watch(feed, watching.signal);
    // What it throws is looked at when all is filled in, or not at all.
    watch.catch(() => {});
    try {
      await this.#fill(feed, first, lanes, media, signal);
      await watch.catch(() => {});
    } finally {
      watching.abort();
    }
  }

  /** Where it begins: at what was asked for, or so far behind the newest that it does not run dry. */
  #place(feed, parts) {
    const wanted = feed.isLive ? parts.at(-1).end - this.#behind(feed) : feed.from;
    const part = parts.find(({ end }) => end > wanted);
    this.#first = Math.max(wanted, part.start);
    this.origin = part.start - BEFORE_FIRST * 1_000;
    this.#placed = false;
  }

  /** What live is behind the newest fragment: it comes as a whole, and the next one a fragment later. */
  #behind(feed) {
    return 2 * feed.target + 500 + this.#latency;
  }

  async #fill(feed, first, lanes, media, signal) {
    const { video } = this;
    let turn = null;
    let shift = 0;
    let parts = first;
    while (parts.length) {
      for (const part of parts) {
        if (part.end <= this.#first || (part.end - this.origin) / 1_000 <= video.currentTime - BEHIND) continue;
        if (shapeOf(part.tracks) !== shapeOf(first[0].tracks)) {
          await this.#drain(signal);
          throw new Changed(part.start);
        }
        while (!feed.isLive && (part.start - this.origin) / 1_000 > video.currentTime + AHEAD && this.#hasAhead()) {
          await pause(TICK, signal);
        }
        const files = await Promise.all(
          lanes.map(async (lane, n) => {
            const { map, url } = part.segments[n];
            const head = map === lane.map ? null : await feed.fetch(map);
            return { head, map, bytes: await feed.fetch(url) };
          }),
        );
        for (const [n, lane] of lanes.entries()) await this.#head(lane, files[n]);
        if (part.turn !== turn) {
          const shown = firstShown(files[0].bytes);
          turn = part.turn;
          shift = (part.start - this.origin) / 1_000 - (shown ?? 0) / lanes[0].timescale;
        }
        for (const [n, lane] of lanes.entries()) {
          if (Math.abs(lane.buffer.timestampOffset - shift) > 0.000_5) lane.buffer.timestampOffset = shift;
          await this.#append(lane.buffer, files[n].bytes, signal);
        }
        if (!this.#placed) {
          // Not before there is something: an element without media forgets where it was put.
          video.currentTime = (this.#first - this.origin) / 1_000 + 0.02;
          this.#placed = true;
        }
        if (video.paused && !("paused" in video.dataset)) this.#play();
        await this.#evict(lanes, video.currentTime - BEHIND);
      }
      parts = await feed.next();
    }
    if (media.readyState === "open") media.endOfStream();
  }

  /** Waits until all that is buffered was shown. */
  async #drain(signal) {
    const { video } = this;
    const left = () => (video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0);
    while (left() > 0.3) await pause(TICK, signal);
  }

  async #head(lane, { head, map }) {
    if (!head) return;
    const { timescale, codec } = init(head) ?? { timescale: 1, codec: null };
    const type = codec ? typeOf(codec) : lane.type;
    if (type !== lane.type && Source.isTypeSupported(type)) {
      lane.buffer.changeType(type);
      lane.type = type;
    }
    lane.buffer.appendBuffer(head);
    await done(lane.buffer);
    Object.assign(lane, { map, timescale });
  }

  async #append(buffer, bytes, signal) {
    for (;;) {
      try {
        buffer.appendBuffer(bytes);
        return await done(buffer);
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
        await this.#evict([{ buffer }], this.video.currentTime - 1);
        await pause(1_000, signal);
      }
    }
  }

  async #evict(lanes, until) {
    for (const { buffer } of lanes) {
      const { buffered } = buffer;
      // Rarely, for it takes a moment.
      if (!buffered.length || buffered.start(0) > until - 10) continue;
      buffer.remove(0, until);
      await done(buffer);
    }
  }

  #hasAhead() {
    const { buffered, currentTime } = this.video;
    return buffered.length > 0 && buffered.end(buffered.length - 1) > currentTime + 1;
  }

  /** Passes over gaps, keeps near the live edge, and moves what is stuck, until the end. */
  async #watch(feed, signal) {
    const { video } = this;
    let stood = { at: -1, since: performance.now() };
    let playing = false;
    while (!video.ended) {
      await pause(TICK, signal);
      if (!this.#placed) continue;
      const { buffered, currentTime, paused } = video;
      const now = performance.now();
      const ranges = Array.from({ length: buffered.length }, (_, n) => [buffered.start(n), buffered.end(n)]);
      const inside = ranges.find(([start, end]) => start <= currentTime + 0.1 && currentTime < end - 0.1);
      const later = ranges.find(([start]) => start > currentTime + 0.1);
      if (paused || currentTime !== stood.at) stood = { at: currentTime, since: now };
      if (!playing && !paused && currentTime > 0 && video.readyState >= 3) {
        playing = true;
        this.on("playing");
      }
      const stuck = (now - stood.since) / 1_000;
      if (!inside && later && (stuck > 0.5 || paused)) {
        const gap = later[0] - currentTime;
        video.currentTime = later[0] + 0.02;
        if (gap > 1) this.on("gap", { from: this.origin + currentTime * 1_000, to: this.origin + later[0] * 1_000 });
      } else if (inside && stuck > STUCK) {
        video.currentTime = currentTime + 0.1;
        stood = { at: -1, since: now };
      } else if (!inside && playing && stuck > 1) {
        playing = false;
        this.on("loading");
        if (feed.isLive) this.#latency = Math.min(this.#latency + feed.target / 2, 10_000);
      } else if (!inside && feed.isLive && stuck > Math.max(STARVED, (3 * feed.target) / 1_000)) {
        this.on("waiting");
      }
      if (feed.isLive && ranges.length && !paused) this.#follow(feed, ranges.at(-1)[1] - currentTime);
    }
    this.on("ended");
  }

  /** Plays a little faster when it has fallen behind, and jumps when it is far behind. */
  #follow(feed, behind) {
    const { video } = this;
    const wanted = this.#behind(feed) / 1_000;
    if (behind > wanted + 15) {
      video.currentTime += behind - wanted;
    } else if (behind > wanted + feed.target / 1_000 + 0.5) video.playbackRate = 1.08;
    else if (behind < wanted) video.playbackRate = 1;
  }

  #play() {
    this.video.play().catch((error) => {
      if (error.name === "NotAllowedError") this.on("blocked");
    });
  }

  /** Where there is no MSE the browser plays HLS itself. */
  async #runNatively(feed, signal) {
    const { video } = this;
    if (!video.canPlayType("application/vnd.apple.mpegurl")) {
      return this.on("unplayable", { reason: "This browser plays no streams." });
    }
    video.src = feed.base;
    if (!feed.isLive) {
      const at = Math.max(0, (feed.from - feed.first) / 1_000);
      video.addEventListener("loadedmetadata", () => (video.currentTime = at), { once: true, signal });
    }
    video.addEventListener("playing", () => this.on("playing"), { signal });
    video.addEventListener("waiting", () => this.on("loading"), { signal });
    const end = new Promise((resolve, reject) => {
      video.addEventListener("ended", resolve, { signal });
      video.addEventListener("error", () => reject(new Error("The browser stopped playing.")), { signal });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    this.#play();
    await end;
    if (feed.isLive) throw new Error("The session has ended.");
    // The next window of what is recorded.
    const parts = await feed.next();
    if (!parts.length) return this.on("ended");
    feed.from = parts[0].start;
    return this.#runNatively(feed, signal);
  }
}
