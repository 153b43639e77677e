// Playlists of HLS (RFC 8216), as far as the service writes them. Pure.

/** The attributes of a tag: `A=1,B="x,y"`. */
function attributes(text) {
  const found = {};
  for (const [, name, quoted, plain] of text.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,]*))/g)) {
    found[name] = quoted ?? plain;
  }
  return found;
}

const lines = (text) => text.split("\n").map((line) => line.trim());

/** A master playlist: its tracks, the pictures first, each with its codec and the address of its playlist. */
export function master(text, base) {
  const tracks = [];
  let sound;
  let next;
  for (const line of lines(text)) {
    const [tag, rest] = [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1)];
    if (tag === "#EXT-X-MEDIA") sound = attributes(rest);
    else if (tag === "#EXT-X-STREAM-INF") next = attributes(rest);
    else if (line && !line.startsWith("#") && next && !tracks.length) {
      const codecs = (next.CODECS ?? "").split(",").map((codec) => codec.trim());
      tracks.push({ codec: codecs[0], url: new URL(line, base).href, size: next.RESOLUTION });
      if (sound?.URI && codecs[1]) tracks.push({ codec: codecs[1], url: new URL(sound.URI, base).href });
    }
  }
  return tracks;
}

/** A media playlist. Times are in milliseconds of UTC, durations in milliseconds. */
export function media(text, base) {
  const list = { target: 1_000, ended: false, segments: [] };
  let [sequence, turn, map, start, duration] = [0, 0, null, null, 0];
  for (const line of lines(text)) {
    const [tag, rest] = [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1)];
    if (tag === "#EXT-X-TARGETDURATION") list.target = Number(rest) * 1_000;
    else if (tag === "#EXT-X-MEDIA-SEQUENCE") sequence = Number(rest);
    else if (tag === "#EXT-X-DISCONTINUITY-SEQUENCE") turn = Number(rest);
    else if (tag === "#EXT-X-DISCONTINUITY") turn += 1;
    else if (tag === "#EXT-X-MAP") map = new URL(attributes(rest).URI, base).href;
    else if (tag === "#EXT-X-PROGRAM-DATE-TIME") start = Date.parse(rest);
    else if (tag === "#EXTINF") duration = Number.parseFloat(rest) * 1_000;
    else if (tag === "#EXT-X-ENDLIST") list.ended = true;
    else if (line && !line.startsWith("#")) {
      list.segments.push({ sequence, turn, map, start, duration, url: new URL(line, base).href });
      sequence += 1;
      start = start === null ? null : start + duration;
    }
  }
  return list;
}
