//! Verification of AWS Signature Version 4, in the header and in the query (kvs-api 0.5, 3.2 and 9.5).
//!
//! In three steps, as the caller learns more: [`Claim::read`] takes the signature apart and says whose key it names,
//! [`Claim::verify`] checks it with that key's secret, and where only the body can tell, [`BodyCheck::finish`]
//! has the last word.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use kvs_media::time::Utc;
use kvs_wire::Operation;
use zeroize::Zeroizing;

use super::canonical::{self, SECURITY_TOKEN, SIGNATURE};
use super::refusal::{Refusal, Span};
use super::request::Request;
use super::secret::Secret;
use super::timestamp::Timestamp;
use crate::text::{hex, parse_hex};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "kinesisvideo";
const TERMINATOR: &str = "aws4_request";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// SHA-256 of nothing.
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const IN_HEADER: &str = "Authorization header";
const IN_QUERY: &str = "The query string";
const DATE: &str = "X-Amz-Date";
const TOKEN_HEADER: &str = "x-amz-security-token";
const PAYLOAD_HEADER: &str = "x-amz-content-sha256";
/// What a signature may differ from our clock, both ways.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// The longest time for which a request can be signed in advance: seven days.
const MAX_LIFETIME_SECONDS: u32 = 604_800;
/// The longest id of an access key (service model of IAM).
const MAX_KEY_ID: usize = 128;

/// The regions that a request may be signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regions {
    /// Whatever the client is set to.
    Any,
    /// These.
    Only(Vec<String>),
}

impl Regions {
    fn contain(&self, region: &str) -> bool {
        match self {
            Self::Any => {
                let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                (1..=64).contains(&region.len()) && region.bytes().all(allowed)
            }
            Self::Only(regions) => regions.iter().any(|known| known == region),
        }
    }
}

/// Who a request says it is from. Nothing of it is proven.
pub struct Claim<'a> {
    request: Request<'a>,
    access_key: Box<str>,
    region: Box<str>,
    signed: Timestamp,
    signed_headers: Cow<'a, str>,
    signature: [u8; 32],
    token: Option<Cow<'a, str>>,
    presigned: bool,
}

/// What a signature is worth before the body is read.
pub enum Verified {
    /// It stands, whatever the body is.
    Complete,
    /// It depends on the body.
    AwaitsBody(BodyCheck),
}

/// The part of a check that only the body can finish. Holds nothing of the request.
pub struct BodyCheck(Pending);

enum Pending {
    /// The signature is right for a body of this hash.
    Hash([u8; 32]),
    /// The hash of the body is part of what is signed.
    Signature(Box<Seal>),
}

/// The last step of a signature: from a canonical request's hash to the tag that was sent.
struct Seal {
    /// The canonical requests that may have been meant, all but their last line: the payload's hash.
    candidates: Vec<digest::Context>,
    key: hmac::Key,
    /// The string to sign, all but its last line.
    head: String,
    signature: [u8; 32],
}

/// The parts of a signature as they stand in a header or a query, each once.
#[derive(Default)]
struct Parts<'a> {
    credential: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    algorithm: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    token: Option<Cow<'a, str>>,
}

impl<'a> Claim<'a> {
    /// Reads the signature of a request and checks all that needs no key: its form, its scope and its time.
    pub fn read(request: Request<'a>, regions: &Regions, now: Utc) -> Result<Self, Refusal> {
        request.check_size()?;
        let authorization = request.single("authorization")?;
        let in_query = canonical::parameters(request.query)
            .any(|(name, _)| matches!(name, SIGNATURE | "X-Amz-Algorithm" | "X-Amz-Credential"));
        let (parts, place) = match (authorization, in_query) {
            (None, false) => return Err(Refusal::Missing),
            (Some(_), true) => return Err(Refusal::TwoMechanisms),
            (Some(value), false) => (Parts::of_header(value, &request)?, IN_HEADER),
            (None, true) => (Parts::of_query(&request)?, IN_QUERY),
        };
        let absent = |part| Refusal::Absent { place, part };
        let credential = parts.credential.ok_or(absent("Credential"))?;
        let signed_headers = parts.signed_headers.ok_or(absent("SignedHeaders"))?;
        let signature = parts.signature.ok_or(absent("Signature"))?;
        let date = parts.date.ok_or(absent(DATE))?;
        let signature = parse_hex(&signature).ok_or(Refusal::Malformed { part: "Signature" })?;
        let signed = Timestamp::parse(&date).ok_or(Refusal::Malformed { part: DATE })?;
        let is_signed = |name: &str| signed_headers.split(';').any(|signed| signed == name);
        // Without them a signature would hold for another host, or its time would be anybody's.
        request.single("host")?;
        if !is_signed("host") {
            return Err(Refusal::NotSigned { name: "Host" });
        }
        if place == IN_HEADER && !is_signed("x-amz-date") {
            return Err(Refusal::NotSigned { name: DATE });
        }
        let (access_key, region) = scope(&credential, signed, regions)?;
        let presigned = place == IN_QUERY;
        check_time(signed, presigned.then_some(parts.expires), now)?;
        let token = parts.token.filter(|token| !token.is_empty());
        Ok(Self { request, access_key, region, signed, signed_headers, signature, token, presigned })
    }

