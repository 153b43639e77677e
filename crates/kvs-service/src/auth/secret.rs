//! What must not be seen, and how it is made.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};
use crate::text::{self, STANDARD};

/// Characters of a secret access key.
const SECRET_CHARACTERS: usize = 40;
const SECRET_BYTES: usize = SECRET_CHARACTERS / 4 * 3;
/// As many characters as a secret may have.
const MAX_SECRET_CHARACTERS: usize = 128;

/// A secret text. It has no `Display`, its `Debug` says nothing, and its memory is zeroed when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text in, where it is: a copy would stay behind.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A new secret access key: 40 characters, 240 random bits.
    pub(super) fn random(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        random.fill(&mut *bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// The secret access key of 30 bytes.
    pub(super) fn from_bytes(bytes: &[u8; SECRET_BYTES]) -> Self {
        Self::new(text::encode(bytes, STANDARD))
    }

    /// Whether a person may have chosen it: visible ASCII, neither empty nor endless.
    pub(super) fn is_well_formed(&self) -> bool {
        (1..=MAX_SECRET_CHARACTERS).contains(&self.0.len())
            && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The secret itself, to sign with or to hand to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A random id: a prefix of four letters that says what it names, and 16 characters of `A-Z2-7` (80 bits).
pub(super) fn random_id(prefix: &str, random: &dyn Random) -> Result<String, RandomError> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    let letters = bytes.iter().map(|byte| char::from(*LETTERS.get(usize::from(byte % 32)).unwrap_or(&b'A')));
    Ok(prefix.chars().chain(letters).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Chance that a test can foresee: a counter.
    #[derive(Debug)]
    pub(crate) struct Counting(AtomicU8);

    impl Counting {
        pub(crate) fn new() -> Self {
            Self(AtomicU8::new(0))
        }
    }

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
            for byte in bytes {
                *byte = self.0.load(Ordering::Relaxed);
                self.0.store(byte.wrapping_mul(5).wrapping_add(1), Ordering::Relaxed);
            }
            Ok(())
        }
    }

    #[test]
    fn a_secret_says_nothing_of_itself() {
        let secret = Secret::new("wJalrXUtnFEMI".to_owned());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(..) Some(\n    Secret(..),\n)");
        assert_eq!(secret.reveal(), "wJalrXUtnFEMI");
    }

    #[test]
    fn keys_have_the_shape_that_clients_know() {
        let id = random_id("AKIA", &SystemRandom).unwrap();
        assert!(id.len() == 20 && id.starts_with("AKIA"), "{id}");
        assert!(id.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')), "{id}");
        let secret = Secret::random(&SystemRandom).unwrap();
        assert_eq!(secret.reveal().len(), SECRET_CHARACTERS);
        assert!(secret.is_well_formed());
        assert_ne!(Secret::random(&SystemRandom).unwrap().reveal(), secret.reveal());
        assert_ne!(random_id("AKIA", &SystemRandom).unwrap(), id);
    }
}
