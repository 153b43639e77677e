//! GetMedia on the wire.

use std::time::Duration;

use kvs_wire::{AckEvent, Operation};
use serde_json::json;

use super::client::Client;
use super::media::{BASE, Body, Chunk, chunks};
use super::running::Running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_frame_comes_out_before_its_fragment_is_complete() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    put.send(&body.cluster(BASE)).await;
    put.send(&body.frame(1, BASE, true, b"the key frame")).await;
    put.event().await;
    let mut get = client.get("cam", json!({ "StartSelectorType": "NOW" })).await;
    let contains =
        |wanted: &'static [u8]| move |all: &[u8]| all.windows(wanted.len()).any(|part| part == wanted);
    let mut all = get.until(contains(b"the key frame")).await.to_vec();
    put.send(&body.frame(1, BASE + 40, false, b"a frame on its way")).await;
    all.extend_from_slice(&get.until(contains(b"a frame on its way")).await);
    put.finish().await;
    put.acks().await;
    all.extend_from_slice(&get.all().await);
    let chunks = chunks(&all);
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].payloads(), [&b"the key frame"[..], b"a frame on its way"]);
    assert!(chunks[0].own.is_complete());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_comes_out_as_it_went_in() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    let large = vec![7_u8; 1_300_000];
    put.send(&body.fragment(BASE, &[b"one", &large, b"two"])).await;
    put.send(&body.tag("plate", "ZH 1234")).await;
    put.send(&body.fragment(BASE + 1_000, &[b"three"])).await;
    put.finish().await;
    put.acks().await;
    let mut get = client.get("cam", json!({ "StartSelectorType": "EARLIEST" })).await;
    let chunks = chunks(&get.all().await);
    assert_eq!(chunks[0].payloads(), [&b"one"[..], &large, b"two"]);
    assert_eq!(chunks[1].payloads(), [b"three"]);
    assert_eq!(chunks[1].tags, [("plate".to_owned(), "ZH 1234".to_owned())]);
    assert_eq!(chunks.len(), 2);
    running.stop().await;
}

/// Puts fragments a second apart, one frame in each, and says their numbers.
async fn recorded(client: &Client, name: &str, payloads: &[&[u8]]) -> Vec<String> {
    let mut put = client.put(name).await;
    let mut body = Body::new(1);
    for (time, payload) in (BASE..).step_by(1_000).zip(payloads) {
        put.send(&body.fragment(time, &[payload])).await;
    }
    put.finish().await;
    let acks = put.acks().await;
    let persisted = acks.iter().filter(|ack| ack.event == AckEvent::Persisted);
    persisted.map(|ack| ack.fragment_number.as_ref().unwrap().to_string()).collect()
}

