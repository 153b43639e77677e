//! Keys and what they seal.
//!
//! master key -> wraps -> a data key per stream and one store key (both in the catalog)
//! data key + the segment's salt -> the key of that stream's records in that segment
//! store key + the footer's salt -> the key of that footer

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};
use crate::text::{hex, parse_hex};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;
/// A key under another: nonce, ciphertext, tag.
pub(crate) const WRAPPED_BYTES: usize = 12 + KEY_BYTES + TAG_BYTES;

/// What can go wrong with keys and sealed bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptError {
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Sealing failed.
    #[error("cannot seal")]
    Seal,
    /// The bytes are not what was sealed, or not under this key, or not at this place.
    #[error("sealed bytes do not open: changed, or under another key")]
    Open,
    /// A key is named that the keyring does not hold.
    #[error("the keyring holds no key {0:?}")]
    UnknownKey(String),
    /// A line of a key file is not `ID HEX`.
    #[error("line {0} of the key file is not an id and 64 hex digits")]
    KeyFile(usize),
}

/// 32 secret bytes that print as nothing, and whose memory is zeroed when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    /// A key from bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    pub fn generate(random: &dyn Random) -> Result<Self, CryptError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The key for one purpose, made of this secret and a salt (HKDF-SHA256, RFC 5869).
    pub(crate) fn derive(&self, salt: &[u8; KEY_BYTES], purpose: Purpose) -> Result<Sealer, CryptError> {
        let (label, id): (&[u8], u64) = match purpose {
            Purpose::Records(stream) => (b"kvs records", stream),
            Purpose::Footer(segment) => (b"kvs footer", segment),
        };
        let prk = Salt::new(HKDF_SHA256, salt).extract(&*self.0);
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        prk.expand(&[label, &id.to_le_bytes()], HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut *bytes))
            .map_err(|_| CryptError::Seal)?;
        Sealer::new(&bytes)
    }

    /// Another secret, sealed by this one and bound to what it is for.
    pub(crate) fn wrap(
        &self,
        secret: &Self,
        bound_to: &[u8],
        random: &dyn Random,
    ) -> Result<[u8; WRAPPED_BYTES], CryptError> {
        let mut nonce = [0; 12];
        random.fill(&mut nonce)?;
        let mut wrapped = [0; WRAPPED_BYTES];
        let (head, body) = wrapped.split_at_mut(12);
        head.copy_from_slice(&nonce);
        let (text, tag) = body.split_at_mut(KEY_BYTES);
        Sealer::new(&self.0)?.seal(nonce, bound_to, &*secret.0, text, tag)?;
        Ok(wrapped)
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8], bound_to: &[u8]) -> Result<Self, CryptError> {
        let (nonce, body) = wrapped.split_first_chunk::<12>().ok_or(CryptError::Open)?;
        let mut body = Zeroizing::new(body.to_vec());
        let text = Sealer::new(&self.0)?.open(*nonce, bound_to, &mut body)?;
        <[u8; KEY_BYTES]>::try_from(&*text).map(Self::new).map_err(|_| CryptError::Open)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What a derived key is for; no two purposes share a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The records of this stream in a segment.
    Records(u64),
    /// The footer of this segment.
    Footer(u64),
}

/// AES-256-GCM under one key.
pub(crate) struct Sealer(LessSafeKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    fn new(key: &[u8; KEY_BYTES]) -> Result<Self, CryptError> {
        UnboundKey::new(&AES_256_GCM, key)
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| CryptError::Seal)
    }

    /// Seals `plain` into `out` (as long) and `tag` (16 bytes).
    pub(crate) fn seal(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        plain: &[u8],
        out: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptError> {
        self.0
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                plain,
                out,
                &[],
                tag,
            )
            .map_err(|_| CryptError::Seal)
    }

    /// Opens ciphertext and tag where they stand.
    pub(crate) fn open<'a>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], CryptError> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), sealed)
            .map_err(|_| CryptError::Open)
    }
}

/// The master keys by id; new streams take the first.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: String,
    keys: BTreeMap<String, Key>,
}

impl Keyring {
    /// A keyring of one key.
    pub fn of(id: impl Into<String>, key: Key) -> Self {
        let current = id.into();
        Self { keys: BTreeMap::from([(current.clone(), key)]), current }
    }

    /// From the text of a key file: a line `ID HEX` for each key, `#` begins a comment, the first is for new streams.
    pub fn parse(text: &str) -> Result<Self, CryptError> {
        let mut keyring: Option<Self> = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (id, key) = line
                .split_once(char::is_whitespace)
                .and_then(|(id, hex)| Some((id, Key::new(parse_hex(hex.trim())?))))
                .ok_or(CryptError::KeyFile(number + 1))?;
            match &mut keyring {
                Some(keyring) => drop(keyring.keys.insert(id.to_owned(), key)),
                None => keyring = Some(Self::of(id, key)),
            }
        }
        keyring.ok_or(CryptError::KeyFile(0))
    }

    /// The text of a key file with these keys.
    pub fn to_text(&self) -> String {
        let rest = self.keys.iter().filter(|(id, _)| **id != self.current);
        self.keys.get_key_value(&self.current).into_iter().chain(rest).fold(
            String::from(
                "# Master keys: id and 64 hex digits. Without them nothing in this folder can be read.\n",
            ),
            |text, (id, key)| text + id + " " + &String::from_utf8_lossy(&hex(&key.0)) + "\n",
        )
    }

    /// The id of the key for new streams.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// The key of an id.
    pub fn key(&self, id: &str) -> Result<&Key, CryptError> {
        self.keys.get(id).ok_or_else(|| CryptError::UnknownKey(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_wrapped_key_opens_only_under_its_key_and_for_its_purpose() {
        let (a, b) = (Key::new([1; 32]), Key::new([2; 32]));
        let inner = Key::generate(&SystemRandom).unwrap();
        let wrapped = a.wrap(&inner, b"stream 1", &SystemRandom).unwrap();
        assert_eq!(a.unwrap(&wrapped, b"stream 1").unwrap(), inner);
        assert_eq!(b.unwrap(&wrapped, b"stream 1"), Err(CryptError::Open));
        assert_eq!(a.unwrap(&wrapped, b"stream 2"), Err(CryptError::Open));
    }

    #[test]
    fn a_key_file_reads_back_and_its_first_key_is_for_new_streams() {
        let text = format!("# keys\nnew {}\n old {} # kept\n", "ab".repeat(32), "01".repeat(32));
        let keyring = Keyring::parse(&text).unwrap();
        assert_eq!(keyring.current(), "new");
        let again = Keyring::parse(&keyring.to_text()).unwrap();
        assert_eq!(again.current(), "new");
        assert_eq!(again.key("old").unwrap(), &Key::new([1; 32]));
        assert_eq!(Keyring::parse("x 12"), Err(CryptError::KeyFile(1)));
        assert_eq!(keyring.key("gone"), Err(CryptError::UnknownKey("gone".into())));
    }

    #[test]
    fn a_key_prints_as_nothing() {
        assert_eq!(
            format!("{:?}", Keyring::of("k", Key::new([7; 32]))),
            r#"Keyring { current: "k", keys: {"k": Key(..)} }"#
        );
    }

    impl PartialEq for Keyring {
        fn eq(&self, other: &Self) -> bool {
            self.current == other.current && self.keys == other.keys
        }
    }
}
