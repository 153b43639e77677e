//! From keys and policies to what a request may do.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use kvs_media::time::Utc;
use kvs_service::auth::{
    Authentication, Authenticator, Grant, Identities, KeyPair, Policy, Principal, Reason, Refusal, Regions,
    Resource, Secret, SessionCredentials,
};
use kvs_service::keys::Key;
use kvs_service::random::{Random, RandomError};
use kvs_wire::{Exception, Recovery, ServiceError};

use crate::message::{EMPTY, KEY, Message, SECRET, TIME, at, lower_hex, sha256};

const ACCOUNT: &str = "111122223333";
const NAMES: &str = "host;x-amz-date";

/// Foreseeable, and never the same twice.
#[derive(Debug)]
struct Numbers(AtomicU8);

impl Random for Numbers {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        bytes.iter_mut().zip(1_u8..).for_each(|(byte, place)| *byte = number.wrapping_mul(place));
        Ok(())
    }
}

fn numbers() -> Numbers {
    Numbers(AtomicU8::new(0))
}

fn policy(effect: &str, action: &str, resource: &str) -> Policy {
    let statement =
        format!(r#"{{"Sid":"One","Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}"#);
    Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#)).unwrap()
}

/// Root with the key of the published vectors beside its own, and Eve, who may read her own streams.
fn identities() -> Identities {
    let pair = KeyPair { access_key_id: KEY.into(), secret_access_key: Secret::new(SECRET.to_owned()) };
    let random = numbers();
    let own = "arn:aws:kinesisvideo:*:*:stream/${aws:username}-*/*";
    Identities::new(&random)
        .and_then(|identities| identities.with_key("root", pair))
        .and_then(|identities| identities.with_user("eve", &random))
        .and_then(|identities| {
            identities.with_policy("eve", "own", policy("Allow", "kinesisvideo:Get*", own))
        })
        .unwrap()
}

fn authenticator() -> Authenticator {
    Authenticator::new(ACCOUNT, Regions::Any, &Key::new([9; 32]), identities()).unwrap()
}

fn message(path: &str, body: &str) -> Message {
    Message::new(path, &[("Host", "localhost:4580"), ("X-Amz-Date", TIME)], body)
}

fn signed(id: &str, secret: &str, path: &str) -> Message {
    let body = r#"{"StreamName":"cam1"}"#;
    let hash = if path == "/putMedia" { EMPTY.to_owned() } else { lower_hex(&sha256(body.as_bytes())) };
    message(path, body).signed_by(id, secret, NAMES, &hash)
}

fn of_session(credentials: &SessionCredentials) -> Message {
    let mut message = signed(&credentials.access_key_id, credentials.secret_access_key.reveal(), "/getMedia");
    let token = credentials.session_token.reveal().to_owned();
    message.headers.push(("X-Amz-Security-Token".to_owned(), token));
    message
}

fn enter(authenticator: &Authenticator, message: &Message, now: Utc) -> Result<Principal, Refusal> {
    match message.with_request(|request| authenticator.authenticate(request, now))? {
        Authentication::Complete(principal) => Ok(principal),
        Authentication::AwaitsBody(signatory) => signatory.with_body(&sha256(message.body.as_bytes())),
    }
}

fn pair_of(authenticator: &Authenticator, name: &str) -> KeyPair {
    let identities = authenticator.identities();
    let mut users = identities.users().iter().chain([identities.root()]);
    users.find(|user| user.name() == name).unwrap().keys()[0].clone()
}

fn eve(authenticator: &Authenticator) -> Message {
    let pair = pair_of(authenticator, "eve");
    signed(&pair.access_key_id, pair.secret_access_key.reveal(), "/getMedia")
}

fn issue(
    authenticator: &Authenticator,
    name: &str,
    seconds: u64,
    policy: Option<&str>,
) -> SessionCredentials {
    let identities = authenticator.identities();
    let user = identities.users().iter().chain([identities.root()]).find(|user| user.name() == name);
    let lifetime = Duration::from_secs(seconds);
    authenticator.issue(user.unwrap(), lifetime, policy, at(TIME), &numbers()).unwrap()
}

fn stream(name: &str) -> String {
    format!("arn:aws:kinesisvideo:us-west-2:{ACCOUNT}:stream/{name}/1588143003893")
}

fn may(principal: &Principal, action: &str, name: &str) -> bool {
    principal.authorize(action, Resource { arn: &stream(name), shown: name }).is_ok()
}

#[test]
fn root_may_do_everything() {
    let principal = enter(&authenticator(), &signed(KEY, SECRET, "/deleteStream"), at(TIME)).unwrap();
    assert_eq!(principal.arn(), "arn:aws:iam::111122223333:root");
    assert_eq!((principal.access_key(), principal.expires()), (KEY, None));
    let granted = principal.authorize("kinesisvideo:DeleteStream", Resource { arn: "*", shown: "x" });
    assert_eq!(granted, Ok(Grant::Root));
}

#[test]
fn a_user_may_do_what_a_policy_allows_and_hears_of_the_rest_in_the_service_s_words() {
    let authenticator = authenticator();
    let principal = enter(&authenticator, &eve(&authenticator), at(TIME)).unwrap();
    let own = stream("eve-1");
    let granted = principal.authorize("kinesisvideo:GetMedia", Resource { arn: &own, shown: "eve-1" });
    assert!(matches!(granted, Ok(Grant::Statement(place)) if place.sid == Some("One")));
    let denial = principal
        .authorize("kinesisvideo:DescribeStream", Resource { arn: &stream("name"), shown: "name" })
        .unwrap_err();
    let mut body = Vec::new();
    denial.write_body(&mut body);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"Message":"User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kinesisvideo:DescribeStream on resource: name"}"#
    );
    assert_eq!((denial.exception().status(), denial.reason), (403, Reason::NotAllowed));
    assert!(!may(&principal, "kinesisvideo:GetMedia", "cam1"));
    assert!(principal.authorize("kinesisvideo:ListStreams", Resource { arn: "*", shown: "*" }).is_err());
}

