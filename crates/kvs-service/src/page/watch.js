// A stream: its live view, what is recorded, a clip, a picture.

import { h, save, say } from "./dom.js";
import { duration } from "./mp4.js";
import * as pictures from "./pictures.js";
import { Player } from "./player.js";
import { Day, state } from "./recorded.js";
import { between, pause } from "./service.js";
import { sayRange, Timeline } from "./timeline.js";
import { ago, clock, codecName, day, dayRange, fileName, local, moment, rate, retention, span } from "./words.js";

const HOUR = 3_600_000;
const STATE_EVERY = 5_000;
const TICK = 250;
const NOTE = 12_000;
// A clip of this much is proposed.
const CLIP = 30_000;
// Enough for the tables of any clip.
const TABLES = 8 << 20;

const ICONS = {
  play: "M8 5v14l11-7z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  sound: "M4 9v6h4l5 5V4L8 9zM16 8a5 5 0 0 1 0 8M18.5 5.5a9 9 0 0 1 0 13",
  mute: "M4 9v6h4l5 5V4L8 9zM16 9l6 6M22 9l-6 6",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
};

function icon(name) {
  const of = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);
  const [svg, path] = [of("svg"), of("path")];
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", ["play", "pause"].includes(name) ? "icon solid" : "icon");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function label(button, name, text) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.replaceChildren(icon(name));
  button.setAttribute("aria-label", text);
  button.title = text;
}

export function watch(page, stream, at) {
  const view = new Watch(page, stream);
  view.start(at);
}

class Watch {
  #moving = null;

  constructor(page, stream) {
    Object.assign(this, { page, stream, service: page.service, signal: page.signal });
    this.day = null;
    this.build();
    this.player = new Player(this.video, this.service, (what, detail) => this.hear(what, detail));
    this.signal.addEventListener("abort", () => {
      this.player.stop();
      this.#moving?.abort();
      this.timeline.stop();
    });
  }

