// All streams: which are live, when the others were last seen, how much comes in, how long it is kept, how it looks.

import { h, say } from "./dom.js";
import { pause } from "./service.js";
import * as pictures from "./pictures.js";
import { state } from "./recorded.js";
import { ago, rate, retention, span } from "./words.js";

const STATE_EVERY = 5_000;
const LIST_EVERY = 15_000;
const PICTURE_EVERY = 15_000;
// Calls at a time.
const TOGETHER = 3;
const THUMBNAIL = { width: 480, quality: 70 };

class Card {
  #pictured = { number: null, at: 0 };
  #told = null;

  constructor(info) {
    this.info = info;
    this.img = h("img", { alt: "", hidden: true });
    this.badge = h("span", { class: "badge" });
    this.facts = h("p", { class: "facts" }, "…");
    const shape = h("div", { class: "thumbnail" }, h("span", { class: "nothing", "aria-hidden": "true" }), this.img, this.badge);
    const link = h("a", { href: `#/${encodeURIComponent(info.StreamName)}` }, h("h2", {}, info.StreamName));
    this.element = h("li", { class: "card" }, shape, h("div", { class: "about" }, link, this.facts));
  }

  async refresh({ service, signal, tell }) {
    const { StreamName: name, DataRetentionInHours: hours } = this.info;
    // What is not live is known to the second: only what is new changes it.
    const now = await state(service, name, hours, signal);
    const badge = now.live ? "Live" : !now.kept ? "Not kept" : now.last ? "Off" : "Empty";
    this.element.dataset.state = now.live ? "live" : "off";
    say(this.badge, badge);
    const seen = now.last && !now.live ? `last seen ${ago(service.now() - now.last.server)}` : null;
    const facts = [now.live && now.bits ? rate(now.bits) : seen, retention(hours)];
    if (now.kept && !now.last) facts.unshift("nothing recorded yet");
    say(this.facts, facts.filter(Boolean).join(" · "));
    if (this.#told !== null && this.#told !== badge) tell(`${name}: ${badge}`);
    this.#told = badge;
    await this.#picture(service, now.last, signal);
  }

  async #picture(service, fragment, signal) {
    const before = this.#pictured;
    const old = performance.now() - before.at > PICTURE_EVERY;
    if (!fragment || pictures.areMissing() || before.number === fragment.number || (before.at && !old)) return;
    this.#pictured = { number: fragment.number, at: performance.now() };
    try {
      const blob = await pictures.first(service, this.info.StreamName, fragment, { signal, ...THUMBNAIL });
      if (blob) pictures.show(this.img, blob);
    } catch (error) {
      // Without a picture the placeholder stays, and it is tried again with the next fragment.
      if (signal.aborted) throw error;
    }
  }
}

export async function streams(page) {
  const { service, main, signal } = page;
  const list = h("ul", { class: "cards" });
  const empty = h("p", { class: "notice", hidden: true });
  const clock = h("p", { class: "notice", hidden: true });
  const filter = h("input", { type: "search", placeholder: "Find a stream", "aria-label": "Find a stream", hidden: true });
  main.append(h("div", { class: "title" }, h("h1", { tabindex: "-1" }, "Streams"), filter), clock, empty, list);
  const cards = new Map();
  const tell = (text) => {
    say(empty, text);
    empty.hidden = !text;
  };
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const [name, { element }] of cards) element.hidden = !name.toLowerCase().includes(wanted);
  });
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target) : seen.delete(target);
  }, { rootMargin: "200px" });
  signal.addEventListener("abort", () => observer.disconnect());

  const relist = async () => {
    const infos = await service.streams(signal);
    const names = new Set(infos.map(({ StreamName }) => StreamName));
    for (const [name, { element }] of cards) {
      if (names.has(name)) continue;
      element.remove();
      cards.delete(name);
    }
    infos.forEach((info, place) => {
      let card = cards.get(info.StreamName);
      if (card) card.info = info;
      else {
        card = new Card(info);
        cards.set(info.StreamName, card);
        list.insertBefore(card.element, list.children[place] ?? null);
        observer.observe(card.element);
      }
    });
    filter.hidden = infos.length < 8;
    tell(infos.length ? "" : "There is no stream yet. kvssink makes one when it begins to send, and so does “kvs streams create NAME”.");
  };
  const refresh = async () => {
    const queue = [...cards.values()].filter(({ element }) => seen.has(element) && !element.hidden);
    const worker = async () => {
      for (let card = queue.shift(); card; card = queue.shift()) {
        await card.refresh(page).catch((error) => {
          if (signal.aborted || error.isUnknown) throw error;
          say(card.facts, error.isDenied ? "You may not read this stream" : error.message);
          say(card.badge, "Unknown");
        });
      }
    };
    await Promise.all(Array.from({ length: TOGETHER }, worker));
  };

  let listed = -LIST_EVERY;
  while (!signal.aborted) {
    try {
      if (!document.hidden) {
        if (performance.now() - listed >= LIST_EVERY) {
          await relist();
          listed = performance.now();
          // The observer speaks with the next frame.
          await new Promise((next) => setTimeout(next, 60));
        }
        await refresh();
        clock.hidden = Math.abs(service.ahead) < 60_000;
        say(clock, `This device's clock is off by ${span(Math.abs(service.ahead))}: the service's is used.`);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.isUnknown) return page.leave("The keys are not valid any more.");
      if (error.isDenied) return byName(main, list);
      tell("The service does not answer. Trying again.");
      listed = -LIST_EVERY;
    }
    await pause(STATE_EVERY, signal).catch(() => {});
  }
}

/** Who may not list streams may know the name of one. */
function byName(main, list) {
  const name = h("input", { id: "name", required: true, autocapitalize: "none", autocomplete: "off", spellcheck: "false" });
  const form = h(
    "form",
    { class: "panel sign-in" },
    h("label", { for: "name" }, "You may not list streams. Open one by its name"),
    name,
    h("button", { class: "main", type: "submit" }, "Open"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/${encodeURIComponent(name.value.trim())}`;
  });
  list.replaceWith(form);
  main.querySelector(".notice")?.remove();
  name.focus();
}
