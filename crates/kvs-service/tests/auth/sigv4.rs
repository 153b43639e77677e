//! Signatures of real clients are accepted, and nothing else is.

use kvs_media::time::Utc;
use kvs_service::auth::{Claim, Refusal, Regions, Request, Secret, Verified};
use kvs_wire::Exception;
use proptest::prelude::*;
use serde::Deserialize;

use crate::message::{EMPTY, KEY, Message, SECRET, TIME, at, lower_hex, sha256};

fn vectors() -> Vec<Message> {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Message>,
    }
    serde_json::from_str::<File>(include_str!("../data/sigv4/vectors.json")).unwrap().vectors
}

/// DescribeStream as the C SDK sends it (kvs-api D.1).
fn describe() -> Message {
    let headers = [
        ("host", "kinesisvideo.us-west-2.amazonaws.com"),
        ("user-agent", "AWS-SDK-KVS/3.0.0"),
        ("X-Amz-Date", TIME),
    ];
    Message::new("/describeStream", &headers, r#"{"StreamName":"cam1"}"#)
}

fn signed_describe() -> Message {
    let message = describe();
    let hash = lower_hex(&sha256(message.body.as_bytes()));
    message.signed("host;user-agent;x-amz-date", &hash)
}

fn put_media() -> Message {
    Message::new(
        "/putMedia",
        &[
            ("Host", "s-0123abcd.kinesisvideo.us-west-2.amazonaws.com"),
            ("x-amzn-stream-name", "cam1"),
            ("x-amzn-producer-start-timestamp", "1704164645.000"),
            ("x-amzn-fragment-acknowledgment-required", "1"),
            ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
            ("transfer-encoding", "chunked"),
            ("connection", "keep-alive"),
            ("user-agent", "AWS-SDK-KVS/3.0.0"),
            ("X-Amz-Date", TIME),
        ],
        "media that nobody hashes",
    )
}

const PUT_MEDIA_HEADERS: &str = "connection;host;transfer-encoding;user-agent;x-amz-date;\
    x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;\
    x-amzn-stream-name";

fn viewer() -> Message {
    let mut message = Message::new("/", &[("Host", "v-0123abcd.kinesisvideo.us-west-2.amazonaws.com")], "");
    message.method = "GET".to_owned();
    message.query =
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-ChannelARN=arn%3Aaws%3Akinesisvideo%3Aus-west-2%3A\
        111122223333%3Achannel%2Fch1%2F1577439476380&X-Amz-ClientId=viewer-1&X-Amz-Credential=AKIDEXAMPLE%2F\
        20240102%2Fus-west-2%2Fkinesisvideo%2Faws4_request&X-Amz-Date=20240102T030405Z&X-Amz-Expires=299&\
        X-Amz-SignedHeaders=host&X-Amz-Signature=\
        14fd509df8cec09d6af6f95163c25a908633e1a29e651e4099ee73f1c45ce004"
            .to_owned();
    message
}

#[test]
fn the_published_vectors_verify() {
    let message = signed_describe();
    assert_eq!(message.signature(), "aba18fadabd2a2ee1b626657e328099e83617af6b3f472e60fbd3519104ca54f");
    assert_eq!(message.check(), Ok(()));

    let hash = lower_hex(&sha256(describe().body.as_bytes()));
    let message = describe().signed("host;x-amz-date", &hash);
    assert_eq!(message.signature(), "80f4f615e04fb2d0f15ae99d11909db48581898acc995d0b83f24c3c3ee67e60");
    assert_eq!(message.check(), Ok(()));

    let message = put_media().signed(PUT_MEDIA_HEADERS, EMPTY);
    assert_eq!(message.signature(), "3f7da8da17bb9d0d1036bfbf4d1efabccce426caab1c30478e481594e2c2e5fb");
    assert_eq!(message.check(), Ok(()));

    assert_eq!(viewer().check(), Ok(()));
}

#[test]
fn what_real_clients_sign_verifies() {
    let vectors = vectors();
    assert!(vectors.len() >= 40);
    for message in vectors {
        assert_eq!(message.check(), Ok(()), "{}", message.name);
        assert_eq!(message.check_at(at(&message.now), "another secret"), Err(Refusal::Mismatch));
    }
}

#[test]
fn whatever_is_signed_cannot_be_changed() {
    for original in vectors().into_iter().chain([put_media().signed(PUT_MEDIA_HEADERS, EMPTY), viewer()]) {
        let refused = |what: &str, change: &dyn Fn(&mut Message)| {
            let mut message = original.clone();
            change(&mut message);
            assert!(message.check().is_err(), "{}: {what}", original.name);
        };
        refused("method", &|message| message.method = "PUT".to_owned());
        refused("path", &|message| message.path.insert_str(1, "deleteStream"));
        refused("query", &|message| {
            let separator = if message.query.is_empty() { "" } else { "&" };
            message.query = format!("{}{separator}extra=1", message.query);
        });
        if original.path != "/putMedia" {
            refused("body", &|message| message.body.push(' '));
        }
        let all = format!("{} {:?}", original.query, original.headers);
        let signed = all.split("SignedHeaders=").nth(1).unwrap();
        let names: Vec<&str> = signed
            .split([',', '&'])
            .next()
            .unwrap()
            .split("%3B")
            .flat_map(|names| names.split(';'))
            .collect();
        assert!(names.contains(&"host"), "{names:?}");
        for name in names {
            refused(name, &|message| message.header(name).push('x'));
            refused(name, &|message| message.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name)));
            refused(name, &|message| {
                let again = (name.to_owned(), "again".to_owned());
                message.headers.push(again);
            });
        }
        let signature = original.signature();
        let wrong = if signature.starts_with('0') { "1" } else { "0" };
        refused("signature", &|message| {
            let changed = format!("{wrong}{}", &signature[1..]);
            message.query = message.query.replace(&signature, &changed);
            for (_, value) in &mut message.headers {
                *value = value.replace(&signature, &changed);
            }
        });
    }
}

