// A day of a stream, or an hour of it: what is recorded, where the gaps are, where the picture is, which range is chosen.

import { h, say } from "./dom.js";
import { clock, moment, span } from "./words.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
// What a scale may have between two marks, in the order of size.
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360].map((minutes) => minutes * MINUTE);
// Pixels.
const APART = 76;
const BAR = [14, 44];
const DRAG = 6;
const NARROWEST = 5 * MINUTE;

export class Timeline {
  /** The instant that is shown, and the one that keys move. */
  instant = null;
  cursor = null;
  /** The chosen range. */
  range = null;
  #drag = null;

  /** It tells `on(what, detail)`: `play` (an instant), `range`, `zoom`. */
  constructor(on) {
    this.on = on;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.element = h(
      "div",
      { class: "timeline", tabindex: "0", role: "slider", "aria-label": "What is recorded", "aria-describedby": "keys" },
      this.canvas,
    );
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("pointerdown", (event) => this.#down(event));
    this.element.addEventListener("pointermove", (event) => this.#move(event));
    this.element.addEventListener("pointerup", (event) => this.#up(event));
    this.element.addEventListener("pointercancel", () => (this.#drag = null));
    this.element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
  }

  /** Shows a day: `from`, `to`, `spans`, `known`. */
  show(day, now) {
    Object.assign(this, { day, now, from: day.from, to: day.to });
    this.cursor = Math.min(Math.max(this.instant ?? now, day.from), Math.min(day.to, now));
    this.draw();
  }

  /** Shows a part of the day of this length, around an instant. */
  zoom(length, around = this.instant ?? this.cursor) {
    const { from, to } = this.day;
    const size = Math.min(Math.max(length, NARROWEST), to - from);
    const share = (around - this.from) / (this.to - this.from);
    const begin = around - size * (share >= 0 && share <= 1 ? share : 0.5);
    this.from = Math.min(Math.max(begin, from), to - size);
    this.to = this.from + size;
    this.on("zoom", size);
    this.draw();
  }

  get length() {
    return this.to - this.from;
  }

  #x(instant) {
    return ((instant - this.from) / this.length) * this.canvas.clientWidth;
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    return this.from + share * this.length;
  }

  #key(event) {
    const step = this.length > 2 * HOUR ? 5 * MINUTE : this.length > 20 * MINUTE ? 10_000 : 2_000;
    const to = {
      ArrowLeft: this.cursor - step,
      ArrowRight: this.cursor + step,
      ArrowDown: this.cursor - step,
      ArrowUp: this.cursor + step,
      PageDown: this.cursor - this.length / 10,
      PageUp: this.cursor + this.length / 10,
      Home: this.from,
      End: this.to,
    }[event.key];
    if (to !== undefined) this.move(to);
    else if (event.key === "Enter" || event.key === " ") this.on("play", this.cursor);
    else if (event.key === "+" || event.key === "=") this.zoom(this.length / 2);
    else if (event.key === "-") this.zoom(this.length * 2);
    else return;
    event.preventDefault();
  }

  /** Moves the mark of the keys; what is seen moves with it. */
  move(instant) {
    this.cursor = Math.min(Math.max(instant, this.day.from), Math.min(this.day.to, this.now));
    const { length } = this;
    if (this.cursor < this.from || this.cursor > this.to) {
      this.from = Math.min(Math.max(this.cursor - length / 2, this.day.from), this.day.to - length);
      this.to = this.from + length;
    }
    this.draw();
  }

  #down(event) {
    if (event.button !== 0) return;
    this.element.setPointerCapture(event.pointerId);
    this.#drag = { x: event.clientX, from: this.#at(event), moved: false };
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag || (!drag.moved && Math.abs(event.clientX - drag.x) < DRAG)) return;
    drag.moved = true;
    const at = this.#at(event);
    this.range = [Math.min(drag.from, at), Math.max(drag.from, at)];
    this.on("range", this.range);
    this.draw();
  }

  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag || drag.moved) return;
    const at = this.#at(event);
    if (at > this.now) return;
    this.move(at);
    this.on("play", this.cursor);
  }

  #wheel(event) {
    if (!event.ctrlKey && Math.abs(event.deltaY) < Math.abs(event.deltaX)) return;
    event.preventDefault();
    this.zoom(this.length * (event.deltaY > 0 ? 1.25 : 0.8), this.#at(event));
  }

  /** What is there at an instant, in words. */
  #words() {
    const here = this.day.spans.at(this.cursor);
    if (here && here[0] <= this.cursor) return `${moment(this.cursor)}, recorded`;
    if (!this.day.known.in(this.cursor - 1, this.cursor).length) return `${moment(this.cursor)}, not read yet`;
    const next = here ? `, the next recording is ${span(here[0] - this.cursor)} later` : "";
    return `${moment(this.cursor)}, nothing recorded${next}`;
  }

  draw() {
    const { canvas, element, day } = this;
    const [width, height] = [element.clientWidth, element.clientHeight];
    if (!day || !width) return;
    const pixels = globalThis.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * pixels) || canvas.height !== Math.round(height * pixels)) {
      [canvas.width, canvas.height] = [Math.round(width * pixels), Math.round(height * pixels)];
    }
    const style = getComputedStyle(element);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const pen = canvas.getContext("2d");
    pen.setTransform(pixels, 0, 0, pixels, 0, 0);
    pen.clearRect(0, 0, width, height);
    const [top, bottom] = BAR;
    const bar = (from, to, fill, y = top, deep = bottom - top) => {
      const [left, right] = [Math.max(this.#x(from), 0), Math.min(this.#x(to), width)];
      pen.fillStyle = fill;
      pen.fillRect(left, y, Math.max(right - left, 1), deep);
    };
    bar(this.from, this.to, colour("unread"));
    for (const [from, to] of day.known.in(this.from, this.to)) bar(from, to, colour("gap"));
    for (const [from, to] of day.spans.in(this.from, this.to)) bar(from, to, colour("accent"));
    if (this.now < this.to) bar(Math.max(this.now, this.from), this.to, colour("panel"));
    this.#scale(pen, width, bottom, colour("muted"));
    if (this.range) {
      pen.globalAlpha = 0.25;
      bar(...this.range, colour("text"), top - 6, bottom - top + 12);
      pen.globalAlpha = 1;
      for (const edge of this.range) this.#mark(pen, edge, colour("text"), top - 6, bottom + 6, 1.5);
    }
    if (this.instant !== null) this.#mark(pen, this.instant, colour("live"), 2, bottom + 4, 2.5, true);
    if (document.activeElement === element) this.#mark(pen, this.cursor, colour("text"), top - 4, bottom + 4, 1.5);
    element.setAttribute("aria-valuemin", String(Math.round(this.from / 1_000)));
    element.setAttribute("aria-valuemax", String(Math.round(this.to / 1_000)));
    element.setAttribute("aria-valuenow", String(Math.round(this.cursor / 1_000)));
    element.setAttribute("aria-valuetext", this.#words());
  }

  #mark(pen, instant, colour, top, bottom, wide, headed = false) {
    const x = this.#x(instant);
    if (x < -4 || x > this.canvas.clientWidth + 4) return;
    pen.fillStyle = colour;
    pen.fillRect(x - wide / 2, top, wide, bottom - top);
    if (!headed) return;
    pen.beginPath();
    pen.arc(x, top + 4, 5, 0, 2 * Math.PI);
    pen.fill();
  }

  #scale(pen, width, bottom, colour) {
    const most = Math.max(2, Math.floor(width / APART));
    const step = STEPS.find((step) => this.length / step <= most) ?? 12 * HOUR;
    // Marks are at whole hours and minutes of the day here, not of UTC.
    const first = this.day.from + Math.ceil((this.from - this.day.from) / step) * step;
    pen.fillStyle = colour;
    pen.font = `12px ${getComputedStyle(this.element).fontFamily}`;
    for (let at = first; at <= this.to; at += step) {
      const x = this.#x(at);
      pen.fillRect(Math.min(x, width - 1), bottom + 4, 1, 6);
      const text = at === this.day.to ? "24:00" : clock(at).slice(0, 5);
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(Math.max(x - half, 0), width - 2 * half), bottom + 24);
    }
  }

  stop() {
    this.observer.disconnect();
  }
}

/** Says a range in words, in an element. */
export function sayRange(element, range) {
  say(element, range ? `${span(range[1] - range[0])} chosen` : "");
}
