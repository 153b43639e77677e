//! The head of a media segment: styp, moof and the head of mdat.

use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::boxes::{mdat_head_len, put_box, put_brands, put_full_box, put_mdat_head};
use super::init::{DEPENDS, STANDS_ALONE};
use super::{Mp4Error, Mp4Track};
use crate::timing::{Place, Run, Sample};

/// styp with two compatible brands.
const STYP: usize = 8 + 8 + 8;
/// moof with mfhd; traf with tfhd, tfdt version 1 and trun without its rows.
const MOOF: usize = 8 + 16 + 8 + 16 + 20 + 20;
/// What trun says of a picture: duration, size, flags, offset; of a piece of sound: duration, size.
const PICTURE: (usize, u32) = (16, 0x0f00);
const SOUND: (usize, u32) = (8, 0x0300);
/// trun has the offset of the payload.
const DATA_OFFSET: u32 = 1;
/// tfhd: offsets count from the moof.
const BASE_IS_MOOF: u32 = 0x02_0000;

/// One track of one fragment as a media segment, of which this is all but the payload.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    track: &'a Mp4Track,
    run: Run,
}

impl Mp4Track {
    const fn row(&self) -> (usize, u32) {
        if matches!(self.codec().kind(), crate::TrackKind::Video) { PICTURE } else { SOUND }
    }

    /// How long the segment of so many samples is that have so many bytes together, head and payload.
    pub fn segment_len(&self, samples: usize, payload: u64) -> u64 {
        u64::try_from(self.head_len(samples, payload)).unwrap_or(u64::MAX).saturating_add(payload)
    }

    /// How long [`Segment::head`] is.
    fn head_len(&self, samples: usize, payload: u64) -> usize {
        let rows = samples.saturating_mul(self.row().0);
        rows.saturating_add(STYP + MOOF).saturating_add(mdat_head_len(payload))
    }
}

impl<'a> Segment<'a> {
    /// The samples of `track` in a fragment, in the order in which they are stored.
    ///
    /// # Errors
    /// When there are more samples, or they are further apart, than a segment can say.
    pub fn new(
        track: &'a Mp4Track,
        place: Place,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<Self, Mp4Error> {
        let run = Run::within(track.clock(), place, samples)?;
        let samples = run.samples().len();
        // The offset of the payload is signed.
        i32::try_from(track.head_len(samples, u64::MAX)).map_err(|_| Mp4Error::TooManySamples { samples })?;
        Ok(Self { track, run })
    }

    /// How long it is, head and payload.
    pub fn len(&self) -> u64 {
        self.track.segment_len(self.run.samples().len(), self.run.bytes())
    }

    /// There is no sample in it.
    pub fn is_empty(&self) -> bool {
        self.run.samples().is_empty()
    }

    /// How long its samples last.
    pub fn duration(&self) -> Duration {
        let units = self.run.end().saturating_sub(self.run.start().max(0)).max(0);
        self.track.clock().timescale().span(units.unsigned_abs())
    }

    /// The samples on the clock of the track.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// What stands before the payload; `sequence` is what MP4 numbers segments by, and tells nothing.
    pub fn head(&self, sequence: u32) -> Bytes {
        let (samples, payload) = (self.run.samples(), self.run.bytes());
        let len = self.track.head_len(samples.len(), payload);
        let mut out = Vec::with_capacity(len);
        put_brands(&mut out, b"styp", b"msdh", &[b"msdh", b"iso6"]);
        put_box(&mut out, b"moof", |out| {
            put_full_box(out, b"mfhd", 0, 0, |out| out.put_u32(sequence));
            put_box(out, b"traf", |out| {
                put_full_box(out, b"tfhd", 0, BASE_IS_MOOF, |out| out.put_u32(self.track.id()));
                put_full_box(out, b"tfdt", 1, 0, |out| out.put_u64(self.run.first_decoded().unsigned_abs()));
                let (row, fields) = self.track.row();
                put_full_box(out, b"trun", 1, fields | DATA_OFFSET, |out| {
                    // Both are checked when the segment is made.
                    out.put_u32(u32::try_from(samples.len()).unwrap_or(u32::MAX));
                    out.put_i32(i32::try_from(len.saturating_sub(STYP)).unwrap_or(i32::MAX));
                    if row == PICTURE.0 {
                        self.put_pictures(out);
                    } else {
                        self.put_sound(out);
                    }
                });
            });
        });
        put_mdat_head(&mut out, payload);
        out.into()
    }

    fn put_pictures(&self, out: &mut Vec<u8>) {
        for sample in self.run.samples() {
            let flags = if sample.key { STANDS_ALONE } else { DEPENDS };
            // One write of all fields: each by itself costs a check of its own.
            let row = [sample.duration, sample.size, flags, sample.offset.cast_unsigned()];
            out.extend_from_slice(row.map(u32::to_be_bytes).as_flattened());
        }
    }

    fn put_sound(&self, out: &mut Vec<u8>) {
        for sample in self.run.samples() {
            out.extend_from_slice([sample.duration, sample.size].map(u32::to_be_bytes).as_flattened());
        }
    }
}