#[test]
fn the_port_may_be_missing_from_the_signed_host_and_nothing_else() {
    let mut message = signed_describe();
    message.header("host").push_str(":4580");
    assert_eq!(message.check(), Ok(()));
    message.header("host").push_str("0x");
    assert_eq!(message.check(), Err(Refusal::Mismatch));
}

#[test]
fn an_authorization_header_may_be_spaced_and_ordered_in_any_way() {
    let message = signed_describe();
    let signature = message.signature();
    let credential = format!("Credential={KEY}/20240102/us-west-2/kinesisvideo/aws4_request");
    let headers = "SignedHeaders=host;user-agent;x-amz-date";
    for value in [
        format!("AWS4-HMAC-SHA256 {credential},{headers},Signature={signature}"),
        format!("AWS4-HMAC-SHA256   {credential} ,\t{headers} ,  Signature={signature}  "),
        format!("AWS4-HMAC-SHA256 Signature={signature}, {credential}, {headers}"),
        format!("AWS4-HMAC-SHA256 Signature = {signature}, {credential}, {headers}"),
    ] {
        let mut message = message.clone();
        *message.header("authorization") = value.clone();
        assert_eq!(message.check(), Ok(()), "{value}");
    }
    let absent = |part| Refusal::Absent { place: "Authorization header", part };
    let malformed = |part| Refusal::Malformed { part };
    for (value, refusal) in [
        (format!("AWS4-HMAC-SHA256 {headers}, Signature={signature}"), absent("Credential")),
        (format!("AWS4-HMAC-SHA256 {credential}, Signature={signature}"), absent("SignedHeaders")),
        (format!("AWS4-HMAC-SHA256 {credential}, {headers}"), absent("Signature")),
        (format!("AWS4-HMAC-SHA256 {credential}, {credential}"), Refusal::Repeated { part: "Credential" }),
        (format!("AWS4-HMAC-SHA256 {credential}, {headers}, Signature=x"), malformed("Signature")),
        (
            format!("AWS4-HMAC-SHA256 {credential}, {headers}, Signature={signature}, "),
            malformed("Authorization"),
        ),
        (
            format!("AWS4-HMAC-SHA256 {credential}, {headers}, Signature={signature}, X=1"),
            malformed("Authorization"),
        ),
        ("AWS4-HMAC-SHA256".to_owned(), Refusal::Algorithm),
        ("AWS4-HMAC-SHA256x a=b".to_owned(), Refusal::Algorithm),
        ("AWS4-ECDSA-P256-SHA256 a=b".to_owned(), Refusal::Algorithm),
        ("Basic dXNlcjpwYXNz".to_owned(), Refusal::Algorithm),
    ] {
        let mut message = message.clone();
        *message.header("authorization") = value.clone();
        assert_eq!(message.check(), Err(refusal.clone()), "{value}");
        assert_eq!(refusal.exception(), Exception::IncompleteSignature);
    }
}