async fn got(client: &Client, name: &str, selector: serde_json::Value) -> Vec<Chunk> {
    chunks(&client.get(name, selector).await.all().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_selector_begins_where_it_says() {
    let running =
        Running::start_with(|config| config.limits.get_media_idle = Duration::from_millis(200)).await;
    let client = running.client();
    client.create("cam", 24).await;
    let numbers = recorded(&client, "cam", &[b"0", b"1", b"2", b"3"]).await;
    let after = |selector: serde_json::Value| {
        let client = client.clone();
        async move {
            let chunks = got(&client, "cam", selector).await;
            chunks.iter().map(|chunk| chunk.payloads().concat()).collect::<Vec<_>>().concat()
        }
    };
    let select = |kind: &str, field: &str, value: serde_json::Value| json!({ "StartSelectorType": kind, field: value });
    assert_eq!(after(json!({ "StartSelectorType": "EARLIEST" })).await, b"0123");
    assert_eq!(
        after(select("FRAGMENT_NUMBER", "AfterFragmentNumber", numbers[1].as_str().into())).await,
        b"23"
    );
    let token = select("CONTINUATION_TOKEN", "ContinuationToken", numbers[2].as_str().into());
    assert_eq!(after(token).await, b"3");
    let seconds = |millis: i64| json!(millis as f64 / 1_000.0);
    let at = |millis| select("PRODUCER_TIMESTAMP", "StartTimestamp", seconds(millis));
    assert_eq!(after(at(BASE + 2_000)).await, b"23");
    // A fragment of one frame covers its instant only: the next one begins behind it.
    assert_eq!(after(at(BASE + 2_001)).await, b"3");
    assert_eq!(after(at(BASE - 1_000_000)).await, b"0123");
    assert_eq!(after(at(BASE + 1_000_000)).await, b"");
    let rows = client.fragments("cam").await;
    let server = rows[0]["ServerTimestamp"].clone();
    assert_eq!(after(select("SERVER_TIMESTAMP", "StartTimestamp", server)).await, b"0123");
    // It came more than the idle time ago: it is not now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(after(json!({ "StartSelectorType": "NOW" })).await, b"");
    let unknown = got(&client, "cam", select("FRAGMENT_NUMBER", "AfterFragmentNumber", "17".into())).await;
    assert_eq!(unknown[0].own.error(), Some(kvs_wire::ErrorId(4000)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_crosses_from_the_archive_into_the_live_stream_without_a_seam() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    let mut wanted = Vec::new();
    let reader = {
        let client = client.clone();
        tokio::spawn(async move { got(&client, "cam", json!({ "StartSelectorType": "EARLIEST" })).await })
    };
    for count in 0_i64..60 {
        let payload = format!("frame {count:03} {}", "x".repeat(usize::try_from(count).unwrap() * 400));
        put.send(&body.fragment(BASE + count * 1_000, &[payload.as_bytes(), b"delta"])).await;
        wanted.push(payload.into_bytes());
        if count % 7 == 6 {
            // As fast as the acks come, and then again as fast as the network takes it.
            let before = Some((AckEvent::Persisted, Some(BASE + (count - 1) * 1_000)));
            while put.event().await != before {}
        }
    }
    put.finish().await;
    put.acks().await;
    let chunks = reader.await.unwrap();
    let payloads: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.payloads()[0]).collect();
    assert_eq!(payloads, wanted.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let numbers: Vec<_> = chunks.iter().map(Chunk::number).collect();
    assert!(numbers.is_sorted() && chunks.iter().all(|chunk| chunk.own.is_complete()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reader_gets_an_open_fragment_from_its_first_byte() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    put.send(&body.cluster(BASE)).await;
    let frames: Vec<Vec<u8>> = (0..30_u8).map(|at| vec![at; 20_000 + usize::from(at)]).collect();
    for (time, frame) in (BASE..).step_by(10).zip(&frames) {
        put.send(&body.frame(1, time, time == BASE, frame)).await;
    }
    put.event().await;
    // 600 KB of it are in the store by now, or on their way.
    let mut get = client.get("cam", json!({ "StartSelectorType": "NOW" })).await;
    let total: usize = frames.iter().map(Vec::len).sum();
    let mut all = get.until(|all| all.len() > total).await.to_vec();
    put.finish().await;
    put.acks().await;
    all.extend_from_slice(&get.all().await);
    let chunks = chunks(&all);
    assert_eq!(chunks[0].payloads(), frames.iter().map(Vec::as_slice).collect::<Vec<_>>());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fragment_that_is_never_complete_cuts_its_readers_off() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    put.send(&Body::new(1).fragment(BASE, &[b"half of it"])).await;
    put.event().await;
    let mut get = client.get("cam", json!({ "StartSelectorType": "NOW" })).await;
    get.until(|all| all.ends_with(b"half of it")).await;
    drop(put);
    // Cut off: an end without the last chunk.
    assert_eq!(get.all().await.len(), 0);
    assert_eq!(client.fragments("cam").await.len(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_keeps_nothing_is_read_from_memory() {
    let running = Running::start_with(|config| {
        config.limits.get_media_idle = Duration::from_millis(200);
        config.limits.unretained_bytes = 150_000;
    })
    .await;
    let client = running.client();
    client.create("cam", 0).await;
    let large = vec![1_u8; 100_000];
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    for (time, payload) in (BASE..).step_by(1_000).zip([b"small", &large[..], &large, b"last"]) {
        put.send(&body.fragment(time, &[payload])).await;
    }
    put.finish().await;
    let events: Vec<_> = put.acks().await.into_iter().map(|ack| ack.event).collect();
    assert!(!events.contains(&AckEvent::Persisted) && events.len() == 8, "{events:?}");
    // The oldest went when the newest needed the room.
    let chunks = got(&client, "cam", json!({ "StartSelectorType": "EARLIEST" })).await;
    let payloads: Vec<_> = chunks.iter().map(|chunk| chunk.payloads()[0].len()).collect();
    assert_eq!(payloads, [100_000, 4]);
    let list = json!({ "StreamName": "cam", "Fragments": [chunks[0].number()] });
    let answer = client.call(Operation::GetMediaForFragmentList, list).await;
    assert_eq!((answer.head.status, answer.exception()), (400, "NoDataRetentionException"));
    assert_eq!(running.service.faults().clock_skew(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_reader_is_refused_and_a_quiet_stream_ends_an_answer() {
    let running =
        Running::start_with(|config| config.limits.get_media_idle = Duration::from_millis(300)).await;
    let client = running.client();
    client.create("cam", 24).await;
    let now = json!({ "StartSelectorType": "NOW" });
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(client.get("cam", now.clone()).await);
    }
    let fourth = client.try_get(json!({ "StreamName": "cam", "StartSelector": now })).await;
    assert_eq!(fourth.head.status, 400);
    let kind = &fourth.head.headers["x-amzn-errortype"];
    assert!(kind.starts_with("ConnectionLimitExceededException"), "{kind}");
    for mut reader in readers {
        assert_eq!(reader.head.headers["content-type"], "video/webm");
        assert_eq!(reader.all().await.len(), 0);
    }
    client.get("cam", now).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_come_in_the_order_that_is_asked_for_and_one_that_is_missing_says_so() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    client.create("other", 24).await;
    let numbers = recorded(&client, "cam", &[b"0", b"1", b"2"]).await;
    let others = recorded(&client, "other", &[b"x"]).await;
    let asked = [&numbers[2], &others[0], &numbers[0]];
    let list = json!({ "StreamName": "cam", "Fragments": asked });
    let mut media = client.media(Operation::GetMediaForFragmentList, list).await;
    let chunks = chunks(&media.all().await);
    let numbers: Vec<_> = chunks.iter().map(Chunk::number).collect();
    assert_eq!(numbers, asked.map(String::as_str));
    assert_eq!((chunks[0].payloads()[0], chunks[2].payloads()[0]), (&b"2"[..], &b"0"[..]));
    assert_eq!(chunks[1].own.error(), Some(kvs_wire::ErrorId(3000)));
    assert!(chunks[0].own.continuation_token.is_none() && chunks[0].own.server_time.is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_streams_together_have_no_more_in_memory_than_they_may() {
    let running = Running::start_with(|config| {
        config.limits.get_media_idle = Duration::from_millis(100);
        config.limits.unretained_total_bytes = 350_000;
    })
    .await;
    let client = running.client();
    let large = vec![1_u8; 100_000];
    for name in ["one", "two"] {
        client.create(name, 0).await;
        let mut put = client.put(name).await;
        let mut body = Body::new(1);
        for time in (BASE..).step_by(1_000).take(2) {
            put.send(&body.fragment(time, &[&large])).await;
        }
        put.finish().await;
        put.acks().await;
    }
    let earliest = json!({ "StartSelectorType": "EARLIEST" });
    // The oldest went, whosoever it was.
    assert_eq!(got(&client, "one", earliest.clone()).await.len(), 1);
    assert_eq!(got(&client, "two", earliest).await.len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_goes_in_the_middle_of_a_fragment_cuts_its_readers_off() {
    let running = Running::start().await;
    let client = running.client();
    let arn = client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    put.send(&Body::new(1).fragment(BASE, &[b"half of it"])).await;
    put.event().await;
    let mut get = client.get("cam", json!({ "StartSelectorType": "NOW" })).await;
    get.until(|all| all.ends_with(b"half of it")).await;
    client.ok(Operation::DeleteStream, json!({ "StreamARN": arn })).await;
    // No document of an error in the middle of a cluster.
    assert_eq!(get.all().await.len(), 0);
    running.stop().await;
}
