//! Playback on the wire: sessions, what is behind their URLs, clips.

use std::time::Duration;

use bytes::Bytes;
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_wire::Operation;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::media::{BASE, Body};
use super::running::Running;

const HLS: Operation = Operation::GetHLSStreamingSessionURL;
const DASH: Operation = Operation::GetDASHStreamingSessionURL;
const CLIP: Operation = Operation::GetClip;

/// What was put: a second each, pictures and sound.
struct Film {
    pictures: Vec<Vec<u8>>,
    sound: Vec<Vec<u8>>,
}

/// Puts seconds that begin at these times.
async fn film(client: &Client, name: &str, body: &mut Body, starts: &[i64]) -> Film {
    let mut put = client.put(name).await;
    let mut film = Film { pictures: Vec::new(), sound: Vec::new() };
    for start in starts {
        let (bytes, pictures, sound) = body.second(*start, &format!("{start}"));
        put.send(&bytes).await;
        film.pictures.push(pictures);
        film.sound.push(sound);
    }
    put.finish().await;
    let acks = put.acks().await;
    let persisted = acks.iter().filter(|ack| ack.event == kvs_wire::AckEvent::Persisted).count();
    assert_eq!(persisted, starts.len());
    film
}

fn seconds(count: i64) -> Vec<i64> {
    (0..count).map(|second| BASE + second * 1_000).collect()
}

