//! Any answer to GetMedia or GetMediaForFragmentList, in any pieces: the same fragments, each begun before its frames
//! come and within its limits.
//!
//! Input: a byte that says of which call it is, the answer, and a byte that is the size of the pieces.
#![no_main]

use bytes::Bytes;
use kvs_client::download::fuzzing::{Kind, MOST_BYTES, MOST_FRAMES, chunks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [call, answer @ .., size] = data else { return };
    let (live, bytes) = (call % 2 == 0, Bytes::copy_from_slice(answer));
    let told = chunks(live, &bytes, usize::MAX);
    assert_eq!(chunks(live, &bytes, usize::from(*size) + 1), told);
    let mut open = None;
    for told in told {
        match (told.kind, &mut open) {
            (Kind::Begin, None) => open = Some((0, 0)),
            (Kind::Begin, Some(_)) => panic!("a fragment within another: {}", told.text),
            (Kind::Frame, Some((frames, bytes))) => {
                (*frames, *bytes) = (*frames + 1, *bytes + told.bytes);
                assert!(*frames <= MOST_FRAMES && *bytes <= MOST_BYTES);
            }
            (Kind::Frame, None) => panic!("a frame without a fragment: {}", told.text),
            (Kind::End, _) => open = None,
        }
    }
});
