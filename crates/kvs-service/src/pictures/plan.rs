//! Which frame is the picture of an instant, and which frames it takes to decode it.

use std::ops::Range;
use std::time::Duration;

use kvs_media::mkv::{Event, Reader};
use kvs_media::playback::{Api, Reason, check};
use kvs_media::time::Utc;
use kvs_media::{Track, TrackNumber};
use kvs_wire::limits::FRAGMENT_DURATION;

use super::pool::takes;
use crate::store::{Fragment, FrameEntry};

/// The track that pictures are of (kvs-api 6.2).
const VIDEO: TrackNumber = TrackNumber(1);
/// So long the last picture of a fragment stands at least, when nothing follows it.
const STANDS: Duration = Duration::from_secs(1);
const MILLI: i64 = 1_000_000;

/// The pictures of a fragment.
#[derive(Debug)]
pub(crate) struct Footage {
    /// By Matroska's id.
    pub(crate) codec: String,
    pub(crate) private: bytes::Bytes,
    /// In the order of decoding.
    frames: Vec<Picture>,
    /// Places in `frames` in the order of being shown, without those that are not.
    shown: Vec<usize>,
    /// So long the last stands.
    stands: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Picture {
    entry: FrameEntry,
    /// Nanoseconds after the beginning of the fragment.
    time: i64,
}

/// The picture of an instant: a place in the order of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shot(usize);

/// Frames that are decoded together.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where they are in the payload of the fragment.
    pub(crate) bytes: Range<u64>,
    /// Each with its place in these bytes.
    pub(crate) frames: Vec<kvs_wire::picture::Frame>,
}

impl Footage {
    /// What a fragment shows; none of one whose header says no video as track 1, or cannot be read.
    pub(crate) fn of(fragment: &Fragment) -> Result<Self, Vec<Reason>> {
        let tracks = tracks(&fragment.commit.header);
        check(&tracks).of(Api::GetImages).map_err(<[Reason]>::to_vec)?;
        let track =
            tracks.into_iter().find(|track| track.number == VIDEO).ok_or_else(|| vec![Reason::NoTracks])?;
        let scale = i64::try_from(fragment.commit.timecode_scale).unwrap_or(i64::MAX);
        // What can be read of an index that is damaged is taken.
        let entries = fragment.commit.frames.frames().map_while(Result::ok);
        let frames = entries.filter(|entry| entry.track == VIDEO.0);
        let frames = frames.map(|entry| Picture { entry, time: i64::from(entry.time).saturating_mul(scale) });
        Ok(Self::new(track, frames.collect()))
    }

    fn new(track: Track, frames: Vec<Picture>) -> Self {
        let time = |at: &usize| frames.get(*at).map_or(i64::MIN, |frame| frame.time);
        let mut shown: Vec<usize> = frames
            .iter()
            .enumerate()
            .filter_map(|(at, frame)| (!frame.entry.invisible).then_some(at))
            .collect();
        // Of two at one time the later one is seen.
        shown.sort_by_key(time);
        let steps = shown.windows(2).filter_map(|pair| match pair {
            [a, b] => time(b).checked_sub(time(a)).and_then(|step| u64::try_from(step).ok()),
            _ => None,
        });
        let stands = match steps.max() {
            Some(step) => Duration::from_nanos(step.saturating_mul(2)).max(STANDS),
            // The next has to come before a fragment has to end.
            None => FRAGMENT_DURATION,
        };
        Self { codec: track.codec_id, private: track.codec_private, frames, shown, stands }
    }

    /// The picture `after` the beginning of the fragment: the last one at or before it, while it stands. None before
    /// the first. Times are what the wire shows of them, in whole milliseconds.
    pub(crate) fn at(&self, start: Utc, instant: Utc) -> At {
        let wire_time = |at: usize| {
            let frame = self.frames.get(at)?;
            Some(start.nanos().checked_add(frame.time)?.div_euclid(MILLI).saturating_mul(MILLI))
        };
        let after =
            self.shown.partition_point(|at| wire_time(*at).is_some_and(|time| time <= instant.nanos()));
        let Some(shot) = after.checked_sub(1).and_then(|place| self.shown.get(place).copied()) else {
            return At::Before;
        };
        let stood = wire_time(shot)
            .map(|time| instant.nanos().saturating_sub(time))
            .and_then(|ns| u64::try_from(ns).ok());
        let stands =
            after < self.shown.len() || stood.is_some_and(|stood| Duration::from_nanos(stood) < self.stands);
        if stands { At::Shot(Shot(shot)) } else { At::Behind }
    }

    /// When a picture is shown, as it is asked for: nanoseconds after the beginning of the fragment.
    pub(crate) fn time(&self, Shot(at): Shot) -> Option<i64> {
        self.frames.get(at).map(|frame| frame.time)
    }

    /// Where decoding has to begin for a picture. None when nothing before it is a key frame.
    pub(crate) fn entry(&self, Shot(at): Shot) -> Option<usize> {
        let shot = self.frames.get(at)?;
        let mut keys = self.frames.get(..=at)?.iter().enumerate().rev().filter(|(_, frame)| frame.entry.key);
        let (key, frame) = keys.next()?;
        // What is shown before its key frame may need what comes before that.
        if shot.time < frame.time
            && let Some((before, _)) = keys.next()
        {
            return Some(before);
        }
        Some(key)
    }

