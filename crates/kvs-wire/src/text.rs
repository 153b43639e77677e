//! Text of a peer, made fit to be shown; and text of ours, made fit to be sent.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

/// As much of a peer's text as an error or a message keeps.
pub(crate) const SHOWN_BYTES: usize = 512;

/// At most [`SHOWN_BYTES`] of a peer's text, cut between characters and marked when cut.
pub(crate) fn shown(text: &str) -> String {
    if text.len() <= SHOWN_BYTES {
        return text.to_owned();
    }
    let mut kept = text.get(..text.floor_char_boundary(SHOWN_BYTES)).unwrap_or_default().to_owned();
    kept.push('…');
    kept
}

/// [`shown`] for bytes that may be no text.
pub(crate) fn shown_bytes(bytes: &[u8]) -> String {
    // Beyond the limit only enough is looked at to know that something is cut.
    let window = bytes.get(..SHOWN_BYTES + 4).unwrap_or(bytes);
    shown(&String::from_utf8_lossy(window))
}

/// The text of a JSON scalar: what stands between the quotes, or the number as it is written.
pub(crate) fn scalar(raw: &RawValue) -> Cow<'_, str> {
    let json = raw.get();
    if !json.starts_with('"') {
        return Cow::Borrowed(json);
    }
    // Borrowing works unless there is an escape; a raw value is valid JSON, so that owning works then.
    match serde_json::from_str::<&str>(json) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), Cow::Owned),
    }
}

/// Prints a text as a JSON string.
pub(crate) struct JsonString<'a>(pub(crate) &'a str);

impl fmt::Display for JsonString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        f.write_char('"')?;
        let mut rest = self.0;
        // RFC 8259 section 7: the quote, the backslash and the control characters must be escaped.
        while let Some(at) = rest.find(|letter: char| matches!(letter, '"' | '\\' | '\0'..='\x1f')) {
            let (plain, tail) = rest.split_at(at);
            f.write_str(plain)?;
            let mut letters = tail.chars();
            match letters.next() {
                Some('\n') => f.write_str("\\n")?,
                Some(letter @ ('"' | '\\')) => write!(f, "\\{letter}")?,
                Some(letter) => write!(f, "\\u{:04x}", u32::from(letter))?,
                None => {}
            }
            rest = letters.as_str();
        }
        f.write_str(rest)?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = "é".repeat(SHOWN_BYTES);
        let kept = shown(&text);
        assert!(kept.len() <= SHOWN_BYTES + '…'.len_utf8());
        assert!(kept.ends_with("é…"));
        assert_eq!(shown_bytes(&[0xff; 10_000]).chars().last(), Some('…'));
        assert_eq!(shown("short"), "short");
    }

    proptest! {
        #[test]
        fn a_printed_string_is_json_for_the_same_text(text in any::<String>()) {
            let json = JsonString(&text).to_string();
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn bytes_are_shown_within_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert!(shown_bytes(&bytes).len() <= SHOWN_BYTES + '…'.len_utf8());
        }
    }
}