  build() {
    const button = (attributes, ...children) => h("button", { type: "button", ...attributes }, ...children);
    this.badge = h("span", { class: "badge" });
    this.facts = h("p", { class: "facts" });
    this.video = h("video", { playsinline: true, muted: true, tabindex: "-1", "aria-label": `Pictures of ${this.stream}` });
    this.video.muted = true;
    this.still = h("img", { alt: "", hidden: true, class: "still" });
    this.cover = h("p", { class: "cover" }, "Loading");
    this.playButton = button({ class: "round", onclick: () => this.toggle() });
    this.muteButton = button({ class: "round", onclick: () => this.mute() });
    this.fullButton = button({ class: "round", onclick: () => this.full() });
    label(this.fullButton, "full", "Full screen");
    this.fullButton.hidden = !document.fullscreenEnabled;
    this.liveButton = button({ class: "live", "aria-pressed": "false", onclick: () => this.live() }, "Live");
    this.date = h("span");
    this.clock = h("span");
    this.now = h("time", { class: "now" }, this.date, this.clock);
    this.note = h("p", { class: "note", role: "status" });
    this.stage = h("div", { class: "stage" }, this.video, this.still, this.cover);
    const bar = h("div", { class: "bar" }, this.playButton, this.muteButton, this.liveButton, this.now, this.fullButton);
    this.screen = h("section", { class: "screen", "aria-label": "Player" }, this.stage, bar);

    this.timeline = new Timeline((what, detail) => {
      if (what === "play") this.from(detail);
      else if (what === "range") this.choose(detail);
      else if (what === "zoom") this.sayZoom(detail);
    });
    this.dayInput = h("input", { type: "date", "aria-label": "Day", onchange: () => this.dayInput.value && this.openDay(this.dayInput.value) });
    const step = (by, text, sign) =>
      button({ class: "quiet", "aria-label": text, title: text, onclick: () => this.stepDay(by) }, sign);
    const zooms = [["Day", 24 * HOUR], ["6 h", 6 * HOUR], ["1 h", HOUR], ["10 min", HOUR / 6]];
    this.zooms = zooms.map(([text, length]) =>
      button({ class: "quiet", "data-length": length, onclick: () => this.timeline.zoom(length) }, text),
    );
    this.reading = h("span", { class: "reading" });
    const recorded = h(
      "section",
      { class: "panel", "aria-labelledby": "recorded" },
      h("div", { class: "title" }, h("h2", { id: "recorded" }, "Recorded"), this.reading),
      h(
        "div",
        { class: "row" },
        h("div", { class: "group" }, step(-1, "The day before", "‹"), this.dayInput, step(1, "The day after", "›")),
        h("div", { class: "group", role: "group", "aria-label": "How much is shown" }, this.zooms),
      ),
      this.timeline.element,
      h(
        "p",
        { class: "hint", id: "keys" },
        "Click to play from there, drag to choose a range. ",
        h("span", { class: "keys" }, "Keys: arrows move, Enter plays, + and − zoom, Home and End go to the ends."),
      ),
    );

    const time = (name, text) => {
      const input = h("input", { type: "datetime-local", step: "1", id: name, onchange: () => this.chooseTyped() });
      return [input, h("div", { class: "field" }, h("label", { for: name }, text), input)];
    };
    const [from, fromField] = time("clip-from", "From");
    const [to, toField] = time("clip-to", "To");
    Object.assign(this, { clipFrom: from, clipTo: to });
    this.clipButton = button({ class: "main", onclick: () => this.clip() }, "Save clip");
    this.pictureButton = button({ class: "quiet", onclick: () => this.picture() }, "Save picture of this instant");
    this.chosen = h("span", { class: "hint" }, "A range that you choose, or the last half minute");
    this.saved = h("p", { class: "note", role: "status" });
    const keep = h(
      "section",
      { class: "panel", "aria-labelledby": "keep" },
      h("div", { class: "title" }, h("h2", { id: "keep" }, "Save"), this.chosen),
      h("div", { class: "row" }, fromField, toField, h("div", { class: "group" }, this.clipButton, this.pictureButton)),
      this.saved,
    );
    this.page.main.append(
      h("p", { class: "back" }, h("a", { href: "#/" }, "‹ All streams")),
      h("div", { class: "title" }, h("h1", { tabindex: "-1" }, this.stream), this.badge, this.facts),
      this.screen,
      this.note,
      recorded,
      keep,
    );
    this.controls();
    for (const event of ["play", "pause", "volumechange"]) this.video.addEventListener(event, () => this.controls());
  }

  start(at) {
    this.openDay(day(at ?? this.service.now()), at ?? undefined);
    if (at === null) this.live();
    else this.from(at);
    this.tick();
    this.refresh();
  }

  // --- playing -------------------------------------------------------------------------------------------------

  live() {
    this.begin({ live: true });
    this.player.live(this.stream);
  }

  from(instant) {
    this.begin({ live: false, from: instant });
    this.player.from(this.stream, instant);
  }

  begin(wish) {
    this.#moving?.abort();
    this.#moving = null;
    this.still.hidden = true;
    delete this.video.dataset.paused;
    this.wish = { ...wish, since: performance.now() };
    this.liveButton.setAttribute("aria-pressed", String(wish.live));
    say(this.note, "");
    this.over("Loading");
  }

  /** A note that is of interest for so long. */
  noteFor(milliseconds, text) {
    say(this.note, text);
    pause(milliseconds, this.signal).then(() => this.note.textContent === text && say(this.note, ""), () => {});
  }

  over(text) {
    this.cover.hidden = !text;
    say(this.cover, text);
  }

  hear(what, detail) {
    if (this.signal.aborted) return;
    const { tell } = this.page;
    if (what === "loading") this.over("Loading");
    else if (what === "playing") {
      this.over("");
      tell(this.wish.live ? `${this.stream}, live` : `Playing ${moment(this.player.instant)}`);
    } else if (what === "waiting") this.over("Nobody is sending now. The picture comes by itself when it goes on.");
    else if (what === "gap") this.noteFor(NOTE, `Nothing was recorded from ${clock(detail.from)} to ${clock(detail.to)}.`);
    else if (what === "ended") this.over("This is the end of what is recorded.");
    else if (what === "blocked") this.over("Press Play to begin.");
    else if (what === "silent") say(this.note, `This browser does not play the sound (${codecName(detail.codec)}).`);
    else if (what === "unplayable") this.showPictures(detail);
    else if (what === "failed") {
      if (detail.isUnknown) return this.page.leave("The keys are not valid any more.");
      const text = detail.isDenied ? "You may not watch this stream." : `${detail.message} Trying again.`;
      this.over(detail instanceof TypeError ? "The service does not answer. Trying again." : text);
    }
    this.controls();
  }

