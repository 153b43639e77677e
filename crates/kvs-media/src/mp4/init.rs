//! ftyp and moov: the init segment, and what a clip's moov shares with it.

use bytes::{BufMut, Bytes};

use super::boxes::{put_box, put_brands, put_full_box, put_matrix, put_u32_or_u64, put_zeros, version_for};
use super::{Mp4Error, Mp4Track};
use crate::TrackNumber;

/// The init segment of one track, or of several that share segments: ftyp and moov.
///
/// # Errors
/// When two tracks have the same number.
pub fn init(tracks: &[&Mp4Track]) -> Result<Bytes, Mp4Error> {
    check_ids(tracks)?;
    let entries: usize = tracks.iter().map(|track| track.entry().len()).sum();
    let mut out =
        Vec::with_capacity(entries.saturating_add(tracks.len().saturating_mul(512)).saturating_add(256));
    put_brands(&mut out, b"ftyp", b"iso6", &[b"iso6", b"mp41", b"dash"]);
    put_box(&mut out, b"moov", |out| {
        put_mvhd(out, 1_000, 0, tracks);
        for track in tracks {
            put_box(out, b"trak", |out| {
                put_tkhd(out, track, 0);
                put_mdia(out, track, 0, |out| {
                    put_full_box(out, b"stts", 0, 0, |out| out.put_u32(0));
                    put_full_box(out, b"stsc", 0, 0, |out| out.put_u32(0));
                    put_full_box(out, b"stsz", 0, 0, |out| out.put_u64(0));
                    put_full_box(out, b"stco", 0, 0, |out| out.put_u32(0));
                });
            });
        }
        put_box(out, b"mvex", |out| {
            for track in tracks {
                put_full_box(out, b"trex", 0, 0, |out| {
                    out.put_u32(track.id());
                    out.put_u32(1);
                    put_zeros(out, 8);
                    // What a sample is where no trun says it: every piece of sound can be decoded alone.
                    out.put_u32(if track.is_video() { DEPENDS } else { STANDS_ALONE });
                });
            }
        });
    });
    Ok(out.into())
}

/// Sample flags (8.8.3.1): depends on no other, and decoding can begin here.
pub(super) const STANDS_ALONE: u32 = 0x0200_0000;
/// Sample flags: depends on others, and decoding cannot begin here.
pub(super) const DEPENDS: u32 = 0x0101_0000;

pub(super) fn check_ids(tracks: &[&Mp4Track]) -> Result<(), Mp4Error> {
    for (at, track) in tracks.iter().enumerate() {
        if tracks.iter().take(at).any(|other| other.id() == track.id()) {
            return Err(Mp4Error::Twice(TrackNumber(u64::from(track.id()))));
        }
    }
    Ok(())
}

pub(super) fn put_mvhd(out: &mut Vec<u8>, timescale: u32, duration: u64, tracks: &[&Mp4Track]) {
    let version = version_for(duration);
    put_full_box(out, b"mvhd", version, 0, |out| {
        put_u32_or_u64(out, version, 0);
        put_u32_or_u64(out, version, 0);
        out.put_u32(timescale);
        put_u32_or_u64(out, version, duration);
        // Rate and volume 1.
        out.put_u32(0x0001_0000);
        out.put_u16(0x0100);
        put_zeros(out, 10);
        put_matrix(out);
        put_zeros(out, 24);
        let last = tracks.iter().map(|track| track.id()).max().unwrap_or_default();
        out.put_u32(last.saturating_add(1));
    });
}

/// `duration` is on the clock of mvhd.
pub(super) fn put_tkhd(out: &mut Vec<u8>, track: &Mp4Track, duration: u64) {
    let version = version_for(duration);
    // Enabled, in the movie.
    put_full_box(out, b"tkhd", version, 3, |out| {
        put_u32_or_u64(out, version, 0);
        put_u32_or_u64(out, version, 0);
        out.put_u32(track.id());
        put_zeros(out, 4);
        put_u32_or_u64(out, version, duration);
        put_zeros(out, 8);
        // Layer, group; the volume of sound.
        put_zeros(out, 4);
        out.put_u16(if track.is_video() { 0 } else { 0x0100 });
        put_zeros(out, 2);
        put_matrix(out);
        let (width, height) = track.shown();
        out.put_u32(width);
        out.put_u32(height);
    });
}

/// `duration` is on the track's clock; `tables` writes what follows stsd in stbl.
pub(super) fn put_mdia(
    out: &mut Vec<u8>,
    track: &Mp4Track,
    duration: u64,
    tables: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, b"mdia", |out| {
        let version = version_for(duration);
        put_full_box(out, b"mdhd", version, 0, |out| {
            put_u32_or_u64(out, version, 0);
            put_u32_or_u64(out, version, 0);
            out.put_u32(track.timescale());
            put_u32_or_u64(out, version, duration);
            out.put_u16(track.language());
            put_zeros(out, 2);
        });
        let (handler, name) = if track.is_video() { (b"vide", "Pictures") } else { (b"soun", "Sound") };
        put_full_box(out, b"hdlr", 0, 0, |out| {
            put_zeros(out, 4);
            out.put_slice(handler);
            put_zeros(out, 12);
            out.put_slice(name.as_bytes());
            out.put_u8(0);
        });
        put_box(out, b"minf", |out| {
            if track.is_video() {
                put_full_box(out, b"vmhd", 0, 1, |out| put_zeros(out, 8));
            } else {
                put_full_box(out, b"smhd", 0, 0, |out| put_zeros(out, 4));
            }
            put_box(out, b"dinf", |out| {
                put_full_box(out, b"dref", 0, 0, |out| {
                    out.put_u32(1);
                    // The media are in this file.
                    put_full_box(out, b"url ", 0, 1, |_| {});
                });
            });
            put_box(out, b"stbl", |out| {
                put_full_box(out, b"stsd", 0, 0, |out| {
                    out.put_u32(1);
                    out.put_slice(track.entry());
                });
                tables(out);
            });
        });
    });
}