    /// The id of the access key.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The session token, when there is one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Checks the signature with the secret of the access key, as far as the head of the request allows.
    pub fn verify(&self, secret: &Secret) -> Result<Verified, Refusal> {
        let seal = Seal {
            candidates: canonical::candidates(&self.request, &self.signed_headers, self.presigned)?,
            key: signing_key(secret, &self.signed.date(), &self.region),
            head: format!(
                "{ALGORITHM}\n{}\n{}/{}/{SERVICE}/{TERMINATOR}\n",
                self.signed,
                self.signed.date(),
                self.region
            ),
            signature: self.signature,
        };
        let announced = self.request.single(PAYLOAD_HEADER)?;
        // The body of PutMedia has no end that one could wait for, so that it is never part of what is signed.
        let endless = self.request.path == Operation::PutMedia.path();
        match (announced, endless) {
            (None, true) => seal.check(EMPTY_HASH.as_bytes()).map(|()| Verified::Complete),
            (Some(value @ (UNSIGNED_PAYLOAD | EMPTY_HASH)), true) => {
                seal.check(value.as_bytes()).map(|()| Verified::Complete)
            }
            (Some(value), false) => {
                let hash = parse_hex(value).ok_or(Refusal::PayloadForm)?;
                seal.check(value.as_bytes())?;
                Ok(Verified::AwaitsBody(BodyCheck(Pending::Hash(hash))))
            }
            (Some(_), true) => Err(Refusal::PayloadForm),
            (None, false) => Ok(Verified::AwaitsBody(BodyCheck(Pending::Signature(Box::new(seal))))),
        }
    }
}

impl BodyCheck {
    /// Checks the body by its SHA-256.
    pub fn finish(self, sha256: &[u8; 32]) -> Result<(), Refusal> {
        match self.0 {
            Pending::Hash(expected) => constant_time::verify_slices_are_equal(&expected, sha256)
                .map_err(|_| Refusal::PayloadMismatch),
            Pending::Signature(seal) => seal.check(&hex(sha256)),
        }
    }
}

impl Seal {
    /// Whether one of the canonical requests, completed with this payload hash, is the one that was signed.
    fn check(&self, payload: &[u8]) -> Result<(), Refusal> {
        let fits = |context: &digest::Context| {
            let mut context = context.clone();
            context.update(payload);
            let hash = <[u8; 32]>::try_from(context.finish().as_ref()).unwrap_or_default();
            let text = [self.head.as_bytes(), &hex(&hash)].concat();
            // Compares in constant time.
            hmac::verify(&self.key, &text, &self.signature).is_ok()
        };
        if self.candidates.iter().any(fits) { Ok(()) } else { Err(Refusal::Mismatch) }
    }
}

impl<'a> Parts<'a> {
    /// `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`, with any white space and in any order.
    fn of_header(value: &'a str, request: &Request<'a>) -> Result<Self, Refusal> {
        let blank = [' ', '\t'];
        let rest = value.strip_prefix(ALGORITHM).ok_or(Refusal::Algorithm)?;
        if !rest.starts_with(blank) {
            return Err(Refusal::Algorithm);
        }
        let mut parts = Self::default();
        for part in rest.split(',') {
            let (name, value) = part.split_once('=').ok_or(Refusal::Malformed { part: "Authorization" })?;
            let (slot, name) = match name.trim_matches(blank) {
                "Credential" => (&mut parts.credential, "Credential"),
                "SignedHeaders" => (&mut parts.signed_headers, "SignedHeaders"),
                "Signature" => (&mut parts.signature, "Signature"),
                _ => return Err(Refusal::Malformed { part: "Authorization" }),
            };
            fill(slot, Cow::Borrowed(value.trim_matches(blank)), name)?;
        }
        parts.date = request.single("x-amz-date")?.map(Cow::Borrowed);
        parts.token = request.single(TOKEN_HEADER)?.map(Cow::Borrowed);
        Ok(parts)
    }

