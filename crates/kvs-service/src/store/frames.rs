//! The frame index of a fragment: offset, size, time, flags and track of each frame, in about three bytes.
//!
//! A frame is a lead byte, what the lead byte says that it could not hold, and the size. The lead byte holds the
//! track (two bits), the key flag, how far the time is from the one that the track's last two frames predict
//! (four bits), and whether the offset is where the gap before the track's last frame predicts it.

use super::encoding::{Malformed, Reader, put_varint, put_zigzag};

/// Where a frame's bytes are in the payload of its fragment, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrameEntry {
    /// From the start of the payload.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Ticks after the fragment's own time; negative for frames that are shown before it.
    pub time: i32,
    /// The track's number.
    pub track: u64,
    /// Decoding can begin here.
    pub key: bool,
    /// May be left out.
    pub discardable: bool,
    /// Not to be shown.
    pub invisible: bool,
}

/// Tracks beyond these say their slot in a byte of its own; a stream has three (kvs-api 10.2).
const SLOTS_IN_LEAD: u8 = 3;
/// Tracks that are told apart at all.
const MOST_TRACKS: usize = 255;
const TIME_ELSEWHERE: u8 = 15;
const TIME_ZERO: i64 = 7;
const KEY: u8 = 0x04;
const MORE: u8 = 0x80;
const DISCARDABLE: u8 = 0x01;
const INVISIBLE: u8 = 0x02;
const GAP: u8 = 0x04;
const NEW_TRACK: u8 = 0x08;

#[derive(Clone, Copy, Debug, Default)]
struct TrackState {
    number: u64,
    time: i64,
    step: i64,
    /// The gap before the last frame without the size field of its block.
    gap: i64,
}

impl TrackState {
    fn predicted(&self) -> i64 {
        self.time.saturating_add(self.step)
    }

    fn see(&mut self, time: i64) {
        self.step = time.saturating_sub(self.time);
        self.time = time;
    }
}

/// What writer and reader both know of the frames so far.
#[derive(Clone, Debug, Default)]
struct State {
    tracks: Vec<TrackState>,
    end: u64,
}

/// Bytes of the size field of a SimpleBlock with a payload of this size (RFC 8794 section 4).
fn block_size_field(size: u32) -> i64 {
    match u64::from(size).saturating_add(4) {
        0..0x7f => 1,
        0x7f..0x3fff => 2,
        0x3fff..0x1f_ffff => 3,
        0x1f_ffff..0x0fff_ffff => 4,
        _ => 5,
    }
}

/// Why a frame cannot enter an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameRefused {
    /// Frames come in the order of their bytes.
    #[error("a frame at {offset}, before the end of the one before at {end}")]
    Overlaps {
        /// Where it begins.
        offset: u64,
        /// Where the one before ended.
        end: u64,
    },
    /// More tracks than are told apart.
    #[error("more than {MOST_TRACKS} tracks")]
    Tracks,
}

/// Writes a frame index as the frames arrive.
#[derive(Clone, Debug, Default)]
pub struct FrameIndexWriter {
    state: State,
    out: Vec<u8>,
}

impl FrameIndexWriter {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next frame.
    pub fn push(&mut self, frame: &FrameEntry) -> Result<(), FrameRefused> {
        let end = self.state.end;
        let gap =
            frame.offset.checked_sub(end).ok_or(FrameRefused::Overlaps { offset: frame.offset, end })?;
        let next_end = frame
            .offset
            .checked_add(u64::from(frame.size))
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or(FrameRefused::Overlaps { offset: frame.offset, end })?;
        let known = self.state.tracks.iter().position(|track| track.number == frame.track);
        let slot = known.unwrap_or(self.state.tracks.len());
        let slot_byte = u8::try_from(slot)
            .ok()
            .filter(|slot| usize::from(*slot) < MOST_TRACKS)
            .ok_or(FrameRefused::Tracks)?;
        if known.is_none() {
            self.state.tracks.push(TrackState { number: frame.track, ..TrackState::default() });
        }
        let Some(track) = self.state.tracks.get_mut(slot) else { return Err(FrameRefused::Tracks) };

        let time = i64::from(frame.time);
        let late = time - track.predicted();
        let near = u8::try_from(late.saturating_add(TIME_ZERO)).ok().filter(|near| *near < TIME_ELSEWHERE);
        // `next_end` is within an i64, and so is the gap.
        let bare_gap = i64::try_from(gap).unwrap_or(i64::MAX) - block_size_field(frame.size);
        let flags = (if frame.discardable { DISCARDABLE } else { 0 })
            | (if frame.invisible { INVISIBLE } else { 0 })
            | (if bare_gap == track.gap { 0 } else { GAP })
            | (if known.is_none() { NEW_TRACK } else { 0 });
        let lead = slot_byte.min(SLOTS_IN_LEAD)
            | (if frame.key { KEY } else { 0 })
            | (near.unwrap_or(TIME_ELSEWHERE) << 3)
            | (if flags == 0 { 0 } else { MORE });
        self.out.push(lead);
        if slot_byte >= SLOTS_IN_LEAD {
            self.out.push(slot_byte);
        }
        if flags != 0 {
            self.out.push(flags);
        }
        if known.is_none() {
            put_varint(&mut self.out, frame.track);
        }
        if near.is_none() {
            put_zigzag(&mut self.out, late);
        }
        if bare_gap != track.gap {
            put_varint(&mut self.out, gap);
        }
        put_varint(&mut self.out, u64::from(frame.size));
        track.see(time);
        track.gap = bare_gap;
        self.state.end = next_end;
        Ok(())
    }