/// A stream with so many seconds.
async fn recorded(count: i64) -> (Running, Client, Film) {
    let running = Running::start_with(|config| {
        config.limits.playback_calls = 1_000;
        config.limits.playback_lists = 1_000;
        config.limits.playback_media = 1_000;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    let film = film(&client, "cam", &mut Body::playable("h264-high.avcC"), &seconds(count)).await;
    (running, client, film)
}

fn range(kind: &str, from: f64, to: f64) -> Value {
    let base = BASE as f64 / 1_000.0;
    let range = json!({ "StartTimestamp": base + from, "EndTimestamp": base + to });
    json!({ "FragmentSelectorType": kind, "TimestampRange": range })
}

/// The path of a session, with its query.
async fn session(client: &Client, operation: Operation, mut body: Value) -> String {
    body["StreamName"] = "cam".into();
    let answer = client.ok(operation, body).await;
    let name = if operation == HLS { "HLSStreamingSessionURL" } else { "DASHStreamingSessionURL" };
    let url = answer[name].as_str().unwrap().to_owned();
    let path = url.strip_prefix(&format!("http://{}", client.address)).unwrap();
    path.to_owned()
}

async fn on_demand(client: &Client, operation: Operation) -> String {
    let selector = range("PRODUCER_TIMESTAMP", 0.0, 3_600.0);
    let body = json!({ "PlaybackMode": "ON_DEMAND", "HLSFragmentSelector": selector,
        "DASHFragmentSelector": selector });
    session(client, operation, body).await
}

async fn text(client: &Client, path: &str) -> String {
    let answer = client.fetch(path).await;
    assert_eq!(answer.head.status, 200, "{path}: {answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// Where a relative URI of a playlist leads.
fn beside(path: &str, uri: &str) -> String {
    let (folder, _) = path.split('?').next().unwrap().rsplit_once('/').unwrap();
    format!("{folder}/{uri}")
}

fn uris(playlist: &str) -> Vec<&str> {
    playlist.lines().filter(|line| !line.starts_with('#')).collect()
}

/// The boxes of the first level.
fn boxes(mut bytes: &[u8]) -> Vec<(String, &[u8])> {
    let mut found = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        found.push((String::from_utf8(rest[..4].to_vec()).unwrap(), &bytes[8..size]));
        bytes = &bytes[size..];
    }
    found
}

fn boxed<'a>(bytes: &'a [u8], name: &str) -> &'a [u8] {
    boxes(bytes).into_iter().find(|(kind, _)| kind == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hls_gives_what_was_put_track_by_track() {
    let (running, client, film) = recorded(4).await;
    let path = on_demand(&client, HLS).await;
    let master = text(&client, &path).await;
    let lines: Vec<&str> = master.lines().collect();
    assert_eq!(lines[..2], ["#EXTM3U", "#EXT-X-VERSION:1"]);
    assert!(lines[2].starts_with("#EXT-X-MEDIA:AUTOSELECT=YES,FORCED=NO,TYPE=AUDIO,URI=\""), "{master}");
    assert!(lines[3].starts_with("#EXT-X-STREAM-INF:CODECS=\"avc1."), "{master}");
    assert!(
        lines[3].contains(",mp4a.40.2\",RESOLUTION=") && lines[3].ends_with("AUDIO=\"audio\""),
        "{master}"
    );
    for (track, wanted) in [(1, &film.pictures), (2, &film.sound)] {
        let playlist =
            beside(&path, uris(&master)[0]).replace("TrackNumber=1", &format!("TrackNumber={track}"));
        let media = text(&client, &playlist).await;
        let head: Vec<&str> = media.lines().take(6).collect();
        let expected = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            "#EXT-X-PLAYLIST-TYPE:VOD",
            "#EXT-X-TARGETDURATION:1",
            "#EXT-X-MEDIA-SEQUENCE:0",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ];
        assert_eq!(head, expected);
        assert!(media.ends_with("#EXT-X-ENDLIST\n") && media.matches("#EXTINF:1,\n").count() == 4, "{media}");
        assert!(!media.contains("DISCONTINUITY") && !media.contains("DATE-TIME"), "{media}");
        let map = media.lines().find_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")).unwrap();
        let init = client.fetch(&beside(&path, map.trim_end_matches('"'))).await;
        let kinds: Vec<String> = boxes(&init.body).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["ftyp", "moov"]);
        let segments = uris(&media);
        assert_eq!(segments.len(), 4);
        for (uri, wanted) in segments.into_iter().zip(wanted) {
            let segment = client.fetch(&beside(&path, uri)).await;
            assert_eq!(segment.head.headers["content-length"], segment.body.len().to_string());
            assert!(boxed(&segment.body, "mdat") == wanted, "{uri}");
            let kind = if track == 1 { "video/mp4" } else { "audio/mp4" };
            assert_eq!(segment.head.headers["content-type"], kind);
            assert!(segment.head.headers["cache-control"].starts_with("private, max-age="));
            assert_eq!(segment.head.headers["access-control-allow-origin"], "*");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_playlist_slides_with_what_comes_in() {
    let (running, client, _) = recorded(3).await;
    let path = session(
        &client,
        HLS,
        json!({ "MaxMediaPlaylistFragmentResults": 3,
        "HLSFragmentSelector": { "FragmentSelectorType": "PRODUCER_TIMESTAMP" },
        "DisplayFragmentTimestamp": "ALWAYS", "DiscontinuityMode": "ON_DISCONTINUITY" }),
    )
    .await;
    let playlist = path.replace("Master", "Media") + "&TrackNumber=1";
    let before = text(&client, &playlist).await;
    assert!(before.contains("#EXT-X-MEDIA-SEQUENCE:0\n") && uris(&before).len() == 3, "{before}");
    assert!(
        before.contains("#EXT-X-PROGRAM-DATE-TIME:2026-11-20T") && !before.contains("ENDLIST"),
        "{before}"
    );
    // Ten seconds later, and of another header.
    let later: Vec<i64> = (13..15).map(|second| BASE + second * 1_000).collect();
    film(&client, "cam", &mut Body::playable("h264-baseline.avcC"), &later).await;
    let after = text(&client, &playlist).await;
    assert!(after.contains("#EXT-X-MEDIA-SEQUENCE:2\n"), "{after}");
    assert_eq!(uris(&after)[0], uris(&before)[2]);
    assert_eq!(after.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{after}");
    assert_eq!(after.matches("&SequenceNumber=1\"").count(), 1, "{after}");
    let init = |place: usize| {
        let place = path.replace("HLSMasterPlaylist.m3u8", "MP4InitFragment.mp4")
            + &format!("&SequenceNumber={place}");
        let client = client.clone();
        async move { client.fetch(&place).await }
    };
    let (one, two) = (init(0).await, init(1).await);
    assert!(one.head.status == 200 && two.head.status == 200 && one.body != two.body);
    assert_eq!(init(2).await.head.status, 404);
    let answer = client.fetch(&playlist).await;
    assert_eq!(answer.head.headers["cache-control"], "no-store");
    assert_eq!(answer.head.headers["content-type"], "application/vnd.apple.mpegurl");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_shows_all_of_its_range_in_its_time_and_ends() {
    let (running, client, _) = recorded(8).await;
    // Sent again, as after a break: it is shown once.
    film(&client, "cam", &mut Body::playable("h264-high.avcC"), &seconds(8)[3..5]).await;
    let selector = range("PRODUCER_TIMESTAMP", 0.0, 60.0);
    let body = json!({ "PlaybackMode": "LIVE_REPLAY", "HLSFragmentSelector": selector,
        "DASHFragmentSelector": selector, "MaxMediaPlaylistFragmentResults": 8, "MaxManifestFragmentResults": 8 });
    let playlist = session(&client, HLS, body.clone()).await.replace("Master", "Media") + "&TrackNumber=1";
    let manifest = session(&client, DASH, body).await;
    let mut zero = None;
    for (passed, shown, ended) in
        [(0, 3, false), (1_000, 4, false), (3_000, 6, false), (5_000, 8, true), (90_000, 8, true)]
    {
        let skew = format!(r#"{{ "what": {{ "skew_clock": {{ "millis": {passed} }} }} }}"#);
        running.service.faults().clear();
        running.service.faults().set(skew.as_bytes()).unwrap();
        let (list, mpd) = (text(&client, &playlist).await, text(&client, &manifest).await);
        assert_eq!((uris(&list).len(), mpd.matches("<S t=").count()), (shown, 2 * shown), "{passed}: {list}");
        assert_eq!(list.ends_with("#EXT-X-ENDLIST\n"), ended, "{passed}: {list}");
        assert_eq!(mpd.contains("type=\"static\""), ended, "{passed}: {mpd}");
        let start = mpd.split("availabilityStartTime=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        assert_eq!(*zero.get_or_insert(start.clone()), start, "{passed}");
        assert!(mpd.contains("<S t=\"10000\""), "{passed}: {mpd}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_session_goes_on_as_it_was_after_a_restart() {
    let (running, client, _) = recorded(3).await;
    let live = json!({ "MaxMediaPlaylistFragmentResults": 3, "DiscontinuityMode": "ON_DISCONTINUITY",
        "HLSFragmentSelector": { "FragmentSelectorType": "PRODUCER_TIMESTAMP" } });
    let playlist = session(&client, HLS, live).await.replace("Master", "Media") + "&TrackNumber=1";
    text(&client, &playlist).await;
    let later: Vec<i64> = (3..9).map(|second| BASE + second * 1_000).collect();
    film(&client, "cam", &mut Body::playable("h264-baseline.avcC"), &later).await;
    let before = text(&client, &playlist).await;
    assert!(
        before.contains("#EXT-X-MEDIA-SEQUENCE:6\n") && before.contains("&SequenceNumber=1\""),
        "{before}"
    );
    let running = Running::on(running.stop().await, |_| {}).await;
    assert_eq!(text(&running.client(), &playlist).await, before);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dash_names_fragments_by_their_places() {
    let (running, client, film) = recorded(3).await;
    let selector = range("PRODUCER_TIMESTAMP", 0.0, 3_600.0);
    let path = session(
        &client,
        DASH,
        json!({ "PlaybackMode": "ON_DEMAND", "DASHFragmentSelector": selector,
        "DisplayFragmentNumber": "ALWAYS", "DisplayFragmentTimestamp": "ALWAYS" }),
    )
    .await;
    let manifest = text(&client, &path).await;
    assert!(
        manifest.contains("type=\"static\"") && manifest.contains("mediaPresentationDuration=\"PT3.000S\"")
    );
    assert_eq!(manifest.matches("<AdaptationSet ").count(), 2, "{manifest}");
    assert_eq!(manifest.matches("kvs:fn=\"91").count(), 6, "{manifest}");
    for second in 0..3 {
        let line = format!("<S t=\"{}\" d=\"1000\" kvs:ts=\"", 10_000 + second * 1_000);
        assert_eq!(manifest.matches(&line).count(), 2, "{manifest}");
    }
    let template = |track: usize| {
        let media: Vec<&str> = manifest.split(" media=\"").collect();
        media[track].split('"').next().unwrap().replace("&amp;", "&")
    };
    for (track, wanted) in [(1, &film.pictures), (2, &film.sound)] {
        for (number, wanted) in (1..).zip(wanted) {
            let uri = template(track).replace("$Number$", &format!("{number}"));
            let segment = client.fetch(&beside(&path, &uri)).await;
            assert!(boxed(&segment.body, "mdat") == wanted, "{uri}");
        }
        for none in ["0", "4", "x", "-1"] {
            let answer = client.fetch(&beside(&path, &template(track).replace("$Number$", none))).await;
            assert!(matches!(answer.head.status, 400 | 404), "{none}: {answer:?}");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_heads_and_strangers_pages_get_what_http_promises() {
    let (running, client, film) = recorded(1).await;
    let path = on_demand(&client, HLS).await;
    let playlist = text(&client, &(path.replace("Master", "Media") + "&TrackNumber=1")).await;
    let place = beside(&path, uris(&playlist)[0]);
    let whole = client.fetch(&place).await.body;
    let ask = |method: &'static str, range: Option<&str>| {
        let mut headers = vec![("host".to_owned(), client.address.to_string())];
        headers.extend(range.map(|range| ("range".to_owned(), range.to_owned())));
        let place = place.clone();
        async move {
            let mut wire = super::client::Wire::connect(client.address).await;
            wire.head(method, &place, &headers, Some(0)).await;
            if method == "HEAD" {
                return Answer { head: wire.read_head().await, body: Bytes::new() };
            }
            wire.answer().await
        }
    };
    let last = whole.len() - 1;
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=10-5000", 10..5_001),
        (&format!("bytes={last}-"), last..whole.len()),
        ("bytes=-100", whole.len() - 100..whole.len()),
        ("bytes=70-99999999", 70..whole.len()),
    ] {
        let answer = ask("GET", Some(range)).await;
        assert_eq!(answer.head.status, 206, "{range}");
        let said = format!("bytes {}-{}/{}", expected.start, expected.end - 1, whole.len());
        assert_eq!(answer.head.headers["content-range"], said);
        assert!(answer.body == whole[expected], "{range}");
    }
    let beyond = ask("GET", Some(&format!("bytes={}-", whole.len()))).await;
    assert_eq!((beyond.head.status, beyond.body.len()), (416, 0));
    // What is not known is passed over.
    for range in ["bytes=0-1,3-4", "pages=1-2", "bytes=5-2", "bytes=-"] {
        assert_eq!(ask("GET", Some(range)).await.body.len(), whole.len(), "{range}");
    }
    let head = ask("HEAD", None).await.head;
    assert_eq!((head.status, &*head.headers["content-length"]), (200, &*whole.len().to_string()));
    assert_eq!(head.headers["accept-ranges"], "bytes");
    let preflight = ask("OPTIONS", None).await.head;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-headers"], "Range");
    assert_eq!(ask("DELETE", None).await.head.status, 405);
    assert!(whole.len() > film.pictures[0].len());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_its_own_session_until_it_ends_and_survives_a_restart() {
    let (running, client, _) = recorded(2).await;
    let hls = on_demand(&client, HLS).await;
    let dash = on_demand(&client, DASH).await;
    let token = |path: &str| path.split("SessionToken=").nth(1).unwrap().to_owned();
    let wrong = |path: String| {
        let client = client.clone();
        async move { client.fetch(&path).await }
    };
    let forged = token(&hls).replacen("Ci", "Cj", 1);
    let mut flipped = token(&hls).into_bytes();
    flipped[60] = if flipped[60] == b'A' { b'B' } else { b'A' };
    for bad in [forged, String::from_utf8(flipped).unwrap(), "x".to_owned(), String::new()] {
        let answer = wrong(format!("/hls/v1/getHLSMasterPlaylist.m3u8?SessionToken={bad}")).await;
        assert_eq!(answer.head.status, 403, "{bad}");
    }
    assert_eq!(wrong("/hls/v1/getHLSMasterPlaylist.m3u8".to_owned()).await.head.status, 400);
    // One protocol's token is not another's.
    let crossed = format!("/dash/v1/getDASHManifest.mpd?SessionToken={}", token(&hls));
    assert_eq!(wrong(crossed).await.head.status, 404);
    let crossed = format!("/hls/v1/getHLSMediaPlaylist.m3u8?SessionToken={}", token(&dash));
    assert_eq!(wrong(crossed).await.head.status, 404);
    let crossed = format!("/dash/v1/getMP4InitFragment.mp4?SessionToken={}", token(&hls));
    assert_eq!(wrong(crossed).await.head.status, 404);

    let playlist = hls.replace("Master", "Media") + "&TrackNumber=1";
    let before = text(&client, &playlist).await;
    let folder = running.stop().await;
    let running = Running::on(folder, |_| {}).await;
    let client = running.client();
    assert_eq!(text(&client, &playlist).await, before);
    running.service.faults().set(br#"{ "what": { "skew_clock": { "millis": 301000 } } }"#).unwrap();
    let expired = client.fetch(&playlist).await;
    assert_eq!(expired.head.status, 403);
    assert!(expired.body.starts_with(b"Streaming session token is expired"));
    running.service.faults().clear();
    let arn =
        client.ok(Operation::DescribeStream, json!({ "StreamName": "cam" })).await["StreamInfo"]["StreamARN"]
            .clone();
    client.ok(Operation::DeleteStream, json!({ "StreamARN": arn })).await;
    client.create("cam", 24).await;
    assert_eq!(client.fetch(&playlist).await.head.status, 404);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_nothing_beyond_its_range() {
    let (running, client, _) = recorded(4).await;
    let whole =
        text(&client, &(on_demand(&client, HLS).await.replace("Master", "Media") + "&TrackNumber=1")).await;
    let numbers: Vec<String> = uris(&whole)
        .iter()
        .map(|uri| uri.split("FragmentNumber=").nth(1).unwrap().split('&').next().unwrap().to_owned())
        .collect();
    let selector = range("PRODUCER_TIMESTAMP", 1.0, 2.0);
    let part =
        session(&client, HLS, json!({ "PlaybackMode": "ON_DEMAND", "HLSFragmentSelector": selector })).await;
    let newest = session(&client, HLS, json!({ "MaxMediaPlaylistFragmentResults": 1 })).await;
    for (path, expected) in [(part, [404, 200, 200, 404]), (newest, [404, 404, 404, 200])] {
        let token = path.split("SessionToken=").nth(1).unwrap();
        for (number, expected) in numbers.iter().zip(expected) {
            let media = format!(
                "/hls/v1/getMP4MediaFragment.mp4?FragmentNumber={number}&SessionToken={token}&TrackNumber=1"
            );
            assert_eq!(client.fetch(&media).await.head.status, expected, "{number}");
        }
    }
    running.stop().await;
}

/// Puts one fragment of these tracks.
async fn one(client: &Client, name: &str, tracks: &[Track]) {
    client.create(name, 24).await;
    let mut put = client.put(name).await;
    let mut body = Body::of(tracks);
    let fragment = body.fragment(BASE, &[b"a frame", b"another"]);
    put.send(&fragment).await;
    put.finish().await;
    put.acks().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reason_is_its_exception() {
    let running = Running::start_with(|config| config.limits.playback_calls = 1_000).await;
    let client = running.client();
    let video = |id: &str, private: &'static [u8]| {
        let mut track = Track::new(TrackNumber(1), TrackKind::Video, id);
        track.codec_private = Bytes::from_static(private);
        track
    };
    client.create("keeps-nothing", 0).await;
    client.create("empty", 24).await;
    one(&client, "vp8", &[video("V_VP8", b"")]).await;
    one(&client, "missing", &[video("V_MPEG4/ISO/AVC", b"")]).await;
    one(&client, "broken", &[video("V_MPEG4/ISO/AVC", b"\x01\x02\x03")]).await;
    let selector = range("PRODUCER_TIMESTAMP", -10.0, 10.0);
    for (name, exception) in [
        ("keeps-nothing", "NoDataRetentionException"),
        ("empty", "ResourceNotFoundException"),
        ("vp8", "UnsupportedStreamMediaTypeException"),
        ("missing", "MissingCodecPrivateDataException"),
        ("broken", "InvalidCodecPrivateDataException"),
        ("nobody", "ResourceNotFoundException"),
    ] {
        for operation in [HLS, DASH, CLIP] {
            let body = json!({ "StreamName": name, "PlaybackMode": "ON_DEMAND", "HLSFragmentSelector": selector,
                "DASHFragmentSelector": selector, "ClipFragmentSelector": selector });
            let answer = client.call(operation, body).await;
            assert_eq!(answer.exception(), exception, "{operation} {name}: {answer:?}");
        }
        let live = client.call(HLS, json!({ "StreamName": name })).await;
        assert_eq!(live.exception(), exception, "live {name}: {live:?}");
    }
    for operation in [HLS, DASH, CLIP] {
        let answer =
            client.call(operation, json!({ "StreamName": "vp8", "Expires": 1, "PlaybackMode": "X" })).await;
        assert_eq!(answer.exception(), "InvalidArgumentException", "{operation}: {answer:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_silent_for_half_a_minute_is_not_live() {
    let (running, client, _) = recorded(1).await;
    client.ok(HLS, json!({ "StreamName": "cam" })).await;
    running.service.faults().set(br#"{ "what": { "skew_clock": { "millis": 40000 } } }"#).unwrap();
    let answer = client.call(HLS, json!({ "StreamName": "cam" })).await;
    assert_eq!(answer.exception(), "ResourceNotFoundException");
    let message = answer.json()["Message"].as_str().unwrap().to_owned();
    assert_eq!(message, "No fragments found in the stream for the streaming request.");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clip_is_what_was_put_in_one_file() {
    let (running, client, film) = recorded(5).await;
    let clip = |from: f64, to: f64| {
        let body =
            json!({ "StreamName": "cam", "ClipFragmentSelector": range("PRODUCER_TIMESTAMP", from, to) });
        let client = client.clone();
        async move { client.call(CLIP, body).await }
    };
    let answer = clip(1.0, 3.0).await;
    assert_eq!((answer.head.status, &*answer.head.headers["content-type"]), (200, "video/mp4"));
    assert_eq!(answer.head.headers["content-length"], answer.body.len().to_string());
    let kinds: Vec<String> = boxes(&answer.body).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["ftyp", "moov", "mdat"]);
    let media = boxed(&answer.body, "mdat");
    let whole: usize = (1..4).map(|second| film.pictures[second].len() + film.sound[second].len()).sum();
    assert_eq!(media.len(), whole);
    for second in 1..4 {
        let first = &film.pictures[second][..20_000];
        assert!(media.windows(first.len()).any(|part| part == first), "{second}");
    }
    // A fragment that began before the range is not in it.
    assert_eq!(boxed(&clip(1.5, 2.0).await.body, "mdat").len(), film.pictures[2].len() + film.sound[2].len());
    assert_eq!(clip(1.1, 1.9).await.exception(), "ResourceNotFoundException");
    // Another header ends what can be in one clip.
    film_again(&client).await;
    assert_eq!(clip(0.0, 100.0).await.exception(), "InvalidCodecPrivateDataException");
    running.stop().await;
}

async fn film_again(client: &Client) {
    film(client, "cam", &mut Body::playable("h264-baseline.avcC"), &[BASE + 50_000]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clip_keeps_within_its_bounds() {
    let running = Running::start_with(|config| {
        config.limits.clip_fragments = 3;
        config.limits.clip_bytes = 250_000;
    })
    .await;
    let client = running.client();
    client.create("cam", 24).await;
    let film = film(&client, "cam", &mut Body::playable("h264-high.avcC"), &seconds(5)).await;
    let body = json!({ "StreamName": "cam", "ClipFragmentSelector": range("PRODUCER_TIMESTAMP", 0.0, 10.0) });
    let bytes = |seconds: usize| -> usize {
        (0..seconds).map(|second| film.pictures[second].len() + film.sound[second].len()).sum()
    };
    assert!(bytes(2) < 250_000 && bytes(3) > 250_000, "{}", bytes(3));
    assert_eq!(boxed(&client.call(CLIP, body).await.body, "mdat").len(), bytes(2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_waits_and_is_refused_when_that_does_not_help() {
    let running = Running::start_with(|config| config.limits.playback_lists = 2).await;
    let client = running.client();
    client.create("cam", 24).await;
    film(&client, "cam", &mut Body::playable("h264-high.avcC"), &seconds(1)).await;
    let path = on_demand(&client, HLS).await;
    let begun = std::time::Instant::now();
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.fetch(&path).await.head.status);
    }
    assert_eq!(answers, [200; 4]);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    let all = (0..12).map(|_| {
        let (client, path) = (client.clone(), path.clone());
        tokio::spawn(async move { client.fetch(&path).await.head.status })
    });
    let mut refused = 0;
    for answer in all.collect::<Vec<_>>() {
        refused += usize::from(answer.await.unwrap() == 429);
    }
    assert!(refused >= 6, "{refused}");
    running.stop().await;
}