#[test]
fn a_scope_must_be_ours() {
    let message = signed_describe();
    for (from, to, text) in [
        (
            "20240102/us",
            "20240101/us",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of \
            date from HTTP: '20240101' != '20240102', from '20240102T030405Z'.",
        ),
        ("us-west-2", "US", "Credential should be scoped to a valid region."),
        ("us-west-2", "", "Credential should be scoped to a valid region."),
        ("kinesisvideo", "s3", "Credential should be scoped to correct service: 'kinesisvideo'."),
        ("aws4_request", "aws5", "Credential should be scoped with a valid terminator: 'aws4_request'."),
    ] {
        let mut message = message.clone();
        let value = message.header("authorization");
        *value = value.replace(from, to);
        let refusal = message.check().unwrap_err();
        assert_eq!(refusal.to_string(), text);
        assert_eq!(refusal.exception().status(), 403);
    }
    for (from, to) in [
        ("/us-west-2", ""),
        ("AKIDEXAMPLE", ""),
        ("AKIDEXAMPLE", "a b"),
        ("20240102", "2024"),
        ("aws4_request", "aws4_request/x"),
    ] {
        let mut message = message.clone();
        let value = message.header("authorization");
        *value = value.replace(from, to);
        assert_eq!(message.check(), Err(Refusal::Malformed { part: "Credential" }), "{to}");
    }
}

#[test]
fn only_the_configured_regions_are_served() {
    let message = signed_describe();
    let read = |region: &str| {
        let regions = Regions::Only(vec![region.to_owned()]);
        message.with_request(|request| Claim::read(request, &regions, at(TIME)).err())
    };
    assert_eq!(read("us-west-2"), None);
    assert_eq!(read("eu-west-1"), Some(Refusal::ScopeRegion));
}

