//! Any head of a request: nobody is let in but by a signature that was really made, over this very request and body, and
//! whoever is refused is told so in JSON.
//!
//! Input: a byte of flags; then text: method, path and query, and a header a line, an empty line, and the body. In it
//! `{token}` stands for a session token.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use kvs_media::time::Utc;
use kvs_service::auth::{
    Authentication, Authenticator, Claim, Identities, KeyPair, Principal, Refusal, Regions, Request, Secret,
    SessionCredentials, Sessions, Timestamp, Verified,
};
use kvs_service::keys::Key;
use kvs_service::random::{Random, RandomError};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TIME: &str = "20240102T030405Z";
const MASTER: [u8; 32] = [9; 32];
const VECTORS: &str = include_str!("../../crates/kvs-service/tests/data/sigv4/vectors.json");

#[derive(Debug)]
struct Sevens;

impl Random for Sevens {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill(7);
        Ok(())
    }
}

struct World {
    authenticator: Authenticator,
    session: SessionCredentials,
    now: Utc,
    /// All signatures that were ever made with the secret.
    signatures: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let pair = KeyPair { access_key_id: KEY.into(), secret_access_key: Secret::new(SECRET.into()) };
    let identities = Identities::new(&Sevens).unwrap().with_key("root", pair).unwrap();
    let authenticator =
        Authenticator::new("111122223333", Regions::Any, &Key::new(MASTER), identities).unwrap();
    let now = Timestamp::parse(TIME).unwrap().utc();
    let root = authenticator.identities().root().clone();
    let session = authenticator.issue(&root, Duration::from_secs(600), None, now, &Sevens).unwrap();
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let signature =
        |vector: &Value| Some(vector.to_string().split("Signature=").nth(1)?.get(..64)?.to_owned());
    let signatures = vectors["vectors"].as_array().unwrap().iter().filter_map(signature).collect();
    World { authenticator, session, now, signatures }
});

#[derive(Clone)]
struct Message {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Message {
    fn parse(input: &[u8]) -> Self {
        let mut lines = input.split(|byte| *byte == b'\n');
        let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let (method, target) = (text(), text());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let headers = lines.by_ref().take_while(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            let token = WORLD.session.session_token.reveal();
            let value = match std::str::from_utf8(value) {
                Ok(value) => value.replace("{token}", token).trim_start().as_bytes().to_vec(),
                Err(_) => value.to_vec(),
            };
            (String::from_utf8_lossy(&line[..colon]).into_owned(), value)
        });
        let headers = headers.collect();
        let query = query.replace("{token}", WORLD.session.session_token.reveal());
        let body = lines.collect::<Vec<_>>().join(&b'\n');
        Self { method, path: path.to_owned(), query, headers, body }
    }

