//! Any access units and private data, one after another: a change is told when the private data is another and only
//! then, what is refused changes nothing, and what is yielded reads back as the same sets.
//!
//! Input: a byte for the codec; then pieces, each of a kind (0: Annex B, 1 to 4: length-prefixed, 5: private data, 6: the
//! beginning of a unit of 60 kB), a length of two bytes, and so many bytes.
#![no_main]

use bytes::Bytes;
use kvs_media::codec::{Codec, CodecError, Form, LengthSize, ParameterSets};
use libfuzzer_sys::fuzz_target;

/// What sets may take together, and a record around them.
const MOST: usize = (256 << 10) + (8 << 10);
/// Enough for any order of events, and not too many for the time limit.
const MOST_PIECES: usize = 64;

fn piece<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[kind, high, low], tail) = rest.split_first_chunk::<3>()?;
    let len = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
    let (data, tail) = tail.split_at(len);
    *rest = tail;
    Some((kind % 7, data))
}

fuzz_target!(|input: &[u8]| {
    let Some((codec, mut rest)) = input.split_first() else { return };
    let codec = [Codec::H264, Codec::H265, Codec::Av1][usize::from(codec % 3)];
    let mut sets = ParameterSets::of(codec).unwrap();
    // Knows what was yielded, and nothing else.
    let mut mirror = ParameterSets::of(codec).unwrap();
    let mut yielded = sets.codec_private();
    let mut untold = false;
    for (kind, data) in std::iter::from_fn(|| piece(&mut rest)).take(MOST_PIECES) {
        let result = match kind {
            0 => sets.push(data, Form::AnnexB).map(|fed| fed.changed),
            1..=4 => sets
                .push(data, Form::LengthPrefixed(LengthSize::from_minus_one(kind - 1)))
                .map(|fed| fed.changed),
            6 => {
                sets.push(&[&[0, 0, 1], data, &[0xff; 60_000]].concat(), Form::AnnexB).map(|fed| fed.changed)
            }
            _ => sets.push_private(&Bytes::copy_from_slice(data)),
        };
        let now = sets.codec_private();
        match result {
            Err(_) => assert_eq!(now, yielded, "what is refused has changed something"),
            Ok(false) if kind != 5 => assert_eq!(now, yielded, "an unsaid change"),
            // The same sets can stand in other private data.
            Ok(changed) => untold |= changed,
        }
        if result == Ok(true) {
            assert!(now.is_err() || now != yielded, "a change, and the private data is the same");
        }
        match &now {
            Ok(private) => {
                assert!(sets.is_complete() && sets.picture().is_ok() && private.len() <= MOST);
                let was_complete = yielded.is_ok();
                let mirrored = mirror.push_private(private).unwrap();
                assert!(untold || !mirrored);
                if was_complete {
                    assert_eq!(mirrored, untold, "the sets do not survive the private data");
                }
                untold = false;
            }
            Err(CodecError::MissingPrivate) => assert!(!sets.is_complete()),
            // More sets than a record can count.
            Err(error) => assert!(matches!(error, CodecError::Value { .. }), "{error}"),
        }
        yielded = now;
    }
});