    fn of_query(request: &Request<'a>) -> Result<Self, Refusal> {
        let mut parts = Self::default();
        for (name, value) in canonical::parameters(request.query) {
            let (slot, name) = match name {
                "X-Amz-Algorithm" => (&mut parts.algorithm, "X-Amz-Algorithm"),
                "X-Amz-Credential" => (&mut parts.credential, "X-Amz-Credential"),
                "X-Amz-Date" => (&mut parts.date, DATE),
                "X-Amz-Expires" => (&mut parts.expires, "X-Amz-Expires"),
                "X-Amz-SignedHeaders" => (&mut parts.signed_headers, "X-Amz-SignedHeaders"),
                SIGNATURE => (&mut parts.signature, SIGNATURE),
                SECURITY_TOKEN => (&mut parts.token, SECURITY_TOKEN),
                _ => continue,
            };
            let value = canonical::decoded(value).ok_or(Refusal::Malformed { part: name })?;
            fill(slot, value, name)?;
        }
        match parts.algorithm.as_deref() {
            Some(ALGORITHM) => {}
            Some(_) => return Err(Refusal::Algorithm),
            None => return Err(Refusal::Absent { place: IN_QUERY, part: "X-Amz-Algorithm" }),
        }
        if parts.token.is_none() {
            parts.token = request.single(TOKEN_HEADER)?.map(Cow::Borrowed);
        }
        Ok(parts)
    }
}

fn fill<'a>(slot: &mut Option<Cow<'a, str>>, value: Cow<'a, str>, part: &'static str) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Repeated { part }),
    }
}

/// Access key and region of a credential `<id>/<yyyymmdd>/<region>/kinesisvideo/aws4_request`.
fn scope(credential: &str, signed: Timestamp, regions: &Regions) -> Result<(Box<str>, Box<str>), Refusal> {
    let malformed = Refusal::Malformed { part: "Credential" };
    let fields: Vec<&str> = credential.splitn(6, '/').collect();
    let [access_key, date, region, service, terminator] = *fields.as_slice() else {
        return Err(malformed);
    };
    let well_formed = (1..=MAX_KEY_ID).contains(&access_key.len())
        && access_key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let date = Timestamp::parse_date(date).filter(|_| well_formed).ok_or(malformed)?;
    if terminator != TERMINATOR {
        return Err(Refusal::ScopeTerminator);
    }
    if service != SERVICE {
        return Err(Refusal::ScopeService);
    }
    if !regions.contain(region) {
        return Err(Refusal::ScopeRegion);
    }
    if date.date() != signed.date() {
        return Err(Refusal::ScopeDate { scope: date, signed });
    }
    Ok((access_key.into(), region.into()))
}

/// Five minutes of skew both ways (kvs-api 0.4); a presigned request lives as long as it says. `lifetime` is `None`
/// for a request that is not presigned.
fn check_time(signed: Timestamp, lifetime: Option<Option<Cow<'_, str>>>, now: Utc) -> Result<(), Refusal> {
    let (age, span) = match lifetime {
        None => (SKEW, Span::Skew),
        Some(text) => {
            let text = text.ok_or(Refusal::Absent { place: IN_QUERY, part: "X-Amz-Expires" })?;
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let seconds =
                text.parse().ok().filter(|_| digits).ok_or(Refusal::Malformed { part: "X-Amz-Expires" })?;
            if !(1..=MAX_LIFETIME_SECONDS).contains(&seconds) {
                return Err(Refusal::Lifetime);
            }
            (Duration::from_secs(seconds.into()), Span::Presigned(seconds))
        }
    };
    let now = Timestamp::of(now);
    if let Some(limit) = now.utc().checked_sub(age).map(Timestamp::of)
        && signed < limit
    {
        return Err(Refusal::Expired { signed, limit, now, span });
    }
    if let Some(limit) = now.utc().checked_add(SKEW).map(Timestamp::of)
        && signed > limit
    {
        return Err(Refusal::NotYetCurrent { signed, limit, now });
    }
    Ok(())
}

/// The key of a day, a region and this service.
fn signing_key(secret: &Secret, date: &str, region: &str) -> hmac::Key {
    let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.reveal().len()));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret.reveal().as_bytes());
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    [date, region, SERVICE, TERMINATOR]
        .iter()
        .fold(key(&first), |so_far, text| key(hmac::sign(&so_far, text.as_bytes()).as_ref()))
}
