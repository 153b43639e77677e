//! Calls of the control plane.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kvs_client::client::{
    CallError, ClientSettings, CredentialsFrom, Environment, NewStream, SettingsError, StreamStatus,
};
use kvs_client::{Client, clock};
use kvs_wire::{ApiName, Exception, Recovery, StreamName};
use tokio::net::TcpListener;

use crate::fake::{Fake, by_clock, response};
use crate::running::{PATIENCE, Running, settings, some_keys};

fn cam() -> StreamName {
    "cam1".parse().unwrap()
}

fn new_stream() -> NewStream {
    NewStream {
        retention_hours: 24,
        media_type: Some("video/h264,audio/aac".to_owned()),
        tags: vec![("site".to_owned(), "north".to_owned())],
    }
}

fn client_of(fake: &Fake) -> Arc<Client> {
    Client::new(settings(fake.url(), some_keys(), None), Environment::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_made_described_and_tagged() {
    let running = Running::start().await;
    let client = running.client();
    let missing = client.describe(&cam()).await.unwrap_err();
    assert_eq!(missing.recovery(), Recovery::NoStream);
    assert_eq!(missing.exception(), Some(Exception::ResourceNotFound));
    assert!(missing.request_id().is_some_and(|id| id.len() == 36), "{missing:?}");
    assert!(missing.to_string().starts_with("DescribeStream: ResourceNotFoundException (HTTP 404): "));

    let arn = client.create(&cam(), &new_stream()).await.unwrap();
    assert!(arn.contains(":stream/cam1/"), "{arn}");
    let described = client.describe(&cam()).await.unwrap();
    assert_eq!((described.arn, described.retention_hours), (arn, 24));
    assert_eq!(described.status, StreamStatus::Active);
    assert_eq!(described.media_type.as_deref(), Some("video/h264,audio/aac"));
    assert!(described.version.is_some());
    client.tag(&cam(), &[("site".to_owned(), "south".to_owned())]).await.unwrap();

    let taken = client.create(&cam(), &new_stream()).await.unwrap_err();
    assert_eq!(taken.exception(), Some(Exception::ResourceInUse));
    let endpoint = client.data_endpoint(&cam(), ApiName::PutMedia).await.unwrap();
    assert_eq!((endpoint.host(), endpoint.port()), ("localhost", running.address.port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_signature_by_its_time_sets_the_clock() {
    let ahead = Arc::new(AtomicI64::new(0));
    let service = Arc::clone(&ahead);
    let fake = Fake::start(move |_, asked| {
        let found = response(200, &[], r#"{"DataEndpoint":"http://localhost:1"}"#);
        by_clock(service.load(Ordering::Relaxed), asked, found)
    })
    .await;
    let client = client_of(&fake);
    for (calls, days) in [(2, -50 * 365), (4, 0), (6, 1)] {
        let seconds = days * 86_400;
        ahead.store(seconds, Ordering::Relaxed);
        // Within the call.
        client.data_endpoint(&cam(), ApiName::PutMedia).await.unwrap();
        client.forget_data_endpoint(&cam(), ApiName::PutMedia);
        assert_eq!(fake.asked().len(), calls);
        let off = client.now().millis() - clock::utc().millis() - seconds * 1_000;
        assert!(off.abs() < 5_000, "{off}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_finds_the_endpoint_for_all_who_want_it() {
    let fake = Fake::start(|_, _| response(200, &[], r#"{"DataEndpoint":"http://localhost:1"}"#)).await;
    let client = client_of(&fake);
    let all = (0..50).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.data_endpoint(&cam(), ApiName::PutMedia).await.unwrap() })
    });
    for endpoint in futures_util::future::join_all(all).await {
        assert_eq!(endpoint.unwrap().to_string(), "http://localhost:1");
    }
    assert_eq!(fake.asked().len(), 1);
    let asked = &fake.asked()[0];
    assert_eq!(asked.line(), "POST /getDataEndpoint HTTP/1.1");
    assert!(asked.body.contains(r#""StreamName":"cam1""#) && asked.body.contains(r#""APIName":"PUT_MEDIA""#));

    client.data_endpoint(&cam(), ApiName::GetMedia).await.unwrap();
    client.data_endpoint(&"cam2".parse().unwrap(), ApiName::PutMedia).await.unwrap();
    client.data_endpoint(&cam(), ApiName::PutMedia).await.unwrap();
    assert_eq!(fake.asked().len(), 3);
    client.forget_data_endpoint(&cam(), ApiName::PutMedia);
    client.data_endpoint(&cam(), ApiName::PutMedia).await.unwrap();
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_is_for_all_who_waited_and_for_nobody_after() {
    let fake = Fake::start(|before, _| match before {
        0 => response(500, &[], "{}"),
        _ => response(200, &[], r#"{"DataEndpoint":"http://localhost:1"}"#),
    })
    .await;
    let client = client_of(&fake);
    let (cam, api) = (cam(), ApiName::PutMedia);
    let (one, two) = tokio::join!(client.data_endpoint(&cam, api), client.data_endpoint(&cam, api));
    assert_eq!([one, two].map(|one| one.unwrap_err().recovery()), [Recovery::BackOff; 2]);
    assert_eq!(fake.asked().len(), 1, "no retries by the SDK");
    client.data_endpoint(&cam, api).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_is_done_about_them() {
    const LIMIT: &str = "ClientLimitExceededException:https://kinesisvideo.amazonaws.com/doc/2017-09-30/";
    type Headers = &'static [(&'static str, &'static str)];
    let rows: [(u16, Headers, &'static str, Recovery); 8] = [
        (400, &[("x-amzn-ErrorType", LIMIT)], r#"{"Message":"x"}"#, Recovery::BackOff),
        (400, &[("x-amzn-ErrorType", "InvalidArgumentException")], "{}", Recovery::Fatal),
        (
            403,
            &[],
            r#"{"message":"The security token included in the request is expired"}"#,
            Recovery::NewCredentials,
        ),
        (404, &[("x-amzn-ErrorType", "ResourceNotFoundException")], "{}", Recovery::NoStream),
        (503, &[], "<html>", Recovery::BackOff),
        (
            200,
            &[],
            r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
            Recovery::NewEndpoint,
        ),
        (200, &[], "garbage", Recovery::NewEndpoint),
        (302, &[("Location", "http://localhost:1/")], "", Recovery::BackOff),
    ];
    for (status, headers, body, recovery) in rows {
        let fake = Fake::start(move |_, _| {
            let all: Vec<_> = headers.iter().copied().chain([("x-amzn-RequestId", "quoted")]).collect();
            response(status, &all, body)
        })
        .await;
        let error = client_of(&fake).data_endpoint(&cam(), ApiName::PutMedia).await.unwrap_err();
        assert_eq!(error.recovery(), recovery, "{status} {body}: {error:?}");
        // Who signs is the same still: no second call.
        assert_eq!(fake.asked().len(), 1, "{status} {body}");
        if matches!(error, CallError::Refused { .. }) {
            assert_eq!(error.request_id(), Some("quoted"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_not_waited_for() {
    let silent = Fake::start(|_, _| None).await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (place, bound) in [
        (silent.url(), Duration::from_millis(300)),
        (format!("https://{}", deaf.local_addr().unwrap()), Duration::from_millis(300)),
        (format!("http://{gone}"), Duration::ZERO),
    ] {
        let settings = ClientSettings {
            connect_timeout: Duration::from_millis(300),
            call_timeout: Duration::from_millis(600),
            ..settings(place.clone(), some_keys(), None)
        };
        let client = Client::new(settings, Environment::default());
        let since = std::time::Instant::now();
        let error = tokio::time::timeout(PATIENCE, client.describe(&cam())).await.unwrap().unwrap_err();
        assert!(matches!(&error, CallError::Network { place: at, .. } if *at == place), "{error:?}");
        assert_eq!(error.recovery(), Recovery::BackOff);
        assert!(since.elapsed() >= bound, "{error}");
    }
}

#[tokio::test]
async fn what_is_set_wrong_is_final_and_says_what() {
    for (wrong, said) in [
        (
            ClientSettings { endpoint: Some("localhost".to_owned()), ..ClientSettings::default() },
            "endpoint: it is no URL of http",
        ),
        (
            ClientSettings { ca_file: Some("/nowhere/ca.pem".into()), ..ClientSettings::default() },
            "certificates /nowhere/ca.pem: No such file",
        ),
        (ClientSettings { region: Some("us west/2".to_owned()), ..ClientSettings::default() }, "a call: "),
    ] {
        let settings = ClientSettings {
            credentials: some_keys(),
            region: wrong.region.clone().or(Some("us-west-2".to_owned())),
            ..wrong
        };
        let error = Client::new(settings, Environment::default()).describe(&cam()).await.unwrap_err();
        assert!(matches!(error, CallError::Settings(_)), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.recovery(), Recovery::Fatal);
    }
    let variable = [("CONTROL_PLANE_URI", "nonsense")].into_iter().collect();
    let named = ClientSettings {
        region: Some("us-west-2".to_owned()),
        credentials: some_keys(),
        ..ClientSettings::default()
    };
    let error = Client::new(named, variable).describe(&cam()).await.unwrap_err();
    assert!(matches!(error, CallError::Settings(SettingsError::Url { what: "CONTROL_PLANE_URI", .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_says_where_and_the_settings_how_the_client_calls_itself() {
    let fake = Fake::start(|_, _| response(500, &[], "{}")).await;
    let environment =
        [("CONTROL_PLANE_URI", fake.url()), ("AWS_REGION", "eu-central-1".to_owned())].into_iter().collect();
    let settings = ClientSettings {
        credentials: some_keys(),
        user_agent: Some("camera/7".to_owned()),
        ..ClientSettings::default()
    };
    Client::new(settings, environment).describe(&cam()).await.unwrap_err();
    let asked = &fake.asked()[0];
    let agent = asked.header("user-agent").unwrap();
    assert!(agent.starts_with("camera/7 aws-sdk-rust/"), "{agent}");
    let signed = asked.header("authorization").unwrap();
    assert!(signed.contains("/eu-central-1/kinesisvideo/aws4_request"), "{signed}");
    assert_eq!(asked.header("x-amz-security-token"), Some("tOkEn"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_named_is_the_one() {
    let fake = Fake::start(|_, _| response(500, &[], "{}")).await;
    for (region, use_dual_stack) in [("us-gov-west-1", false), ("us-west-2", true)] {
        let region = Some(region.to_owned());
        let named = ClientSettings { region, use_dual_stack, ..settings(fake.url(), some_keys(), None) };
        let error = Client::new(named, Environment::default()).describe(&cam()).await.unwrap_err();
        assert_eq!(error.recovery(), Recovery::BackOff, "{error}");
    }
    assert_eq!(fake.asked().len(), 2);
    // Nobody knows whether it keeps FIPS.
    let fips = ClientSettings { use_fips: true, ..settings(fake.url(), some_keys(), None) };
    let error = Client::new(fips, Environment::default()).describe(&cam()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be asked to keep FIPS"), "{error}");
    assert_eq!(error.recovery(), Recovery::Fatal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_no_error_and_in_no_debug_form() {
    let fake = Fake::start(|_, _| response(403, &[], r#"{"message":"no"}"#)).await;
    let client = client_of(&fake);
    let error = client.describe(&cam()).await.unwrap_err();
    let credentials = client.credentials(false).await.unwrap();
    for shown in [
        format!("{error} {error:?}"),
        format!("{client:?}"),
        format!("{:?}", client.settings()),
        format!("{credentials:?}"),
    ] {
        assert!(!shown.contains("sEcReT") && !shown.contains("tOkEn"), "{shown}");
    }
}

#[tokio::test]
async fn those_with_equal_settings_share_a_client_while_somebody_has_it() {
    let settings = |name: &str| ClientSettings {
        credentials: CredentialsFrom::File(name.into()),
        ..ClientSettings::default()
    };
    let (one, same, other) =
        (Client::shared(settings("a")), Client::shared(settings("a")), Client::shared(settings("b")));
    assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
    let gone = Arc::downgrade(&one);
    drop((one, same));
    assert!(gone.upgrade().is_none());
}
