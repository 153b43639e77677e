//! Bytes of an answer in, fragments and frames out.
//!
//! Each fragment is a document of its own, with the service's tags around its cluster (kvs-api 5.3, 6.3). What a peer
//! sends is a fragment, or damaged: with words that say where, and in memory that is bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::fragment::is_filler;
use kvs_media::mkv::{
    Cluster, Delivery, Event, Frame as Block, Header, Limits, ReadError, Reader, SimpleTag, TagValue, Tags,
};
use kvs_media::time::{Timecode, TimecodeScale, Utc};
use kvs_wire::tags::{ChunkTags, END_OF_FRAGMENT};
use kvs_wire::{ErrorId, FragmentNumber};

use super::item::{FragmentEnd, Frame};
use super::settings::Settings;

/// A tag of the producer's time has whole milliseconds; where a cluster says the same, it may say it more finely.
const TAG_PRECISION: i128 = 1_000_000;

/// Tags of a fragment that are kept: a producer may send ten (kvs-api 10.4), a muxer adds some of its own.
const MOST_TAGS: usize = 1_000;

/// Which call gives the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// GetMedia: a fragment is whole when its last group of tags has come.
    Live,
    /// GetMediaForFragmentList: a fragment is whole when its document is.
    Archive,
}

/// What a fragment begins with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    /// Its number.
    pub(super) number: FragmentNumber,
    /// When its producer says that it begins.
    pub(super) producer: Utc,
    /// When its first byte came to the service.
    pub(super) server: Utc,
    /// The producer's tags so far.
    pub(super) tags: Vec<SimpleTag>,
    /// Its tracks.
    pub(super) header: Arc<Header>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// A fragment begins.
    Begin(Head),
    /// A frame of it.
    Frame(Frame),
    /// It is whole.
    End(FragmentEnd),
    /// It ended before it was whole.
    Cut,
    /// The service says in the place of a fragment, or at the end, what is wrong.
    Failure {
        /// The fragment.
        number: Option<FragmentNumber>,
        /// The number of the error.
        id: Option<ErrorId>,
        /// Its name, or what the service says.
        message: String,
    },
    /// This is not a fragment. `fatal`: nothing can be read behind it.
    Damaged {
        /// The fragment, when that is known.
        number: Option<FragmentNumber>,
        /// What is wrong, and where.
        why: String,
        /// Nothing can be read behind it.
        fatal: bool,
    },
}

/// The most that a fragment may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// Frames.
    pub(super) frames: usize,
    /// Bytes of payload.
    pub(super) bytes: u64,
}

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Chunks {
    source: Source,
    reader: Reader,
    most: Most,
    /// The last one, for as long as nothing in it changes.
    header: Option<Arc<Header>>,
    chunk: Chunk,
    found: VecDeque<Found>,
    dead: bool,
}

/// The document that is being read.
#[derive(Debug, Default)]
struct Chunk {
    own: ChunkTags,
    tags: Vec<SimpleTag>,
    /// Once its first cluster has begun.
    base: Option<Base>,
    frames: usize,
    bytes: u64,
    last: Option<Utc>,
    stage: Stage,
    /// A cluster of it was not complete.
    broken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing was told of it.
    #[default]
    Before,
    /// It was told that it begins.
    Begun,
    /// And that it ended, or that it never will.
    Told,
}

/// What times in a fragment count from.
#[derive(Clone, Copy, Debug)]
struct Base {
    scale: TimecodeScale,
    /// Where timecodes are not the producer's time itself: a timecode, and the time that it means.
    from: Option<(Timecode, Utc)>,
}

impl Base {
    fn new(scale: TimecodeScale, first: Timecode, producer: Option<Utc>) -> Option<Self> {
        let exact = scale.instant(first);
        let from = match (producer, exact) {
            (Some(tag), Some(exact)) => {
                let apart = i128::from(exact.nanos()) - i128::from(tag.nanos());
                (apart.abs() >= TAG_PRECISION).then_some((first, tag))
            }
            (Some(tag), None) => Some((first, tag)),
            (None, Some(_)) => None,
            (None, None) => return None,
        };
        Some(Self { scale, from })
    }