  /** Pictures instead of a black box. */
  showPictures({ codec, reason }) {
    const why = codec
      ? `This browser does not play ${codecName(codec)} (${codec}).`
      : `This stream cannot be played in a browser: ${reason}`;
    const moving = new AbortController();
    this.#moving = moving;
    const { wish } = this;
    const instant = () => (wish.live ? (this.last?.start ?? this.service.now()) : wish.from + performance.now() - wish.since);
    this.over("");
    say(this.note, `${why} Here are single pictures of it; a saved clip plays in other programs.`);
    const shown = (start) => {
      this.pictured = start ?? this.pictured;
      const none = start === null && this.still.hidden;
      this.over(none ? (pictures.areMissing() ? "This service makes no pictures." : "There is no picture of this instant.") : "");
    };
    pictures.follow(this.service, this.stream, this.still, instant, moving.signal, shown);
  }

  get instant() {
    return this.#moving ? (this.pictured ?? null) : this.player.instant;
  }

  toggle() {
    const { video } = this;
    if (video.ended) return this.live();
    if (video.paused) {
      delete video.dataset.paused;
      video.play().catch(() => {});
      this.over("");
    } else {
      // What was paused by hand stays so when more comes in.
      video.dataset.paused = "";
      video.pause();
    }
  }

  mute() {
    this.video.muted = !this.video.muted;
  }

