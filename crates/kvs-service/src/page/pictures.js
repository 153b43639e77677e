// Pictures of instants, by GetImages: thumbnails, stills, and a view where the browser lacks a codec.

import { pause } from "./service.js";
import { holding } from "./recorded.js";

// GetImages looks at fragments that begin in its range, and at instants at least so far apart.
const LEAST = 200;

// Where a service makes no pictures it is asked again after this.
const PATIENCE = 60_000;

let missing = -PATIENCE;

/** Whether the service makes no pictures at all. */
export const areMissing = () => performance.now() - missing < PATIENCE;

function blobOf(content, type) {
  const text = atob(content);
  return new Blob([Uint8Array.from(text, (letter) => letter.charCodeAt(0))], { type });
}

async function images(service, stream, from, step, { signal, width, quality = 80 }) {
  if (areMissing()) return [];
  try {
    const answer = await service.call(
      "GetImages",
      {
        StreamName: stream,
        ImageSelectorType: "PRODUCER_TIMESTAMP",
        StartTimestamp: from / 1_000,
        EndTimestamp: (from + step) / 1_000,
        SamplingInterval: step,
        Format: "JPEG",
        FormatConfig: { JPEGQuality: String(quality) },
        MaxResults: 2,
        WidthPixels: width,
      },
      { signal, tries: 2 },
    );
    return (answer.Images ?? []).filter(({ ImageContent }) => ImageContent);
  } catch (error) {
    if (/UnknownOperation|ServiceUnavailable/.test(error.code)) missing = performance.now();
    throw error;
  }
}

/** The first picture of a fragment. None where there is none. */
export async function first(service, stream, fragment, how = {}) {
  // A fragment may begin with sound, and have its first picture a little later.
  const [image] = await images(service, stream, fragment.start, LEAST, how);
  return image ? blobOf(image.ImageContent, "image/jpeg") : null;
}

/** The picture of an instant: the last frame at or before it. */
export async function at(service, stream, instant, how = {}) {
  const fragment = await holding(service, stream, instant, how.signal);
  if (!fragment) return null;
  const into = Math.round(instant - fragment.start);
  if (into < LEAST) return first(service, stream, fragment, how);
  const found = await images(service, stream, fragment.start, into, how);
  return found.length ? blobOf(found.at(-1).ImageContent, "image/jpeg") : null;
}

/** Shows a picture in an `img`, and lets go of the one before. */
export function show(img, blob) {
  const before = img.src;
  img.src = URL.createObjectURL(blob);
  img.hidden = false;
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
}

/** Shows pictures of an instant that moves: `instant()` says which one now. Ends with the signal. */
export async function follow(service, stream, img, instant, signal, shown) {
  let last = null;
  while (!signal.aborted) {
    try {
      const fragment = await holding(service, stream, instant(), signal);
      if (!fragment) shown(null);
      else if (fragment.number !== last) {
        last = fragment.number;
        const blob = await first(service, stream, fragment, { signal });
        if (blob) show(img, blob);
        shown(blob ? fragment.start : null);
      }
    } catch {
      if (signal.aborted) return;
      shown(null);
    }
    await pause(2_000, signal).catch(() => {});
  }
}
