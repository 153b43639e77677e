//! Any request of the data plane: it is taken or refused, and a refusal is JSON with a message.
//!
//! Input: a byte that chooses the operation, then for PutMedia lines `name: value`, else the body.
#![no_main]

use kvs_service::fuzzing::request;
use kvs_wire::Operation;
use libfuzzer_sys::fuzz_target;

const OPERATIONS: [Operation; 5] = [
    Operation::PutMedia,
    Operation::GetMedia,
    Operation::ListFragments,
    Operation::GetMediaForFragmentList,
    Operation::GetImages,
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let operation = OPERATIONS[usize::from(*choice) % OPERATIONS.len()];
    let line = |line: &'_ [u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?.to_owned(), line[colon + 1..].trim_ascii().to_vec()))
    };
    let headers: Vec<_> = body.split(|byte| *byte == b'\n').filter_map(line).collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    if let Some(refusal) = request(operation, &headers, body) {
        let refusal: serde_json::Value = serde_json::from_slice(&refusal).unwrap();
        assert!(refusal["Message"].as_str().is_some_and(|message| !message.is_empty()), "{refusal}");
    }
});
