//! What keys seal in the store.
//!
//! master key -> wraps -> a data key per stream and one store key (both in the catalog)
//! data key + the segment's salt -> the key of that stream's records in that segment
//! store key + the footer's salt -> the key of that footer

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::keys::{CryptError, KEY_BYTES, Key};
use crate::random::Random;

/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;
/// A key under another: nonce, ciphertext, tag.
pub(crate) const WRAPPED_BYTES: usize = 12 + KEY_BYTES + TAG_BYTES;

impl Key {
    /// The cipher for one purpose, made of this secret and a salt (HKDF-SHA256, RFC 5869).
    pub(crate) fn sealer(&self, salt: &[u8; KEY_BYTES], purpose: Purpose) -> Result<Sealer, CryptError> {
        let (label, id): (&[u8], u64) = match purpose {
            Purpose::Records(stream) => (b"kvs records", stream),
            Purpose::Footer(segment) => (b"kvs footer", segment),
        };
        let prk = Salt::new(HKDF_SHA256, salt).extract(self.bytes());
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
        Sealer::new(self.bytes())?.seal(nonce, bound_to, secret.bytes(), text, tag)?;
        Ok(wrapped)
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8], bound_to: &[u8]) -> Result<Self, CryptError> {
        let (nonce, body) = wrapped.split_first_chunk::<12>().ok_or(CryptError::Open)?;
        let mut body = Zeroizing::new(body.to_vec());
        let text = Sealer::new(self.bytes())?.open(*nonce, bound_to, &mut body)?;
        <[u8; KEY_BYTES]>::try_from(&*text).map(Self::new).map_err(|_| CryptError::Open)
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
}
