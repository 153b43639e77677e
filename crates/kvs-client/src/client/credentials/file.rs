//! The credential file of AWS's own element (kvs-api 8.2), which somebody renews.

use std::path::PathBuf;

use aws_credential_types::Credentials;
use aws_sdk_kinesisvideo::primitives::{DateTime, DateTimeFormat};
use kvs_media::time::Utc;

use super::CredentialsError;
use crate::client::service_clock::{system_time, utc};
use crate::client::tls::read_small;

/// Bytes of such a file: tokens have at most a few thousand.
const MOST: u64 = 64 << 10;

/// What is wrong with the content. Says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is empty")]
    Empty,
    #[error("it is no text")]
    NoText,
    #[error("it does not begin with CREDENTIALS")]
    Begin,
    #[error("{0} words follow CREDENTIALS: key and secret, or key, expiration, secret and token are wanted")]
    Words(usize),
    #[error("the expiration is not of the form 2026-11-20T03:23:51Z")]
    Expiration,
}

struct Content<'a> {
    access_key: &'a str,
    secret_key: &'a str,
    /// Expiration and token.
    session: Option<(Utc, &'a str)>,
}

/// Reads the file.
pub(super) async fn read(path: PathBuf, now: Utc) -> Result<Credentials, CredentialsError> {
    let shown = path.display().to_string();
    let wrong = |reason: &dyn std::fmt::Display| format!("{shown}: {reason}");
    let bytes = tokio::task::spawn_blocking(move || read_small(&path, MOST)).await;
    let bytes = bytes.unwrap_or_else(|_| Err("it was not read".to_owned()));
    let bytes = bytes.map_err(|reason| CredentialsError::None(wrong(&reason)))?;
    let content = parse(&bytes).map_err(|fault| CredentialsError::None(wrong(&fault)))?;
    if let Some((expiration, _)) = content.session
        && expiration <= now
    {
        // Whoever renews it is late, and may yet come.
        let reason = format!("what is in it has expired at {expiration}");
        return Err(CredentialsError::Unavailable(wrong(&reason)));
    }
    Ok(Credentials::new(
        content.access_key,
        content.secret_key,
        content.session.map(|(_, token)| token.to_owned()),
        content.session.map(|(expiration, _)| system_time(expiration)),
        "credential file",
    ))
}

fn parse(bytes: &[u8]) -> Result<Content<'_>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::NoText)?;
    let mut words = text.split_ascii_whitespace();
    match words.next() {
        Some("CREDENTIALS") => {}
        Some(_) => return Err(Fault::Begin),
        None => return Err(Fault::Empty),
    }
    // One more than there may be, so that a long file is not gone through.
    let words: Vec<&str> = words.take(5).collect();
    match *words {
        [access_key, secret_key] => Ok(Content { access_key, secret_key, session: None }),
        [access_key, expiration, secret_key, token] => {
            let expiration = DateTime::from_str(expiration, DateTimeFormat::DateTime);
            let expiration = expiration.ok().and_then(utc).ok_or(Fault::Expiration)?;
            Ok(Content { access_key, secret_key, session: Some((expiration, token)) })
        }
        _ => Err(Fault::Words(words.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Utc {
        Utc::from_millis(1_795_145_664_000).unwrap()
    }

    async fn read_text(text: &[u8]) -> Result<Credentials, CredentialsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        std::fs::write(&path, text).unwrap();
        read(path, now()).await
    }

    #[tokio::test]
    async fn both_forms_of_the_file_are_read() {
        let read = read_text(b"CREDENTIALS AKID sEcReT\n").await.unwrap();
        assert_eq!((read.access_key_id(), read.secret_access_key()), ("AKID", "sEcReT"));
        assert_eq!((read.session_token(), read.expiry()), (None, None));
        let read = read_text(b"CREDENTIALS ASID 2036-11-20T03:23:51Z sEcReT tOkEn").await.unwrap();
        assert_eq!((read.access_key_id(), read.secret_access_key()), ("ASID", "sEcReT"));
        assert_eq!(read.session_token(), Some("tOkEn"));
        assert_eq!(
            read.expiry(),
            Some(std::time::UNIX_EPOCH + std::time::Duration::from_secs(2_110_764_231))
        );
    }

    #[tokio::test]
    async fn a_wrong_file_is_named_with_the_reason_and_without_its_content() {
        for (content, reason) in [
            (&b""[..], "it is empty"),
            (b" \n ", "it is empty"),
            (b"sEcReT", "it does not begin with CREDENTIALS"),
            (b"CREDENTIALS sEcReT", "1 words follow"),
            (b"CREDENTIALS a sEcReT c", "3 words follow"),
            (b"CREDENTIALS a 2036-11-20T03:23:51Z sEcReT d e f g", "5 words follow"),
            (b"CREDENTIALS a sEcReT b c", "the expiration is not of the form"),
            (b"CREDENTIALS a \xff sEcReT", "it is no text"),
            (b"CREDENTIALS a 2016-11-20T03:23:51Z sEcReT d", "has expired at 2016-11-20T03:23:51.000Z"),
            (&[b'x'; 70_000], "it has more than 65536 bytes"),
        ] {
            let error = read_text(content).await.unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("/credential: "), "{error}");
            assert!(!error.contains("sEcReT"), "{error}");
        }
        let missing = read("/nowhere/credential".into(), now()).await.unwrap_err();
        assert!(
            matches!(&missing, CredentialsError::None(why) if why.starts_with("/nowhere/credential: No such"))
        );
        let folder = read("/".into(), now()).await.unwrap_err().to_string();
        assert!(folder.contains("it is not a file"), "{folder}");
    }

    #[tokio::test]
    async fn one_that_has_expired_may_be_renewed_yet() {
        let expired = read_text(b"CREDENTIALS a 2016-11-20T03:23:51Z b c").await.unwrap_err();
        assert!(matches!(expired, CredentialsError::Unavailable(_)));
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "CREDENTIALS( [a-zA-Z0-9:-]{0,30}){0,6}".prop_map(String::into_bytes),
        ]) {
            let _ = parse(&bytes).is_ok();
        }
    }
}
