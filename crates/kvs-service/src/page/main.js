// The page: who is signed in, and which view is shown. Keys are in the memory of this tab, and nowhere else.

import { h, say } from "./dom.js";
import { signIn } from "./sign-in.js";
import { streams } from "./streams.js";
import { watch } from "./watch.js";

const main = document.getElementById("main");
const leave = document.getElementById("leave");
const said = document.getElementById("said");
say(document.getElementById("host"), location.host);

let service = null;
let view = null;

/** The view that an address names: `#/`, `#/NAME`, `#/NAME/INSTANT`. */
function place() {
  const [name, instant] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const at = Date.parse(instant ?? "");
  return { name, at: Number.isNaN(at) ? null : at };
}

function show() {
  view?.abort();
  view = new AbortController();
  main.replaceChildren();
  leave.hidden = service === null;
  const page = {
    service,
    main,
    signal: view.signal,
    /** Says something to who cannot see it. */
    tell: (text) => say(said, text),
    /** The keys are not valid any more. */
    leave: (why) => signOut(why),
  };
  const { name, at } = place();
  document.title = service && name ? `${name} · Streams` : "Streams";
  if (!service) {
    signIn(page, (signedIn) => {
      service = signedIn;
      show();
    });
  } else if (name) watch(page, name, at);
  else streams(page);
  main.querySelector("form input, h1")?.focus();
}

function signOut(why) {
  service = null;
  show();
  if (why) main.querySelector("form")?.before(h("p", { class: "notice", role: "alert" }, why));
}

leave.addEventListener("click", () => signOut());
globalThis.addEventListener("hashchange", show);
show();