    /// Computed from the timecode anew each time: nothing accumulates.
    fn time(self, timecode: Timecode) -> Option<Utc> {
        let Some((first, time)) = self.from else { return self.scale.instant(timecode) };
        let ticks = timecode.ticks().checked_sub(first.ticks())?;
        self.scale.instant_from(time, Timecode::from_ticks(ticks))
    }
}

impl Chunks {
    /// At the start of an answer.
    pub(super) fn new(source: Source, settings: &Settings) -> Self {
        let most = Most { frames: settings.fragment_frames, bytes: settings.fragment_bytes };
        Self::with(source, settings.limits, most)
    }

    /// The header of the last fragment, which stays the same one while nothing in it changes.
    pub(super) const fn header(&self) -> Option<&Arc<Header>> {
        self.header.as_ref()
    }

    /// Goes on where another answer had this header.
    pub(super) fn adopt(&mut self, header: Option<&Arc<Header>>) {
        if self.header.is_none() {
            self.header = header.map(Arc::clone);
        }
    }

    /// The same, without settings.
    pub(super) fn with(source: Source, limits: Limits, most: Most) -> Self {
        Self {
            source,
            reader: Reader::new(limits, Delivery::Whole),
            most,
            header: None,
            chunk: Chunk::default(),
            found: VecDeque::new(),
            dead: false,
        }
    }

    /// The next thing in it; `None` when all of `piece` was read.
    pub(super) fn read(&mut self, piece: &mut Bytes) -> Option<Found> {
        self.find(|reader| reader.read(piece))
    }

    /// The answer is complete: what that means for what is in it. An answer that ends in the middle of something has
    /// cut it.
    pub(super) fn finish(&mut self) -> Option<Found> {
        while self.found.is_empty() && !self.dead {
            match self.reader.finish() {
                Ok(Some(event)) => self.take(event),
                Ok(None) => {
                    self.dead = true;
                    self.end_document();
                }
                Err(_) => {
                    (self.dead, self.chunk.broken) = (true, true);
                    self.end_document();
                }
            }
        }
        self.found.pop_front()
    }

