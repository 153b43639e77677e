//! Any bytes as each form that the store keeps: records, rows, frame indexes, headers, the catalog, the key file. What
//! reads is written, and reads the same.
#![no_main]

use kvs_service::keys::Keyring;
use kvs_service::store::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzzing::stored_forms(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(keyring) = Keyring::parse(text) {
        let written = keyring.to_text();
        let again = Keyring::parse(&written).unwrap();
        assert_eq!((again.to_text(), again.current()), (written, keyring.current()));
        assert!(again.key(keyring.current()).unwrap() == keyring.key(keyring.current()).unwrap());
    }
});