    /// The index.
    pub fn finish(self) -> FrameIndex {
        FrameIndex(self.out)
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether no frame is in it.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }
}

/// The frames of a fragment, packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameIndex(Vec<u8>);

impl FrameIndex {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// As stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The frames in the order of their bytes; ends after the first error.
    pub fn frames(&self) -> Frames<'_> {
        Frames { reader: Some(Reader::new(&self.0)), state: State::default() }
    }
}

/// Goes through a frame index.
#[derive(Debug)]
pub struct Frames<'a> {
    reader: Option<Reader<'a>>,
    state: State,
}

impl Frames<'_> {
    fn read(state: &mut State, reader: &mut Reader<'_>) -> Result<FrameEntry, Malformed> {
        let lead = reader.byte("lead")?;
        let slot = match lead & 3 {
            SLOTS_IN_LEAD => reader.byte("slot")?,
            slot => slot,
        };
        let flags = if lead & MORE == 0 { 0 } else { reader.byte("flags")? };
        if flags & NEW_TRACK != 0 {
            if usize::from(slot) != state.tracks.len() {
                return Err(reader.malformed("slot"));
            }
            state.tracks.push(TrackState { number: reader.varint("track")?, ..TrackState::default() });
        }
        let near = (lead >> 3) & 15;
        let late = match near {
            TIME_ELSEWHERE => reader.zigzag("time")?,
            near => i64::from(near) - TIME_ZERO,
        };
        let gap = if flags & GAP == 0 { None } else { Some(reader.varint("gap")?) };
        let size: u32 = reader.small("size")?;
        let track = state.tracks.get_mut(usize::from(slot)).ok_or(reader.malformed("slot"))?;
        let time =
            i32::try_from(track.predicted().saturating_add(late)).map_err(|_| reader.malformed("time"))?;
        let gap = match gap {
            Some(gap) => i64::try_from(gap).ok(),
            None => track.gap.checked_add(block_size_field(size)),
        }
        .filter(|gap| *gap >= 0)
        .ok_or(reader.malformed("gap"))?;
        let offset = state.end.checked_add_signed(gap).ok_or(reader.malformed("gap"))?;
        state.end = offset
            .checked_add(u64::from(size))
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or(reader.malformed("size"))?;
        track.see(i64::from(time));
        track.gap = gap - block_size_field(size);
        Ok(FrameEntry {
            offset,
            size,
            time,
            track: track.number,
            key: lead & KEY != 0,
            discardable: flags & DISCARDABLE != 0,
            invisible: flags & INVISIBLE != 0,
        })
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<FrameEntry, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut().filter(|reader| reader.left() > 0)?;
        let frame = Self::read(&mut self.state, reader);
        if frame.is_err() {
            self.reader = None;
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(frames: &[FrameEntry]) -> FrameIndex {
        let mut writer = FrameIndexWriter::new();
        for frame in frames {
            writer.push(frame).unwrap();
        }
        writer.finish()
    }

    fn any_frames() -> impl Strategy<Value = Vec<FrameEntry>> {
        let frame = (0_u64..1 << 40, any::<u32>(), any::<i32>(), 0_u64..6, any::<[bool; 3]>(), any::<bool>());
        prop::collection::vec(frame, 0..60).prop_map(|frames| {
            let mut end = 0;
            frames
                .into_iter()
                .map(|(gap, size, time, track, [key, discardable, invisible], usual)| {
                    let offset = end + if usual { 8 } else { gap };
                    end = offset + u64::from(size);
                    FrameEntry { offset, size, time, track: track * 77, key, discardable, invisible }
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn any_frames_read_back_as_written(frames in any_frames()) {
            let read: Result<Vec<_>, _> = pack(&frames).frames().collect();
            prop_assert_eq!(read.unwrap(), frames);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(FrameIndex(bytes.clone()).frames().count() <= bytes.len());
        }
    }

    #[test]
    fn a_frame_of_a_usual_stream_takes_three_bytes() {
        // 30 pictures a second at millisecond ticks, 2 Mbit/s, a key frame every two seconds; sound beside it.
        let (mut offset, mut frames) = (0, Vec::new());
        for picture in 0..600_i32 {
            let key = picture % 60 == 0;
            let size = if key { 60_000 } else { 7_000 + picture.unsigned_abs() };
            for (track, size, time, key) in
                [(1, size, picture * 1000 / 30, key), (2, 340, picture * 1024 * 1000 / 48_000, true)]
            {
                offset += 1 + u64::try_from(block_size_field(size)).unwrap() + 4;
                frames.push(FrameEntry { offset, size, time, track, key, ..FrameEntry::default() });
                offset += u64::from(size);
            }
        }
        let bytes = pack(&frames).as_bytes().len();
        assert!(bytes <= frames.len() * 3 + frames.len() / 40, "{bytes} bytes for {} frames", frames.len());
    }

    #[test]
    fn frames_out_of_order_are_refused() {
        let mut writer = FrameIndexWriter::new();
        writer.push(&FrameEntry { offset: 10, size: 10, ..FrameEntry::default() }).unwrap();
        let refused = writer.push(&FrameEntry { offset: 19, ..FrameEntry::default() });
        assert_eq!(refused, Err(FrameRefused::Overlaps { offset: 19, end: 20 }));
    }
}