#[test]
fn a_denial_in_a_policy_wins() {
    let authenticator = authenticator();
    let deny = policy("Deny", "*", "arn:aws:kinesisvideo:*:*:stream/eve-2/*");
    authenticator.replace(authenticator.identities().with_policy("eve", "not", deny).unwrap());
    let principal = enter(&authenticator, &eve(&authenticator), at(TIME)).unwrap();
    assert!(may(&principal, "kinesisvideo:GetMedia", "eve-1"));
    let denied = stream("eve-2");
    let denial = principal.authorize("kinesisvideo:GetMedia", Resource { arn: &denied, shown: "eve-2" });
    assert_eq!(denial.unwrap_err().reason.to_string(), "policy 1 statement 0 (One) denies it");
}

#[test]
fn a_body_is_checked_before_anybody_is_named() {
    let authenticator = authenticator();
    let mut message = eve(&authenticator);
    message.body.push(' ');
    assert_eq!(enter(&authenticator, &message, at(TIME)).unwrap_err(), Refusal::Mismatch);
    let put = signed(KEY, SECRET, "/putMedia");
    let outcome = put.with_request(|request| authenticator.authenticate(request, at(TIME)));
    assert!(matches!(outcome, Ok(Authentication::Complete(_))));
    let wrong = signed(KEY, "wrong", "/putMedia");
    let outcome = wrong.with_request(|request| authenticator.authenticate(request, at(TIME)));
    assert!(matches!(outcome, Err(Refusal::Mismatch)));
}

