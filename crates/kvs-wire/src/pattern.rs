//! What a stream's media type and tags may consist of (service model).

use crate::limits::{MEDIA_TYPE_CHARACTERS, TAG_KEY_CHARACTERS, TAG_VALUE_CHARACTERS};

/// Whether a text is a media type or a list of them, such as `video/h264,audio/aac`.
pub fn is_media_type(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+'))
    };
    let pair = |pair: &str| pair.split_once('/').is_some_and(|(kind, format)| word(kind) && word(format));
    text.len() <= MEDIA_TYPE_CHARACTERS && text.split(',').all(pair)
}

/// Whether a text is the key of a stream's tag.
pub fn is_tag_key(text: &str) -> bool {
    !text.is_empty() && is_tag_text(text, TAG_KEY_CHARACTERS)
}

/// Whether a text is the value of a stream's tag.
pub fn is_tag_value(text: &str) -> bool {
    is_tag_text(text, TAG_VALUE_CHARACTERS)
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`. Letters are here what Unicode calls alphabetic: all of `\p{L}`, and a few
/// more such as the vowel signs of scripts that write them as marks, and circled letters.
fn is_tag_text(text: &str, longest: usize) -> bool {
    let allowed = |letter: char| {
        letter.is_alphabetic()
            || letter.is_numeric()
            || matches!(letter, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
            || (letter.is_whitespace() && !letter.is_control())
    };
    // A character has at most four bytes: what is much too long is not counted through.
    text.len() <= longest * 4 && text.chars().count() <= longest && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn media_types_follow_the_model() {
        for text in ["video/h264", "video/h264,audio/aac", "a/b,c/d,e/f", "application/x-k.l+v_1"] {
            assert!(is_media_type(text), "{text}");
        }
        let longest = format!("video/{}", "x".repeat(122));
        assert!(is_media_type(&longest) && !is_media_type(&format!("{longest}x")));
        for text in ["", "video", "video/", "/h264", "a/b/c", "a/b,", ",a/b", "a/b, c/d", "a/b\n", "é/b"] {
            assert!(!is_media_type(text), "{text:?}");
        }
    }

    #[test]
    fn tags_follow_the_model() {
        for text in ["owner", "Größe 1", "a.b:c/d=e+f-g@h_i", "日本", "٣", "½", "\u{a0}\u{2028}\u{3000}"]
        {
            assert!(is_tag_key(text) && is_tag_value(text), "{text:?}");
        }
        for text in ["a#b", "a\tb", "a\n", "\u{85}", "a,b", "a*", "\u{200b}", "😀"] {
            assert!(!is_tag_key(text) && !is_tag_value(text), "{text:?}");
        }
        assert!(!is_tag_key("") && is_tag_value(""));
        assert!(is_tag_key(&"é".repeat(128)) && !is_tag_key(&"é".repeat(129)));
        assert!(is_tag_value(&"é".repeat(256)) && !is_tag_value(&"é".repeat(257)));
    }

    proptest! {
        #[test]
        fn what_matches_the_model_is_taken(
            media_type in "[a-zA-Z0-9_.+-]{1,9}/[a-zA-Z0-9_.+-]{1,9}(,[a-zA-Z0-9_.+-]{1,9}/[a-zA-Z0-9_.+-]{1,9}){0,4}",
            tag in "[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]{1,128}",
        ) {
            prop_assert!(is_media_type(&media_type));
            prop_assert!(is_tag_key(&tag) && is_tag_value(&tag));
        }

        #[test]
        fn what_no_script_writes_is_refused(tag in "[\\p{Cc}\\p{Cf}\\p{P}--_.:/\\-@]{1,20}") {
            prop_assume!(!tag.chars().all(|letter| "_.:/-@".contains(letter)));
            prop_assert!(!is_tag_key(&tag));
        }
    }
}
