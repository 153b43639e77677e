//! The tables that name what is in a stream: PAT and PMT (ISO 13818-1 2.4.4).

use bytes::BufMut;

use super::packet::ROOM;

const PAT: u16 = 0;
const PMT: u16 = 0x1000;
const PROGRAM: u16 = 1;

/// A packet each of PAT and PMT: the streams with their `stream_type`, and which of them carries the clock.
pub(super) fn tables(streams: &[(u16, u8)], clock: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * (ROOM + 4));
    put_packet(
        &mut out,
        PAT,
        &section(0, |out| {
            out.put_u16(PROGRAM);
            out.put_u16(0xe000 | PMT);
        }),
    );
    put_packet(
        &mut out,
        PMT,
        &section(2, |out| {
            out.put_u16(0xe000 | clock);
            // No descriptors of the program, and none of a stream.
            out.put_u16(0xf000);
            for (pid, stream_type) in streams {
                out.put_u8(*stream_type);
                out.put_u16(0xe000 | pid);
                out.put_u16(0xf000);
            }
        }),
    );
    out
}

/// A section of version 0, in force, alone; with its checksum.
fn section(table: u8, content: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    content(&mut body);
    // What follows the length: five bytes of head, the content, four of checksum.
    let len = u16::try_from(body.len().saturating_add(9)).unwrap_or_default();
    let mut out = Vec::with_capacity(body.len().saturating_add(12));
    out.put_u8(table);
    out.put_u16(0xb000 | len & 0x0fff);
    out.put_u16(PROGRAM);
    out.put_slice(&[0xc1, 0, 0]);
    out.put_slice(&body);
    let checksum = crc32(&out);
    out.put_u32(checksum);
    out
}

/// A section that fits into one packet.
fn put_packet(out: &mut Vec<u8>, pid: u16, section: &[u8]) {
    let [high, low] = pid.to_be_bytes();
    // It begins here, there is no adaptation field, the counter is 0, and so is the pointer to the section.
    out.put_slice(&[0x47, 0x40 | high, low, 0x10, 0]);
    out.put_slice(section);
    out.put_bytes(0xff, ROOM.saturating_sub(1).saturating_sub(section.len()));
}

/// The checksum of annex A: of polynomial 04C11DB7, highest bit first, from all ones, not inverted.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7);
        // A section with its checksum leaves nothing.
        assert_eq!(crc32(&section(0, |out| out.put_u32(0x0001_f000))), 0);
    }
}