#[test]
fn keys_that_nobody_has_are_refused() {
    let authenticator = authenticator();
    let session = issue(&authenticator, "eve", 60, None);
    let mut without_token = of_session(&session);
    without_token.headers.pop();
    let mut with_needless_token = eve(&authenticator);
    with_needless_token.headers.extend(of_session(&session).headers.pop());
    let mut token_of_another = of_session(&session);
    let credential = token_of_another.header("authorization");
    *credential = credential.replace(&session.access_key_id, "ASIAOTHER");
    for message in
        [signed("AKIAOTHER", SECRET, "/getMedia"), without_token, with_needless_token, token_of_another]
    {
        let refusal = enter(&authenticator, &message, at(TIME)).unwrap_err();
        assert_eq!(refusal, Refusal::UnknownKey);
        let mut body = Vec::new();
        refusal.write_body(&mut body);
        assert_eq!(body, br#"{"message":"The security token included in the request is invalid."}"#);
        assert_eq!(refusal.exception(), Exception::UnrecognizedClient);
    }
}

#[test]
fn a_key_or_a_user_that_is_gone_is_refused_at_once() {
    let authenticator = authenticator();
    let (message, session) = (eve(&authenticator), of_session(&issue(&authenticator, "eve", 60, None)));
    assert!(enter(&authenticator, &message, at(TIME)).is_ok());
    assert_eq!(
        enter(&authenticator, &session, at(TIME)).unwrap().arn(),
        "arn:aws:iam::111122223333:user/eve"
    );
    let pair = pair_of(&authenticator, "eve");
    authenticator.replace(authenticator.identities().without_key(&pair.access_key_id).unwrap());
    assert_eq!(enter(&authenticator, &message, at(TIME)).unwrap_err(), Refusal::UnknownKey);
    assert!(enter(&authenticator, &session, at(TIME)).is_ok());
    let random = Numbers(AtomicU8::new(100));
    let anew = authenticator.identities().without_user("eve").and_then(|all| all.with_user("eve", &random));
    authenticator.replace(anew.unwrap());
    assert_eq!(enter(&authenticator, &session, at(TIME)).unwrap_err(), Refusal::UnknownKey);
}

#[test]
fn a_session_survives_a_restart_and_ends_on_time() {
    let before = authenticator();
    let message = of_session(&issue(&before, "eve", 60, None));
    let again = Identities::parse(&before.identities().to_json().unwrap()).unwrap();
    let after = Authenticator::new(ACCOUNT, Regions::Any, &Key::new([9; 32]), again).unwrap();
    let principal = enter(&after, &message, at(TIME)).unwrap();
    assert_eq!(principal.expires(), Some(at("20240102T030505Z")));
    assert!(
        may(&principal, "kinesisvideo:GetMedia", "eve-1") && !may(&principal, "kinesisvideo:GetMedia", "x")
    );
    let refusal = enter(&after, &message, at("20240102T030505Z")).unwrap_err();
    let mut body = Vec::new();
    refusal.write_body(&mut body);
    assert_eq!(body, br#"{"message":"The security token included in the request is expired"}"#);
    let exception = refusal.exception();
    let seen = ServiceError::read(exception.status(), Some(exception.error_type()), &body).unwrap();
    assert_eq!((seen.status, seen.recovery()), (403, Recovery::NewCredentials));
    let other = Authenticator::new(ACCOUNT, Regions::Any, &Key::new([1; 32]), identities()).unwrap();
    assert_eq!(enter(&other, &message, at(TIME)).unwrap_err(), Refusal::UnknownKey);
}

#[test]
fn the_secret_of_a_session_is_needed_as_any_other() {
    let authenticator = authenticator();
    let session = issue(&authenticator, "root", 60, None);
    let mut message = signed(&session.access_key_id, SECRET, "/getMedia");
    let token = session.session_token.reveal().to_owned();
    message.headers.push(("x-amz-security-token".to_owned(), token));
    assert_eq!(enter(&authenticator, &message, at(TIME)).unwrap_err(), Refusal::Mismatch);
}

#[test]
fn a_session_policy_takes_away_and_never_adds() {
    let authenticator = authenticator();
    let narrow = policy("Allow", "kinesisvideo:GetMedia", "*");
    for (user, listing) in [("eve", false), ("root", false)] {
        let session = issue(&authenticator, user, 60, Some(narrow.source()));
        let principal = enter(&authenticator, &of_session(&session), at(TIME)).unwrap();
        assert!(may(&principal, "kinesisvideo:GetMedia", "eve-1"), "{user}");
        assert_eq!(may(&principal, "kinesisvideo:GetClip", "eve-1"), listing, "{user}");
        assert_eq!(may(&principal, "kinesisvideo:GetMedia", "cam1"), user == "root");
    }
    let everything = policy("Allow", "*", "*");
    let session = issue(&authenticator, "eve", 60, Some(everything.source()));
    let principal = enter(&authenticator, &of_session(&session), at(TIME)).unwrap();
    assert!(!may(&principal, "kinesisvideo:PutMedia", "eve-1"));
}

#[test]
fn a_principal_shows_no_secret() {
    let authenticator = authenticator();
    let session = issue(&authenticator, "eve", 60, None);
    let principal = enter(&authenticator, &of_session(&session), at(TIME)).unwrap();
    let shown = format!("{principal:?} {:?}", authenticator.identities());
    let pair = pair_of(&authenticator, "eve");
    for secret in [&session.secret_access_key, &session.session_token, &pair.secret_access_key] {
        assert!(!shown.contains(secret.reveal()));
    }
}