#[test]
fn a_signature_holds_for_five_minutes_of_skew_both_ways() {
    let message = signed_describe();
    let check = |now: &str| message.check_at(at(now), SECRET);
    for now in ["20240102T025905Z", TIME, "20240102T030905Z"] {
        assert_eq!(check(now), Ok(()), "{now}");
    }
    let late = check("20240102T030906Z").unwrap_err();
    assert_eq!(
        late.to_string(),
        "Signature expired: 20240102T030405Z is now earlier than 20240102T030406Z (20240102T030906Z - 5 min.)"
    );
    let early = check("20240102T025904Z").unwrap_err();
    assert_eq!(
        early.to_string(),
        "Signature not yet current: 20240102T030405Z is still later than 20240102T030404Z (20240102T025904Z + 5 min.)"
    );
    for refusal in [late, early] {
        let mut body = Vec::new();
        refusal.write_body(&mut body);
        assert!(body.starts_with(br#"{"message":"Signature "#));
        assert_eq!(refusal.exception(), Exception::InvalidSignature);
    }
    // A part of a second is no second.
    assert_eq!(
        message.check_at(Utc::from_nanos(at("20240102T030905Z").nanos() + 999_999_999), SECRET),
        Ok(())
    );
}

#[test]
fn a_presigned_request_lives_as_long_as_it_says() {
    let message = viewer();
    assert_eq!(message.check_at(at("20240102T030904Z"), SECRET), Ok(()));
    let late = message.check_at(at("20240102T030905Z"), SECRET).unwrap_err();
    assert_eq!(
        late.to_string(),
        "Signature expired: 20240102T030405Z is now earlier than 20240102T030406Z (20240102T030905Z - 299 sec.)"
    );
    for (lifetime, refusal) in [
        ("0", Refusal::Lifetime),
        ("604801", Refusal::Lifetime),
        ("604800", Refusal::Mismatch),
        ("%2B1", Refusal::Malformed { part: "X-Amz-Expires" }),
        ("", Refusal::Malformed { part: "X-Amz-Expires" }),
        ("99999999999", Refusal::Malformed { part: "X-Amz-Expires" }),
        ("1&X-Amz-Expires=1", Refusal::Repeated { part: "X-Amz-Expires" }),
    ] {
        let mut message = viewer();
        message.query = message.query.replace("X-Amz-Expires=299", &format!("X-Amz-Expires={lifetime}"));
        assert_eq!(message.check(), Err(refusal), "{lifetime}");
    }
    for part in [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ] {
        let mut message = viewer();
        message.query = message.query.replace(part, "X-Other");
        let refusal = message.check().unwrap_err();
        assert_eq!(refusal.exception(), Exception::IncompleteSignature, "{part}: {refusal}");
    }
}

#[test]
fn only_one_algorithm_is_known_in_the_query() {
    let mut message = viewer();
    message.query = message.query.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256");
    assert_eq!(message.check(), Err(Refusal::Algorithm));
}

#[test]
fn a_list_of_signed_headers_is_well_formed_and_names_each_once() {
    let malformed = Refusal::Malformed { part: "SignedHeaders" };
    for (names, refusal) in [
        ("host;x-amz-date;host", Refusal::Repeated { part: "SignedHeaders" }),
        ("host;x-amz-date;", malformed.clone()),
        ("host;x-amz-date;User-Agent", malformed.clone()),
        ("host;x-amz-date;a b", malformed.clone()),
        ("host;x-amz-date;accept", Refusal::SignedHeaderAbsent),
    ] {
        assert_eq!(describe().signed(names, EMPTY).check(), Err(refusal), "{names}");
    }
    let mut message = describe();
    let names: Vec<String> = (0..63).map(|index| format!("x-{index}")).collect();
    message.headers.extend(names.iter().map(|name| (name.clone(), String::new())));
    let names = format!("host;x-amz-date;{}", names.join(";"));
    assert_eq!(message.signed(&names, EMPTY).check(), Err(malformed));
}

#[test]
fn a_token_in_the_query_may_be_added_after_signing() {
    let mut message = viewer();
    message.query.push_str("&X-Amz-Security-Token=abc%2Fdef");
    assert_eq!(message.check(), Ok(()));
}

#[test]
fn host_and_date_must_be_signed() {
    let hash = lower_hex(&sha256(describe().body.as_bytes()));
    let refusal = describe().signed("user-agent;x-amz-date", &hash).check().unwrap_err();
    assert_eq!(refusal, Refusal::NotSigned { name: "Host" });
    let refusal = describe().signed("host;user-agent", &hash).check().unwrap_err();
    assert_eq!(refusal, Refusal::NotSigned { name: "X-Amz-Date" });
}

#[test]
fn what_is_there_twice_or_in_two_places_is_refused() {
    for name in ["Authorization", "x-amz-date", "host", "x-amz-content-sha256", "x-amz-security-token"] {
        let mut message = signed_describe();
        if name.len() > 13 {
            message.headers.push((name.to_owned(), "x".to_owned()));
        }
        let again = (name.to_owned(), message.header(name).clone());
        message.headers.push(again);
        let refusal = message.check().unwrap_err();
        assert!(matches!(refusal, Refusal::Repeated { .. }), "{name}: {refusal}");
    }
    let mut message = viewer();
    message.headers.push(("authorization".to_owned(), "x".to_owned()));
    assert_eq!(message.check(), Err(Refusal::TwoMechanisms));
    let message = Message::new("/describeStream", &[("host", "x")], "");
    let refusal = message.check().unwrap_err();
    assert_eq!(refusal.to_string(), "Missing Authentication Token");
    assert_eq!(refusal.exception(), Exception::MissingAuthenticationToken);
}

#[test]
fn only_put_media_may_leave_its_payload_out_of_the_signature() {
    let names = "host;x-amz-date";
    for (path, announced, signed_as, outcome) in [
        ("/putMedia", None, EMPTY, Ok(())),
        ("/putMedia", Some(EMPTY), EMPTY, Ok(())),
        ("/putMedia", Some("UNSIGNED-PAYLOAD"), "UNSIGNED-PAYLOAD", Ok(())),
        ("/putMedia", None, "UNSIGNED-PAYLOAD", Err(Refusal::Mismatch)),
        (
            "/putMedia",
            Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Err(Refusal::PayloadForm),
        ),
        ("/describeStream", None, EMPTY, Err(Refusal::Mismatch)),
        ("/describeStream", Some("UNSIGNED-PAYLOAD"), "UNSIGNED-PAYLOAD", Err(Refusal::PayloadForm)),
        ("/describeStream", Some(EMPTY), EMPTY, Err(Refusal::PayloadMismatch)),
        ("/putMedia/", Some("UNSIGNED-PAYLOAD"), "UNSIGNED-PAYLOAD", Err(Refusal::PayloadForm)),
    ] {
        let mut message = describe();
        message.path = path.to_owned();
        if let Some(value) = announced {
            message.headers.push(("x-amz-content-sha256".to_owned(), value.to_owned()));
        }
        assert_eq!(message.signed(names, signed_as).check(), outcome, "{path} {announced:?}");
    }
}

#[test]
fn too_much_is_refused_before_it_is_looked_at() {
    let mut message = signed_describe();
    message.query = "a&".repeat(10_000);
    assert!(matches!(message.check(), Err(Refusal::TooLarge { .. })));
    let mut message = signed_describe();
    message.headers.extend((0..130).map(|index| (format!("x-{index}"), String::new())));
    assert!(matches!(message.check(), Err(Refusal::TooLarge { .. })));
    let mut message = signed_describe();
    message.headers.push(("x-long".to_owned(), "x".repeat(70_000)));
    assert!(matches!(message.check(), Err(Refusal::TooLarge { .. })));
}

#[test]
fn a_refusal_quotes_nothing_of_the_request() {
    for message in vectors() {
        let refusal = message.check_at(at(&message.now), "other").unwrap_err();
        assert!(!format!("{refusal} {refusal:?}").contains(&message.signature()));
    }
}

proptest! {
    #[test]
    fn what_the_independent_signer_signs_verifies(
        path in "(/[a-zA-Z0-9_.~-]{1,9}){1,3}",
        values in proptest::collection::vec("[!-~é]{1,9}( [!-~]{1,9}){0,3}", 1..6),
        body in ".{0,50}",
        wrong in 0_usize..6,
    ) {
        prop_assume!(path.split('/').all(|segment| segment != "." && segment != ".."));
        let mut message = Message::new(&path, &[("Host", "h:1"), ("X-AMZ-DATE", TIME)], &body);
        let mut names = vec!["host".to_owned(), "x-amz-date".to_owned()];
        for (index, value) in values.iter().enumerate() {
            // Two of them share a name.
            let name = format!("x-h{}", index / 2);
            message.headers.push((name.to_uppercase(), value.clone()));
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let hash = lower_hex(&sha256(body.as_bytes()));
        let message = message.signed(&names.join(";"), &hash);
        prop_assert_eq!(message.check(), Ok(()));
        let mut changed = message.clone();
        if let Some(value) = values.get(wrong) {
            changed.headers[2 + wrong].1 = format!("{value}!");
        } else {
            changed.body.push('!');
        }
        prop_assert_eq!(changed.check(), Err(Refusal::Mismatch));
    }

    #[test]
    fn no_header_or_query_makes_it_panic(
        method in ".{0,8}",
        path in ".{0,20}",
        query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Security-Token)=[ -~]{0,30}&){0,8}.{0,20}",
        authorization in "(AWS4-HMAC-SHA256 )?((Credential|SignedHeaders|Signature|.)=?[ -~]{0,30},?){0,4}",
        date in ".{0,17}",
        bytes: Vec<u8>,
    ) {
        let headers: [(&str, &[u8]); 4] = [
            ("authorization", authorization.as_bytes()), ("x-amz-date", date.as_bytes()), ("host", &bytes), ("x", &bytes),
        ];
        for headers in [&headers[..], &headers[1..]] {
            let request = Request { method: &method, path: &path, query: &query, headers };
            if let Ok(claim) = Claim::read(request, &Regions::Any, at(TIME)) {
                let _ = claim.verify(&Secret::new(SECRET.to_owned()));
            }
        }
    }

    #[test]
    fn a_signature_of_anything_else_never_verifies(
        path in "/.{0,20}", query in "([a-c%+=&]|.){0,20}", names in "host;x-amz-date(;[a-z;]{0,4})?", host: Vec<u8>,
    ) {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY}/20240102/us-west-2/kinesisvideo/aws4_request, SignedHeaders={names}, Signature={EMPTY}"
        );
        let headers: [(&str, &[u8]); 4] =
            [("authorization", authorization.as_bytes()), ("x-amz-date", TIME.as_bytes()), ("host", &host), ("a", b"")];
        let request = Request { method: "POST", path: &path, query: &query, headers: &headers };
        if let Ok(Verified::AwaitsBody(check)) =
            Claim::read(request, &Regions::Any, at(TIME)).and_then(|claim| claim.verify(&Secret::new(SECRET.to_owned())))
        {
            prop_assert_eq!(check.finish(&[0; 32]), Err(Refusal::Mismatch));
        }
    }
}
