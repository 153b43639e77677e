//! Packets of 188 bytes, and what is divided among them (ISO 13818-1 2.4.3).

use bytes::BufMut;

/// The length of a packet without its header.
pub(super) const ROOM: usize = 184;
const SYNC: u8 = 0x47;
/// Counters and what is aligned to them go up to this.
const COUNTERS: usize = 16;

/// A stream of packets with one identifier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pid: u16,
    counter: u8,
}

/// What is said before the first byte of a PES packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opening {
    /// The decoder's clock: 33 bits at 90 kHz.
    pub(super) pcr: Option<u64>,
    /// Decoding can begin here.
    pub(super) random_access: bool,
    /// It is the last of its channel: the counter is to end at 15.
    pub(super) last: bool,
}

impl Opening {
    /// How long its adaptation field is.
    const fn len(self) -> usize {
        match (self.pcr.is_some(), self.random_access) {
            (true, _) => 8,
            (false, true) => 2,
            (false, false) => 0,
        }
    }
}

impl Channel {
    pub(super) const fn new(pid: u16) -> Self {
        Self { pid, counter: 0 }
    }

    /// Begins a PES packet of so many bytes, which then are [`Pes::put`].
    pub(super) fn begin<'a>(&'a mut self, len: usize, opening: Opening, out: &'a mut Vec<u8>) -> Pes<'a> {
        let first = ROOM.saturating_sub(opening.len());
        let mut packets = len.saturating_sub(first).div_ceil(ROOM).saturating_add(1);
        if opening.last {
            let counted = packets.saturating_add(usize::from(self.counter));
            // As many as there are bytes for: each packet holds one.
            packets =
                packets.saturating_add(counted.next_multiple_of(COUNTERS).saturating_sub(counted)).min(len);
        }
        out.reserve(packets.saturating_mul(ROOM + 4));
        Pes { channel: self, out, left: len, packets, room: 0, opening: Some(opening) }
    }
}

/// A PES packet on its way.
pub(super) struct Pes<'a> {
    channel: &'a mut Channel,
    out: &'a mut Vec<u8>,
    /// Bytes for which no packet is begun.
    left: usize,
    /// Packets that are not begun.
    packets: usize,
    /// Bytes that the packet still takes.
    room: usize,
    /// What the first packet says.
    opening: Option<Opening>,
}

impl Pes<'_> {
    /// The next bytes; all together are as many as were announced.
    pub(super) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room == 0 {
                self.begin_packet();
                if self.room == 0 {
                    return;
                }
            }
            let (now, rest) = bytes.split_at_checked(self.room).unwrap_or((bytes, &[]));
            self.out.put_slice(now);
            self.room = self.room.saturating_sub(now.len());
            bytes = rest;
        }
    }

    fn begin_packet(&mut self) {
        let starts = self.opening.is_some();
        let opening = self.opening.take().unwrap_or_default();
        self.packets = self.packets.saturating_sub(1);
        let room = ROOM.saturating_sub(opening.len());
        // A byte at least for each packet that follows.
        let payload = self.left.saturating_sub(self.packets).min(room);
        self.left = self.left.saturating_sub(payload);
        self.room = payload;
        let adaptation = ROOM.saturating_sub(payload);
        let [high, low] = (self.channel.pid & 0x1fff).to_be_bytes();
        let control = if adaptation > 0 { 0x30 } else { 0x10 };
        let counter = self.channel.counter;
        self.channel.counter = counter.wrapping_add(1) & 0x0f;
        self.out.put_slice(&[SYNC, u8::from(starts) << 6 | high, low, control | counter]);
        put_adaptation(self.out, adaptation, opening);
    }
}

/// An adaptation field that takes so many bytes (2.4.3.4), stuffed.
fn put_adaptation(out: &mut Vec<u8>, len: usize, opening: Opening) {
    let Some(rest) = len.checked_sub(1) else { return };
    out.put_u8(u8::try_from(rest).unwrap_or_default());
    let Some(rest) = rest.checked_sub(1) else { return };
    out.put_u8(u8::from(opening.random_access) << 6 | u8::from(opening.pcr.is_some()) << 4);
    let mut stuffing = rest;
    if let Some(pcr) = opening.pcr {
        // 33 bits at 90 kHz, six reserved ones, nine at 27 MHz that are 0.
        let field = pcr << 15 | 0x7e00;
        out.put_slice(field.to_be_bytes().last_chunk::<6>().unwrap_or(&[0; 6]));
        stuffing = rest.saturating_sub(6);
    }
    out.put_bytes(0xff, stuffing);
}