  full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.screen.requestFullscreen().catch(() => {});
  }

  controls() {
    const { video } = this;
    label(this.playButton, video.paused ? "play" : "pause", video.paused ? "Play" : "Pause");
    label(this.muteButton, video.muted ? "mute" : "sound", video.muted ? "Sound on" : "Sound off");
    this.playButton.disabled = this.#moving !== null;
  }

  async tick() {
    const { signal, timeline } = this;
    for (let n = 0; !signal.aborted; n += 1) {
      const { instant } = this;
      if (instant !== null && !document.hidden) {
        const [date, time] = moment(instant).split(", ");
        say(this.date, `${date}, `);
        say(this.clock, time);
        this.now.dateTime = new Date(instant).toISOString();
        timeline.instant = instant;
        timeline.now = this.service.now();
        timeline.draw();
      }
      await pause(TICK, signal).catch(() => {});
    }
  }

  // --- what is recorded ----------------------------------------------------------------------------------------

  openDay(text, focus) {
    const [from, to] = dayRange(text);
    this.dayInput.value = text;
    this.dayInput.max = day(this.service.now());
    this.day = new Day(this.service, this.stream, from, to);
    this.timeline.show(this.day, this.service.now());
    this.sayZoom(this.timeline.length);
    this.focus = focus ?? Math.min(to, this.service.now());
    this.readDay();
  }

  stepDay(by) {
    const [from] = dayRange(this.dayInput.value);
    // Noon of the day, so that no change of the clock is between.
    const next = day(from + HOUR * 12 + by * 24 * HOUR);
    if (next <= day(this.service.now())) this.openDay(next);
  }

  async readDay() {
    if (this.isReading) return;
    this.isReading = true;
    const { day: read, signal } = this;
    try {
      const changed = () => {
        if (read === this.day) this.timeline.draw();
        else throw new Error("another day");
      };
      await read.read(this.focus, changed, signal);
      if (read === this.day) say(this.reading, read.spans.in(read.from, read.to).length ? "" : "Nothing is recorded on this day.");
    } catch (error) {
      if (signal.aborted) return;
      if (read === this.day) say(this.reading, error.message);
    } finally {
      this.isReading = false;
    }
    if (read !== this.day) this.readDay();
  }

  sayZoom(length) {
    for (const button of this.zooms) {
      const wanted = Math.min(Number(button.dataset.length), this.day.to - this.day.from);
      button.setAttribute("aria-pressed", String(Math.abs(wanted - length) < 1_000));
    }
  }

  async refresh() {
    const { service, stream, signal } = this;
    let info = null;
    while (!signal.aborted) {
      try {
        if (!document.hidden) {
          info ??= (await service.call("DescribeStream", { StreamName: stream }, { signal })).StreamInfo;
          const now = await state(service, stream, info.DataRetentionInHours, signal);
          this.last = now.last;
          say(this.badge, now.live ? "Live" : "Off");
          this.badge.dataset.state = now.live ? "live" : "off";
          const seen = now.last ? `last seen ${ago(service.now() - now.last.server)}` : "nothing recorded yet";
          const facts = [now.live ? now.bits && rate(now.bits) : now.kept && seen, retention(info.DataRetentionInHours)];
          say(this.facts, facts.filter(Boolean).join(" · "));
          if (!now.kept) say(this.note, "This stream keeps nothing, so there is nothing to play: give it a retention.");
          if (now.live) this.readDay();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error.isUnknown) return this.page.leave("The keys are not valid any more.");
        if (error.isNothing) say(this.facts, "There is no such stream.");
      }
      await pause(STATE_EVERY, signal).catch(() => {});
    }
  }

  // --- keeping -------------------------------------------------------------------------------------------------

  choose([from, to]) {
    this.clipFrom.value = local(from);
    this.clipTo.value = local(Math.ceil(to / 1_000) * 1_000);
    sayRange(this.chosen, [from, to]);
  }

  chooseTyped() {
    const range = [this.clipFrom, this.clipTo].map(({ value }) => new Date(value).getTime());
    const valid = range.every((instant) => !Number.isNaN(instant)) && range[0] < range[1];
    this.timeline.range = valid ? range : null;
    sayRange(this.chosen, this.timeline.range);
    this.timeline.draw();
    return valid ? range : null;
  }

  async clip() {
    // Without a choice, what was just seen.
    if (!this.clipFrom.value && !this.clipTo.value) {
      const end = this.instant ?? this.service.now();
      this.choose([end - CLIP, end]);
    }
    const range = this.chooseTyped();
    if (!range) return say(this.saved, "A clip begins before it ends.");
    this.clipButton.disabled = true;
    say(this.saved, "The clip is being made.");
    try {
      const { service, stream, signal } = this;
      const wish = { StreamName: stream, ClipFragmentSelector: between(...range) };
      const blob = await service.call("GetClip", wish, { signal, as: "blob" });
      const length = duration(new Uint8Array(await blob.slice(0, TABLES).arrayBuffer()));
      save(blob, fileName(stream, range[0], "mp4"));
      const short = length !== null && length < (range[1] - range[0]) * 0.9 - 2_000;
      const why = short ? " It is shorter than what was chosen: a clip has no gaps, and ends at the service's limit." : "";
      say(this.saved, `Saved ${length === null ? "a clip" : span(length)}, ${(blob.size / 1e6).toFixed(1)} MB.${why}`);
    } catch (error) {
      if (!this.signal.aborted) say(this.saved, error.isNothing ? "Nothing is recorded in this range." : error.message);
    } finally {
      this.clipButton.disabled = false;
    }
  }

  async picture() {
    const { service, stream, signal, instant, video } = this;
    if (instant === null) return say(this.saved, "There is no picture to save yet.");
    this.pictureButton.disabled = true;
    // What is on the screen now; it may be needed, and moves on.
    const seen = this.#moving ? null : await shot(video);
    let blob = await pictures.at(service, stream, instant, { signal, quality: 95 }).catch(() => null);
    const own = blob === null;
    blob ??= seen;
    this.pictureButton.disabled = false;
    if (signal.aborted) return;
    if (!blob) return say(this.saved, "The service has no picture of this instant.");
    save(blob, fileName(stream, instant, "jpg"));
    say(this.saved, `Saved the picture of ${moment(instant)}${own ? ", as the browser shows it" : ""}.`);
  }
}

/** What a video shows, as a picture. */
function shot(video) {
  if (!video.videoWidth) return null;
  const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((made) => canvas.toBlob(made, "image/jpeg", 0.95));
}
