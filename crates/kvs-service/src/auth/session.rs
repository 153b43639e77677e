//! Temporary credentials, without a table of them: all that the service must know later is in the session token,
//! sealed, and the secret follows from the access key's id. They survive a restart, and end with the key.
//!
//! A token is the base 64 of `version (1) | nonce (12) | AES-256-GCM of the contents`, with the version as
//! associated data. Its key is HKDF-SHA256 of the key for sessions, with the salt `kvs sessions` and the info `token`; with
//! the info `secret` it is the key of an HMAC-SHA256 over the access key's id, whose first 30 bytes in base 64 are the
//! secret.

use std::time::Duration;

use aws_lc_rs::{aead, hkdf, hmac};
use kvs_media::time::Utc;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::identity::{TEMPORARY_PREFIX, User};
use super::policy::{Policy, PolicyError};
use super::refusal::Refusal;
use super::secret::{Secret, random_id};
use super::timestamp::Timestamp;
use crate::keys::Key;
use crate::random::{Random, RandomError};
use crate::text::{self, URL_SAFE};

/// The shortest life of a session.
pub const MIN_SESSION: Duration = Duration::from_secs(15);
/// The longest life of a session: 36 hours, as GetSessionToken has it.
pub const MAX_SESSION: Duration = Duration::from_secs(36 * 60 * 60);
/// The longest session policy, as AWS has it.
pub const MAX_SESSION_POLICY_BYTES: usize = 2_048;
/// The longest token that is looked at: that of the longest policy, with every character of it escaped, and room.
const MAX_TOKEN: usize = 8 * 1024;
const VERSION: u8 = 1;

/// Makes temporary credentials and knows its own again.
pub struct Sessions {
    tokens: aead::LessSafeKey,
    secrets: hmac::Key,
}

/// Temporary credentials, as they are handed out.
#[derive(Clone, Debug)]
pub struct SessionCredentials {
    /// The id of the access key: 20 characters that begin with `ASIA`.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// What goes along with each request.
    pub session_token: Secret,
    /// When they end.
    pub expiration: Timestamp,
}

/// What a token says, once it is known to be ours, of this key and of this hour.
#[derive(Clone, Debug)]
pub struct Session {
    /// The [`User`]'s lasting id.
    pub(super) user: Box<str>,
    pub(super) expires: Utc,
    pub(super) policy: Option<Policy>,
}

/// Why there are no temporary credentials.
#[derive(Debug, Error)]
pub enum SessionError {
    /// Shorter or longer than a session may be.
    #[error("a session lasts 15 seconds to 36 hours")]
    Lifetime,
    /// The policy for the session is too long.
    #[error("a session policy has at most {MAX_SESSION_POLICY_BYTES} bytes")]
    PolicyTooLong,
    /// The policy for the session is wrong.
    #[error("the session policy: {0}")]
    Policy(#[from] PolicyError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The cipher failed.
    #[error("the cipher failed")]
    Cipher,
}

/// Within the seal. Short names: the token goes along with every request.
#[derive(Serialize, Deserialize)]
struct Contents<'a> {
    #[serde(rename = "u")]
    user: Box<str>,
    #[serde(rename = "k")]
    access_key_id: Box<str>,
    /// Seconds since the Unix epoch.
    #[serde(rename = "i")]
    issued: i64,
    #[serde(rename = "e")]
    expires: i64,
    #[serde(borrow, rename = "p", skip_serializing_if = "Option::is_none")]
    policy: Option<std::borrow::Cow<'a, str>>,
}

