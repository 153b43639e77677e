//! The listener among good clients and bad ones.

use std::time::Duration;

use kvs_wire::Operation;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::client::{ABSOLUTE, PATIENCE, Wire};
use super::media::{BASE, Body};
use super::running::Running;

/// Waits for the service to end a connection.
async fn ended(wire: &mut Wire) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, wire.tcp.read_to_end(&mut rest)).await;
    // A reset is an end too.
    let _ = read.expect("the connection stays open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_half_a_head_is_sent_away() {
    let running = Running::start_with(|config| config.limits.head_timeout = Duration::from_millis(200)).await;
    let mut wire = Wire::connect(running.address).await;
    wire.write(b"POST /describeStream HTTP/1.1\r\nhost: x\r\n").await;
    ended(&mut wire).await;
    // And so is who asks for nothing.
    ended(&mut Wire::connect(running.address).await).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_or_too_slow_is_refused() {
    let running = Running::start_with(|config| {
        config.limits.body_bytes = 1_000;
        config.limits.body_timeout = Duration::from_millis(200);
    })
    .await;
    let client = running.client();
    let path = Operation::DescribeStream.path();
    let headers = client.signed(path, &[], b"{}");
    // By what it announces, and by what comes.
    let mut wire = Wire::connect(running.address).await;
    wire.head("POST", path, &headers, Some(1_001)).await;
    let answer = wire.answer().await;
    assert_eq!((answer.head.status, answer.exception()), (400, "InvalidArgumentException"));
    let mut wire = Wire::connect(running.address).await;
    wire.head("POST", path, &headers, None).await;
    wire.chunk(&[b' '; 1_001]).await;
    assert_eq!(wire.answer().await.head.status, 400);
    let mut wire = Wire::connect(running.address).await;
    wire.head("POST", path, &headers, Some(2)).await;
    wire.write(b"{").await;
    let answer = wire.answer().await;
    assert_eq!((answer.head.status, answer.exception()), (400, "RequestExpired"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_given_up() {
    let running = Running::start_with(|config| {
        config.limits.stall_timeout = Duration::from_millis(300);
        config.limits.get_media_readers = 1;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    let large = vec![1_u8; 9_000_000];
    for time in (BASE..).step_by(1_000).take(3) {
        put.send(&body.fragment(time, &[&large])).await;
    }
    put.finish().await;
    put.acks().await;
    let earliest = json!({ "StreamName": "cam", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let stuck = client.try_get(earliest.clone()).await;
    assert_eq!(stuck.head.status, 200);
    // Its place is free again when it is gone.
    let gone = async {
        while client.try_get(earliest.clone()).await.head.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it keeps its place");
    drop(stuck);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_when_all_seats_are_taken_waits_for_one() {
    let running = Running::start_with(|config| config.limits.connections = 2).await;
    let client = running.client();
    let (one, _two) = (Wire::connect(running.address).await, Wire::connect(running.address).await);
    let third = tokio::spawn(async move { client.ok(Operation::ListStreams, json!({})).await });
    tokio::task::yield_now().await;
    assert!(!third.is_finished());
    drop(one);
    assert_eq!(third.await.unwrap()["StreamInfoList"], json!([]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_operation_is_answered_too() {
    let running = Running::start().await;
    let get = |method: &'static str, path: &'static str| async move {
        let mut wire = Wire::connect(running.address).await;
        wire.head(method, path, &[("host".into(), "localhost".into())], Some(0)).await;
        let answer = wire.answer().await;
        assert_eq!(answer.head.headers["x-amzn-requestid"].len(), 36, "{path}");
        (answer.head.status, String::from_utf8(answer.body.to_vec()).unwrap())
    };
    assert_eq!(get("GET", "/health").await, (200, "ok\n".into()));
    assert_eq!(get("DELETE", "/health").await.0, 405);
    assert_eq!(get("GET", "/putMedia").await.0, 404);
    let unknown =
        r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    assert_eq!(get("POST", "/GetHLSStreamingSessionURL").await, (200, unknown.into()));
    // Nobody commands faults where they are not allowed.
    assert_ne!(get("DELETE", "/faults").await.0, 200);
    assert_eq!(get("GET", "/credentials").await.0, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_say_what_happened_to_each_stream() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let media = Body::new(1).fragment(BASE, &[b"one", b"two"]);
    put.send(&media).await;
    put.finish().await;
    put.acks().await;
    client.get("cam", json!({ "StartSelectorType": "EARLIEST" })).await.all().await;
    client.fragments("cam").await;
    let _ = client
        .try_put(&[("x-amzn-stream-name", "cam"), ABSOLUTE, ("x-amzn-fragment-acknowledgment-required", "2")])
        .await;
    let mut wire = Wire::connect(running.address).await;
    wire.head("GET", "/metrics", &[("host".into(), "localhost".into())], Some(0)).await;
    let text = String::from_utf8(wire.answer().await.body.to_vec()).unwrap();
    let value = |name: &str| {
        let start = format!("kvs_{name}{{stream=\"cam\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
    };
    for (name, wanted) in [
        ("PutMedia_Requests", "2"),
        ("PutMedia_ConnectionErrors", "1"),
        ("PutMedia_IncomingFragments", "1"),
        ("PutMedia_IncomingFrames", "2"),
        ("PutMedia_Success", "1"),
        ("PutMedia_PersistedAckLatency_count", "1"),
        ("PutMedia_ActiveConnections", "0"),
        ("GetMedia_Requests", "1"),
        ("GetMedia_OutgoingFragments", "1"),
        ("GetMedia_OutgoingFrames", "2"),
        ("ListFragments_Success", "1"),
        ("ArchivedFragmentsConsumed_Metadata", "100"),
    ] {
        assert_eq!(value(name), wanted, "{name}");
    }
    assert_eq!(value("PutMedia_IncomingBytes"), media.len().to_string());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_endpoints_are_where_the_service_is_advertised() {
    let running =
        Running::start_with(|config| config.advertise = Some("https://recorder.lan:8443/".into())).await;
    let client = running.client();
    client.create("cam", 24).await;
    let ask = json!({ "StreamName": "cam", "APIName": "PUT_MEDIA" });
    let answer = client.ok(Operation::GetDataEndpoint, ask).await;
    assert_eq!(answer["DataEndpoint"], "https://recorder.lan:8443");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_fast_is_slowed_down_both_ways() {
    let running = Running::start_with(|config| {
        config.limits.put_media_bytes = 2_000_000;
        config.limits.get_media_bytes = 2_000_000;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut body = Body::new(1);
    let large = vec![1_u8; 1_500_000];
    let started = std::time::Instant::now();
    let mut put = client.put("cam").await;
    for time in (BASE..).step_by(1_000).take(3) {
        put.send(&body.fragment(time, &[&large])).await;
    }
    put.finish().await;
    assert_eq!(put.acks().await.len(), 9);
    // A second's worth goes at once, and the rest at its pace.
    let least = Duration::from_millis(1_200);
    assert!(started.elapsed() >= least, "{:?}", started.elapsed());
    let started = std::time::Instant::now();
    let all = client.get("cam", json!({ "StartSelectorType": "EARLIEST" })).await.all().await;
    assert!(all.len() > 4_500_000 && started.elapsed() >= least, "{:?}", started.elapsed());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_fragment_lists_are_read_at_a_time_than_may_be() {
    let running = Running::start_with(|config| config.limits.fragment_list_readers = 1).await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let large = vec![1_u8; 9_000_000];
    put.send(&Body::new(1).fragment(BASE, &[&large])).await;
    put.finish().await;
    let number = put.acks().await[0].fragment_number.clone().unwrap().to_string();
    let list = json!({ "StreamName": "cam", "Fragments": [number, number, number] });
    // It is not read, so that it does not end.
    let stuck = client.media(Operation::GetMediaForFragmentList, list.clone()).await;
    assert_eq!(stuck.head.status, 200);
    let answer = client.call(Operation::GetMediaForFragmentList, list).await;
    assert_eq!((answer.head.status, answer.exception()), (400, "ClientLimitExceededException"));
    drop(stuck);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_takes_all_seats() {
    let running = Running::start_with(|config| config.limits.connections_per_address = 2).await;
    let client = running.client();
    let (one, _two) = (Wire::connect(running.address).await, Wire::connect(running.address).await);
    ended(&mut Wire::connect(running.address).await).await;
    drop(one);
    // Its place is free when the service has seen it go.
    let listed = async {
        loop {
            let mut wire = Wire::connect(running.address).await;
            let path = Operation::ListStreams.path();
            let headers = client.signed(path, &[], b"{}");
            if wire.try_answer(path, &headers, b"{}").await == Some(200) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, listed).await.expect("its place is never free");
    running.stop().await;
}
