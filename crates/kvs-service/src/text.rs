//! Bytes as text: hexadecimal and base 64.

/// An alphabet of base 64.
pub(crate) type Alphabet = [u8; 64];

/// RFC 4648 section 4: what secret access keys are written in.
pub(crate) const STANDARD: &Alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// RFC 4648 section 5: what survives a query string as it is.
pub(crate) const URL_SAFE: &Alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base 64 without padding.
pub(crate) fn encode(bytes: &[u8], alphabet: &Alphabet) -> String {
    // Room from the start: a secret that grows would leave copies behind.
    let mut text = String::with_capacity((bytes.len() * 4).div_ceil(3));
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let letter = (word >> (18 - 6 * place)) & 63;
            text.push(alphabet.get(letter as usize).copied().map_or('A', char::from));
        }
    }
    text
}

/// Reads base 64 without padding, in the one form that [`encode`] writes.
pub(crate) fn decode(text: &str, alphabet: &Alphabet) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for letter in group {
            let value = alphabet.iter().position(|known| known == letter)?;
            word = word << 6 | u32::try_from(value).ok()?;
        }
        word <<= 6 * (4 - group.len());
        let [_, all @ ..] = word.to_be_bytes();
        // One letter alone is no byte, and the bits beyond the last byte are zero.
        let (kept, rest) = all.split_at_checked(group.len().checked_sub(1)?)?;
        if kept.is_empty() || rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

/// 32 bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            *high = hex_digit(byte >> 4);
            *low = hex_digit(byte & 15);
        }
    }
    text
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Reads 32 bytes in hexadecimal, of either case.
pub(crate) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = hex_value(high)? << 4 | hex_value(low)?;
    }
    Some(bytes)
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base_64_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes(), STANDARD), text);
            assert_eq!(decode(text, STANDARD).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xff], STANDARD), "+/8");
        assert_eq!(encode(&[0xfb, 0xff], URL_SAFE), "-_8");
        for text in ["Z", "Zg=", "Zg==", "Zm9vZ", "Zh", "Zm9", "Z g", "Zé", "-_8"] {
            assert_eq!(decode(text, STANDARD), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_survive_both_ways(bytes in proptest::collection::vec(any::<u8>(), 0..200), key: [u8; 32]) {
            prop_assert_eq!(decode(&encode(&bytes, URL_SAFE), URL_SAFE), Some(bytes));
            let text = String::from_utf8(hex(&key).to_vec()).unwrap();
            prop_assert_eq!(parse_hex(&text), Some(key));
            prop_assert_eq!(parse_hex(&text.to_uppercase()), Some(key));
            prop_assert_eq!(parse_hex(&text[1..]), None);
        }

        #[test]
        fn what_decodes_is_the_only_text_for_its_bytes(text in "[A-Za-z0-9+/]{0,20}") {
            if let Some(bytes) = decode(&text, STANDARD) {
                prop_assert_eq!(encode(&bytes, STANDARD), text);
            }
        }
    }
}