impl Sessions {
    /// With the keys that follow from a key that serves nothing else.
    pub fn new(key: &Key) -> Result<Self, SessionError> {
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"kvs sessions").extract(key.bytes());
        let key = |purpose: &'static [u8]| {
            let mut key = Zeroizing::new([0; 32]);
            let info = [purpose];
            let material = derived.expand(&info, hkdf::HKDF_SHA256).map_err(|_| SessionError::Cipher)?;
            material.fill(&mut *key).map_err(|_| SessionError::Cipher)?;
            Ok::<_, SessionError>(key)
        };
        let tokens = aead::UnboundKey::new(&aead::AES_256_GCM, &*key(b"token")?);
        Ok(Self {
            tokens: aead::LessSafeKey::new(tokens.map_err(|_| SessionError::Cipher)?),
            secrets: hmac::Key::new(hmac::HMAC_SHA256, &*key(b"secret")?),
        })
    }

    /// New credentials of a user, who may do with them what the user may, and of that only what `policy` allows.
    pub fn issue(
        &self,
        user: &User,
        lifetime: Duration,
        policy: Option<&str>,
        now: Utc,
        random: &dyn Random,
    ) -> Result<SessionCredentials, SessionError> {
        if !(MIN_SESSION..=MAX_SESSION).contains(&lifetime) {
            return Err(SessionError::Lifetime);
        }
        if policy.is_some_and(|policy| policy.len() > MAX_SESSION_POLICY_BYTES) {
            return Err(SessionError::PolicyTooLong);
        }
        policy.map(Policy::parse).transpose()?;
        let expiration = now.checked_add(lifetime).map(Timestamp::of).ok_or(SessionError::Lifetime)?;
        let access_key_id = random_id(TEMPORARY_PREFIX, random)?;
        let contents = Contents {
            user: user.id().into(),
            access_key_id: access_key_id.as_str().into(),
            issued: Timestamp::of(now).seconds(),
            expires: expiration.seconds(),
            policy: policy.map(Into::into),
        };
        Ok(SessionCredentials {
            secret_access_key: self.secret(&access_key_id),
            session_token: self.seal(&contents, random)?,
            access_key_id,
            expiration,
        })
    }

    /// Opens a token that came with an access key. Whose signature it is, is another question.
    pub fn open(&self, token: &str, access_key_id: &str, now: Utc) -> Result<Session, Refusal> {
        let mut bytes = Some(token)
            .filter(|token| token.len() <= MAX_TOKEN)
            .and_then(|token| text::decode(token, URL_SAFE))
            .ok_or(Refusal::UnknownKey)?;
        let contents = self.unseal(&mut bytes).ok_or(Refusal::UnknownKey)?;
        if *contents.access_key_id != *access_key_id {
            return Err(Refusal::UnknownKey);
        }
        let expires = contents.expires.checked_mul(1_000).and_then(Utc::from_millis);
        let expires = expires.filter(|expires| now < *expires).ok_or(Refusal::ExpiredToken)?;
        let policy = contents.policy.as_deref().map(Policy::parse).transpose();
        let policy = policy.map_err(|_| Refusal::UnknownKey)?;
        Ok(Session { user: contents.user, expires, policy })
    }

    /// The secret of an access key made here. Worth nothing without a token that says so.
    pub(super) fn secret(&self, access_key_id: &str) -> Secret {
        let tag = hmac::sign(&self.secrets, access_key_id.as_bytes());
        let mut bytes = Zeroizing::new([0; 30]);
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(byte, from)| *byte = *from);
        Secret::from_bytes(&bytes)
    }

    /// What the containers of a user authorize themselves with: the user's id, and a proof that it was given out here.
    pub(super) fn container_token(&self, user: &str) -> Secret {
        let proof = hmac::sign(&self.secrets, &container_message(user));
        Secret::new(format!("{user}.{}", text::encode(proof.as_ref(), URL_SAFE)))
    }

    /// The id of the user whose token it is.
    pub(super) fn container_user<'t>(&self, token: &'t str) -> Option<&'t str> {
        let (user, proof) = token.split_once('.')?;
        let proof =
            Some(proof).filter(|proof| proof.len() <= 64).and_then(|proof| text::decode(proof, URL_SAFE))?;
        hmac::verify(&self.secrets, &container_message(user), &proof).ok().map(|()| user)
    }

    fn seal(&self, contents: &Contents<'_>, random: &dyn Random) -> Result<Secret, SessionError> {
        let mut nonce = [0; aead::NONCE_LEN];
        random.fill(&mut nonce)?;
        let mut sealed = serde_json::to_vec(contents).map_err(|_| SessionError::Cipher)?;
        self.tokens
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from([VERSION]),
                &mut sealed,
            )
            .map_err(|_| SessionError::Cipher)?;
        let token = [&[VERSION], nonce.as_slice(), sealed.as_slice()].concat();
        Ok(Secret::new(text::encode(&token, URL_SAFE)))
    }

    fn unseal<'a>(&self, token: &'a mut [u8]) -> Option<Contents<'a>> {
        let (version, rest) = token.split_first_mut()?;
        let (nonce, sealed) = rest.split_at_mut_checked(aead::NONCE_LEN)?;
        if *version != VERSION {
            return None;
        }
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.tokens.open_in_place(nonce, aead::Aad::from([VERSION]), sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

impl SessionCredentials {
    /// The answer of a container's credential endpoint (kvs-api 8.3).
    pub fn container_json(&self) -> Zeroizing<String> {
        self.json("", "Token")
    }

    /// What a `credential_process` prints (kvs-api 8.3).
    pub fn process_json(&self) -> Zeroizing<String> {
        self.json(r#""Version":1,"#, "SessionToken")
    }

    /// None of the values has a character that JSON escapes.
    fn json(&self, head: &str, token: &str) -> Zeroizing<String> {
        let parts = [
            "{",
            head,
            r#""AccessKeyId":""#,
            &self.access_key_id,
            r#"","SecretAccessKey":""#,
            self.secret_access_key.reveal(),
            r#"",""#,
            token,
            r#"":""#,
            self.session_token.reveal(),
            r#"","Expiration":""#,
            &self.expiration.extended(),
            r#""}"#,
        ];
        Zeroizing::new(parts.concat())
    }
}

/// No access key has a space in it, so that nothing signed for one purpose serves for the other.
fn container_message(user: &str) -> Vec<u8> {
    ["container ", user].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::identity::tests::{READ_ONLY, sample};
    use crate::auth::secret::tests::Counting;
    use proptest::prelude::*;

    const NOW: Utc = Utc::from_nanos(1_704_164_645_900_000_000);

    fn sessions() -> Sessions {
        Sessions::new(&Key::new([7; 32])).unwrap()
    }

    fn issue(lifetime: u64, policy: Option<&str>) -> SessionCredentials {
        let eve = sample().users()[0].clone();
        sessions().issue(&eve, Duration::from_secs(lifetime), policy, NOW, &Counting::new()).unwrap()
    }

    fn later(seconds: u64) -> Utc {
        NOW.checked_add(Duration::from_secs(seconds)).unwrap()
    }

    fn open(credentials: &SessionCredentials, now: Utc) -> Result<Session, Refusal> {
        sessions().open(credentials.session_token.reveal(), &credentials.access_key_id, now)
    }

    #[test]
    fn a_session_opens_after_a_restart_until_it_ends() {
        let credentials = issue(60, Some(READ_ONLY));
        assert_eq!(credentials.expiration.extended(), "2024-01-02T03:05:05Z");
        assert!(credentials.access_key_id.starts_with("ASIA") && credentials.access_key_id.len() == 20);
        let session = open(&credentials, NOW).unwrap();
        assert_eq!(*session.user, *sample().users()[0].id());
        assert_eq!(session.policy.unwrap().source(), READ_ONLY);
        assert_eq!(session.expires, credentials.expiration.utc());
        assert!(open(&credentials, later(59)).is_ok());
        let refusal = open(&credentials, later(60)).unwrap_err();
        assert_eq!(refusal.to_string(), "The security token included in the request is expired");
        assert_eq!(
            sessions().secret(&credentials.access_key_id).reveal(),
            credentials.secret_access_key.reveal()
        );
        assert_eq!(credentials.secret_access_key.reveal().len(), 40);
    }

    #[test]
    fn the_form_is_as_documented() {
        // Made by another implementation from the documentation above: key 32 times 7, nonce 0 to 11.
        let id = "ASIAEXAMPLE234567ABC";
        let token = "AQABAgMEBQYHCAkKC9aRHRDxP5AcbXiHXnd5cEy-cBcgcNGbS1lgdv0XzterYJFmOrcwfsl0haLUCzcWNh7V7Ic-p9eg\
            4cEFOrzMO9YSx9uXTARiPtdeuoaC-UQYlaVUht8";
        let session = sessions().open(token, id, NOW).unwrap();
        assert_eq!((&*session.user, session.expires), ("root", Utc::from_nanos(1_704_164_705_000_000_000)));
        assert_eq!(sessions().secret(id).reveal(), "siO86gfFTwsqyxJsTTS4yoKxEgnTH2KP4T9uceRO");
    }

    #[test]
    fn a_token_belongs_to_one_access_key_and_one_key_for_sessions() {
        let credentials = issue(60, None);
        let token = credentials.session_token.reveal();
        assert_eq!(sessions().open(token, "ASIAOTHER", NOW).unwrap_err(), Refusal::UnknownKey);
        let others = Sessions::new(&Key::new([8; 32])).unwrap();
        let id = &credentials.access_key_id;
        assert_eq!(others.open(token, id, NOW).unwrap_err(), Refusal::UnknownKey);
        assert_ne!(others.secret(id).reveal(), credentials.secret_access_key.reveal());
        assert_ne!(sessions().secret("ASIAOTHER").reveal(), credentials.secret_access_key.reveal());
    }

    #[test]
    fn a_token_with_any_character_changed_is_none() {
        let credentials = issue(60, None);
        let token = credentials.session_token.reveal();
        for at in 0..token.len() {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let opened = sessions().open(&changed, &credentials.access_key_id, NOW);
            assert_eq!(opened.unwrap_err(), Refusal::UnknownKey, "{at}");
        }
        for cut in [0, 1, 17, 18, 40, token.len() - 1] {
            assert!(sessions().open(&token[..cut], &credentials.access_key_id, NOW).is_err());
        }
        assert!(sessions().open(&"A".repeat(100_000), &credentials.access_key_id, NOW).is_err());
    }

    #[test]
    fn sessions_last_from_15_seconds_to_36_hours() {
        let eve = sample().users()[0].clone();
        let random = Counting::new();
        let issue = |seconds, policy: Option<&str>| {
            sessions().issue(&eve, Duration::from_secs(seconds), policy, NOW, &random)
        };
        assert!(issue(15, None).is_ok() && issue(36 * 3_600, None).is_ok());
        assert!(matches!(issue(14, None), Err(SessionError::Lifetime)));
        assert!(matches!(issue(36 * 3_600 + 1, None), Err(SessionError::Lifetime)));
        assert!(matches!(issue(60, Some("{}")), Err(SessionError::Policy(_))));
        assert!(matches!(issue(60, Some(&" ".repeat(2_049))), Err(SessionError::PolicyTooLong)));
    }

    #[test]
    fn the_longest_policy_fits_into_a_token() {
        let policy = format!("{:\n<2048}", READ_ONLY);
        let credentials = issue(60, Some(&policy));
        assert!(open(&credentials, NOW).unwrap().policy.is_some());
    }

    #[test]
    fn credentials_print_in_both_forms_and_show_no_secret_otherwise() {
        let credentials = issue(60, None);
        let (secret, token) = (credentials.secret_access_key.reveal(), credentials.session_token.reveal());
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        let container = read(&credentials.container_json());
        assert_eq!(container["AccessKeyId"], *credentials.access_key_id);
        assert_eq!((&container["SecretAccessKey"], &container["Token"]), (&secret.into(), &token.into()));
        assert_eq!(container["Expiration"], "2024-01-02T03:05:05Z");
        let process = read(&credentials.process_json());
        assert_eq!((&process["Version"], &process["SessionToken"]), (&1.into(), &token.into()));
        assert_eq!(process.as_object().unwrap().len(), 5);
        let shown = format!("{credentials:?}");
        assert!(!shown.contains(secret) && !shown.contains(token), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_opens_that_was_not_sealed_here(token in "[A-Za-z0-9_-]{0,200}|.{0,50}", key in ".{0,20}") {
            prop_assert_eq!(sessions().open(&token, &key, NOW).err(), Some(Refusal::UnknownKey));
        }
    }
}
