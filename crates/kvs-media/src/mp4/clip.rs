//! The head of a progressive file: ftyp, moov and the head of mdat, in front of the media so that playing can begin.

use bytes::{BufMut, Bytes};

use super::boxes::{
    mdat_head_len, put_box, put_brands, put_full_box, put_mdat_head, put_u32_or_u64, put_zeros, version_for,
};
use super::init::{check_ids, put_mdia, put_mvhd, put_tkhd};
use super::{Mp4Error, Mp4Track};
use crate::timing::{Bounds, Place, Run, Sample, Stride, Timed, TooFarApart};

/// A day of pictures and sound; their tables have less than 2^32 bytes.
const MOST_SAMPLES: usize = 1 << 24;

/// Gathers a progressive file: fragment after fragment, of which the payload goes into mdat as it is stored.
///
/// The samples of all tracks lie in mdat in the order in which they are given, with nothing between them. A frame lasts
/// until the next of its track, also into the next fragment and over a gap; frames that overlap are shown when they say.
///
/// A track that begins later than another has an edit that says so. One that reorders is decoded from zero on and shown
/// from an edit on, as everybody writes it: the lead is what the clip needs. Where the first fragment holds pictures
/// that are shown before its key frame, and refer to what is not there, the edit begins with that key frame.
///
/// It keeps about 40 bytes a sample.
#[derive(Debug)]
pub struct Clip<'a> {
    tracks: Vec<Tables<'a>>,
    /// The samples of the fragment that is added, and one track of it; kept for their memory.
    stored: Vec<(usize, Sample)>,
    run: Run,
    samples: usize,
    payload: u64,
    /// The track whose chunk is the last in mdat.
    last: Option<usize>,
}

/// The head of a progressive file, and how long the whole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipHead {
    /// What stands before the payload.
    pub head: Bytes,
    /// The payload, as it was given sample after sample.
    pub payload: u64,
}

impl ClipHead {
    /// How long the file is.
    pub fn len(&self) -> u64 {
        u64::try_from(self.head.len()).unwrap_or(u64::MAX).saturating_add(self.payload)
    }

    /// A file has a head.
    pub const fn is_empty(&self) -> bool {
        false
    }
}