    fn find(
        &mut self,
        mut next: impl FnMut(&mut Reader) -> Result<Option<Event>, ReadError>,
    ) -> Option<Found> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Some(found);
            }
            if self.dead {
                return None;
            }
            match next(&mut self.reader) {
                Ok(Some(event)) => self.take(event),
                Ok(None) => return None,
                Err(error) => self.damage(error.to_string(), true),
            }
        }
    }

    fn damage(&mut self, why: String, fatal: bool) {
        self.dead |= fatal;
        if self.chunk.stage == Stage::Told && !fatal {
            return;
        }
        // What ended before is whole; what cannot be read then has no name yet.
        let number = match self.chunk.stage {
            Stage::Told => None,
            _ => self.chunk.own.fragment_number.clone(),
        };
        self.chunk.stage = Stage::Told;
        self.found.push_back(Found::Damaged { number, why, fatal });
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Document(header) => match &self.header {
                Some(known) if known.raw == header.raw => {}
                _ => self.header = Some(header),
            },
            Event::Tags(tags) => self.take_tags(tags),
            Event::Cluster(cluster) => self.begin(cluster),
            Event::Frame(block) => self.take_frame(block),
            Event::ClusterEnd { complete, .. } => self.chunk.broken |= !complete,
            Event::DocumentEnd { .. } => self.end_document(),
            _ => {}
        }
    }

    fn take_tags(&mut self, tags: Tags) {
        for pair in tags.tags.into_iter().flat_map(|tag| tag.pairs) {
            let own = match &pair.value {
                TagValue::Text(text) => self.chunk.own.read(&pair.name, text),
                TagValue::Binary(_) => Ok(false),
            };
            match own {
                Ok(true) => {}
                Ok(false) if pair.name == END_OF_FRAGMENT => {}
                Ok(false) if self.chunk.tags.len() < MOST_TAGS => self.chunk.tags.push(pair),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "a tag of the service's"),
            }
        }
        if self.chunk.stage != Stage::Told && self.chunk.own.is_failure() {
            let ChunkTags { fragment_number, error_code, error_message, .. } = &self.chunk.own;
            let message = error_message.clone().or_else(|| error_code.clone()).unwrap_or_default();
            let (number, id) = (fragment_number.clone(), self.chunk.own.error());
            self.chunk.stage = Stage::Told;
            self.found.push_back(Found::Failure { number, id, message });
        } else if self.chunk.own.is_complete() {
            self.end_fragment();
        }
    }

    fn begin(&mut self, cluster: Cluster) {
        if self.chunk.stage != Stage::Before {
            return;
        }
        let Some(header) = self.header.clone() else {
            return self.damage("a cluster without a header".to_owned(), false);
        };
        let own = &self.chunk.own;
        let Some(number) = own.fragment_number.clone() else {
            return self.damage("a fragment without a number".to_owned(), false);
        };
        let scale = header.info.scale;
        let Some(base) = Base::new(scale, cluster.timecode, own.producer_time) else {
            return self.damage("a fragment without a time".to_owned(), false);
        };
        let Some(producer) = base.time(cluster.timecode) else {
            return self.damage("a fragment beyond all times".to_owned(), false);
        };
        let server = own.server_time.unwrap_or(producer);
        let tags = self.chunk.tags.clone();
        self.chunk.base = Some(base);
        self.chunk.stage = Stage::Begun;
        self.found.push_back(Found::Begin(Head { number, producer, server, tags, header }));
    }

    fn take_frame(&mut self, block: Block) {
        let (Stage::Begun, Some(base), Some(header)) = (self.chunk.stage, self.chunk.base, &self.header)
        else {
            return;
        };
        let Block { head, payload } = block;
        self.chunk.frames = self.chunk.frames.saturating_add(1);
        self.chunk.bytes = self.chunk.bytes.saturating_add(head.size);
        if self.chunk.frames > self.most.frames || self.chunk.bytes > self.most.bytes {
            let Chunk { frames, bytes, .. } = &self.chunk;
            return self.damage(format!("more than {} frames of {} bytes", frames - 1, bytes), false);
        }
        let kind = header.track(head.track).map(|track| track.kind);
        if kind.is_some_and(|kind| is_filler(kind, &head)) {
            return;
        }
        let Some(time) = base.time(head.timecode) else {
            return self.damage(format!("a frame beyond all times at byte {}", head.offset), false);
        };
        let duration = head.duration.and_then(|ticks| base.scale.span(i64::try_from(ticks).ok()?));
        self.chunk.last = self.chunk.last.max(Some(time));
        self.found.push_back(Found::Frame(Frame {
            track: head.track,
            time,
            key: head.key,
            discardable: head.discardable,
            invisible: head.invisible,
            duration,
            payload,
        }));
    }

    /// The fragment is whole. One of no frames is one too (kvs-api 5.3).
    fn end_fragment(&mut self) {
        if self.chunk.stage == Stage::Before
            && let (Some(header), Some(number)) = (&self.header, &self.chunk.own.fragment_number)
            && let Some(producer) = self.chunk.own.producer_time
        {
            let server = self.chunk.own.server_time.unwrap_or(producer);
            let (number, tags, header) = (number.clone(), self.chunk.tags.clone(), Arc::clone(header));
            self.found.push_back(Found::Begin(Head { number, producer, server, tags, header }));
            self.chunk.last = Some(producer);
            self.chunk.stage = Stage::Begun;
        }
        let (Stage::Begun, Some(number)) = (self.chunk.stage, &self.chunk.own.fragment_number) else {
            return;
        };
        let own = &self.chunk.own;
        let last = self.chunk.last.or(own.producer_time).unwrap_or(Utc::EPOCH);
        let behind_now = own.millis_behind_now.map(Duration::from_millis);
        let (number, token) = (number.clone(), own.continuation_token.clone());
        let tags = std::mem::take(&mut self.chunk.tags);
        self.chunk.stage = Stage::Told;
        self.found.push_back(Found::End(FragmentEnd { number, tags, token, behind_now, last }));
    }

    fn end_document(&mut self) {
        match (self.source, self.chunk.stage) {
            (Source::Archive, Stage::Begun | Stage::Before) if !self.chunk.broken => self.end_fragment(),
            (_, Stage::Begun) => self.found.push_back(Found::Cut),
            _ => {}
        }
        self.chunk = Chunk::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvs_media::fragment::Filler;
    use kvs_media::mkv::{Info, Sizes, Tag, Writer, write_tags};
    use kvs_media::{Track, TrackKind, TrackNumber};
    use kvs_wire::tags::ChunkTag;
    use proptest::prelude::*;

    const MOST: Most = Most { frames: 100, bytes: 1 << 20 };
    const BASE: i64 = 1_795_145_031_000;

    fn number(sequence: u64) -> FragmentNumber {
        FragmentNumber::make(sequence, Utc::from_millis(BASE).unwrap(), 7).unwrap()
    }

    fn group(tags: &[ChunkTag]) -> Bytes {
        let pairs = tags.iter().map(|tag| SimpleTag::text(tag.name(), tag.to_string())).collect();
        write_tags(&[Tag { pairs, ..Tag::default() }], Sizes::FourBytes)
    }

    fn tracks() -> [Track; 2] {
        [
            Track::new(TrackNumber(1), TrackKind::Video, "V_VP8"),
            Track::new(TrackNumber(2), TrackKind::Audio, "A_OPUS"),
        ]
    }

    /// A chunk whose cluster has a timecode, and whose producer time is `millis`; of so many frames, 40 ticks apart.
    fn chunk(sequence: u64, info: &Info, timecode: i64, millis: i64, frames: i64, live: bool) -> Vec<u8> {
        let (mut writer, header) = Writer::new(info, &tracks()).unwrap();
        let mut out = header.to_vec();
        out.extend(writer.tags(&[Tag::text("plate", "ZH 1234")]));
        let time = |millis| Utc::from_millis(millis).unwrap();
        out.extend(group(&ChunkTag::leading(number(sequence), time(BASE), time(millis))));
        out.extend_from_slice(&writer.cluster(Timecode::from_ticks(timecode)).unwrap());
        for frame in 0..frames {
            let at = Timecode::from_ticks(timecode + 40 * frame);
            let block =
                kvs_media::mkv::Block { key: frame == 0, ..kvs_media::mkv::Block::new(TrackNumber(1), at) };
            out.extend_from_slice(&writer.frame(block, 5).unwrap());
            out.extend(b"frame");
        }
        if live {
            out.extend(group(&ChunkTag::trailing(910, (&number(sequence)).into())));
        }
        out
    }

    fn simple(sequence: u64, live: bool) -> Vec<u8> {
        chunk(sequence, &Info::default(), BASE, BASE, 3, live)
    }

    fn read(source: Source, bytes: &[u8], piece: usize) -> Vec<Found> {
        let (mut chunks, mut found) = (Chunks::with(source, Limits::default(), MOST), Vec::new());
        for piece in bytes.chunks(piece) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(next) = chunks.read(&mut piece) {
                found.push(next);
            }
        }
        while let Some(next) = chunks.finish() {
            found.push(next);
        }
        found
    }

    fn times(found: &[Found]) -> Vec<i64> {
        let time =
            |found: &Found| if let Found::Frame(frame) = found { Some(frame.time.nanos()) } else { None };
        found.iter().filter_map(time).collect()
    }

    #[test]
    fn a_fragment_is_told_with_its_tags_and_its_end() {
        let found = read(Source::Live, &simple(1, true), usize::MAX);
        let Found::Begin(head) = &found[0] else { panic!("{found:#?}") };
        assert_eq!((&head.number, head.producer.millis()), (&number(1), BASE));
        assert_eq!(head.tags, [SimpleTag::text("plate", "ZH 1234")]);
        assert_eq!(head.header.tracks.len(), 2);
        let Found::End(end) = &found[4] else { panic!("{found:#?}") };
        assert_eq!((end.behind_now, end.last.millis()), (Some(Duration::from_millis(910)), BASE + 80));
        assert_eq!((end.token.clone(), &end.tags), (Some((&number(1)).into()), &head.tags));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn pieces_of_any_size_say_the_same() {
        for source in [Source::Live, Source::Archive] {
            let live = source == Source::Live;
            let bytes = [simple(1, live), simple(2, live), simple(3, live)].concat();
            let whole = read(source, &bytes, usize::MAX);
            assert_eq!(whole.iter().filter(|found| matches!(found, Found::End(_))).count(), 3);
            for piece in [1, 2, 3, 7, 50, 333] {
                assert_eq!(read(source, &bytes, piece), whole, "{source:?} {piece}");
            }
        }
    }

    #[test]
    fn a_live_fragment_ends_with_its_last_tags_and_not_before() {
        let bytes = simple(1, true);
        let mut chunks = Chunks::with(Source::Live, Limits::default(), MOST);
        let (mut before, mut last) = (
            Bytes::copy_from_slice(&bytes[..bytes.len() - 1]),
            Bytes::copy_from_slice(&bytes[bytes.len() - 1..]),
        );
        let mut found = Vec::new();
        while let Some(next) = chunks.read(&mut before) {
            found.push(next);
        }
        assert!(!found.iter().any(|found| matches!(found, Found::End(_))));
        assert!(matches!(chunks.read(&mut last), Some(Found::End(_))));
        // Without them it is cut, wherever that is.
        for length in 0..bytes.len() {
            let found = read(Source::Live, &bytes[..length], usize::MAX);
            assert!(
                !found.iter().any(|found| matches!(found, Found::End(_) | Found::Damaged { .. })),
                "{length}"
            );
            let begun = found.iter().any(|found| matches!(found, Found::Begin(_)));
            assert_eq!(begun, found.last() == Some(&Found::Cut), "{length} {found:#?}");
        }
    }

    #[test]
    fn a_recorded_fragment_ends_with_its_document() {
        let bytes = [simple(1, false), simple(2, false)].concat();
        let found = read(Source::Archive, &bytes, usize::MAX);
        let ends = found.iter().filter(|found| matches!(found, Found::End(_))).count();
        assert_eq!((ends, found.len()), (2, 10), "{found:#?}");
        let found = read(Source::Archive, &bytes[..bytes.len() - 2], usize::MAX);
        assert_eq!(found.last(), Some(&Found::Cut));
    }

    #[test]
    fn the_time_is_the_producer_s_and_as_fine_as_the_timecode() {
        // Relative timecodes: the tag has the start in it.
        let relative = read(Source::Live, &chunk(1, &Info::default(), 5_000, BASE, 3, true), usize::MAX);
        assert_eq!(times(&relative), [0, 40, 80].map(|millis| (BASE + millis) * 1_000_000));
        // Absolute ones that are finer than the tag.
        let micro = Info { scale: TimecodeScale::from_nanos(1_000).unwrap(), ..Info::default() };
        let fine = read(Source::Live, &chunk(1, &micro, BASE * 1_000 + 700, BASE, 3, true), usize::MAX);
        assert_eq!(times(&fine), [700, 740, 780].map(|micros| (BASE * 1_000 + micros) * 1_000));
        let Found::Begin(head) = &fine[0] else { panic!() };
        assert_eq!(head.producer.nanos(), (BASE * 1_000 + 700) * 1_000);
    }

    #[test]
    fn fillers_are_left_out() {
        let (mut writer, header) = Writer::new(&Info::default(), &tracks()).unwrap();
        let mut bytes = header.to_vec();
        let time = Utc::from_millis(BASE).unwrap();
        bytes.extend(group(&ChunkTag::leading(number(1), time, time)));
        bytes.extend_from_slice(&writer.cluster(Timecode::from_ticks(BASE)).unwrap());
        let filler = Filler::of(&tracks()[1]);
        let head = writer.frame(filler.block(Timecode::from_ticks(BASE)), filler.payload().len()).unwrap();
        bytes.extend_from_slice(&head);
        bytes.extend(filler.payload());
        let found = read(Source::Archive, &bytes, usize::MAX);
        assert_eq!(found.len(), 2, "{found:#?}");
    }

    #[test]
    fn a_fragment_that_is_not_found_does_not_hide_the_next_one() {
        let (_, header) = Writer::new(&Info::default(), &[]).unwrap();
        let failure: Vec<ChunkTag> = ChunkTag::failure(ErrorId(3000), Some(number(1))).collect();
        let bytes = [header.to_vec(), group(&failure).to_vec(), simple(2, false)].concat();
        let found = read(Source::Archive, &bytes, usize::MAX);
        let message = "FRAGMENT_NOT_FOUND".to_owned();
        assert_eq!(found[0], Found::Failure { number: Some(number(1)), id: Some(ErrorId(3000)), message });
        assert!(matches!(&found[1], Found::Begin(head) if head.number == number(2)));
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn what_has_no_number_or_too_much_in_it_is_damaged_and_the_next_one_is_read() {
        let (mut writer, header) = Writer::new(&Info::default(), &tracks()).unwrap();
        let nameless = [&header[..], &writer.cluster(Timecode::from_ticks(BASE)).unwrap()].concat();
        let large = chunk(1, &Info::default(), BASE, BASE, 101, false);
        for (bytes, known) in [(nameless, None), (large, Some(number(1)))] {
            let found = read(Source::Archive, &[bytes, simple(2, false)].concat(), usize::MAX);
            let damaged = |found: &Found| matches!(found, Found::Damaged { number, fatal: false, .. } if *number == known);
            assert_eq!(found.iter().filter(|found| damaged(found)).count(), 1, "{found:#?}");
            assert!(matches!(found.last(), Some(Found::End(end)) if end.number == number(2)));
        }
    }

    #[test]
    fn what_is_no_matroska_ends_it_with_words_that_say_where() {
        for bytes in [b"{\"message\":\"no\"}".to_vec(), [simple(1, true), vec![0; 20]].concat()] {
            let found = read(Source::Live, &bytes, usize::MAX);
            let Some(Found::Damaged { number: None, why, fatal: true }) = found.last() else {
                panic!("{found:#?}")
            };
            assert!(why.contains("byte"), "{why}");
        }
    }

    #[test]
    fn a_fragment_of_no_frames_is_one() {
        let (_, header) = Writer::new(&Info::default(), &tracks()).unwrap();
        let time = Utc::from_millis(BASE).unwrap();
        let leading = group(&ChunkTag::leading(number(1), time, time));
        let trailing = group(&ChunkTag::trailing(0, (&number(1)).into()));
        let found = read(Source::Live, &[&header[..], &leading, &trailing].concat(), usize::MAX);
        assert!(matches!(&found[..], [Found::Begin(_), Found::End(_)]), "{found:#?}");
    }

    #[test]
    fn the_header_is_the_same_one_until_it_changes() {
        let info = Info { title: "another".into(), ..Info::default() };
        let bytes = [simple(1, true), simple(2, true), chunk(3, &info, BASE, BASE, 1, true)].concat();
        let found = read(Source::Live, &bytes, usize::MAX);
        let header = |found: &Found| {
            if let Found::Begin(head) = found { Some(Arc::clone(&head.header)) } else { None }
        };
        let headers: Vec<_> = found.iter().filter_map(header).collect();
        assert!(Arc::ptr_eq(&headers[0], &headers[1]) && !Arc::ptr_eq(&headers[1], &headers[2]));
    }

    proptest! {
        #[test]
        fn whatever_is_changed_in_it_is_read_or_refused(
            changes in prop::collection::vec((0_usize..2_000, any::<u8>()), 0..8),
            live: bool,
            piece in 1_usize..400,
        ) {
            let source = if live { Source::Live } else { Source::Archive };
            let mut bytes = [simple(1, live), simple(2, live)].concat();
            for (place, value) in changes {
                let length = bytes.len();
                bytes[place % length] = value;
            }
            let found = read(source, &bytes, piece);
            // What begins ends in one way.
            let mut open = false;
            for found in &found {
                match found {
                    Found::Begin(_) => prop_assert!(!std::mem::replace(&mut open, true)),
                    Found::Frame(_) => prop_assert!(open),
                    _ => open = false,
                }
            }
            prop_assert!(!open || matches!(found.last(), Some(Found::Frame(_) | Found::Begin(_))));
        }
    }
}
