// hls.js and dash.js, on a page of another origin, as anybody would use them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, tab } from "./browser.js";
import { Service } from "./service.js";

const module = (name) => fileURLToPath(new URL(`node_modules/${name}`, import.meta.url));
const SCRIPTS = {
  "/hls.js": module("hls.js/dist/hls.min.js"),
  "/dash.js": module("dashjs/dist/modern/umd/dash.all.min.js"),
};
const PAGE = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><video muted width="320"></video>';
const BEGIN = Math.floor(Date.now() / 1_000) - 7_200;
const [FIRST, GAP, SECOND] = [8, 30, 8];

let service, browser, site, origin;

before(async () => {
  service = await Service.start();
  for (const name of ["plain", "changing", "live"]) await service.create(name);
  await (await service.put("plain", { at: BEGIN, seconds: 20 })).stored;
  await (await service.put("changing", { at: BEGIN, seconds: FIRST })).stored;
  await (await service.put("changing", { at: BEGIN + FIRST + GAP, seconds: SECOND, size: "640x360" })).stored;
  const live = await service.put("live", { seconds: 600, live: true });
  site = createServer(async (request, response) => {
    const script = SCRIPTS[request.url];
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(script ? await readFile(script) : PAGE);
  });
  await new Promise((listening) => site.listen(0, "127.0.0.1", listening));
  origin = `http://127.0.0.1:${site.address().port}`;
  browser = await open();
  // What players keep from the end is there.
  await live.has(6);
});

after(async () => {
  await browser?.close();
  await new Promise((closed) => (site ? site.close(closed) : closed()));
  await service?.stop();
});

async function session(kind, stream, wish) {
  const answer = await service.call(`/get${kind}StreamingSessionURL`, { StreamName: stream, ...wish });
  return answer[`${kind}StreamingSessionURL`];
}

const recorded = (kind, seconds) => ({
  PlaybackMode: "ON_DEMAND",
  [`${kind}FragmentSelector`]: {
    FragmentSelectorType: "PRODUCER_TIMESTAMP",
    TimestampRange: { StartTimestamp: BEGIN, EndTimestamp: BEGIN + seconds },
  },
});

/** A tab in which a player plays; `errors` and `stalls` are what it tells. */
async function player(kind, url) {
  const { page, wrong } = await tab(browser.context, origin, { expected: (text) => text.startsWith(`request: ${service.url}/`) });
  await page.goto(origin);
  await page.addScriptTag({ url: kind === "HLS" ? "/hls.js" : "/dash.js" });
  await page.evaluate(
    ([kind, url]) => {
      const video = document.querySelector("video");
      Object.assign(globalThis, { video, errors: [], stalls: 0 });
      video.addEventListener("error", () => errors.push(`media: ${video.error?.message}`));
      video.addEventListener("playing", () => {
        globalThis.began ??= video.currentTime;
      });
      video.addEventListener("waiting", () => {
        if (!video.seeking) globalThis.stalls += 1;
      });
      if (kind === "HLS") {
        const hls = new Hls({ enableWorker: false });
        hls.on(Hls.Events.ERROR, (_, data) => errors.push(`${data.type} ${data.details} ${data.error?.message ?? ""}`));
        hls.loadSource(url);
        hls.attachMedia(video);
        hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
      } else {
        const dash = dashjs.MediaPlayer().create();
        dash.updateSettings({ debug: { logLevel: dashjs.Debug.LOG_LEVEL_NONE } });
        dash.on("error", ({ error }) => errors.push(`dash: ${error?.code} ${error?.message}`));
        dash.initialize(video, url, true);
        dash.setMute(true);
      }
    },
    [kind, url],
  );
  const state = () =>
    page.evaluate(() => ({
      time: video.currentTime, duration: video.duration, width: video.videoWidth, errors, stalls,
    }));
  const reaches = (time) => page.waitForFunction((time) => video.currentTime >= time, time);
  return { page, wrong, state, reaches };
}

for (const kind of ["HLS", "DASH"]) {
  test(`${kind} live goes on without a stall`, async () => {
    const url = await session(kind, "live", { PlaybackMode: "LIVE" });
    const { page, wrong, state, reaches } = await player(kind, url);
    // Players look for their place first.
    await page.waitForFunction(() => globalThis.began !== undefined && video.currentTime > globalThis.began + 1);
    await page.evaluate(() => (globalThis.stalls = 0));
    const { time } = await state();
    const began = Date.now();
    await reaches(time + 6);
    assert.ok(Date.now() - began < 9_000, `6 s took ${Date.now() - began} ms`);
    const { errors, stalls } = await state();
    assert.deepEqual([errors, stalls, wrong], [[], 0, []]);
    await page.close();
  });

  test(`${kind} of what is recorded is as long as it is, and seeks land`, async () => {
    const url = await session(kind, "plain", recorded(kind, 60));
    const { page, wrong, state, reaches } = await player(kind, url);
    await reaches(2);
    const { duration, time } = await state();
    assert.ok(Math.abs(duration - 20) < 0.3, `${duration}`);
    assert.ok(time < 8);
    for (const to of [15, 6.5]) {
      await page.evaluate((to) => (video.currentTime = to), to);
      await reaches(to + 1);
      const landed = await state();
      assert.ok(landed.time >= to + 1 && landed.time < to + 4, `${to}: ${landed.time}`);
    }
    await page.evaluate(() => (video.currentTime = 18.5));
    await page.waitForFunction(() => video.ended);
    assert.deepEqual([(await state()).errors, wrong], [[], []]);
    await page.close();
  });
}

test("HLS passes over a gap, and from one size to another", async () => {
  const wish = { ...recorded("HLS", 60), DiscontinuityMode: "ON_DISCONTINUITY" };
  const { page, wrong, state, reaches } = await player("HLS", await session("HLS", "changing", wish));
  await reaches(1);
  assert.equal((await state()).width, 320);
  await page.waitForFunction(() => video.videoWidth === 640);
  const { time } = await state();
  await reaches(time + 2);
  await page.waitForFunction(() => video.ended);
  const { duration, errors } = await state();
  assert.ok(Math.abs(duration - FIRST - SECOND) < 0.5, `${duration}`);
  assert.deepEqual([errors, wrong], [[], []]);
  await page.close();
});