impl<'a> Clip<'a> {
    /// A file of these tracks, which samples name by their place in the list.
    ///
    /// # Errors
    /// When two tracks have the same number.
    pub fn new(tracks: &[&'a Mp4Track]) -> Result<Self, Mp4Error> {
        check_ids(tracks)?;
        Ok(Self {
            tracks: tracks.iter().map(|track| Tables::new(track)).collect(),
            stored: Vec::new(),
            run: Run::default(),
            samples: 0,
            payload: 0,
            last: None,
        })
    }

    /// Adds a fragment: its samples in the order in which they are stored, each with its track's place in the list.
    ///
    /// # Errors
    /// When there are too many samples, or they are too far apart; then the clip cannot be gone on with.
    pub fn push(
        &mut self,
        place: Place,
        samples: impl IntoIterator<Item = (usize, Sample)>,
    ) -> Result<(), Mp4Error> {
        self.stored.clear();
        self.stored.extend(samples.into_iter().take(MOST_SAMPLES.saturating_add(1)));
        let count = self.tracks.len();
        if let Some(&(index, _)) = self.stored.iter().find(|(index, _)| *index >= count) {
            return Err(Mp4Error::NoSuchTrack { index, count });
        }
        self.samples = self.samples.saturating_add(self.stored.len());
        if self.samples > MOST_SAMPLES {
            return Err(Mp4Error::TooManySamples { samples: self.samples });
        }
        for (index, tables) in self.tracks.iter_mut().enumerate() {
            let of_track = |(of, sample): &(usize, Sample)| (*of == index).then_some(*sample);
            let samples = self.stored.iter().filter_map(of_track);
            let clock = tables.track.clock();
            self.run.show(clock, place, &mut tables.stride, samples);
            let bounds = Bounds { lead: 0, floor: tables.floor(), spread: 0, end: self.run.end() };
            self.run.decode(clock, bounds)?;
            tables.append(&self.run)?;
        }
        for (index, sample) in &self.stored {
            if let Some(tables) = self.tracks.get_mut(*index) {
                tables.chunks.put(self.payload, self.last == Some(*index));
            }
            self.last = Some(*index);
            self.payload = self.payload.saturating_add(u64::from(sample.size));
        }
        Ok(())
    }

    /// The bytes of all samples.
    pub const fn payload(&self) -> u64 {
        self.payload
    }

    /// The head.
    ///
    /// # Errors
    /// When the last frame of a track lasts too long.
    pub fn finish(mut self) -> Result<ClipHead, Mp4Error> {
        for tables in &mut self.tracks {
            tables.finish()?;
        }
        let timescale = self.tracks.first().map_or(1_000, |tables| tables.track.timescale());
        let begins = |tables: &Tables<'_>| Some(rescale(tables.begin?, tables.track.timescale(), timescale));
        let origin = self.tracks.iter().filter_map(begins).min().unwrap_or_default();
        let edits: Vec<Edit> = self
            .tracks
            .iter()
            .map(|tables| {
                let delay = begins(tables).unwrap_or(origin).saturating_sub(origin).unsigned_abs();
                let hidden =
                    tables.begin.zip(tables.first).map_or(0, |(begin, first)| begin.saturating_sub(first));
                let hidden = u64::try_from(hidden).unwrap_or_default();
                let shown = i64::try_from(tables.total.saturating_sub(hidden)).unwrap_or(i64::MAX);
                let duration = rescale(shown, tables.track.timescale(), timescale).unsigned_abs();
                Edit { delay, skipped: hidden.saturating_add(tables.lead().into()), duration }
            })
            .collect();
        let tables = self.tracks.iter().map(Tables::most_bytes).fold(1 << 10, usize::saturating_add);
        let most = u64::try_from(tables).unwrap_or(u64::MAX).saturating_add(self.payload);
        let wide = u32::try_from(most).is_err();
        let mut out = Vec::with_capacity(tables);
        put_brands(&mut out, b"ftyp", b"isom", &[b"isom", b"iso2", b"mp41", b"mp42"]);
        let mut places = Vec::with_capacity(self.tracks.len());
        put_box(&mut out, b"moov", |out| {
            let duration = edits.iter().map(Edit::end).max().unwrap_or_default();
            let listed: Vec<&Mp4Track> = self.tracks.iter().map(|tables| tables.track).collect();
            put_mvhd(out, timescale, duration, &listed);
            for (tables, edit) in self.tracks.iter().zip(&edits) {
                put_box(out, b"trak", |out| {
                    put_tkhd(out, tables.track, edit.end());
                    edit.put(out);
                    put_mdia(out, tables.track, tables.total, |out| {
                        places.push(tables.put(out, wide));
                    });
                });
            }
        });
        let base = out.len().saturating_add(mdat_head_len(self.payload));
        let base = u64::try_from(base).unwrap_or(u64::MAX);
        for (tables, place) in self.tracks.iter().zip(places) {
            tables.chunks.patch(out.get_mut(place..).unwrap_or_default(), wide, base);
        }
        put_mdat_head(&mut out, self.payload);
        Ok(ClipHead { head: out.into(), payload: self.payload })
    }
}

/// A time on another clock, to the nearest unit.
fn rescale(units: i64, from: u32, to: u32) -> i64 {
    if from == to {
        return units;
    }
    let (from, scaled) = (i128::from(from.max(1)), i128::from(units) * i128::from(to));
    let rounded = scaled.saturating_add(from / 2).div_euclid(from);
    i64::try_from(rounded).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
}

/// When a track is shown within the file.
#[derive(Clone, Copy, Debug)]
struct Edit {
    /// How long nothing of it is shown, on the clock of mvhd.
    delay: u64,
    /// The presentation time with which it begins, on its own clock.
    skipped: u64,
    /// How long it is shown, on the clock of mvhd.
    duration: u64,
}

impl Edit {
    fn end(&self) -> u64 {
        self.delay.saturating_add(self.duration)
    }

