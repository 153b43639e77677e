//! GetImages of a service that runs the worker.

use std::path::Path;

use kvs_media::mkv::{Block, Info, Writer};
use kvs_media::time::Timecode;
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_service::Config;
use kvs_wire::{AckEvent, Operation};
use serde_json::{Value, json};

use super::client::Client;
use super::media::{Encoded, H264, RECIPES, VP8, encoded, seen};
use super::running::Running;

/// 2026-11-20, in milliseconds.
pub(crate) const BASE: i64 = 1_795_145_031_000;

pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_kvs-picture");

pub(crate) fn configured(program: &Path) -> impl FnOnce(&mut Config) {
    let program = program.to_owned();
    move |config| {
        config.pictures.program = Some(program);
        config.allow_faults = true;
        config.limits.fragment_metadata_points = 1_000_000;
        config.limits.fragment_media_points = 1_000_000;
    }
}

pub(crate) async fn started() -> (Running, Client) {
    let running = Running::start_with(configured(Path::new(WORKER))).await;
    let client = running.client();
    client.create("cam", 24).await;
    (running, client)
}

/// The frames as a document, a fragment for each key frame; frame 0 is at this time.
pub(crate) fn document(encoded: &Encoded, millis: i64) -> Vec<u8> {
    let mut track = Track::new(TrackNumber(1), TrackKind::Video, encoded.codec);
    track.codec_private = encoded.private.clone().into();
    let (mut writer, header) = Writer::new(&Info::default(), &[track]).unwrap();
    let mut bytes = header.to_vec();
    for (number, key, payload) in &encoded.frames {
        let time = Timecode::from_ticks(millis + i64::from(*number) * 40);
        if *key {
            bytes.extend_from_slice(&writer.cluster(time).unwrap());
        }
        let block = Block { key: *key, ..Block::new(TrackNumber(1), time) };
        bytes.extend_from_slice(&writer.frame(block, payload.len()).unwrap());
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// Puts a document, and says how many fragments of it are stored.
pub(crate) async fn put(client: &Client, document: &[u8]) -> usize {
    let mut put = client.put("cam").await;
    put.send(document).await;
    put.finish().await;
    let acks = put.acks().await;
    assert!(acks.iter().all(|ack| ack.event != AckEvent::Error), "{acks:?}");
    acks.iter().filter(|ack| ack.event == AckEvent::Persisted).count()
}

pub(crate) fn seconds(millis: i64) -> Value {
    serde_json::from_str(&format!("{}.{:03}", millis / 1_000, millis % 1_000)).unwrap()
}

/// A request for pictures from one time up to another, 200 ms apart.
pub(crate) fn asking(start: i64, end: i64) -> Value {
    json!({
        "StreamName": "cam",
        "ImageSelectorType": "PRODUCER_TIMESTAMP",
        "StartTimestamp": seconds(start),
        "EndTimestamp": seconds(end),
        "SamplingInterval": 200,
        "Format": "JPEG",
    })
}

pub(crate) fn with(mut request: Value, more: Value) -> Value {
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

pub(crate) fn content(image: &Value) -> Vec<u8> {
    let text = image["ImageContent"].as_str().unwrap_or_else(|| panic!("no picture: {image}"));
    assert!(text.len().is_multiple_of(4));
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let letters = group.iter().filter(|letter| **letter != b'=').count();
        let word = group.iter().fold(0, |word, letter| {
            word << 6 | alphabet.iter().position(|known| known == letter).unwrap_or_default()
        });
        bytes.extend_from_slice(&u32::try_from(word).unwrap().to_be_bytes()[1..letters]);
    }
    bytes
}

/// What the images of an answer show: their number, or what is wrong.
pub(crate) fn shown(answer: &Value) -> Vec<Result<u8, String>> {
    let images = answer["Images"].as_array().unwrap();
    let shown = images.iter().map(|image| match image["Error"].as_str() {
        Some(error) => {
            assert!(image["ImageContent"].is_null());
            Err(error.to_owned())
        }
        None => Ok(seen(&content(image)).1),
    });
    shown.collect()
}

pub(crate) async fn images(client: &Client, request: Value) -> Vec<Result<u8, String>> {
    shown(&client.ok(Operation::GetImages, request).await)
}

pub(crate) fn no_media() -> Result<u8, String> {
    Err("NO_MEDIA".into())
}

pub(crate) fn media_error() -> Result<u8, String> {
    Err("MEDIA_ERROR".into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instant_has_the_last_picture_at_or_before_it() {
    let (running, client) = started().await;
    assert_eq!(put(&client, &document(&encoded(H264, 30, (160, 120)), BASE)).await, 3);
    let answer = client.ok(Operation::GetImages, asking(BASE, BASE + 1_199)).await;
    assert_eq!(shown(&answer), [0, 5, 10, 15, 20, 25].map(Ok));
    assert!(answer["NextToken"].is_null());
    for (place, image) in answer["Images"].as_array().unwrap().iter().enumerate() {
        assert_eq!(image["TimeStamp"], seconds(BASE + 200 * i64::try_from(place).unwrap()));
    }
    // Every frame of a fragment, asked for by itself: at its time, and just before the next.
    let starts = with(asking(BASE + 400, BASE + 400), json!({ "SamplingInterval": 3_000 }));
    assert_eq!(images(&client, starts).await, [Ok(10)]);
    let uneven = with(asking(BASE, BASE + 1_199), json!({ "SamplingInterval": 239 }));
    assert_eq!(images(&client, uneven).await, [0, 5, 11, 17, 23, 29].map(Ok));
    // The fragment that reaches into the range does not belong to it.
    let behind = images(&client, asking(BASE + 1, BASE + 1_001)).await;
    assert_eq!(behind, [no_media(), no_media(), Ok(10), Ok(15), Ok(20), Ok(25)]);
    let text = metrics(&client).await;
    assert!(text.contains("kvs_GetImages_Requests{stream=\"cam\"} 4\n"), "{text}");
    assert!(text.contains("kvs_GetImages_Success{stream=\"cam\"} 4\n"), "{text}");
    running.stop().await;
}

async fn metrics(client: &Client) -> String {
    let mut wire = super::client::Wire::connect(client.address).await;
    wire.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    String::from_utf8(wire.answer().await.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_of_a_camera_gives_pictures() {
    let (running, client) = started().await;
    for (place, recipe) in (0..).zip(RECIPES) {
        let base = BASE + place * 10_000;
        put(&client, &document(&encoded(recipe, 12, (160, 120)), base)).await;
        assert_eq!(images(&client, asking(base, base + 400)).await, [0, 5, 10].map(Ok), "{recipe:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_s_time_counts_from_the_beginning_of_each_fragment() {
    let (running, client) = started().await;
    put(&client, &document(&encoded(VP8, 10, (160, 120)), BASE)).await;
    let listed = client.fragments("cam").await;
    let start: kvs_wire::EpochSeconds = serde_json::from_value(listed[0]["ServerTimestamp"].clone()).unwrap();
    let start = start.0.millis();
    let by_server = |start, end| with(asking(start, end), json!({ "ImageSelectorType": "SERVER_TIMESTAMP" }));
    assert_eq!(images(&client, by_server(start, start + 390)).await, [0, 5].map(Ok));
    assert_eq!(images(&client, by_server(start - 80, start + 130)).await, [no_media(), Ok(3)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_was_recorded_is_no_media() {
    let (running, client) = started().await;
    let encoded = encoded(VP8, 10, (160, 120));
    put(&client, &document(&encoded, BASE)).await;
    put(&client, &document(&encoded, BASE + 5_000)).await;
    let request = with(asking(BASE - 1_000, BASE + 6_000), json!({ "SamplingInterval": 1_000 }));
    let gap = no_media;
    // The last picture stands for a second: frame 9 is at 360 ms.
    let expected = [gap(), Ok(0), Ok(9), gap(), gap(), gap(), Ok(0), Ok(9)];
    assert_eq!(images(&client, request).await, expected);
    assert_eq!(images(&client, asking(BASE - 400, BASE - 1)).await, [gap(), gap()]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_was_sent_twice_the_newer_is_shown() {
    let (running, client) = started().await;
    let mut encoded = encoded(VP8, 10, (160, 120));
    put(&client, &document(&encoded, BASE)).await;
    encoded.frames.truncate(1);
    encoded.frames.push(super::media::encoded(VP8, 3, (160, 120)).frames[2].clone());
    encoded.frames[1].0 = 1;
    put(&client, &document(&encoded, BASE)).await;
    // Frame 1 of the second is what was number 2.
    let shown = images(&client, asking(BASE, BASE + 200)).await;
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0], Ok(0));
    assert_ne!(shown[1], Ok(5));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_come_as_they_are_asked_for() {
    let (running, client) = started().await;
    put(&client, &document(&encoded(H264, 10, (320, 240)), BASE)).await;
    for (more, start, size) in [
        (json!({}), &b"\xff\xd8"[..], (320, 240)),
        (json!({ "Format": "PNG" }), b"\x89PNG", (320, 240)),
        (json!({ "WidthPixels": 160 }), b"\xff\xd8", (160, 120)),
        (json!({ "HeightPixels": 480, "Format": "PNG" }), b"\x89PNG", (640, 480)),
        (json!({ "WidthPixels": 100, "HeightPixels": 200 }), b"\xff\xd8", (100, 200)),
    ] {
        let answer = client.ok(Operation::GetImages, with(asking(BASE, BASE + 200), more)).await;
        for (image, number) in answer["Images"].as_array().unwrap().iter().zip([0, 5]) {
            let picture = content(image);
            assert!(picture.starts_with(start));
            assert_eq!(seen(&picture), (size, number));
        }
    }
    let mut lengths = Vec::new();
    for quality in ["1", "80", "100"] {
        let request = with(asking(BASE, BASE), json!({ "FormatConfig": { "JPEGQuality": quality } }));
        lengths.push(content(&client.ok(Operation::GetImages, request).await["Images"][0]).len());
    }
    let usual = content(&client.ok(Operation::GetImages, asking(BASE, BASE)).await["Images"][0]).len();
    assert!(lengths[0] < lengths[1] && lengths[1] < lengths[2] && usual == lengths[1], "{lengths:?} {usual}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_together_are_the_answer() {
    let (running, client) = started().await;
    put(&client, &document(&encoded(VP8, 60, (160, 120)), BASE)).await;
    let request = asking(BASE, BASE + 2_399);
    let whole = images(&client, request.clone()).await;
    assert_eq!(whole, (0..12).map(|place| Ok(place * 5)).collect::<Vec<_>>());
    for size in [1, 5, 12, 100] {
        let (mut pages, mut together, mut token) = (0, Vec::new(), Value::Null);
        loop {
            let page = with(request.clone(), json!({ "MaxResults": size, "NextToken": token }));
            let answer = client.ok(Operation::GetImages, page).await;
            let shown = shown(&answer);
            assert!(shown.len() <= size);
            together.extend(shown);
            pages += 1;
            token = answer["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert_eq!((together, pages), (whole.clone(), 12_usize.div_ceil(size)), "{size}");
    }
    // 25 of them unless asked.
    let long = client.ok(Operation::GetImages, asking(BASE, BASE + 300_000)).await;
    assert_eq!(long["Images"].as_array().unwrap().len(), 25);
    assert!(long["NextToken"].is_string());
    running.stop().await;
}
