//! Any bytes, in any pieces, as the body of PutMedia: the same acks and the same fragments, each fragment a part of what
//! came in, and a document for whoever plays it back.
//!
//! Input: a byte of flags, the body, and a byte for the length of the pieces.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use kvs_media::mkv::{Event, Reader, Tags};
use kvs_media::time::{Monotonic, Utc};
use kvs_service::ingest::{
    Beginning, Fragment, Indexed, Limits, Moment, Opening, Output, Session, Timecodes,
};
use kvs_service::readers::{Chunk, header};
use kvs_wire::{Ack, AckEvent, ErrorId, FragmentNumber};
use libfuzzer_sys::fuzz_target;

const NOT_STORED: ErrorId = ErrorId(5000);
const NOW: Utc = Utc::from_nanos(1_795_145_031_123_456_789);

fn limits() -> Limits {
    Limits { fragment_bytes: 40 << 10, ..Limits::default() }
}

/// A fragment, with what came of it.
#[derive(Debug, PartialEq)]
struct Taken {
    beginning: Beginning,
    bytes: Vec<u8>,
    frames: Vec<Indexed>,
    stored: Option<Fragment>,
}

/// What came of a call.
#[derive(Debug, Default, PartialEq)]
struct Call {
    acks: Vec<Ack>,
    fragments: Vec<Taken>,
    open: bool,
    closed: bool,
    /// What could not be stored.
    failed: Vec<FragmentNumber>,
}

impl Call {
    fn take(&mut self, outputs: &mut Vec<Output>) {
        for output in outputs.drain(..) {
            match output {
                Output::Ack(ack) => {
                    let of_storing = ack.event == AckEvent::Persisted || ack.error_id == Some(NOT_STORED);
                    assert!(!self.closed || of_storing, "{ack} after the end");
                    self.acks.push(ack);
                    continue;
                }
                _ if self.closed => panic!("{output:?} after the end"),
                Output::Begin(beginning) => {
                    assert!(!std::mem::replace(&mut self.open, true));
                    let (bytes, frames) = Default::default();
                    self.fragments.push(Taken { beginning: *beginning, bytes, frames, stored: None });
                }
                Output::Bytes(bytes) => self.growing().bytes.extend_from_slice(&bytes),
                Output::Frame(frame) => self.growing().frames.push(frame),
                Output::Commit(fragment) => {
                    assert_eq!(self.growing().beginning.number, fragment.number);
                    self.growing().stored = Some(fragment);
                    self.open = false;
                }
                Output::Abort(number) => {
                    assert_eq!(self.growing().beginning.number, number);
                    self.open = false;
                }
                Output::Close => self.closed = true,
            }
        }
    }

    fn growing(&mut self) -> &mut Taken {
        assert!(self.open);
        self.fragments.last_mut().unwrap()
    }
}

/// How a call ends.
#[derive(Clone, Copy)]
enum End {
    Whole,
    Broken,
    Idle,
    Old,
    NotStored,
}