    fn see<T>(&self, see: impl FnOnce(Request<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        see(Request { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    fn enter(&self) -> Result<Principal, Refusal> {
        match self.see(|request| WORLD.authenticator.authenticate(request, WORLD.now))? {
            Authentication::Complete(principal) => Ok(principal),
            Authentication::AwaitsBody(signatory) => signatory.with_body(&sha256(&self.body)),
        }
    }

    fn set(&mut self, name: &str, value: String) {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into_bytes()));
    }

    /// Signs everything in the header, by a signer that shares nothing with the verifier.
    fn sign(&mut self, id: &str, secret: &str) {
        self.set("X-Amz-Date", TIME.to_owned());
        self.set("Host", "localhost:4580".to_owned());
        self.headers.retain(|(name, _)| {
            let graphic = name.bytes().all(|byte| byte.is_ascii_graphic() && !b";,=".contains(&byte));
            graphic && !name.is_empty() && !name.eq_ignore_ascii_case("authorization")
        });
        self.headers.truncate(40);
        let mut names: Vec<String> = self.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        let path = if self.path.is_empty() { "/" } else { &self.path };
        let mut canonical = format!("{}\n{path}\n{}\n", self.method, self.sorted_query()).into_bytes();
        for name in &names {
            canonical.extend_from_slice(format!("{name}:").as_bytes());
            let given = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
            let values: Vec<Vec<u8>> = given.map(|(_, value)| folded(value)).collect();
            canonical.extend_from_slice(&values.join(&b','));
            canonical.push(b'\n');
        }
        let names = names.join(";");
        let payload = if self.is_endless() { sha256(b"") } else { sha256(&self.body) };
        let announced =
            self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256"));
        let payload = announced.map_or(hex(&payload).into_bytes(), |(_, value)| value.trim_ascii().to_vec());
        canonical.extend_from_slice(format!("\n{names}\n").as_bytes());
        canonical.extend_from_slice(&payload);
        let scope = format!("{}/us-west-2/kinesisvideo/aws4_request", &TIME[..8]);
        let text = format!("AWS4-HMAC-SHA256\n{TIME}\n{scope}\n{}", hex(&sha256(&canonical)));
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in scope.split('/').chain([text.as_str()]) {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        let signature = hex(&key);
        let value =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        self.set("Authorization", value);
    }

    fn sorted_query(&self) -> String {
        let parts = self.query.split('&').filter(|part| !part.is_empty());
        let mut parts: Vec<_> = parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
        parts.sort_unstable();
        parts.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    fn is_endless(&self) -> bool {
        self.path == "/putMedia"
    }
}

fn folded(value: &[u8]) -> Vec<u8> {
    let words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(refusal: &Refusal) {
    let mut body = Vec::new();
    refusal.write_body(&mut body);
    serde_json::from_slice::<Value>(&body).unwrap();
    let text = String::from_utf8(body).unwrap();
    assert!(!text.contains(SECRET) && text.len() <= 2 << 10, "{text}");
}

/// As it came: it holds no signature but those that were published.
fn as_it_is(message: &Message) {
    match message.enter() {
        Err(refusal) => refused(&refusal),
        Ok(_) => {
            let headers: Vec<_> =
                message.headers.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
            let all = format!("{} {}", message.query, headers.join(" ")).to_ascii_lowercase();
            let all = all.replace("%3d", "=");
            assert!(WORLD.signatures.iter().any(|signature| all.contains(signature)), "forged: {all}");
        }
    }
    // With a key that signed none of it, whatever the claim says.
    let _ = message.see(|request| {
        let claim = Claim::read(request, &Regions::Any, WORLD.now)?;
        let other = Secret::new("another".to_owned());
        match claim.verify(&other)? {
            Verified::Complete => panic!("signed by another"),
            Verified::AwaitsBody(check) => {
                assert!(check.finish(&sha256(&message.body)).is_err(), "signed by another");
            }
        }
        Ok::<_, Refusal>(())
    });
    let sessions = Sessions::new(&Key::new([8; 32])).unwrap();
    for (_, value) in &message.headers {
        let token = String::from_utf8_lossy(value);
        assert!(sessions.open(&token, &WORLD.session.access_key_id, WORLD.now).is_err());
    }
}

/// Signed here: it is let in, and what is changed behind the signer's back is not.
fn signed(mut message: Message, with_session: bool, change: u8) {
    let (id, secret) = match with_session {
        true => (WORLD.session.access_key_id.as_str(), WORLD.session.secret_access_key.reveal()),
        false => (KEY, SECRET),
    };
    match with_session {
        true => message.set("X-Amz-Security-Token", WORLD.session.session_token.reveal().to_owned()),
        false => message.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-amz-security-token")),
    }
    message.sign(id, secret);
    let entered = match message.enter() {
        Ok(principal) => principal,
        Err(Refusal::Mismatch) => panic!("a good signature is refused"),
        // Too large, signed twice, or with a body that is not the one that was announced.
        Err(refusal) => return refused(&refusal),
    };
    assert_eq!((entered.access_key(), entered.expires().is_some()), (id, with_session));
    let mut changed = message.clone();
    match change % 5 {
        0 => changed.method.push('X'),
        1 => changed.path.push('x'),
        2 => changed.query.push_str("&x=y"),
        3 => {
            let place = usize::from(change) % changed.headers.len();
            let (name, value) = &mut changed.headers[place];
            // The port is not always signed.
            if !name.eq_ignore_ascii_case("host") {
                value.push(b'x');
            } else {
                value.insert(0, b'x');
            }
        }
        _ if message.is_endless() => return,
        _ => changed.body.push(b'x'),
    }
    match changed.enter() {
        Err(refusal) => refused(&refusal),
        Ok(_) => panic!("changed, and let in"),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((flags, text)) = input.split_first() else { return };
    let message = Message::parse(text);
    as_it_is(&message);
    if flags & 1 != 0 {
        signed(message, flags & 2 != 0, flags >> 2);
    }
});
