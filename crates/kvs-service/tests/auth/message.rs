//! A request that is signed by a signer of its own, and may be changed behind its back.

use aws_lc_rs::{digest, hmac};
use kvs_media::time::Utc;
use kvs_service::auth::{Claim, Refusal, Regions, Request, Secret, Timestamp, Verified};
use serde::Deserialize;

pub(crate) const KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const TIME: &str = "20240102T030405Z";
pub(crate) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A request that a test may change before it is looked at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Message {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) now: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Message {
    pub(crate) fn new(path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        Self {
            name: path.to_owned(),
            now: TIME.to_owned(),
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(given, _)| given.eq_ignore_ascii_case(name));
        &mut found.unwrap_or_else(|| panic!("no {name}")).1
    }

    pub(crate) fn signature(&self) -> String {
        let all = format!("{} {:?}", self.query, self.headers);
        all.split("Signature=").nth(1).unwrap()[..64].to_owned()
    }

    pub(crate) fn check_at(&self, now: Utc, secret: &str) -> Result<(), Refusal> {
        self.with_request(|request| {
            let claim = Claim::read(request, &Regions::Any, now)?;
            match claim.verify(&Secret::new(secret.to_owned()))? {
                Verified::Complete => Ok(()),
                Verified::AwaitsBody(check) => check.finish(&sha256(self.body.as_bytes())),
            }
        })
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        self.check_at(at(&self.now), SECRET)
    }

    /// Shows it as the service sees it.
    pub(crate) fn with_request<T>(&self, see: impl FnOnce(Request<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        see(Request { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    /// Signs it in the header with the key of the published vectors.
    pub(crate) fn signed(self, names: &str, payload: &str) -> Self {
        self.signed_by(KEY, SECRET, names, payload)
    }

    /// Signs it in the header, by a signer that shares nothing with the verifier.
    pub(crate) fn signed_by(mut self, id: &str, secret: &str, names: &str, payload: &str) -> Self {
        let mut canonical = format!("{}\n{}\n{}\n", self.method, self.path, self.query);
        for name in names.split(';') {
            let values: Vec<&str> = self
                .headers
                .iter()
                .filter(|(given, _)| given.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            canonical += &format!("{name}:{}\n", values.join(","));
        }
        canonical += &format!("\n{names}\n{payload}");
        let date = self.header("x-amz-date").clone();
        let scope = format!("{}/us-west-2/kinesisvideo/aws4_request", &date[..8]);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", lower_hex(&sha256(canonical.as_bytes())));
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in scope.split('/') {
            key = tag(&key, part);
        }
        let signature = lower_hex(&tag(&key, &text));
        self.headers.push((
            "Authorization".to_owned(),
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"),
        ));
        self
    }
}

pub(crate) fn at(text: &str) -> Utc {
    Timestamp::parse(text).unwrap().utc()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
}

pub(crate) fn tag(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

pub(crate) fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
