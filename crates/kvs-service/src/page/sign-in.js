// Who opens the page says who he is: with a key pair of the service.

import { h, say } from "./dom.js";
import { Refused, Service } from "./service.js";
import { span } from "./words.js";

// Signatures stand for five minutes; a clock that is off by less than this is not worth a word.
const SKEW = 120_000;

function why(error) {
  if (!(error instanceof Refused)) return "The service does not answer. Is it still running?";
  if (/Expired/.test(error.code)) return "These temporary keys have expired.";
  if (/UnrecognizedClient|InvalidClientToken/.test(error.code)) return "The service does not know this access key.";
  if (error.isUnknown) return "The secret access key does not belong to this access key.";
  return `The service refused: ${error.message}`;
}

export function signIn(page, done) {
  const field = (name, label, more) => {
    const input = h("input", { id: name, name, required: true, autocapitalize: "none", spellcheck: "false", ...more });
    return [h("label", { for: name }, label), input];
  };
  const said = h("p", { class: "wrong", role: "alert" });
  const button = h("button", { class: "main", type: "submit" }, "Sign in");
  const form = h(
    "form",
    { class: "panel sign-in" },
    field("id", "Access key ID", { autocomplete: "username" }),
    field("secret", "Secret access key", { type: "password", autocomplete: "current-password" }),
    h(
      "details",
      {},
      h("summary", {}, "Temporary keys"),
      field("token", "Session token", { required: false, autocomplete: "off" }),
    ),
    said,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say(said, "");
    button.disabled = true;
    const value = (name) => form.elements[name].value.trim();
    const service = new Service({ id: value("id"), secret: value("secret"), token: value("token") || null });
    try {
      await service.meet();
      await service.call("ListStreams", { MaxResults: 1 }, { signal: page.signal });
      done(service);
    } catch (error) {
      if (page.signal.aborted) return;
      // Some may watch a stream, and not list all.
      if (error.isDenied) return done(service);
      const off = Math.abs(service.ahead) > SKEW ? ` This device's clock is off by ${span(Math.abs(service.ahead))}.` : "";
      say(said, why(error) + off);
    } finally {
      button.disabled = false;
    }
  });
  page.main.append(
    h(
      "div",
      { class: "welcome" },
      h("h1", { tabindex: "-1" }, "Sign in"),
      h(
        "p",
        {},
        "With a key pair of this service: its first start prints one, and ",
        h("code", {}, "kvs env"),
        " shows it. The secret stays in this tab; nothing but signatures is sent.",
      ),
      form,
    ),
  );
}
