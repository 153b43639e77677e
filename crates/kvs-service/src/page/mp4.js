// What a player has to know of the MP4 files that it hands on (ISO/IEC 14496-12). Pure.

/** The boxes between two places: `[kind, where its content begins, where it ends]`. */
function* boxes(view, from, to) {
  for (let at = from; at + 8 <= to; ) {
    let [size, head] = [view.getUint32(at), 8];
    if (size === 1 && at + 16 <= to) [size, head] = [Number(view.getBigUint64(at + 8)), 16];
    if (size === 0) size = to - at;
    if (size < head || at + size > to) return;
    const kind = String.fromCharCode(...[4, 5, 6, 7].map((n) => view.getUint8(at + n)));
    yield [kind, at + head, at + size];
    at += size;
  }
}

/** The content of the first box at a path such as `moov/trak/mdia`. */
function find(view, path, from = 0, to = view.byteLength) {
  const [first, ...rest] = path.split("/");
  for (const [kind, begin, end] of boxes(view, from, to)) {
    if (kind === first) return rest.length ? find(view, rest.join("/"), begin, end) : [begin, end];
  }
  return null;
}

const view = (bytes) => new DataView(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
const pair = (byte) => byte.toString(16).padStart(2, "0");

/** An init segment: units a second of its times, and its codec where it says so in a form that is simple to read. */
export function init(bytes) {
  const data = view(bytes);
  const header = find(data, "moov/trak/mdia/mdhd");
  if (!header) return null;
  const timescale = data.getUint32(header[0] + (data.getUint8(header[0]) === 1 ? 20 : 12));
  const found = { timescale, codec: null };
  const table = find(data, "moov/trak/mdia/minf/stbl/stsd");
  for (const [kind, begin, end] of table ? boxes(data, table[0] + 8, table[1]) : []) {
    // A visual sample entry is 78 bytes, and boxes behind them.
    const setup = kind === "avc1" || kind === "avc3" ? find(data, "avcC", begin + 78, end) : null;
    if (setup) found.codec = `${kind}.${[1, 2, 3].map((n) => pair(data.getUint8(setup[0] + n))).join("")}`;
  }
  return found;
}

/** When the first frame of a media segment is shown, in the units of its track. */
export function firstShown(bytes) {
  const data = view(bytes);
  const [time] = find(data, "moof/traf/tfdt") ?? [];
  if (time === undefined) return null;
  const decoded = data.getUint8(time) === 1 ? Number(data.getBigUint64(time + 4)) : data.getUint32(time + 4);
  const [run] = find(data, "moof/traf/trun") ?? [];
  if (run === undefined || data.getUint32(run + 4) === 0) return decoded;
  const flags = data.getUint32(run) & 0xff_ffff;
  let row = run + 8;
  for (const [flag, size] of [[1, 4], [4, 4]]) if (flags & flag) row += size;
  for (const flag of [0x100, 0x200, 0x400]) if (flags & flag) row += 4;
  return flags & 0x800 ? decoded + data.getInt32(row) : decoded;
}

/** How long a file with its tables in front is, in milliseconds. */
export function duration(bytes) {
  const data = view(bytes);
  const [at] = find(data, "moov/mvhd") ?? [];
  if (at === undefined) return null;
  if (data.getUint8(at) === 1) return (Number(data.getBigUint64(at + 24)) * 1_000) / data.getUint32(at + 20);
  return (data.getUint32(at + 16) * 1_000) / data.getUint32(at + 12);
}
