// The page in a browser: signed in, the list, live, what is recorded, a clip, on a phone.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { open, PATIENCE, tab } from "./browser.js";
import { BINARY, Service } from "./service.js";

const run = promisify(execFile);
// Recorded an hour ago: so much, then nothing, then so much more in another size.
const BEGIN = Math.floor(Date.now() / 1_000) - 3_600;
const [FIRST, GAP, SECOND] = [10, 20, 10];

// `kvs` starts it when pictures are asked for.
const withoutPictures = existsSync(path.join(path.dirname(BINARY), "kvs-picture")) ? false : "kvs-picture is not built";

let service, browser, live;

before(async () => {
  service = await Service.start();
  await Promise.all(["front-door", "garage", "shed"].map((name) => service.create(name)));
  // In the order of their times: what comes in later is behind.
  await (await service.put("front-door", { at: BEGIN, seconds: FIRST })).stored;
  await (await service.put("front-door", { at: BEGIN + FIRST + GAP, seconds: SECOND, size: "640x360" })).stored;
  await (await service.put("garage", { at: BEGIN, seconds: 2, codec: "libx265", sound: false })).stored;
  live = await service.put("front-door", { seconds: 600, live: true });
  browser = await open();
  await live.has(3);
});

after(async () => {
  await browser?.close();
  await service?.stop();
});

/** A tab that is signed in. */
async function signedIn(hash = "", options) {
  const { page, wrong } = await tab(browser.context, service.url, options);
  await page.goto(`${service.url}/${hash}`);
  await page.getByLabel("Access key ID").fill(service.id);
  await page.getByLabel("Secret access key").fill(service.secret);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  return { page, wrong };
}

const time = (page) => page.locator("video").evaluate((video) => video.currentTime);
const instant = async (page) => Date.parse(await page.locator("time").getAttribute("datetime")) / 1_000;

/** Waits until so many seconds were played, in not much more time than that. */
async function plays(page, seconds) {
  await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0 && document.querySelector(".cover").hidden);
  const [from, began] = [await time(page), Date.now()];
  await page.waitForFunction((to) => document.querySelector("video").currentTime >= to, from + seconds);
  const took = (Date.now() - began) / 1_000;
  assert.ok(took < seconds + 4, `${seconds} s took ${took} s`);
}

test("who has no keys of the service does not come in", async () => {
  const { page, wrong } = await tab(browser.context, service.url, { expected: (text) => text.includes("403 (Forbidden)") });
  await page.goto(service.url);
  const tries = [
    [service.id, "not-the-secret", "does not belong"],
    ["AKIANOBODY0000000000", service.secret, "does not know this access key"],
  ];
  for (const [id, secret, said] of tries) {
    await page.getByLabel("Access key ID").fill(id);
    await page.getByLabel("Secret access key").fill(secret);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").filter({ hasText: said }).waitFor();
  }
  assert.deepEqual(wrong, []);
  await page.close();
});

