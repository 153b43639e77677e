//! Boxes within boxes: bytes that know their length when they are complete.

use bytes::BufMut;

/// A type of box, or a brand.
pub(super) type FourCc = [u8; 4];

/// `matrix` of mvhd and tkhd that changes nothing.
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// A box with what `content` writes. No box here comes near 2^32 bytes: what could is counted before it is written.
pub(super) fn put_box(out: &mut Vec<u8>, kind: &FourCc, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(kind);
    content(out);
    let len = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *field = len.to_be_bytes();
    }
}

/// A box with version and flags.
pub(super) fn put_full_box(
    out: &mut Vec<u8>,
    kind: &FourCc,
    version: u8,
    flags: u32,
    content: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags & 0x00ff_ffff);
        content(out);
    });
}

/// `ftyp` and `styp`.
pub(super) fn put_brands(out: &mut Vec<u8>, kind: &FourCc, major: &FourCc, compatible: &[&FourCc]) {
    put_box(out, kind, |out| {
        out.put_slice(major);
        out.put_u32(0);
        for brand in compatible {
            out.put_slice(*brand);
        }
    });
}

pub(super) fn put_zeros(out: &mut Vec<u8>, count: usize) {
    out.put_bytes(0, count);
}

pub(super) fn put_matrix(out: &mut Vec<u8>) {
    for value in UNITY {
        out.put_u32(value);
    }
}

/// A field that is longer in version 1 of its box.
pub(super) fn put_u32_or_u64(out: &mut Vec<u8>, version: u8, value: u64) {
    match u32::try_from(value) {
        Ok(value) if version == 0 => out.put_u32(value),
        _ => out.put_u64(value),
    }
}

/// The version of a box that must hold this value.
pub(super) fn version_for(value: u64) -> u8 {
    u8::from(u32::try_from(value).is_err())
}

/// The head of an mdat: 16 bytes when its length does not fit into 32 bits, else 8.
pub(super) fn put_mdat_head(out: &mut Vec<u8>, payload: u64) {
    match u32::try_from(payload.saturating_add(8)) {
        Ok(len) => {
            out.put_u32(len);
            out.put_slice(b"mdat");
        }
        Err(_) => {
            out.put_u32(1);
            out.put_slice(b"mdat");
            out.put_u64(payload.saturating_add(16));
        }
    }
}

/// How long [`put_mdat_head`] writes.
pub(super) fn mdat_head_len(payload: u64) -> usize {
    if u32::try_from(payload.saturating_add(8)).is_ok() { 8 } else { 16 }
}
