// What of the page needs no browser.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";

// To node a file is a module when a package.json says so; to browsers it is one because it is asked for as one.
const PAGE = await mkdtemp(path.join(tmpdir(), "kvs-page-"));
await cp(new URL("../../crates/kvs-service/src/page", import.meta.url), PAGE, { recursive: true });
await writeFile(path.join(PAGE, "package.json"), '{ "type": "module" }');
after(() => rm(PAGE, { recursive: true }));
const { hex, hmac, sha256 } = await import(`${PAGE}/sha256.js`);
const { sign } = await import(`${PAGE}/sign.js`);
const { master, media } = await import(`${PAGE}/playlist.js`);
const { Spans } = await import(`${PAGE}/recorded.js`);
const words = await import(`${PAGE}/words.js`);

test("SHA-256 has the known answers, and those of another implementation at every length", () => {
  // FIPS 180-4.
  assert.equal(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert.equal(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  for (let length = 0; length < 300; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, n) => (n * 31 + length) & 255);
    assert.equal(hex(sha256(bytes)), createHash("sha256").update(bytes).digest("hex"), `${length}`);
  }
});

test("HMAC has the known answers, and those of another implementation for every length of key", () => {
  // RFC 4231, test case 2.
  const known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
  assert.equal(hex(hmac("Jefe", "what do ya want for nothing?")), known);
  for (const length of [1, 20, 63, 64, 65, 131]) {
    const key = new Uint8Array(length).fill(0xaa);
    assert.equal(hex(hmac(key, "data")), createHmac("sha256", key).update("data").digest("hex"));
  }
});

test("a request is signed as the specification has it, with a token too", () => {
  const keys = { id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
  const [body, now] = ['{"MaxResults":1}', Date.UTC(2026, 10, 20, 3, 4, 5, 678)];
  for (const token of [null, "a-token"]) {
    const headers = sign({ ...keys, token }, "box:4580", "/listStreams", body, now);
    const names = `content-type;host;x-amz-date${token ? ";x-amz-security-token" : ""}`;
    const hash = (text) => createHash("sha256").update(text).digest("hex");
    const lines = ["content-type:application/json", "host:box:4580", "x-amz-date:20261120T030405Z"];
    if (token) lines.push(`x-amz-security-token:${token}`);
    const request = `POST\n/listStreams\n\n${lines.join("\n")}\n\n${names}\n${hash(body)}`;
    const scope = "20261120/us-west-2/kinesisvideo/aws4_request";
    const text = `AWS4-HMAC-SHA256\n20261120T030405Z\n${scope}\n${hash(request)}`;
    const key = ["20261120", "us-west-2", "kinesisvideo", "aws4_request"].reduce(
      (key, part) => createHmac("sha256", key).update(part).digest(),
      `AWS4${keys.secret}`,
    );
    const signature = createHmac("sha256", key).update(text).digest("hex");
    assert.equal(
      headers.authorization,
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${scope}, SignedHeaders=${names}, Signature=${signature}`,
    );
    assert.equal("host" in headers, false);
  }
});

test("playlists are read", () => {
  const base = "http://box:4580/hls/v1/getHLSMasterPlaylist.m3u8?SessionToken=t~";
  const tracks = master(
    `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,URI="list.m3u8?SessionToken=t~&TrackNumber=2",GROUP-ID="audio",NAME="audio"
#EXT-X-STREAM-INF:CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,BANDWIDTH=1000,AUDIO="audio"
list.m3u8?SessionToken=t~&TrackNumber=1
`,
    base,
  );
  assert.deepEqual(tracks.map(({ codec }) => codec), ["avc1.42c01e", "mp4a.40.2"]);
  assert.ok(tracks[0].url.endsWith("/hls/v1/list.m3u8?SessionToken=t~&TrackNumber=1"));
  const list = media(
    `#EXTM3U
#EXT-X-TARGETDURATION:3
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-MAP:URI="init?n=0"
#EXT-X-PROGRAM-DATE-TIME:2026-11-20T03:04:05.500Z
#EXTINF:2.5,
seven
#EXTINF:1,
eight
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init?n=1"
#EXT-X-PROGRAM-DATE-TIME:2026-11-20T04:00:00.000Z
#EXTINF:1,
nine
#EXT-X-ENDLIST
`,
    base,
  );
  const start = Date.UTC(2026, 10, 20, 3, 4, 5, 500);
  assert.deepEqual([list.target, list.ended], [3_000, true]);
  assert.deepEqual(
    list.segments.map(({ sequence, turn, start, duration }) => [sequence, turn, start, duration]),
    [[7, 2, start, 2_500], [8, 2, start + 2_500, 1_000], [9, 3, Date.UTC(2026, 10, 20, 4), 1_000]],
  );
  assert.deepEqual(list.segments.map(({ map }) => map.at(-1)), ["0", "0", "1"]);
});

test("spans join, stay in order and apart, whatever the order they come in", () => {
  const pieces = [[0, 10], [10, 20], [5_000, 6_000], [20, 400], [9_000, 9_100], [6_300, 7_000], [-50, 0]];
  for (let turn = 0; turn < pieces.length; turn += 1) {
    const spans = new Spans();
    for (const [start, end] of [...pieces.slice(turn), ...pieces.slice(0, turn)]) spans.add(start, end);
    assert.deepEqual(spans.in(-100, 10_000), [[-50, 400], [5_000, 7_000], [9_000, 9_100]], `${turn}`);
  }
});

test("spans, rates and ages are said in words", () => {
  assert.equal(words.span(200_400), "3 minutes 20 seconds");
  assert.equal(words.span(3_600_000), "1 hour");
  assert.equal(words.ago(90_000), "1 minute ago");
  assert.equal(words.ago(10), "just now");
  assert.equal(words.rate(1_234_567), "1.2 Mbit/s");
  assert.equal(words.rate(250_400), "250 kbit/s");
  assert.equal(words.retention(0), "keeps nothing");
  assert.equal(words.retention(168), "keeps 7 days");
  assert.equal(words.fileName("cam", new Date(2026, 10, 20, 9, 5, 7).getTime(), "mp4"), "cam_2026-11-20_09-05-07.mp4");
});