fn call(flags: u8, body: &[u8], length: usize) -> Call {
    let opening = Opening {
        timecodes: if flags & 1 == 0 { Timecodes::Absolute } else { Timecodes::Relative(NOW) },
        acks: flags & 2 == 0,
        persists: flags & 4 == 0,
    };
    let end = [End::Whole, End::Broken, End::Idle, End::Old, End::NotStored][usize::from(flags >> 3) % 5];
    let mut session = Session::new(opening, limits(), Monotonic::default());
    let (mut call, mut outputs, mut numbers) = (Call::default(), Vec::new(), 0);
    let now = Moment { utc: NOW, clock: Monotonic::default() };
    for piece in body.chunks(length) {
        let number = |utc| {
            numbers += 1;
            FragmentNumber::make(numbers, utc, 7)
        };
        session.bytes(&Bytes::copy_from_slice(piece), now, number, &mut outputs);
        call.take(&mut outputs);
        assert_eq!(session.deadline().is_none(), call.closed);
    }
    let stored: Vec<_> = call.fragments.iter().filter_map(|taken| taken.stored.clone()).collect();
    if let (End::NotStored, Some(fragment)) = (end, stored.first().filter(|_| opening.persists)) {
        session.failed(&fragment.number, NOT_STORED, &mut outputs);
        call.failed.push(fragment.number.clone());
    }
    match end {
        End::Whole | End::NotStored => session.finish(&mut outputs),
        End::Broken => session.disconnect(&mut outputs),
        End::Idle => session.poll(Monotonic::default().saturating_add(limits().idle), &mut outputs),
        End::Old => {
            session.poll(Monotonic::default().saturating_add(limits().session_duration), &mut outputs);
        }
    }
    call.take(&mut outputs);
    assert!(!call.open && (call.closed || matches!(end, End::Broken)) && session.deadline().is_none());
    // Nothing is taken any more.
    session.bytes(&Bytes::copy_from_slice(body), now, |_| unreachable!(), &mut outputs);
    session.finish(&mut outputs);
    session.poll(Monotonic::default().saturating_add(Duration::from_secs(100_000)), &mut outputs);
    assert!(outputs.is_empty(), "{outputs:?}");
    let stored: Vec<_> = call.fragments.iter().filter_map(|taken| taken.stored.clone()).collect();
    let storing = if opening.persists { stored.len() - call.failed.len() } else { 0 };
    assert_eq!(session.storing(), storing);
    for (index, fragment) in stored.iter().enumerate() {
        // The last of several comes to nothing, behind the end.
        if opening.persists && index > 0 && index + 1 == stored.len() {
            session.failed(&fragment.number, NOT_STORED, &mut outputs);
            call.failed.push(fragment.number.clone());
        } else {
            session.persisted(&fragment.number, &mut outputs);
        }
        call.take(&mut outputs);
    }
    assert_eq!(session.storing(), 0);
    call
}

/// Acks of a fragment come in their order, and fragments one after another.
fn check_acks(call: &Call, flags: u8) {
    if flags & 2 != 0 {
        // A producer that wants to hear nothing hears why it is refused.
        let refusals = call.acks.iter().all(|ack| ack.event == AckEvent::Error);
        return assert!(refusals && call.acks.len() <= 1 + call.failed.len());
    }
    let (mut buffering, mut received, mut persisted) = (Vec::new(), Vec::new(), Vec::new());
    for ack in &call.acks {
        assert_eq!(Ack::read(ack.to_string().as_bytes()).as_ref(), Ok(ack));
        let number = ack.fragment_number.clone();
        match ack.event {
            AckEvent::Buffering => {
                assert_eq!(buffering.len(), received.len());
                buffering.push(number);
            }
            AckEvent::Received => received.push(number),
            AckEvent::Persisted => persisted.push(number),
            AckEvent::Error if ack.error_id == Some(NOT_STORED) => {
                assert!(call.failed.iter().any(|failed| number.as_ref() == Some(failed)));
            }
            AckEvent::Error => assert!(number.is_none() || buffering.last() == Some(&number)),
            AckEvent::Idle => {}
        }
    }
    let stored = call.fragments.iter().filter_map(|taken| taken.stored.as_ref());
    let mut stored: Vec<_> = stored.map(|fragment| Some(fragment.number.clone())).collect();
    assert!(buffering.starts_with(&received) && received == stored);
    stored.retain(|number| {
        flags & 4 == 0 && number.as_ref().is_some_and(|number| !call.failed.contains(number))
    });
    assert_eq!(persisted, stored);
    let errors = call.acks.iter().filter(|ack| ack.event == AckEvent::Error).count();
    assert!(errors <= 1 + call.failed.len());
}