test("a clock that is off does not keep anybody out, and secrets stay in the tab", async () => {
  const { page, wrong } = await tab(browser.context, service.url);
  const sent = [];
  page.on("request", (request) => sent.push(request.url() + JSON.stringify(request.headers()) + (request.postData() ?? "")));
  // A quarter of an hour ahead.
  await page.addInitScript(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() + 900_000;
  });
  await page.goto(service.url);
  await page.getByLabel("Access key ID").fill(service.id);
  await page.getByLabel("Secret access key").fill(service.secret);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("clock is off by 15 minutes").waitFor();
  await page.locator(".card", { hasText: "front-door" }).locator(".badge", { hasText: "Live" }).waitFor();
  assert.equal(sent.some((text) => text.includes(service.secret)), false);
  const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href]);
  assert.deepEqual(kept, [0, 0, "", `${service.url}/`]);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("the list says of each stream how it is", async () => {
  const { page, wrong } = await signedIn();
  const card = (name) => page.locator(".card", { hasText: name });
  await card("front-door").locator(".badge", { hasText: "Live" }).waitFor();
  await card("front-door").getByText(/\d bit\/s|bit\/s · keeps 1 day/).waitFor();
  await card("shed").getByText("nothing recorded yet · keeps 1 day").waitFor();
  assert.equal(await page.locator(".card").count(), 3);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("the list has a picture of each stream", { skip: withoutPictures }, async () => {
  const { page, wrong } = await signedIn();
  for (const name of ["front-door", "garage"]) {
    const picture = page.locator(".card", { hasText: name }).locator("img");
    await picture.waitFor();
    // As wide as it was asked for, in the shape of the video.
    const size = await picture.evaluate((img) => img.decode().then(() => [img.naturalWidth, img.naturalHeight]));
    assert.deepEqual(size, [480, 270], name);
  }
  assert.equal(await page.locator(".card", { hasText: "shed" }).locator("img").isVisible(), false);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("a session that has expired is followed by another", async () => {
  const { page, wrong } = await signedIn("#/front-door", { expected: (text) => text.includes("403 (Forbidden)") });
  await plays(page, 2);
  // It plays on in the same element: nothing begins anew.
  const source = () => page.locator("video").evaluate((video) => video.src);
  const before = await source();
  let refused = 0;
  const begun = page.waitForRequest((request) => request.url().endsWith("/getHLSStreamingSessionURL"));
  await page.route(/getHLSMediaPlaylist/, (route) => {
    refused += 1;
    return refused > 2 ? route.continue() : route.fulfill({ status: 403, body: "Streaming session token is expired\n" });
  });
  await begun;
  await plays(page, 5);
  assert.ok(refused > 2);
  assert.equal(await source(), before);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("live goes on, near what comes in", async () => {
  const { page, wrong } = await signedIn();
  await page.getByRole("link", { name: "front-door" }).click();
  await plays(page, 5);
  const behind = Date.now() / 1_000 - (await instant(page));
  assert.ok(behind < 8, `${behind} s behind`);
  assert.equal(await page.locator("video").evaluate((video) => video.muted), true);
  await page.getByRole("button", { name: "Sound on" }).click();
  assert.equal(await page.locator("video").evaluate((video) => video.muted), false);
  await page.getByRole("button", { name: "Pause" }).click();
  const paused = await time(page);
  await page.waitForFunction(() => {
    const { buffered } = document.querySelector("video");
    return buffered.end(buffered.length - 1) > document.querySelector("video").currentTime + 4;
  });
  assert.equal(await time(page), paused);
  await page.getByRole("button", { name: "Play" }).click();
  await plays(page, 1);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("when nobody sends the page says so, and goes on with who sends again", async () => {
  await service.create("porch");
  const before = await service.put("porch", { seconds: 600, live: true });
  await before.has(2);
  const { page, wrong } = await signedIn("#/porch");
  await plays(page, 2);
  await before.stop();
  await page.locator(".cover", { hasText: "Nobody is sending now" }).waitFor();
  const after = await service.put("porch", { seconds: 600, live: true, size: "640x360" });
  await page.waitForFunction(() => document.querySelector("video").videoWidth === 640);
  await plays(page, 2);
  await page.getByText(/Nothing was recorded from/).waitFor();
  await after.stop();
  assert.deepEqual(wrong, []);
  await page.close();
});

test("the timeline has the gap, a click plays from there, and playing passes over it", async () => {
  const { page, wrong } = await signedIn(`#/front-door/${new Date((BEGIN + 2) * 1_000).toISOString()}`);
  await plays(page, 1);
  await page.getByRole("button", { name: "10 min" }).click();
  const line = page.getByRole("slider", { name: "What is recorded" });
  const said = () => line.getAttribute("aria-valuetext");
  const [from, to] = await Promise.all(["min", "max"].map(async (end) => Number(await line.getAttribute(`aria-value${end}`))));
  const box = await line.boundingBox();
  const x = (at) => box.x + ((at - from) / (to - from)) * box.width;
  // A click plays: into the second part, a little before its end.
  await page.mouse.click(x(BEGIN + FIRST + GAP + 4), box.y + 30);
  await plays(page, 2);
  const at = (await instant(page)) - BEGIN - FIRST - GAP;
  assert.ok(at > 3 && at < SECOND, `plays at ${at}`);
  assert.equal(await page.locator("video").evaluate((video) => video.videoWidth), 640);
  // By keys: along the line, through the gap.
  await line.focus();
  const seen = [];
  await page.mouse.click(x(BEGIN + 2), box.y + 30);
  for (let n = 0; n < 20; n += 1) {
    seen.push((await said()).includes("nothing recorded") ? "gap" : "recorded");
    await page.keyboard.press("ArrowRight");
  }
  assert.equal(seen[0], "recorded");
  assert.ok(seen.slice(3, 13).filter((what) => what === "gap").length >= 8, seen.join(" "));
  // And what was clicked first plays on through the gap, into pictures of another size.
  await page.waitForFunction(() => document.querySelector("video").videoWidth === 640, null, { timeout: PATIENCE });
  await page.getByText(/Nothing was recorded from/).waitFor();
  await plays(page, 1);
  await line.focus();
  await page.keyboard.press("Home");
  assert.equal(Number(await line.getAttribute("aria-valuenow")), from);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("what is recorded plays on where the tracks change", async () => {
  await service.create("hall");
  await (await service.put("hall", { at: BEGIN, seconds: 4 })).stored;
  await (await service.put("hall", { at: BEGIN + 6, seconds: 6, size: "640x360", sound: false })).stored;
  // That there is nothing behind it is what the service says, and the browser writes it down.
  const expected = (text) => text.includes("404 (Not Found)") && text.includes("getHLSStreamingSessionURL");
  const { page, wrong } = await signedIn(`#/hall/${new Date((BEGIN + 1) * 1_000).toISOString()}`, { expected });
  await plays(page, 1);
  assert.equal(await page.locator("video").evaluate((video) => video.videoWidth), 320);
  await page.waitForFunction(() => document.querySelector("video").videoWidth === 640);
  await plays(page, 1);
  const at = (await instant(page)) - BEGIN;
  assert.ok(at > 6 && at < 12, `plays at ${at}`);
  await page.getByText("This is the end of what is recorded.").waitFor();
  assert.deepEqual(wrong, []);
  await page.close();
});

test("a clip of a range is a file that ffprobe reads", async () => {
  const { page, wrong } = await signedIn(`#/front-door/${new Date((BEGIN + 2) * 1_000).toISOString()}`);
  const text = (at) => new Date(at * 1_000).toLocaleString("sv-SE", { timeZone: "Europe/Berlin" }).replace(" ", "T");
  await page.getByLabel("From").fill(text(BEGIN + 2));
  await page.getByLabel("To").fill(text(BEGIN + 6));
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save clip" }).click(),
  ]);
  assert.match(download.suggestedFilename(), /^front-door_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.mp4$/);
  const file = await download.path();
  const { stdout } = await run("ffprobe", ["-v", "error", "-show_entries", "format=duration:stream=codec_name", "-of", "json", file]);
  const probed = JSON.parse(stdout);
  assert.deepEqual(probed.streams.map(({ codec_name }) => codec_name).sort(), ["aac", "h264"]);
  const seconds = Number(probed.format.duration);
  assert.ok(seconds > 3 && seconds < 7, `${seconds} s`);
  await page.getByText(/^Saved \d seconds/).waitFor();
  // A picture of the instant that is shown.
  await plays(page, 1);
  const [picture] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save picture" }).click(),
  ]);
  assert.match(picture.suggestedFilename(), /^front-door_.*\.jpg$/);
  assert.deepEqual([...(await readFile(await picture.path())).subarray(0, 3)], [0xff, 0xd8, 0xff]);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("a codec that the browser lacks gets a sentence", async (context) => {
  const { page, wrong } = await signedIn(`#/garage/${new Date(BEGIN * 1_000).toISOString()}`);
  if (await page.evaluate(() => MediaSource.isTypeSupported('video/mp4; codecs="hvc1.1.6.L60.90"'))) {
    return context.skip("this browser plays H.265");
  }
  await page.getByText("This browser does not play H.265").first().waitFor();
  // A picture of it, or why there is none.
  if (withoutPictures) await page.getByText("This service makes no pictures.").waitFor();
  else await page.waitForFunction(() => document.querySelector(".still").naturalWidth === 320);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("on a phone it is one column, with large targets", async () => {
  const { page, wrong } = await signedIn();
  await page.setViewportSize({ width: 360, height: 740 });
  for (const hash of ["#/", "#/front-door"]) {
    await page.evaluate((hash) => (location.hash = hash), hash);
    await page.locator("h1").waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(wide, 360, `${hash} is ${wide} wide`);
    const small = await page.locator("button:visible").evaluateAll((buttons) =>
      buttons.map((button) => button.getBoundingClientRect()).filter(({ height, width }) => height < 43.5 || width < 32).length,
    );
    assert.equal(small, 0);
  }
  await plays(page, 1);
  assert.deepEqual(wrong, []);
  await page.close();
});

test("the page says what a browser may do with it", async () => {
  const answer = await fetch(service.url);
  const policy = answer.headers.get("content-security-policy");
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"]) {
    assert.ok(policy.includes(part), part);
  }
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.equal(answer.headers.get("referrer-policy"), "no-referrer");
  const again = await fetch(service.url, { headers: { "if-none-match": answer.headers.get("etag") } });
  assert.equal(again.status, 304);
  assert.equal((await fetch(`${service.url}/page/none.js`)).status, 404);
});
