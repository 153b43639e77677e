//! PutMedia calls through the session machine: what is acknowledged, stored and refused.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use bytes::Bytes;
use kvs_media::mkv::{Block, Event, Info, Reader, Tag, Writer};
use kvs_media::time::{Monotonic, Timecode, TimecodeScale, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_service::ingest::{
    Beginning, Fragment, Indexed, Limits, Moment, Opening, Output, Session, Timecodes,
};
use kvs_wire::{AckEvent, ErrorId, FragmentNumber};
use proptest::prelude::*;

const VIDEO: TrackNumber = TrackNumber(1);
const AUDIO: TrackNumber = TrackNumber(2);
/// 2026-11-20, in milliseconds.
const BASE: i64 = 1_795_145_031_000;

/// The calls of a writer, as bytes.
struct Body {
    writer: Writer,
    bytes: Vec<u8>,
}

impl Body {
    fn new(tracks: u64) -> Self {
        Self::with_info(tracks, &Info::default())
    }

    fn with_info(tracks: u64, info: &Info) -> Self {
        let tracks: Vec<Track> =
            (1..=tracks).map(|number| Track::new(TrackNumber(number), TrackKind::Video, "V_VP8")).collect();
        let (writer, header) = Writer::new(info, &tracks).unwrap();
        Self { writer, bytes: header.to_vec() }
    }

    fn cluster(mut self, ticks: i64) -> Self {
        let head = self.writer.cluster(Timecode::from_ticks(ticks)).unwrap();
        self.bytes.extend_from_slice(&head);
        self
    }

    fn frame(mut self, track: TrackNumber, ticks: i64, key: bool, payload: &[u8]) -> Self {
        let block = Block { key, ..Block::new(track, Timecode::from_ticks(ticks)) };
        let head = self.writer.frame(block, payload.len()).unwrap();
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(payload);
        self
    }

    fn tag(mut self, name: &str, value: &str) -> Self {
        let tags = self.writer.tags(&[Tag::text(name, value)]);
        self.bytes.extend_from_slice(&tags);
        self
    }

    fn marker(mut self) -> Self {
        let marker = self.writer.end_of_fragment();
        self.bytes.extend_from_slice(&marker);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
}

/// Two fragments of a second, of two tracks.
fn good() -> Body {
    let mut body = Body::new(2);
    for second in [0, 1_000] {
        body = body.cluster(BASE + second).frame(VIDEO, BASE + second, true, b"key");
        body = body.frame(AUDIO, BASE + second + 10, true, b"sound").frame(
            VIDEO,
            BASE + second + 500,
            false,
            b"",
        );
    }
    body
}

/// What came of a call.
#[derive(Debug, Default, PartialEq)]
struct Call {
    /// Event, timecode less the base, error id.
    acks: Vec<(AckEvent, Option<i64>, Option<ErrorId>)>,
    begun: Vec<Beginning>,
    stored: Vec<(Fragment, Vec<u8>, Vec<Indexed>)>,
    aborted: Vec<FragmentNumber>,
    closed: bool,
    open: Option<(Vec<u8>, Vec<Indexed>)>,
}

impl Call {
    fn take(&mut self, out: &mut Vec<Output>) {
        for output in out.drain(..) {
            match output {
                Output::Ack(ack) => {
                    // Only what was being stored is still answered for after the end.
                    let stored = ack.event == AckEvent::Persisted || ack.error_id == Some(ErrorId(5001));
                    assert!(!self.closed || stored, "{ack:?} after the end");
                    self.acks.push((ack.event, ack.fragment_timecode.map(|ms| ms - BASE), ack.error_id));
                }
                Output::Begin(beginning) => {
                    assert!(self.open.replace(Default::default()).is_none());
                    self.begun.push(*beginning);
                }
                Output::Bytes(bytes) => self.open.as_mut().unwrap().0.extend_from_slice(&bytes),
                Output::Frame(frame) => self.open.as_mut().unwrap().1.push(frame),
                Output::Commit(fragment) => {
                    let (bytes, frames) = self.open.take().unwrap();
                    assert_eq!(self.begun.last().unwrap().number, fragment.number);
                    self.stored.push((fragment, bytes, frames));
                }
                Output::Abort(number) => {
                    assert!(self.open.take().is_some());
                    self.aborted.push(number);
                }
                Output::Close => assert!(!std::mem::replace(&mut self.closed, true)),
            }
        }
    }

    fn refusal(&self) -> Option<u32> {
        self.acks.iter().find_map(|ack| ack.2).map(|id| id.0)
    }
}

fn moment(ms: i64) -> Moment {
    let utc = Utc::from_millis(BASE + 5_000 + ms).unwrap();
    Moment { utc, clock: Monotonic::from_nanos(ms.unsigned_abs() * 1_000_000) }
}

const OPENING: Opening = Opening { timecodes: Timecodes::Absolute, acks: true, persists: true };

struct Driver {
    session: Session,
    call: Call,
    out: Vec<Output>,
    sequence: u64,
}

impl Driver {
    fn new(opening: Opening) -> Self {
        let session = Session::new(opening, Limits::default(), Monotonic::default());
        Self { session, call: Call::default(), out: Vec::new(), sequence: 0 }
    }

    fn bytes(&mut self, piece: &[u8], now: i64) {
        let number = |utc| {
            self.sequence += 1;
            FragmentNumber::make(self.sequence, utc, 7)
        };
        self.session.bytes(&Bytes::copy_from_slice(piece), moment(now), number, &mut self.out);
        self.settle();
    }

    fn settle(&mut self) {
        self.call.take(&mut self.out);
    }

    fn finish(mut self) -> Call {
        self.session.finish(&mut self.out);
        self.settle();
        self.call
    }
}

fn call(body: &[u8], pieces: impl IntoIterator<Item = usize>) -> Call {
    let mut driver = Driver::new(OPENING);
    let mut rest = body;
    for length in pieces {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        driver.bytes(piece, 0);
        rest = behind;
    }
    driver.bytes(rest, 0);
    driver.finish()
}

fn whole(body: &Body) -> Call {
    call(&body.bytes, [])
}

#[test]
fn each_fragment_is_buffered_received_and_stored_as_it_was_sent() {
    use AckEvent::{Buffering, Received};
    let body = good().bytes;
    let call = call(&body, []);
    let acks = [(Buffering, 0), (Received, 0), (Buffering, 1_000), (Received, 1_000)];
    assert_eq!(call.acks, acks.map(|(event, ms)| (event, Some(ms), None)));
    assert!(call.closed && call.aborted.is_empty());
    let ids = body.windows(4).enumerate().filter(|(_, id)| *id == [0x1F, 0x43, 0xB6, 0x75]);
    let clusters: Vec<usize> = ids.map(|(at, _)| at).chain([body.len()]).collect();
    for (index, (fragment, bytes, frames)) in call.stored.iter().enumerate() {
        assert_eq!(bytes[..], body[clusters[index]..clusters[index + 1]]);
        assert_eq!((fragment.bytes, fragment.frames), (bytes.len() as u64, 3));
        assert_eq!(fragment.length, Duration::from_millis(500));
        for (frame, payload) in frames.iter().zip([&b"key"[..], b"sound", b""]) {
            let start = usize::try_from(frame.offset).unwrap();
            assert_eq!(bytes[start..start + usize::try_from(frame.size).unwrap()], *payload);
        }
        assert_eq!(frames.iter().map(|frame| frame.key).collect::<Vec<_>>(), [true, true, false]);
        let begun = &call.begun[index];
        let second = i64::try_from(index).unwrap() * 1_000;
        assert_eq!(begun.producer_time, Utc::from_millis(BASE + second).unwrap());
        assert_eq!(begun.server_time, moment(0).utc);
        assert_eq!(begun.header.raw[..], body[..clusters[0]]);
    }
}

#[test]
fn received_is_said_when_the_next_element_begins_and_not_before() {
    let body = good().marker().bytes;
    let mut driver = Driver::new(OPENING);
    let marker = body.windows(4).rposition(|id| id == [0x12, 0x54, 0xC3, 0x67]).unwrap();
    driver.bytes(&body[..marker + 4], 0);
    assert_eq!(driver.call.stored.len(), 1);
    // With its size the head of the marker is complete.
    driver.bytes(&body[marker + 4..marker + 5], 0);
    let (fragment, bytes, _) = &driver.call.stored[1];
    // Nothing of it is in the fragment.
    assert!(body[..marker].ends_with(bytes) && bytes.len() as u64 == fragment.bytes);
}

#[test]
fn relative_times_count_from_the_start_that_the_producer_gave() {
    let body = Body::new(1).cluster(5_000).frame(VIDEO, 5_000, true, b"x");
    let start = Utc::from_millis(BASE).unwrap();
    let mut driver = Driver::new(Opening { timecodes: Timecodes::Relative(start), ..OPENING });
    driver.bytes(&body.bytes, 0);
    let call = driver.finish();
    assert_eq!(call.begun[0].producer_time, Utc::from_millis(BASE + 5_000).unwrap());
    // Acks name the timecode as it was sent.
    assert_eq!(call.acks[0].1, Some(5_000 - BASE));
}

#[test]
fn tags_belong_to_the_cluster_behind_them() {
    let body = Body::new(1).tag("a", "1").tag("b", "2").cluster(0).frame(VIDEO, 0, true, b"");
    let body = body.tag("c", "3").cluster(10).frame(VIDEO, 10, true, b"").marker();
    let call = whole(&body.cluster(20).frame(VIDEO, 20, true, b""));
    let names: Vec<Vec<String>> = call
        .begun
        .iter()
        .map(|begun| begun.tags.iter().map(|tags| tags.tags[0].pairs[0].name.clone()).collect())
        .collect();
    assert_eq!(names, [vec!["a", "b"], vec!["c"], vec![]]);
}

#[test]
fn a_commanded_refusal_strikes_its_fragment_in_whatever_pieces_it_comes() {
    let body = good();
    for length in [1, 7, body.bytes.len()] {
        let mut driver = Driver::new(OPENING);
        driver.session = driver.session.refusing(Some((2, ErrorId(4500))));
        body.bytes.chunks(length).for_each(|piece| driver.bytes(piece, 0));
        let call = driver.finish();
        let second = |event, id| (event, Some(1_000), id);
        assert_eq!(
            call.acks[2..],
            [second(AckEvent::Buffering, None), second(AckEvent::Error, Some(ErrorId(4500)))]
        );
        assert!(call.stored.len() == 1 && call.closed && call.aborted.is_empty());
    }
}

#[test]
fn every_fault_has_its_id_and_costs_no_earlier_fragment() {
    let at = |ms| BASE + ms;
    let third = |body: Body| body.cluster(at(2_000)).frame(VIDEO, at(2_000), true, b"x");
    let tagged = |count: usize| (0..count).fold(good(), |body, index| body.tag(&format!("t{index}"), "v"));
    let seconds = Info { scale: TimecodeScale::from_nanos(1_000_000_000).unwrap(), ..Info::default() };
    let end_of_time = [0x1F, 0x43, 0xB6, 0x75, 0xFF, 0xE7, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0x84, 0, 0, 1];
    // A fragment of which twelve bytes are missing, and one with 70 KB in front of its time.
    let time = at(2_000).to_be_bytes();
    let known = [&[0x1F, 0x43, 0xB6, 0x75, 0x98, 0xE7, 0x88][..], &time, &[0xEC, 0x80]].concat();
    let void = [&[0x1F, 0x43, 0xB6, 0x75, 0xFF, 0xEC, 0x10, 0x01, 0x11, 0x70][..], &[0; 70_000]].concat();
    let rows: Vec<(&str, Body, u32, usize)> = vec![
        ("a millisecond over 20 s", third(good()).frame(AUDIO, at(22_001), true, b""), 4002, 2),
        ("a cluster not later", good().cluster(at(1_000)).frame(VIDEO, at(1_600), true, b""), 4004, 2),
        (
            "a frame at the end of the one before",
            good().cluster(at(1_500)).frame(VIDEO, at(1_500), true, b""),
            4004,
            2,
        ),
        ("a frame before it", good().cluster(at(1_600)).frame(VIDEO, at(1_400), true, b""), 4004, 2),
        ("four tracks", third(Body::new(4)), 4005, 0),
        ("no tracks", Body::new(0).raw(&[0x1F, 0x43, 0xB6, 0x75, 0xFF, 0xE7, 0x81, 0]), 4006, 0),
        ("a second document", good().raw(&Body::new(1).bytes), 4006, 2),
        ("a second segment", good().raw(&[0x18, 0x53, 0x80, 0x67, 0xFF]), 4006, 2),
        ("bytes that are no element", good().cluster(at(2_000)).raw(&[0; 9]), 4006, 2),
        ("a cluster of known size, cut", good().raw(&known).raw(&Body::new(1).bytes), 4006, 2),
        ("a cluster that does not come to its time", good().raw(&void), 4006, 2),
        ("no Matroska at all", Body { bytes: b"GET / HTTP/1.1".to_vec(), ..Body::new(1) }, 4006, 0),
        ("a frame that is cut", good().cluster(at(2_000)).raw(&[0xA3, 0x90, 0x81]), 4006, 2),
        ("a time beyond 63 bits", good().raw(&end_of_time), 4007, 2),
        ("a time beyond the calendar", Body::with_info(1, &seconds).cluster(i64::MAX - 1), 4007, 0),
        ("eleven tags", third(tagged(11)), 4009, 2),
        ("a name of 129 bytes", third(good().tag(&"n".repeat(129), "v")), 4009, 2),
        ("a value of 257 bytes", third(good().tag("n", &"v".repeat(257))), 4009, 2),
        ("a frame of no track", good().cluster(at(2_000)).raw(&[0xA3, 0x84, 0x89, 0, 0, 0x80]), 4010, 2),
        ("a track without frame", third(good()).marker(), 4011, 2),
        ("a fragment without frames", good().cluster(at(2_000)).marker(), 4011, 2),
        ("a track without frame at the end", third(good()), 4011, 2),
        ("a name of the service", third(good().tag("AWS_KINESISVIDEO_FRAGMENT_NUMBER", "9")), 4012, 2),
    ];
    for (name, body, id, stored) in rows {
        let found = whole(&body);
        assert_eq!((found.refusal(), found.stored.len()), (Some(id), stored), "{name}: {:?}", found.acks);
        assert!(found.closed && found.open.is_none(), "{name}");
        assert_eq!(
            call(&body.bytes, std::iter::repeat_n(1, body.bytes.len())),
            found,
            "{name}, byte by byte"
        );
    }
}

#[test]
fn what_is_at_a_limit_is_taken() {
    let long = |body: Body, index| body.tag(&format!("{index}{}", "n".repeat(127)), &"v".repeat(256));
    let third = |body: Body, end| {
        body.cluster(BASE + 2_000).frame(VIDEO, BASE + 2_000, true, b"").frame(AUDIO, BASE + end, true, b"")
    };
    let call = whole(&third((0..10).fold(good(), long), 22_000).marker());
    assert_eq!((call.refusal(), call.stored.len()), (None, 3));
    assert_eq!(call.stored[2].0.length, Duration::from_secs(20));
    // Ten for each fragment.
    let body = third((0..10).fold(good(), long), 2_010);
    let body = (0..10).fold(body, long).cluster(BASE + 3_000).frame(VIDEO, BASE + 3_000, true, b"");
    assert_eq!(whole(&body.frame(AUDIO, BASE + 3_000, true, b"")).stored.len(), 4);
    // Those of the service's family that a producer sends.
    let names = ["AWS_KINESISVIDEO_IMAGE_GENERATION", "AWS_KINESISVIDEO_NOTIFICATION"];
    let body = names.into_iter().fold(good(), |body, name| body.tag(name, ""));
    assert_eq!(whole(&third(body, 2_000)).refusal(), None);
}

#[test]
fn a_fragment_over_fifty_million_bytes_is_refused() {
    let megabytes = vec![7; 10_000_000];
    let mut body = Body::new(1).cluster(0);
    for index in 0..5 {
        body = body.frame(VIDEO, index, true, &megabytes);
    }
    assert_eq!(whole(&body).refusal(), Some(4001));
    // A frame that only says that it is so large.
    let body = Body::new(1).cluster(0).raw(&[0xA3, 0x13, 0x00, 0x00, 0x00]);
    assert_eq!(whole(&body).refusal(), Some(4001));
}

#[test]
fn persisted_is_said_once_for_each_fragment_also_after_the_end() {
    let mut driver = Driver::new(OPENING);
    driver.bytes(&good().marker().bytes, 0);
    let numbers: Vec<FragmentNumber> =
        driver.call.stored.iter().map(|stored| stored.0.number.clone()).collect();
    assert_eq!(driver.session.storing(), 2);
    for number in [&numbers[0], &numbers[0]] {
        driver.session.persisted(number, &mut driver.out);
    }
    driver.session.finish(&mut driver.out);
    driver.session.persisted(&numbers[1], &mut driver.out);
    driver.settle();
    let persisted: Vec<_> = driver.call.acks.iter().filter(|ack| ack.0 == AckEvent::Persisted).collect();
    assert_eq!(persisted.iter().map(|ack| ack.1).collect::<Vec<_>>(), [Some(0), Some(1_000)]);
    assert!(driver.call.closed && driver.session.storing() == 0);
}

#[test]
fn a_fragment_that_cannot_be_stored_ends_the_session_with_its_id() {
    let mut driver = Driver::new(OPENING);
    driver.bytes(&good().bytes, 0);
    let number = driver.call.stored[0].0.number.clone();
    driver.session.failed(&number, ErrorId(5001), &mut driver.out);
    driver.settle();
    assert_eq!(driver.call.acks.last(), Some(&(AckEvent::Error, Some(0), Some(ErrorId(5001)))));
    assert!(driver.call.closed && driver.call.aborted.len() == 1);
    driver.bytes(&good().bytes, 0);
    assert_eq!(driver.call.acks.len(), 4);
}

#[test]
fn a_fragment_that_cannot_be_stored_after_the_end_is_refused_and_nothing_ends_twice() {
    let mut driver = Driver::new(OPENING);
    driver.bytes(&good().marker().bytes, 0);
    driver.session.finish(&mut driver.out);
    let number = driver.call.stored[1].0.number.clone();
    driver.session.failed(&number, ErrorId(5001), &mut driver.out);
    // A second end would panic here.
    driver.settle();
    assert_eq!(driver.call.acks.last(), Some(&(AckEvent::Error, Some(1_000), Some(ErrorId(5001)))));
    assert!(driver.call.closed && driver.call.aborted.is_empty());
}

#[test]
fn tags_elements_without_a_tag_are_not_kept() {
    let empty = [0x12, 0x54, 0xC3, 0x67, 0x82, 0xEC, 0x80];
    let body = Body::new(1).tag("a", "1").raw(&empty.repeat(1_000)).cluster(0).frame(VIDEO, 0, true, b"");
    let call = whole(&body);
    assert_eq!((call.refusal(), call.begun[0].tags.len()), (None, 1));
}

#[test]
fn a_cluster_is_refused_as_soon_as_it_is_too_large_whatever_is_in_it() {
    let limits = Limits { fragment_bytes: 1_000, ..Limits::default() };
    let void =
        |size: u16| [&[0xEC, 0x40 | size.to_be_bytes()[0], size.to_be_bytes()[1]][..], &[0; 5_000]].concat();
    let body = Body::new(1).cluster(0).frame(VIDEO, 0, true, b"x").raw(&void(5_000)).raw(&[0xFF; 9]).bytes;
    for length in [1, 7, 100, body.len()] {
        let mut driver = Driver::new(OPENING);
        driver.session = Session::new(OPENING, limits, Monotonic::default());
        let mut sent = 0;
        for piece in body.chunks(length) {
            driver.bytes(piece, 0);
            sent = driver.call.open.as_ref().map_or(sent, |open| open.0.len());
        }
        assert_eq!(driver.call.refusal(), Some(4001), "in pieces of {length}");
        assert!(sent <= 1_012, "{sent} bytes went out");
    }
}

#[test]
fn the_head_of_a_cluster_is_too_long_in_whatever_pieces_it_comes() {
    let cluster = |bytes: u32| {
        let size = (bytes | 1 << 28).to_be_bytes();
        let mut head = [&[0x1F, 0x43, 0xB6, 0x75, 0xFF, 0xEC][..], &size].concat();
        head.resize(head.len() + bytes as usize, 0);
        // The time, and a frame.
        head.extend_from_slice(&[0xE7, 0x81, 9, 0xA3, 0x84, 0x81, 0, 0, 0x80]);
        Body::new(1).raw(&head).bytes
    };
    for (bytes, refusal) in [(65_000, None), (66_000, Some(4006))] {
        let body = cluster(bytes);
        for length in [100, 70_000, body.len()] {
            assert_eq!(
                call(&body, std::iter::repeat_n(length, 1_000)).refusal(),
                refusal,
                "{bytes} in {length}"
            );
        }
    }
}

#[test]
fn without_retention_nothing_is_persisted_and_without_acks_only_a_refusal_is_said() {
    let mut driver = Driver::new(Opening { persists: false, ..OPENING });
    driver.bytes(&good().bytes, 0);
    assert_eq!((driver.session.storing(), driver.call.stored.len()), (0, 1));
    let mut driver = Driver::new(Opening { acks: false, ..OPENING });
    driver.bytes(&good().cluster(0).bytes, 0);
    assert_eq!(driver.call.acks, [(AckEvent::Error, Some(-BASE), Some(ErrorId(4004)))]);
    assert!(driver.call.closed && driver.call.stored.len() == 2);
}

#[test]
fn silence_brings_idle_acks_and_then_the_end_and_loses_no_whole_fragment() {
    let mut driver = Driver::new(OPENING);
    driver.bytes(&good().bytes, 1_000);
    let mut times = Vec::new();
    while let Some(deadline) = driver.session.deadline() {
        times.push(deadline.nanos() / 1_000_000);
        driver.session.poll(deadline, &mut driver.out);
        driver.settle();
    }
    assert_eq!(times, [6_000, 11_000, 16_000, 21_000, 26_000, 31_000]);
    let idle = driver.call.acks.iter().filter(|ack| ack.0 == AckEvent::Idle).count();
    assert_eq!((idle, driver.call.stored.len(), driver.call.closed), (5, 2, true));
    assert_eq!(driver.call.refusal(), None);
}

#[test]
fn an_old_session_ends_with_4003_and_the_open_fragment_is_forgotten() {
    let mut driver = Driver::new(OPENING);
    driver.bytes(&good().bytes, 2_699_000);
    assert_eq!(driver.session.deadline(), Some(moment(2_700_000).clock));
    driver.session.poll(moment(2_699_999).clock, &mut driver.out);
    driver.settle();
    assert!(!driver.call.closed);
    driver.session.poll(moment(2_700_000).clock, &mut driver.out);
    driver.settle();
    let Call { stored, aborted, closed, .. } = &driver.call;
    assert_eq!((driver.call.refusal(), stored.len(), aborted.len(), *closed), (Some(4003), 1, 1, true));
}

#[test]
fn a_broken_connection_costs_what_is_not_complete() {
    let mut driver = Driver::new(OPENING);
    driver.bytes(&good().bytes, 0);
    driver.session.disconnect(&mut driver.out);
    driver.settle();
    assert_eq!((driver.call.stored.len(), driver.call.aborted.len()), (1, 1));
    assert!(!driver.call.closed && driver.session.deadline().is_none());
}

type SomeFragment = (usize, Vec<(u64, i64, Vec<u8>)>);

fn some_fragment() -> impl Strategy<Value = SomeFragment> {
    let payload = proptest::collection::vec(any::<u8>(), 0..300);
    (0_usize..3, proptest::collection::vec((1_u64..=2, 0_i64..400, payload), 0..8))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pieces_in_which_a_body_comes_change_nothing(
        fragments in proptest::collection::vec(some_fragment(), 0..5),
        marked in any::<bool>(),
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        pieces in proptest::collection::vec(1_usize..200, 1..50),
    ) {
        let mut body = Body::new(2);
        for (second, (tags, frames)) in (0..).zip(fragments) {
            let start = BASE + second * 1_000;
            for index in 0..tags {
                body = body.tag(&format!("t{index}"), "v");
            }
            body = body.cluster(start).frame(VIDEO, start, true, b"k").frame(AUDIO, start + 1, true, b"s");
            for (track, offset, payload) in frames {
                body = body.frame(TrackNumber(track), start + 1 + offset, false, &payload);
            }
        }
        let mut bytes = if marked { body.marker() } else { body }.bytes;
        if let Some((index, value)) = damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let one = call(&bytes, []);
        prop_assert_eq!(&call(&bytes, pieces.into_iter().cycle().take(bytes.len())), &one);
        // What was stored is read as what was indexed.
        for (fragment, cluster, frames) in &one.stored {
            let begun = one.begun.iter().find(|begun| begun.number == fragment.number).unwrap();
            let mut rest = Bytes::from([&begun.header.raw[..], cluster].concat());
            let (mut reader, mut found) = (Reader::default(), 0);
            while let Some(event) = reader.read(&mut rest).unwrap() {
                let Event::Frame(frame) = event else { continue };
                let indexed = frames[found];
                prop_assert_eq!((frame.head.track, frame.head.timecode), (indexed.track, indexed.timecode));
                prop_assert_eq!(frame.head.key, indexed.key);
                let start = usize::try_from(indexed.offset).unwrap();
                prop_assert_eq!(&cluster[start..start + frame.payload.len()], &frame.payload[..]);
                found += 1;
            }
            prop_assert_eq!(found, frames.len());
        }
    }
}