    /// edts, where there is something to say.
    fn put(&self, out: &mut Vec<u8>) {
        if self.delay == 0 && self.skipped == 0 {
            return;
        }
        let version = version_for(self.end().max(self.skipped.saturating_mul(2)));
        put_box(out, b"edts", |out| {
            put_full_box(out, b"elst", version, 0, |out| {
                out.put_u32(1 + u32::from(self.delay > 0));
                let mut entry = |duration, media_time: u64| {
                    put_u32_or_u64(out, version, duration);
                    // That nothing is shown is -1, of as many bits as there are.
                    let media_time = if version == 0 { media_time & 0xffff_ffff } else { media_time };
                    put_u32_or_u64(out, version, media_time);
                    out.put_u32(0x0001_0000);
                };
                if self.delay > 0 {
                    entry(self.delay, u64::MAX);
                }
                entry(self.duration, self.skipped);
            });
        });
    }
}

/// The tables of a track as they grow.
#[derive(Debug)]
struct Tables<'a> {
    track: &'a Mp4Track,
    stride: Stride,
    /// When its first sample is decoded.
    first: Option<i64>,
    /// From when on it is shown.
    begin: Option<i64>,
    /// The last sample, of which it is not known yet how long it lasts.
    open: Option<Timed>,
    /// How long its samples last together.
    total: u64,
    durations: Repeats<u32>,
    /// How much later samples are shown than decoded, before there is a lead.
    offsets: Repeats<i32>,
    least: i32,
    sizes: Vec<u32>,
    /// The numbers, from 1 on, of the samples with which decoding can begin.
    keys: Vec<u32>,
    chunks: Chunks,
}

impl<'a> Tables<'a> {
    fn new(track: &'a Mp4Track) -> Self {
        Self {
            track,
            stride: Stride::default(),
            first: None,
            begin: None,
            open: None,
            total: 0,
            durations: Repeats::default(),
            offsets: Repeats::default(),
            least: 0,
            sizes: Vec::new(),
            keys: Vec::new(),
            chunks: Chunks::default(),
        }
    }

    /// Before this, nothing more is decoded.
    fn floor(&self) -> i64 {
        self.open.map_or(0, |sample| sample.decode)
    }

    fn append(&mut self, run: &Run) -> Result<(), TooFarApart> {
        for sample in run.samples() {
            if let Some(before) = self.open.replace(*sample) {
                self.lasts(sample.decode.saturating_sub(before.decode))?;
            }
            if self.first.is_none() {
                self.first = Some(sample.decode);
                // What is shown before a key frame that comes first refers to what is not there.
                self.begin = Some(if sample.key { sample.shown().max(sample.decode) } else { sample.decode });
            }
            self.sizes.push(sample.size);
            if self.track.is_video() {
                self.least = self.least.min(sample.offset);
                self.offsets.put(sample.offset);
                if sample.key {
                    // There are fewer than 2^32.
                    self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
                }
            }
        }
        Ok(())
    }

    fn lasts(&mut self, units: i64) -> Result<(), TooFarApart> {
        let timescale = self.track.timescale();
        let apart = |_| TooFarApart { units: units.unsigned_abs(), timescale };
        let duration = u32::try_from(units).map_err(apart)?;
        self.durations.put(duration);
        self.total = self.total.saturating_add(u64::from(duration));
        Ok(())
    }

    /// How much earlier all samples must be decoded, so that none is shown before.
    fn lead(&self) -> u32 {
        self.least.unsigned_abs()
    }

    fn finish(&mut self) -> Result<(), TooFarApart> {
        self.open.take().map_or(Ok(()), |last| self.lasts(i64::from(last.duration)))
    }

    /// No track takes more in moov.
    fn most_bytes(&self) -> usize {
        let rows = self
            .durations
            .0
            .len()
            .saturating_add(self.offsets.0.len())
            .saturating_add(self.chunks.starts.len());
        let rows = rows.saturating_mul(8).saturating_add(self.chunks.lengths.0.len().saturating_mul(12));
        let words = self.sizes.len().saturating_add(self.keys.len()).saturating_mul(4);
        rows.saturating_add(words).saturating_add(self.track.entry().len()).saturating_add(1 << 10)
    }

