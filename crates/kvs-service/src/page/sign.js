// Signature Version 4 over the one form of request that this page makes: a POST of JSON.

import { hex, hmac, sha256 } from "./sha256.js";

// The service takes a signature for any Region.
const REGION = "us-west-2";
const SERVICE = "kinesisvideo";

/** The headers of a signed request. `keys` has `id`, `secret` and perhaps `token`; `now` is in milliseconds of UTC. */
export function sign(keys, host, path, body, now) {
  const time = new Date(now).toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const headers = { "content-type": "application/json", host, "x-amz-date": time };
  if (keys.token) headers["x-amz-security-token"] = keys.token;
  const names = Object.keys(headers).join(";");
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const request = ["POST", path, "", lines.join(""), names, hex(sha256(body))].join("\n");
  const scope = [day, REGION, SERVICE, "aws4_request"].join("/");
  const text = ["AWS4-HMAC-SHA256", time, scope, hex(sha256(request))].join("\n");
  let key = hmac(`AWS4${keys.secret}`, day);
  for (const part of [REGION, SERVICE, "aws4_request"]) key = hmac(key, part);
  const credential = `Credential=${keys.id}/${scope}, SignedHeaders=${names}, Signature=${hex(hmac(key, text))}`;
  headers.authorization = `AWS4-HMAC-SHA256 ${credential}`;
  // The browser sends this one itself.
  delete headers.host;
  return headers;
}
