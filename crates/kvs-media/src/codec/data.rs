//! Timed data: sensor samples, JSON, KLV, any media type.
//!
//! Matroska has no codec id for it. A data track has TrackType 33, the codec id [`CODEC_ID`] and, as private data, its
//! caps as GStreamer writes them (`application/x-json`, `meta/x-klv, parsed=true`). Each block is one sample.

use bytes::Bytes;

use super::CodecError;

/// The codec id of every data track. `D_` is the prefix that WebM uses for tracks of this type.
pub const CODEC_ID: &str = "D_KVS/CAPS";

/// The private data for caps.
///
/// # Errors
/// As [`parse`].
pub fn write(caps: &str) -> Result<Bytes, CodecError> {
    let private = Bytes::copy_from_slice(caps.as_bytes());
    parse(&private)?;
    Ok(private)
}

/// The caps of a data track.
///
/// # Errors
/// When they are not text or do not begin with a media type.
pub fn parse(private: &[u8]) -> Result<&str, CodecError> {
    let broken = |rule| CodecError::Broken { part: "data caps", rule };
    let caps = std::str::from_utf8(private).map_err(|_| broken("are not UTF-8"))?;
    if caps.chars().any(char::is_control) {
        return Err(broken("hold control characters"));
    }
    let (kind, subtype) = media_type(caps).split_once('/').ok_or(broken("do not begin with a media type"))?;
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
    };
    if word(kind) && word(subtype) { Ok(caps) } else { Err(broken("do not begin with a media type")) }
}

/// The media type at the beginning of caps.
pub fn media_type(caps: &str) -> &str {
    caps.split(',').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn caps_come_back_as_they_were_written() {
        for caps in ["application/x-json", "meta/x-klv, parsed=true", "application/vnd.acme.lidar+cbor"] {
            assert_eq!(parse(&write(caps).unwrap()), Ok(caps));
        }
        assert_eq!(media_type("meta/x-klv, parsed=true"), "meta/x-klv");
        for wrong in ["", "json", "/", "a/", "a b/c", "a/b\0"] {
            assert!(write(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse(&[0xff, b'/', b'a']).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(private in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&private);
        }
    }
}