    /// What follows stsd; returns where the places of chunks begin, which are not known yet.
    fn put(&self, out: &mut Vec<u8>, wide: bool) -> usize {
        put_full_box(out, b"stts", 0, 0, |out| self.durations.put_rows(out, u32::to_be_bytes));
        if self.offsets.0.iter().any(|(_, offset)| *offset != 0) {
            let lead = i64::from(self.lead());
            // The least is 0, and the greatest less than 2^32.
            let shifted = |offset| u32::try_from(i64::from(offset).saturating_add(lead)).unwrap_or(u32::MAX);
            put_full_box(out, b"ctts", 0, 0, |out| self.offsets.put_rows(out, |o| shifted(o).to_be_bytes()));
        }
        if self.track.is_video() && self.keys.len() < self.sizes.len() {
            put_full_box(out, b"stss", 0, 0, |out| put_words(out, &self.keys));
        }
        put_full_box(out, b"stsc", 0, 0, |out| self.chunks.put_lengths(out));
        put_full_box(out, b"stsz", 0, 0, |out| {
            put_zeros(out, 4);
            put_words(out, &self.sizes);
        });
        let mut place = 0;
        put_full_box(out, if wide { b"co64" } else { b"stco" }, 0, 0, |out| {
            let count = self.chunks.starts.len();
            out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
            place = out.len();
            put_zeros(out, count.saturating_mul(if wide { 8 } else { 4 }));
        });
        place
    }
}

fn put_words(out: &mut Vec<u8>, words: &[u32]) {
    // There are fewer than 2^32.
    out.put_u32(u32::try_from(words.len()).unwrap_or(u32::MAX));
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

/// Values with how often each is repeated.
#[derive(Debug, Default)]
struct Repeats<T>(Vec<(u32, T)>);

impl<T: Copy + PartialEq> Repeats<T> {
    fn put(&mut self, value: T) {
        match self.0.last_mut() {
            Some((count, last)) if *last == value => *count = count.saturating_add(1),
            _ => self.0.push((1, value)),
        }
    }

    fn put_rows(&self, out: &mut Vec<u8>, bytes: impl Fn(T) -> [u8; 4]) {
        out.put_u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for (count, value) in &self.0 {
            out.extend_from_slice([count.to_be_bytes(), bytes(*value)].as_flattened());
        }
    }
}

/// Samples of a track that lie in mdat without another's between them.
#[derive(Debug, Default)]
struct Chunks {
    /// Where each begins within the payload.
    starts: Vec<u64>,
    /// The samples of each but the last.
    lengths: Repeats<u32>,
    /// The samples of the last.
    open: u32,
}

impl Chunks {
    fn put(&mut self, at: u64, follows: bool) {
        if !follows {
            if self.open > 0 {
                self.lengths.put(self.open);
            }
            self.starts.push(at);
            self.open = 0;
        }
        self.open = self.open.saturating_add(1);
    }

    /// stsc: from which chunk on they have how many samples of the one description.
    fn put_lengths(&self, out: &mut Vec<u8>) {
        let last = (self.open > 0).then_some((1, self.open));
        // The last chunk may be as long as those before it.
        let last = last.filter(|(_, open)| self.lengths.0.last().is_none_or(|(_, length)| length != open));
        let rows = self.lengths.0.len().saturating_add(usize::from(last.is_some()));
        out.put_u32(u32::try_from(rows).unwrap_or(u32::MAX));
        let mut chunk = 1_u32;
        for (count, length) in self.lengths.0.iter().copied().chain(last) {
            out.extend_from_slice([chunk, length, 1].map(u32::to_be_bytes).as_flattened());
            chunk = chunk.saturating_add(count);
        }
    }

    /// Writes where the chunks are, once it is known where the payload begins.
    fn patch(&self, table: &mut [u8], wide: bool, base: u64) {
        let places = self.starts.iter().map(|start| start.saturating_add(base));
        if wide {
            for (field, place) in table.as_chunks_mut().0.iter_mut().zip(places) {
                *field = place.to_be_bytes();
            }
        } else {
            for (field, place) in table.as_chunks_mut().0.iter_mut().zip(places) {
                *field = u32::try_from(place).unwrap_or(u32::MAX).to_be_bytes();
            }
        }
    }
}