    /// The frames from where decoding begins up to the last of these pictures. None when they are more than a worker
    /// takes.
    pub(crate) fn run(&self, entry: usize, shots: impl IntoIterator<Item = Shot>) -> Option<Run> {
        let Shot(last) = shots.into_iter().max_by_key(|Shot(at)| *at)?;
        let frames = self.frames.get(entry..=last)?;
        let (first, last) = (frames.first()?.entry, frames.last()?.entry);
        let bytes = first.offset..last.offset.checked_add(last.size.into())?;
        if !takes(bytes.end.checked_sub(bytes.start)?, frames.len()) {
            return None;
        }
        let place = |picture: &Picture| {
            let offset = u32::try_from(picture.entry.offset.checked_sub(bytes.start)?).ok()?;
            Some(kvs_wire::picture::Frame { time: picture.time, offset, length: picture.entry.size })
        };
        let frames = frames.iter().map(place).collect::<Option<_>>()?;
        Some(Run { bytes, frames })
    }
}

/// What a fragment has of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// A picture.
    Shot(Shot),
    /// It is before all of its pictures.
    Before,
    /// It is behind all of them, too far.
    Behind,
}

/// The tracks that a header says, which is what a document has before its first cluster.
fn tracks(header: &bytes::Bytes) -> Vec<Track> {
    let (mut reader, mut rest) = (Reader::default(), header.clone());
    let mut events = std::iter::from_fn(|| match reader.read(&mut rest) {
        Ok(None) => reader.finish().ok().flatten(),
        other => other.ok().flatten(),
    });
    let said = events.find_map(|event| match event {
        Event::Document(header) => Some(header.tracks.clone()),
        _ => None,
    });
    said.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvs_media::mkv::{Info, Writer};
    use kvs_media::{TrackKind, VideoShape};

    /// Pictures of these times in milliseconds, a minus sign in front of those that are not shown; keys as they say.
    fn footage(frames: &[(i64, bool)]) -> Footage {
        let track = Track::new(VIDEO, TrackKind::Video, "V_VP8");
        let frames = frames.iter().enumerate().map(|(at, (time, key))| {
            let at = u64::try_from(at).unwrap();
            let entry = FrameEntry { offset: at * 100, size: 90, key: *key, ..FrameEntry::default() };
            Picture { entry, time: time * MILLI }
        });
        Footage::new(track, frames.collect())
    }

    fn millis(millis: i64) -> Utc {
        Utc::from_millis(millis).unwrap()
    }

    #[test]
    fn the_picture_of_an_instant_is_the_last_one_at_or_before_it() {
        // As they are decoded: the third is shown before the second.
        let footage = footage(&[(0, true), (80, false), (40, false), (120, true)]);
        let start = millis(1_000);
        for (instant, expected) in [
            (999, At::Before),
            (1_000, At::Shot(Shot(0))),
            (1_039, At::Shot(Shot(0))),
            (1_040, At::Shot(Shot(2))),
            (1_080, At::Shot(Shot(1))),
            (1_120, At::Shot(Shot(3))),
            (2_119, At::Shot(Shot(3))),
            (2_120, At::Behind),
        ] {
            assert_eq!(footage.at(start, millis(instant)), expected, "{instant}");
        }
        // Between two milliseconds is what the wire shows as the first of them.
        let start = Utc::from_nanos(1_000 * MILLI + 333_333);
        assert_eq!(footage.at(start, millis(1_000)), At::Shot(Shot(0)));
        assert_eq!(footage.at(start, millis(1_040)), At::Shot(Shot(2)));
    }

    #[test]
    fn a_picture_that_is_slow_stands_longer() {
        let slow = footage(&[(0, true), (3_000, true)]);
        assert_eq!(slow.at(millis(0), millis(8_999)), At::Shot(Shot(1)));
        assert_eq!(slow.at(millis(0), millis(9_000)), At::Behind);
        let alone = footage(&[(0, true)]);
        assert_eq!(alone.at(millis(0), millis(19_999)), At::Shot(Shot(0)));
        assert_eq!(alone.at(millis(0), millis(20_000)), At::Behind);
        assert_eq!(footage(&[]).at(millis(0), millis(0)), At::Before);
    }

    #[test]
    fn decoding_begins_at_the_key_frame_before() {
        let footage =
            footage(&[(0, true), (40, false), (160, true), (80, false), (120, false), (200, false)]);
        for (shot, entry) in [(0, 0), (1, 0), (2, 2), (5, 2)] {
            assert_eq!(footage.entry(Shot(shot)), Some(entry), "{shot}");
        }
        // They are shown before the key frame that they are decoded after, and may need both.
        assert_eq!(footage.entry(Shot(3)), Some(0));
        assert_eq!(footage.entry(Shot(4)), Some(0));
        let run = footage.run(2, [Shot(5), Shot(2)]).unwrap();
        assert_eq!((run.bytes, run.frames.len(), run.frames[1].offset), (200..590, 4, 100));
        let keyless = self::footage(&[(0, false)]);
        assert_eq!(keyless.entry(Shot(0)), None);
    }

    #[test]
    fn what_is_not_shown_is_no_picture() {
        let mut hidden = footage(&[(0, true), (40, false)]);
        hidden.frames[1].entry.invisible = true;
        let track = Track::new(VIDEO, TrackKind::Video, "V_VP8");
        let hidden = Footage::new(track, hidden.frames);
        assert_eq!(hidden.at(millis(0), millis(50)), At::Shot(Shot(0)));
    }

    #[test]
    fn tracks_are_read_of_a_header_that_nothing_follows() {
        let mut track = Track::new(VIDEO, TrackKind::Video, "V_VP8");
        track.video = Some(VideoShape { width: 16, height: 8 });
        let (_, header) = Writer::new(&Info::default(), std::slice::from_ref(&track)).unwrap();
        let read = tracks(&header);
        assert_eq!((read.len(), read[0].codec_id.as_str()), (1, "V_VP8"));
        assert!(tracks(&bytes::Bytes::from_static(b"no header")).is_empty());
        assert!(tracks(&bytes::Bytes::new()).is_empty());
    }
}
