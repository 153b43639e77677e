// The service that this page came from, as the holder of a key pair sees it.

import { sign } from "./sign.js";

/** Why a call was not answered: the exception's name, what it says, the status. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message || code);
    Object.assign(this, { status, code });
  }

  /** Who signed is not known, or signed with another secret. */
  get isUnknown() {
    return /InvalidSignature|UnrecognizedClient|InvalidClientToken|ExpiredToken|IncompleteSignature/.test(this.code);
  }

  get isDenied() {
    return /AccessDenied|NotAuthorized/.test(this.code);
  }

  /** There is nothing of what was asked for. */
  get isNothing() {
    return this.code === "ResourceNotFoundException";
  }

  /** The service cannot play what is recorded. */
  get isUnplayable() {
    return /UnsupportedStreamMediaType|CodecPrivateData|InvalidMediaFrame/.test(this.code);
  }
}

/** Waits, unless it is aborted: then it throws. */
export function pause(milliseconds, signal) {
  return new Promise((done, stop) => {
    const abort = () => {
      clearTimeout(timer);
      stop(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      done();
    }, milliseconds);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

const TRIES = 5;
// A `Date` header is cut to the second.
const DATE_ERROR = 1_500;

export class Service {
  #keys;
  /** What the service's clock is ahead of ours, in milliseconds. */
  ahead = 0;

  constructor(keys) {
    this.#keys = keys;
  }

  /** The time by the service's clock: the one that signatures and recordings go by. */
  now() {
    return Date.now() + this.ahead;
  }

  /** Reads the service's clock, so that the first signature is right whatever ours says. */
  async meet() {
    this.#hear(await fetch("/health", { method: "HEAD", cache: "no-store" }));
  }

  #hear(response) {
    const said = Date.parse(response.headers.get("date") ?? "");
    if (Number.isNaN(said)) return;
    const ahead = said + 500 - Date.now();
    if (Math.abs(ahead - this.ahead) > DATE_ERROR) this.ahead = ahead;
  }

  /** Calls an operation, again where that may help. `as` is how the answer is read: `json` or `blob`. */
  async call(operation, wish, { signal, as = "json", tries = TRIES } = {}) {
    const path = `/${operation[0].toLowerCase()}${operation.slice(1)}`;
    const body = JSON.stringify(wish);
    for (let tried = 1; ; tried += 1) {
      const headers = sign(this.#keys, location.host, path, body, this.now());
      const response = await fetch(path, { method: "POST", headers, body, signal, cache: "no-store" });
      const ahead = this.ahead;
      this.#hear(response);
      const type = response.headers.get("x-amzn-errortype");
      if (response.ok && !type) {
        if (as === "blob") return response.blob();
        const answer = await response.json();
        // A path that the service does not know is answered with status 200.
        if (!answer.Output?.__type) return answer;
        throw new Refused(200, "UnknownOperationException", "This service does not do that.");
      }
      const said = await response.json().catch(() => ({}));
      const code = (type ?? said.__type ?? "").split(":")[0].split("#").pop();
      const refused = new Refused(response.status, code, said.message ?? said.Message);
      const early = /ClientLimitExceeded|Throttling/.test(code);
      const skewed = refused.isUnknown && this.ahead !== ahead;
      if (tried >= tries || !(early || skewed || response.status >= 500)) throw refused;
      if (!skewed) await pause(250 * 2 ** tried * (0.5 + Math.random()), signal);
    }
  }

  /** All streams, with what is set for them. */
  async streams(signal) {
    const found = [];
    let token;
    do {
      const page = await this.call("ListStreams", { MaxResults: 10_000, NextToken: token }, { signal });
      found.push(...(page.StreamInfoList ?? []));
      token = page.NextToken;
    } while (token);
    return found.sort((a, b) => a.StreamName.localeCompare(b.StreamName));
  }

  /** Begins an HLS session; gives where its master playlist is, at this origin. */
  async session(stream, wish, signal) {
    const answer = await this.call("GetHLSStreamingSessionURL", { StreamName: stream, ...wish }, { signal });
    const { pathname, search } = new URL(answer.HLSStreamingSessionURL);
    return pathname + search;
  }
}

/** A range of a stream by the producer's clock, in milliseconds of UTC. */
export const between = (from, to) => ({
  FragmentSelectorType: "PRODUCER_TIMESTAMP",
  TimestampRange: { StartTimestamp: from / 1_000, EndTimestamp: to / 1_000 },
});
