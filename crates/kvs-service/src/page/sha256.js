// SHA-256 and HMAC (FIPS 180-4, RFC 2104). WebCrypto is there in secure contexts only, and this page is also opened
// over plain HTTP in a local network.

const FIRST = new Uint32Array(8);
const ROUND = new Uint32Array(64);
// The constants are the first 32 bits of the fractions of square and cube roots of the first primes.
for (let n = 2, found = 0; found < 64; n += 1) {
  let prime = true;
  for (let by = 2; by * by <= n; by += 1) if (n % by === 0) prime = false;
  if (!prime) continue;
  if (found < 8) FIRST[found] = (Math.sqrt(n) % 1) * 2 ** 32;
  ROUND[found] = (Math.cbrt(n) % 1) * 2 ** 32;
  found += 1;
}

const turn = (word, by) => (word >>> by) | (word << (32 - by));

function block(state, words, view, at) {
  for (let n = 0; n < 16; n += 1) words[n] = view.getUint32(at + 4 * n);
  for (let n = 16; n < 64; n += 1) {
    const [early, late] = [words[n - 15], words[n - 2]];
    const low = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
    const high = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
    words[n] = words[n - 16] + low + words[n - 7] + high;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let n = 0; n < 64; n += 1) {
    const choice = (e & f) ^ (~e & g);
    const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choice + ROUND[n] + words[n]) | 0;
    const most = (a & b) ^ (a & c) ^ (b & c);
    const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + most) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, n) => {
    state[n] += word;
  });
}

const bytesOf = (data) => (typeof data === "string" ? new TextEncoder().encode(data) : data);

/** The hash of a text or of bytes, as bytes. */
export function sha256(data) {
  const bytes = bytesOf(data);
  const padded = new Uint8Array((((bytes.length + 8) >> 6) + 1) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const state = FIRST.slice();
  const words = new Uint32Array(64);
  for (let at = 0; at < padded.length; at += 64) block(state, words, view, at);
  const hash = new DataView(new ArrayBuffer(32));
  state.forEach((word, n) => hash.setUint32(4 * n, word));
  return new Uint8Array(hash.buffer);
}

/** The HMAC of a text or of bytes, as bytes. */
export function hmac(key, data) {
  let short = bytesOf(key);
  if (short.length > 64) short = sha256(short);
  const message = bytesOf(data);
  const inner = new Uint8Array(64 + message.length).fill(0x36, 0, 64);
  const outer = new Uint8Array(96).fill(0x5c, 0, 64);
  short.forEach((byte, n) => {
    inner[n] ^= byte;
    outer[n] ^= byte;
  });
  inner.set(message, 64);
  outer.set(sha256(inner), 64);
  return sha256(outer);
}

/** Bytes as hexadecimal digits. */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
