// `kvs serve` as a child of the tests, and producers that send to it.

import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const BINARY = process.env.KVS_BINARY ?? path.join(ROOT, "target/debug/kvs");
const REGION = "us-west-2";
const SETTINGS = `
[limits]
control_calls = 1000
control_calls_per_stream = 1000
`;

const environment = () => {
  const kept = Object.entries(process.env).filter(([name]) => !/^(AWS|KVS)_/.test(name));
  return Object.fromEntries(kept);
};

/** What a child says on its standard error, kept for when it fails. */
function heard(child) {
  const said = [];
  child.stderr.on("data", (data) => said.push(data));
  return () => Buffer.concat(said).toString().slice(-2_000);
}

async function finished(child, what, said) {
  const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
  if (code !== 0) throw new Error(`${what} ended with ${code}: ${said()}`);
}

export class Service {
  #producers = new Set();

  static async start() {
    const service = new Service();
    service.folder = await mkdtemp(path.join(tmpdir(), "kvs-players-"));
    const config = path.join(service.folder, "kvs.toml");
    await writeFile(config, SETTINGS);
    const flags = ["serve", "--data", path.join(service.folder, "data"), "--listen", "127.0.0.1:0", "--config", config];
    const child = spawn(BINARY, flags, { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
    service.process = child;
    const said = heard(child);
    let text = "";
    for await (const line of createInterface({ input: child.stdout })) {
      text += `${line}\n`;
      if (line.includes("eval ")) break;
    }
    const word = (name) => text.match(new RegExp(`^ +${name} +(\\S+)$`, "m"))?.[1];
    service.url = word("URL");
    service.id = word("AWS_ACCESS_KEY_ID");
    service.secret = word("AWS_SECRET_ACCESS_KEY");
    service.page = word("page");
    service.said = text;
    if (!service.url || !service.secret) throw new Error(`kvs serve is not ready: ${text}${said()}`);
    return service;
  }

  /** A call with curl, signed by it. */
  async #curl(place, ...more) {
    const child = spawn("curl", [
      "-sS", "--fail-with-body", "-X", "POST", `${this.url}${place}`,
      "--aws-sigv4", `aws:amz:${REGION}:kinesisvideo`, "--user", `${this.id}:${this.secret}`, ...more,
    ], { stdio: ["pipe", "pipe", "pipe"] });
    return child;
  }

  async call(place, body) {
    const child = await this.#curl(place, "-H", "content-type: application/json", "-d", JSON.stringify(body));
    const said = heard(child);
    let text = "";
    child.stdout.on("data", (data) => (text += data));
    child.stdin.end();
    await finished(child, place, said);
    return JSON.parse(text || "{}");
  }

  create(stream, hours = 24) {
    return this.call("/createStream", { StreamName: stream, DataRetentionInHours: hours });
  }

  /**
   * Sends a test picture with a tone: `at` (seconds since 1970) is when it begins; a live one is sent as its time comes.
   * Gives when all of it is stored, and a way to stop it.
   */
  async put(stream, { at = Date.now() / 1_000, seconds, size = "320x180", live = false, codec = "libx264", sound = true }) {
    const encoder = {
      libx264: ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"],
      libx265: ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=30"],
    }[codec];
    const tone = sound ? ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"] : [];
    const ffmpeg = spawn("ffmpeg", [
      "-v", "error", ...(live ? ["-re"] : []), "-f", "lavfi", "-i", `testsrc2=size=${size}:rate=30`,
      ...(live && sound ? ["-re"] : []), ...tone, "-t", String(seconds), ...encoder, "-pix_fmt", "yuv420p", "-g", "30",
      ...(sound ? ["-c:a", "aac", "-b:a", "64k"] : []),
      "-f", "matroska", "-cluster_time_limit", "10000", "-cluster_size_limit", "10000000", "-flush_packets", "1", "-",
    ], { stdio: ["ignore", "pipe", "pipe"] });
    const curl = await this.#curl(
      "/putMedia", "-N", "-T", "-", "-H", `x-amzn-stream-name: ${stream}`,
      "-H", "x-amzn-fragment-timecode-type: RELATIVE", "-H", `x-amzn-producer-start-timestamp: ${at.toFixed(3)}`,
    );
    const [heardOfCurl, heardOfFfmpeg] = [heard(curl), heard(ffmpeg)];
    let acks = "";
    const heardAck = new EventEmitter();
    curl.stdout.on("data", (data) => {
      acks += data;
      heardAck.emit("ack");
    });
    curl.stdin.on("error", () => {});
    ffmpeg.stdout.pipe(curl.stdin);
    const producer = { ffmpeg, curl };
    this.#producers.add(producer);
    const stored = (async () => {
      await finished(curl, "putMedia", heardOfCurl);
      if (acks.includes('"ERROR"')) throw new Error(`putMedia: ${acks} ${heardOfFfmpeg()}`);
      if (!acks.includes('"PERSISTED"')) throw new Error(`nothing is stored: ${acks} ${heardOfFfmpeg()}`);
    })();
    stored.catch(() => {});
    const stop = async () => {
      ffmpeg.kill("SIGTERM");
      await stored.catch(() => {});
      this.#producers.delete(producer);
    };
    /** Waits until so many fragments are stored. */
    const has = async (count) => {
      while (acks.split('"PERSISTED"').length <= count) await Promise.race([once(heardAck, "ack"), stored]);
    };
    return { stored, stop, has };
  }

  async stop() {
    for (const { ffmpeg, curl } of this.#producers) {
      ffmpeg.kill("SIGKILL");
      curl.kill("SIGKILL");
    }
    if (this.process.exitCode === null) {
      this.process.kill("SIGKILL");
      await once(this.process, "exit");
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}
