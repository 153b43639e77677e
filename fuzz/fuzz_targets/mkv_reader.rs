//! Any bytes, in any pieces: the same events and the same error, and never more held than the limits allow.
#![no_main]

use bytes::Bytes;
use kvs_media::mkv::{Delivery, Event, Frame, FrameHead, Limits, ReadError, Reader};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits =
    Limits { header_bytes: 16 << 10, tags_bytes: 4 << 10, frame_bytes: 32 << 10, tracks: 8, tags: 50 };

fn read(bytes: &Bytes, delivery: Delivery, length: usize) -> (Vec<Event>, Result<(), ReadError>) {
    let mut reader = Reader::new(LIMITS, delivery);
    let (mut rest, mut events) = (bytes.clone(), Vec::new());
    while !rest.is_empty() {
        let mut piece = rest.split_to(length.min(rest.len()));
        loop {
            match reader.read(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
        assert!(piece.is_empty());
    }
    assert_eq!(reader.offset(), bytes.len() as u64);
    loop {
        match reader.finish() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, Ok(())),
            Err(error) => return (events, Err(error)),
        }
    }
}

/// Frames of events that came in parts; the last may lack its end.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let (mut joined, mut open) = (Vec::new(), None::<(FrameHead, Vec<u8>)>);
    for event in events {
        match event {
            Event::FrameStart(head) => assert!(open.replace((head, Vec::new())).is_none()),
            Event::FramePart(part) => open.as_mut().unwrap().1.extend_from_slice(&part),
            Event::FrameEnd => {
                let (head, payload) = open.take().unwrap();
                assert_eq!(head.size, payload.len() as u64);
                joined.push(Event::Frame(Frame { head, payload: payload.into() }));
            }
            other => joined.push(other),
        }
    }
    joined
}

fuzz_target!(|data: &[u8]| {
    let Some((length, _)) = data.split_last() else { return };
    let (length, bytes) = (usize::from(*length) + 1, Bytes::copy_from_slice(data));
    let whole = read(&bytes, Delivery::Whole, usize::MAX);
    assert_eq!(read(&bytes, Delivery::Whole, length), whole);
    let (parts, result) = read(&bytes, Delivery::Parts, length);
    assert_eq!((joined(parts), result), whole);
    for event in whole.0 {
        if let Event::Frame(Frame { head, payload }) = event {
            let start = usize::try_from(head.offset).unwrap();
            assert_eq!(bytes[start..start + payload.len()], payload);
        }
    }
});