fn check_fragments(call: &Call, mut body: &[u8]) {
    let limits = limits();
    let mut before = None;
    for Taken { beginning, bytes, frames, stored } in &call.fragments {
        // In their order, each a piece of what came in.
        let at =
            if bytes.is_empty() { Some(0) } else { body.windows(bytes.len()).position(|part| part == bytes) };
        body = &body[at.expect("bytes that nobody sent") + bytes.len()..];
        let pairs: usize = beginning.tags.iter().flat_map(|tags| &tags.tags).map(|tag| tag.pairs.len()).sum();
        assert!(beginning.tags.len() <= limits.tags && pairs <= limits.tags, "{:?}", beginning.tags);
        assert!(beginning.header.tracks.len() <= limits.tracks);
        let times = frames.iter().map(|frame| frame.timecode);
        assert!(before.is_none_or(|(cluster, latest)| {
            cluster < beginning.timecode && (stored.is_none() || times.clone().all(|time| latest < time))
        }));
        assert!(bytes.len() as u64 <= limits.fragment_bytes + 12, "too much has gone out");
        let Some(fragment) = stored else { continue };
        before = Some((beginning.timecode, times.max().unwrap()));
        assert_eq!((fragment.bytes, fragment.frames), (bytes.len() as u64, frames.len() as u64));
        assert!(fragment.bytes <= limits.fragment_bytes && fragment.length <= limits.fragment_duration);
        for track in &beginning.header.tracks {
            assert!(frames.iter().any(|frame| frame.track == track.number));
        }
        let mut end = 0;
        for frame in frames {
            assert!(end <= frame.offset && frame.offset + frame.size <= fragment.bytes);
            // Laces share a time, and stand behind each other.
            end = frame.offset + frame.size;
        }
        play_back(beginning, bytes, frames);
    }
}

/// The fragment as GetMedia gives it is a document with the same frames and tags.
fn play_back(beginning: &Beginning, bytes: &[u8], frames: &[Indexed]) {
    let raw: Vec<u8> = beginning.tags.iter().flat_map(|tags| tags.raw.iter().copied()).collect();
    let chunk = Chunk {
        header: &header(&beginning.header),
        tags: &raw,
        number: &beginning.number,
        server_time: beginning.server_time,
        producer_time: beginning.producer_time,
    };
    let end = Chunk::end(7, beginning.number.as_str().parse().unwrap());
    let mut rest: Bytes = [&chunk.beginning(), bytes, &end].concat().into();
    let (mut reader, mut found, mut tags) = (Reader::default(), Vec::new(), Vec::<Tags>::new());
    let mut take = |event| match event {
        Event::Document(header) => assert_eq!(header.tracks, beginning.header.tracks),
        Event::Frame(frame) => found.push((frame.head.track, frame.head.timecode, frame.payload)),
        Event::Tags(group) => tags.push(group),
        _ => {}
    };
    while let Some(event) = reader.read(&mut rest).unwrap() {
        take(event);
    }
    while let Some(event) = reader.finish().unwrap() {
        take(event);
    }
    let payload = |frame: &Indexed| {
        let start = usize::try_from(frame.offset).unwrap();
        Bytes::copy_from_slice(&bytes[start..start + usize::try_from(frame.size).unwrap()])
    };
    let sent: Vec<_> = frames.iter().map(|frame| (frame.track, frame.timecode, payload(frame))).collect();
    assert_eq!(found, sent);
    // The service's own stand around the cluster.
    assert_eq!(tags.len(), beginning.tags.len() + 2);
    assert!(tags.iter().zip(&beginning.tags).all(|(found, sent)| found.tags == sent.tags));
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, body)) = data.split_first() else { return };
    let Some((length, body)) = body.split_last() else { return };
    let [whole, pieces] = [usize::MAX, usize::from(*length) + 1].map(|length| {
        let mut call = call(*flags, body, length);
        check_acks(&call, *flags);
        check_fragments(&call, body);
        // How much of it went out before it was refused is chance.
        call.fragments
            .iter_mut()
            .filter(|taken| taken.stored.is_none())
            .for_each(|taken| taken.bytes.clear());
        call
    });
    assert_eq!(pieces, whole);
});
