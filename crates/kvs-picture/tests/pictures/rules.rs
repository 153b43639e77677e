//! What GetImages refuses, and how.

use kvs_wire::Operation;
use serde_json::{Value, json};

use super::media::{Encoded, H264, encoded};
use super::running::Running;
use super::service::{BASE, asking, configured, document, put, started, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_is_said() {
    let (running, client) = started().await;
    let usual = asking(BASE, BASE + 1_000);
    for (more, word) in [
        (json!({ "SamplingInterval": 199 }), "SamplingInterval"),
        (json!({ "SamplingInterval": -1 }), "SamplingInterval"),
        (json!({ "EndTimestamp": (BASE + 300_001) as f64 / 1_000.0 }), "EndTimestamp"),
        (json!({ "EndTimestamp": (BASE - 1) as f64 / 1_000.0 }), "EndTimestamp"),
        (json!({ "StartTimestamp": null }), ""),
        (json!({ "Format": "GIF" }), "GIF"),
        (json!({ "Format": null }), ""),
        (json!({ "ImageSelectorType": "NOW" }), "NOW"),
        (json!({ "FormatConfig": { "JPEGQuality": "0" } }), "JPEGQuality"),
        (json!({ "FormatConfig": { "JPEGQuality": "101" } }), "JPEGQuality"),
        (json!({ "FormatConfig": { "Quality": "50" } }), "JPEGQuality"),
        (json!({ "WidthPixels": 0 }), "WidthPixels"),
        (json!({ "WidthPixels": 3_841 }), "3840"),
        (json!({ "HeightPixels": 2_161 }), "2160"),
        (json!({ "MaxResults": 0 }), "MaxResults"),
        (json!({ "MaxResults": 101 }), "100"),
        (json!({ "NextToken": "abcd" }), "NextToken"),
        (json!({ "NextToken": "x".repeat(5_000) }), "NextToken"),
        (json!({ "StreamName": null }), "StreamName"),
    ] {
        let answer = client.call(Operation::GetImages, with(usual.clone(), more.clone())).await;
        assert_eq!((answer.head.status, answer.exception()), (400, "InvalidArgumentException"), "{more}");
        assert!(answer.json()["Message"].as_str().unwrap().contains(word), "{more}: {}", answer.json());
    }
    // 300 s are not too much.
    let widest = with(asking(BASE, BASE + 300_000), json!({ "SamplingInterval": 100_000 }));
    assert_eq!(client.ok(Operation::GetImages, widest).await["Images"].as_array().unwrap().len(), 4);
    let unknown =
        client.call(Operation::GetImages, with(usual.clone(), json!({ "StreamName": "other" }))).await;
    assert_eq!((unknown.head.status, unknown.exception()), (404, "ResourceNotFoundException"));
    client.create("brief", 0).await;
    let brief = client.call(Operation::GetImages, with(usual, json!({ "StreamName": "brief" }))).await;
    assert_eq!((brief.head.status, brief.exception()), (400, "NoDataRetentionException"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_that_show_nothing_are_refused() {
    let track = |codec, private: &[u8]| Encoded {
        codec,
        private: private.to_vec(),
        frames: vec![(0, true, b"a frame".to_vec())],
    };
    for (track, exception) in [
        (track("A_AAC", b"\x12\x10"), "UnsupportedStreamMediaTypeException"),
        (track("V_THEORA", b""), "UnsupportedStreamMediaTypeException"),
        (track("V_MPEG4/ISO/AVC", b""), "MissingCodecPrivateDataException"),
        (track("V_MPEG4/ISO/AVC", b"\x01nonsense"), "InvalidCodecPrivateDataException"),
    ] {
        let (running, client) = started().await;
        put(&client, &document(&track, BASE)).await;
        let answer = client.call(Operation::GetImages, asking(BASE, BASE)).await;
        assert_eq!((answer.head.status, answer.exception()), (400, exception), "{track:?}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_the_program_says_so() {
    let running = Running::start_with(configured(std::path::Path::new("/nowhere/kvs-picture"))).await;
    let client = running.client();
    client.create("cam", 24).await;
    // Where there is nothing to be seen, nobody is needed for it.
    let empty = client.ok(Operation::GetImages, asking(BASE, BASE)).await;
    assert_eq!(empty["Images"][0]["Error"], "NO_MEDIA");
    put(&client, &document(&encoded(H264, 2, (160, 120)), BASE)).await;
    let answer = client.call(Operation::GetImages, asking(BASE, BASE)).await;
    assert_eq!((answer.head.status, answer.exception()), (503, "ServiceUnavailable"));
    let said: Value = answer.json();
    assert!(said["message"].as_str().unwrap().contains("kvs-picture"), "{said}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_take_points_of_the_archive() {
    let running = Running::start_with(|config| {
        configured(std::path::Path::new(super::service::WORKER))(config);
        config.limits.fragment_media_points = 50;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    let page = with(asking(BASE, BASE), json!({ "MaxResults": 50 }));
    client.ok(Operation::GetImages, page.clone()).await;
    let answer = client.call(Operation::GetImages, page).await;
    assert_eq!((answer.head.status, answer.exception()), (400, "ClientLimitExceededException"));
    running.stop().await;
}
