//! Any bytes, in any pieces: the same acks and errors, texts of bounded length, and acks that read back as printed.
//!
//! Input: the body of a response; its last byte says how long the pieces are.
#![no_main]

use kvs_wire::{Ack, AckError, AckReader};
use libfuzzer_sys::fuzz_target;

/// 512 bytes of a peer's text, each escaped, and our own words.
const MOST_TEXT: usize = 8 << 10;

fn read(bytes: &[u8], cap: usize, length: usize) -> Vec<Result<Ack, AckError>> {
    let mut reader = AckReader::with_cap(cap);
    let mut found = Vec::new();
    for mut piece in bytes.chunks(length) {
        while let Some(result) = reader.read(&mut piece) {
            found.push(result);
        }
        assert!(piece.is_empty());
    }
    found.extend(reader.finish().map(Err));
    assert_eq!(reader.finish(), None);
    found
}

fuzz_target!(|data: &[u8]| {
    let Some((length, bytes)) = data.split_last() else { return };
    let length = usize::from(*length) + 1;
    for cap in [100, AckReader::DEFAULT_CAP] {
        let whole = read(bytes, cap, usize::MAX);
        assert_eq!(read(bytes, cap, length), whole);
        assert!(whole.len() <= bytes.len());
    }
    // As an object by itself, wherever it may end.
    if let Ok(ack) = Ack::read(data) {
        assert_eq!(Ack::read(ack.to_string().as_bytes()), Ok(ack));
    }
    let mut printed = Vec::new();
    let mut acks = Vec::new();
    for result in read(bytes, AckReader::DEFAULT_CAP, usize::MAX) {
        match result {
            Ok(ack) => {
                assert_eq!(Ack::read(ack.to_string().as_bytes()), Ok(ack.clone()));
                let _ = (ack.error(), ack.reaction());
                ack.write(&mut printed);
                acks.push(Ok(ack));
            }
            Err(error) => assert!(error.to_string().len() <= MOST_TEXT, "{} bytes", error.to_string().len()),
        }
    }
    assert_eq!(printed.iter().filter(|byte| **byte == b'\n').count(), acks.len());
    assert_eq!(read(&printed, AckReader::DEFAULT_CAP, length), acks);
});
