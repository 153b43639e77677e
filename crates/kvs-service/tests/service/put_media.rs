//! PutMedia on the wire.

use std::time::Duration;

use kvs_wire::AckEvent::{Buffering, Error, Idle, Persisted, Received};
use kvs_wire::{ErrorId, Operation};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::client::ABSOLUTE;
use super::media::{BASE, Body};
use super::running::Running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_are_acknowledged_as_they_come_and_listed_when_they_are_persisted() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    put.send(&body.cluster(BASE)).await;
    assert_eq!(put.event().await, Some((Buffering, Some(BASE))));
    put.send(&body.frame(1, BASE, true, b"key")).await;
    put.send(&body.cluster(BASE + 1_000)).await;
    assert_eq!(put.event().await, Some((Received, Some(BASE))));
    assert_eq!(put.event().await, Some((Buffering, Some(BASE + 1_000))));
    // In full duplex: the second fragment is open.
    assert_eq!(put.event().await, Some((Persisted, Some(BASE))));
    assert_eq!(client.fragments("cam").await.len(), 1);
    put.send(&body.frame(1, BASE + 1_000, true, b"another")).await;
    put.finish().await;
    assert_eq!(put.event().await, Some((Received, Some(BASE + 1_000))));
    assert_eq!(put.event().await, Some((Persisted, Some(BASE + 1_000))));
    assert_eq!(put.event().await, None);
    assert_eq!(client.fragments("cam").await.len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_body_gets_its_error_and_costs_no_fragment_before() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    put.send(&body.fragment(BASE, &[b"key", b"delta"])).await;
    put.send(&body.cluster(BASE + 1_000)).await;
    put.send(&[0xff; 64]).await;
    let acks = put.acks().await;
    let events: Vec<_> = acks.iter().map(|ack| ack.event).collect();
    assert_eq!(events.iter().filter(|event| **event == Persisted).count(), 1, "{events:?}");
    let error = acks.iter().find(|ack| ack.event == Error).unwrap();
    assert_eq!(error.error(), Some(ErrorId(4006)));
    assert_eq!(client.fragments("cam").await.len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_single_bytes_is_acknowledged_as_one_in_large_pieces() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut body = Body::new(1);
    let mut bytes = body.fragment(BASE, &[b"key", b"delta"]);
    bytes.extend(body.tag("plate", "ZH 1234"));
    bytes.extend(body.fragment(BASE + 1_000, &[b"key", b"delta"]));
    let mut events = Vec::new();
    for pieces in [1, bytes.len()] {
        let mut put = client.put("cam").await;
        for piece in bytes.chunks(pieces) {
            put.send(piece).await;
        }
        put.finish().await;
        let mut acks: Vec<_> =
            put.acks().await.into_iter().map(|ack| (ack.fragment_timecode, ack.event.name())).collect();
        // PERSISTED comes when it comes.
        acks.sort();
        events.push(acks);
    }
    assert_eq!(events[0].len(), 6);
    assert_eq!(events[0], events[1]);
    assert_eq!(client.fragments("cam").await.len(), 4);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_goes_out_after_100_continue_and_before_any_media() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put =
        client.try_put(&[("x-amzn-stream-name", "cam"), ABSOLUTE, ("expect", "100-continue")]).await;
    assert_eq!(put.head.status, 100);
    put.head = put.wire.read_head().await;
    assert_eq!((put.head.status, put.head.headers["content-type"].as_str()), (200, "application/json"));
    assert_eq!(put.head.headers["x-amzn-requestid"].len(), 36);
    put.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    put.finish().await;
    assert_eq!(put.acks().await.len(), 3);
    // A refusal comes without it, and the media is never asked for.
    let refused =
        client.try_put(&[("x-amzn-stream-name", "none"), ABSOLUTE, ("expect", "100-continue")]).await;
    assert_eq!(refused.head.status, 404);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_producer_hears_idle_until_its_session_ends() {
    let running = Running::start_with(|config| {
        config.limits.session.idle = Duration::from_millis(900);
        config.limits.session.idle_ack = Duration::from_millis(200);
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    put.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    let events: Vec<_> = put.acks().await.into_iter().map(|ack| ack.event).collect();
    assert_eq!(events[0], Buffering);
    assert!(events.iter().filter(|event| **event == Idle).count() >= 3, "{events:?}");
    // The cluster of open size is complete, for all that the producer has to say.
    assert_eq!(events[events.len() - 2..], [Received, Persisted]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_too_old_is_told_so() {
    let age = Duration::from_millis(300);
    let running = Running::start_with(|config| config.limits.session.session_duration = age).await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    put.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    let last = put.acks().await.pop().unwrap();
    assert_eq!((last.event, last.error()), (Error, Some(ErrorId(4003))));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_session_is_refused_until_one_has_ended() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let (mut one, two) = (client.put("cam").await, client.put("cam").await);
    let headers = [("x-amzn-stream-name", "cam"), ABSOLUTE];
    let three = client.try_put(&headers).await;
    let kind = &three.head.headers["x-amzn-errortype"];
    assert!(kind.starts_with("ConnectionLimitExceededException:"), "{kind}");
    assert_eq!(three.head.status, 400);
    one.finish().await;
    assert_eq!(one.acks().await, []);
    client.put("cam").await;
    drop(two);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_of_a_stream_give_numbers_that_grow() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let (mut old, mut new) = (client.put("cam").await, client.put("cam").await);
    let (mut of_old, mut of_new) = (Body::new(1), Body::new(1));
    old.send(&of_old.fragment(BASE, &[b"old"])).await;
    let first = old.ack().await.unwrap();
    new.send(&of_new.fragment(BASE + 1_000, &[b"new"])).await;
    let second = new.ack().await.unwrap();
    old.send(&of_old.marker()).await;
    old.finish().await;
    new.finish().await;
    assert_eq!(old.acks().await.len() + new.acks().await.len(), 4);
    let parts = |ack: &kvs_wire::Ack| ack.fragment_number.clone().unwrap().parts().unwrap().sequence;
    assert_eq!((parts(&first), parts(&second)), (1, 1_001));
    let rows = client.fragments("cam").await;
    let times: Vec<_> = rows.iter().map(|row| row["ProducerTimestamp"].as_f64().unwrap()).collect();
    assert!(times.is_sorted() && times.len() == 2, "{times:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_stream_ends_its_sessions_and_no_other() {
    let running = Running::start().await;
    let client = running.client();
    let arn = client.create("gone", 24).await;
    client.create("stays", 24).await;
    let (mut gone, mut stays) = (client.put("gone").await, client.put("stays").await);
    let mut body = Body::new(1);
    gone.send(&body.fragment(BASE, &[b"key"])).await;
    assert_eq!(gone.event().await, Some((Buffering, Some(BASE))));
    client.ok(Operation::DeleteStream, json!({ "StreamARN": arn })).await;
    let last = gone.acks().await.pop().unwrap();
    assert_eq!((last.event, last.error()), (Error, Some(ErrorId(4008))));
    assert_eq!(client.try_put(&[("x-amzn-stream-name", "gone"), ABSOLUTE]).await.head.status, 404);
    stays.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    stays.finish().await;
    assert_eq!(stays.acks().await.len(), 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_open_fragment_and_its_acks() {
    let mut running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    put.send(&body.fragment(BASE, &[b"key"])).await;
    assert_eq!(put.event().await, Some((Buffering, Some(BASE))));
    running.begin_to_stop();
    put.send(&body.frame(1, BASE + 40, false, b"still taken")).await;
    put.send(&body.marker()).await;
    let events: Vec<_> = put.acks().await.into_iter().map(|ack| ack.event).collect();
    assert_eq!(events, [Received, Persisted]);
    let folder = running.stop().await;
    // What was acknowledged is there after the next start, under the same name.
    let running = Running::on(folder, |_| {}).await;
    let rows = running.client().fragments("cam").await;
    assert_eq!((rows.len(), rows[0]["FragmentLengthInMilliseconds"].as_i64()), (1, Some(40)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_ever() {
    let wait = Duration::from_millis(200);
    let mut running = Running::start_with(|config| config.limits.stop_timeout = wait).await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    put.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    assert_eq!(put.event().await, Some((Buffering, Some(BASE))));
    running.begin_to_stop();
    // The producer says nothing more; its cluster is of open size.
    let events: Vec<_> = put.acks().await.into_iter().map(|ack| ack.event).collect();
    assert_eq!(events, [Received, Persisted]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relative_session_counts_from_its_start() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let headers = [
        ("x-amzn-stream-name", "cam"),
        ("x-amzn-fragment-timecode-type", "RELATIVE"),
        ("x-amzn-producer-start-timestamp", "1600995182.7"),
    ];
    let mut put = client.try_put(&headers).await;
    put.send(&Body::new(1).fragment(250, &[b"key"])).await;
    put.finish().await;
    assert_eq!(put.event().await, Some((Buffering, Some(250))));
    put.acks().await;
    let row = client.fragments("cam").await.pop().unwrap();
    assert_eq!(row["ProducerTimestamp"].as_f64(), Some(1_600_995_182.95));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_header_is_refused_before_the_media() {
    const NAME: (&str, &str) = ("x-amzn-stream-name", "cam");
    type Headers = &'static [(&'static str, &'static str)];
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let wrong: [(Headers, u16, &str); 8] = [
        (&[ABSOLUTE], 400, "InvalidArgumentException"),
        (&[NAME], 400, "InvalidArgumentException"),
        (&[NAME, ("x-amzn-fragment-timecode-type", "absolute")], 400, "InvalidArgumentException"),
        (&[NAME, ("x-amzn-fragment-timecode-type", "RELATIVE")], 400, "InvalidArgumentException"),
        (&[NAME, ABSOLUTE, ("x-amzn-producer-start-timestamp", "noon")], 400, "InvalidArgumentException"),
        (&[NAME, ABSOLUTE, ("x-amzn-stream-arn", "arn")], 400, "InvalidArgumentException"),
        (&[("x-amzn-stream-name", "a b"), ABSOLUTE], 400, "InvalidArgumentException"),
        (&[("x-amzn-stream-name", "other"), ABSOLUTE], 404, "ResourceNotFoundException"),
    ];
    for (headers, status, exception) in wrong {
        let put = client.try_put(headers).await;
        let kind = &put.head.headers["x-amzn-errortype"];
        assert_eq!((put.head.status, kind.split(':').next()), (status, Some(exception)), "{headers:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_producer_has_come_again_ends_when_it_is_silent() {
    let running =
        Running::start_with(|config| config.limits.replaced_idle = Duration::from_millis(100)).await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut old = client.put("cam").await;
    old.send(&Body::new(1).cluster(BASE)).await;
    assert_eq!(old.event().await, Some((Buffering, Some(BASE))));
    let mut new = client.put("cam").await;
    new.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    // Not after the thirty seconds that it would have had: a reader waits for its fragment to end.
    let last = old.acks().await.pop().unwrap();
    // To be sent again: it is not known whether this was all.
    assert_eq!((last.event, last.error()), (Error, Some(ErrorId(4000))));
    new.finish().await;
    assert_eq!(new.acks().await.len(), 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_closes_its_half_hears_the_rest() {
    let running = Running::start().await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    put.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    put.finish().await;
    put.wire.tcp.shutdown().await.unwrap();
    let events: Vec<_> = put.acks().await.into_iter().map(|ack| ack.event).collect();
    assert_eq!(events, [Buffering, Received, Persisted]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_what_was_never_stored_do_not_come_again_after_a_start() {
    let mut running = Running::start().await;
    running.client().create("cam", 0).await;
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let mut put = running.client().put("cam").await;
        put.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
        put.finish().await;
        numbers.push(put.acks().await[0].fragment_number.clone().unwrap().to_string());
        running = Running::on(running.stop().await, |_| {}).await;
    }
    assert!(numbers[0] < numbers[1], "{numbers:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_a_flow_completes_no_half_of_a_fragment() {
    let wait = Duration::from_millis(400);
    let mut running = Running::start_with(|config| config.limits.stop_timeout = wait).await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    put.send(&body.fragment(BASE, &[b"key"])).await;
    assert_eq!(put.event().await, Some((Buffering, Some(BASE))));
    running.begin_to_stop();
    // A frame every few milliseconds until the time for it is over, and no end of the fragment.
    for time in (BASE + 10..).step_by(10).take(60) {
        let _ = put.wire.try_chunk(&body.frame(1, time, false, b"more")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let last = put.try_ack().await.unwrap();
    assert_eq!((last.event, last.error()), (Error, Some(ErrorId(4000))));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_fragments_at_once_hold_nobody_else_up() {
    let running = Running::start_with(|config| config.limits.put_media_fragments = 10).await;
    let client = running.client();
    client.create("bad", 24).await;
    client.create("good", 24).await;
    let mut bad = client.put("bad").await;
    let mut body = Body::new(1);
    let many: Vec<u8> = (0..1_000).flat_map(|time| body.fragment(BASE + time, &[b""])).collect();
    bad.send(&many).await;
    let mut good = client.put("good").await;
    good.send(&Body::new(1).fragment(BASE, &[b"key"])).await;
    good.finish().await;
    assert_eq!(good.acks().await.len(), 3);
    // What is too fast waits: no more than a slice of it has been taken.
    let mut taken = 0;
    while let Ok(ack) = tokio::time::timeout(Duration::from_millis(500), bad.ack()).await {
        taken += usize::from(ack.unwrap().event == Received);
    }
    assert!((10..900).contains(&taken), "{taken}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_is_made_to_wait_is_not_silent() {
    let running = Running::start_with(|config| {
        config.limits.put_media_fragments = 4;
        config.limits.session.idle = Duration::from_millis(600);
        config.limits.session.idle_ack = Duration::from_millis(200);
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    let mut put = client.put("cam").await;
    let mut body = Body::new(1);
    // Two seconds too many, and then one more that waits for them.
    let many: Vec<u8> = (0..12).flat_map(|time| body.fragment(BASE + time, &[b""])).collect();
    put.send(&many).await;
    put.send(&body.fragment(BASE + 1_000, &[b"last"])).await;
    put.finish().await;
    let events: Vec<_> = put.acks().await.into_iter().map(|ack| ack.event).collect();
    let count = |wanted| events.iter().filter(|event| **event == wanted).count();
    assert_eq!((count(Received), count(Persisted), count(Error)), (13, 13, 0), "{events:?}");
    running.stop().await;
}
