//! Playback: what packaging costs, beside nginx that sends the same bytes from files, and ffmpeg that packages them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use kvs_wire::Operation;
use serde_json::json;

use crate::child::Server;
use crate::client::Wire;
use crate::media::{BASE, Body};
use crate::peers::{self, Nginx};
use crate::{middle, percentiles, row};

/// A fragment of two seconds at 2 Mbit/s: 0.5 MB.
const FRAMES: usize = 60;
const FRAME: usize = 8_300;
const EVERY: i64 = 2_000;
/// As many as the longest playlist has.
const FRAGMENTS: usize = 5_000;
/// Those of them that are read.
const READ: usize = 240;
/// Fragments of a session of the producer's: their acks fit into the connection.
const AT_ONCE: usize = 100;
const REPEATS: usize = 5;

/// Puts fragments, of which only those that are read are as large as they should be.
async fn fill(server: &Server) {
    let body = json!({ "StreamName": "film", "DataRetentionInHours": 24 });
    server.plain.call(Operation::CreateStream, body).await;
    for first in (0..FRAGMENTS).step_by(AT_ONCE) {
        let mut put = server.plain.client.put("film").await;
        let mut body = Body::playable("h264-high.avcC");
        for fragment in first..first + AT_ONCE {
            let at = BASE + fragment as i64 * EVERY;
            let mut bytes = body.cluster(at);
            let size = if fragment < READ { FRAME } else { 10 };
            for frame in 0..FRAMES {
                // A slice whose length is right, so that others can tell where it ends.
                let mut payload = (size as u32 - 4).to_be_bytes().to_vec();
                payload.push(if frame == 0 { 0x65 } else { 0x41 });
                payload.resize(size, frame as u8);
                let at = at + frame as i64 * 33;
                bytes.extend_from_slice(&body.frame(1, at, frame == 0, &payload));
                bytes.extend_from_slice(&body.frame(2, at, true, &[b's'; 100]));
            }
            put.send(&bytes).await;
        }
        put.finish().await;
        let acks = put.acks().await;
        let stored = acks.iter().filter(|ack| ack.event == kvs_wire::AckEvent::Persisted).count();
        assert_eq!(stored, AT_ONCE, "{:?}", acks.last());
    }
}

fn range(fragments: usize) -> serde_json::Value {
    let start = BASE as f64 / 1e3;
    let end = start + (fragments as f64 - 0.5) * EVERY as f64 / 1e3;
    json!({ "FragmentSelectorType": "PRODUCER_TIMESTAMP",
        "TimestampRange": { "StartTimestamp": start, "EndTimestamp": end } })
}

/// The folder of a session's URLs, its media playlist, and its token.
async fn session(server: &Server, fragments: usize) -> String {
    let body = json!({ "StreamName": "film", "PlaybackMode": "ON_DEMAND", "HLSFragmentSelector": range(fragments),
        "MaxMediaPlaylistFragmentResults": fragments });
    let answer = server.plain.call(Operation::GetHLSStreamingSessionURL, body).await;
    let url = answer["HLSStreamingSessionURL"].as_str().unwrap();
    let token = url.split("SessionToken=").nth(1).unwrap();
    format!("/hls/v1/getHLSMediaPlaylist.m3u8?SessionToken={token}&TrackNumber=1")
}

async fn fetch(wire: &mut Wire, host: &str, path: &str) -> usize {
    wire.head("GET", path, &[("host".to_owned(), host.to_owned())], Some(0)).await;
    assert_eq!(wire.read_head().await.status, 200, "{path}");
    let mut bytes = 0;
    while let Some(chunk) = wire.read_chunk().await {
        bytes += chunk.len();
    }
    bytes
}

pub(crate) async fn all(server: &Server) {
    fill(server).await;
    playlists(server).await;
    segments(server).await;
    clips(server).await;
}

async fn playlists(server: &Server) {
    let host = server.plain.client.address.to_string();
    for fragments in [1_000, 5_000] {
        let mut wire = Wire::connect(server.plain.client.address).await;
        let started = Instant::now();
        let path = session(server, fragments).await;
        fetch(&mut wire, &host, &path).await;
        let first = started.elapsed();
        let (before, mut times) = (server.cpu(), Vec::new());
        for _ in 0..50 {
            let started = Instant::now();
            fetch(&mut wire, &host, &path).await;
            times.push(started.elapsed());
        }
        let cpu = (server.cpu() - before) / 50.0;
        let name = format!("D2: a playlist of {fragments} fragments");
        let value =
            format!("{}; {cpu:.2} CPU-ms; the first of a session {first:.1?}", percentiles(&mut times));
        row(&name, &value);
    }
}

/// The segments of a session, one after another, from the service and from files.
async fn segments(server: &Server) {
    let address = server.plain.client.address;
    let host = address.to_string();
    let path = session(server, READ).await;
    let mut wire = Wire::connect(address).await;
    wire.head("GET", &path, &[("host".to_owned(), host.clone())], Some(0)).await;
    let playlist = wire.answer().await;
    let playlist = String::from_utf8(playlist.body.to_vec()).unwrap();
    let uris: Vec<String> =
        playlist.lines().filter(|line| !line.starts_with('#')).map(|uri| format!("/hls/v1/{uri}")).collect();
    let nginx = Nginx::start(server);
    let files = server.folder.join("nginx-files");
    std::fs::create_dir_all(&files).unwrap();
    let mut names = Vec::new();
    for (index, uri) in uris.iter().enumerate() {
        wire.head("GET", uri, &[("host".to_owned(), host.clone())], Some(0)).await;
        std::fs::write(files.join(format!("{index}.mp4")), &wire.answer().await.body).unwrap();
        names.push(format!("/files/{index}.mp4"));
    }
    let (mut ours, mut theirs, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for repeat in 0..2 * REPEATS {
        if matches!(repeat % 4, 1 | 2) {
            let (before, mut bytes) = (server.cpu(), 0);
            for uri in &uris {
                bytes += fetch(&mut wire, &host, uri).await;
            }
            let cpu = server.cpu() - before;
            ours.push(cpu / (bytes as f64 / 1e6));
            each.push(1e3 * uris.len() as f64 / cpu);
        } else if let Some(nginx) = &nginx {
            let mut wire = Wire::connect(nginx.plain.client.address).await;
            let (before, mut bytes) = (nginx.cpu(), 0);
            for name in &names {
                bytes += fetch(&mut wire, "nginx", name).await;
            }
            theirs.push((nginx.cpu() - before) / (bytes as f64 / 1e6));
        }
    }
    row(
        "D1: HLS segments of MP4 from the encrypted store, HTTP",
        &crate::rows::beside(&mut ours, &mut theirs),
    );
    row("D2: segments of 0.5 MB", &format!("{} a second and core", middle(&mut each)));
}

async fn clips(server: &Server) {
    let address = server.plain.client.address;
    let (mut costs, mut firsts) = (Vec::new(), Vec::new());
    let body = json!({ "StreamName": "film", "ClipFragmentSelector": range(190) }).to_string();
    let clip = server.folder.join("clip.mp4");
    for _ in 0..REPEATS {
        let path = Operation::GetClip.path();
        let headers = server.plain.client.signed(path, &[], body.as_bytes());
        let mut wire = Wire::connect(address).await;
        let (before, started) = (server.cpu(), Instant::now());
        wire.head("POST", path, &headers, Some(body.len())).await;
        wire.write(body.as_bytes()).await;
        assert_eq!(wire.read_head().await.status, 200);
        let mut bytes = wire.read_chunk().await.unwrap().to_vec();
        firsts.push(started.elapsed());
        while let Some(chunk) = wire.read_chunk().await {
            bytes.extend_from_slice(&chunk);
        }
        costs.push((server.cpu() - before) / (bytes.len() as f64 / 1e6));
        std::fs::write(&clip, &bytes).unwrap();
    }
    let size = std::fs::metadata(&clip).unwrap().len() as f64 / 1e6;
    row(&format!("D4: GetClip of {size:.0} MB, first byte"), &percentiles(&mut firsts));
    row("D4: GetClip, HTTP", &format!("{} CPU-ms/MB", middle(&mut costs)));
    let mut packaged = Vec::new();
    for _ in 0..3 {
        packaged.extend(ffmpeg(&clip, &server.folder).map(|cpu| cpu / size));
    }
    match packaged.is_empty() {
        true => row("calibration: ffmpeg is missing", ""),
        false => {
            let value = format!("{} CPU-ms/MB", middle(&mut packaged));
            row("calibration: ffmpeg -c copy of the clip to HLS of MP4", &value);
        }
    }
}

/// Milliseconds of CPU that ffmpeg packages a file with.
fn ffmpeg(clip: &Path, folder: &Path) -> Option<f64> {
    let out = folder.join("ffmpeg");
    std::fs::create_dir_all(&out).unwrap();
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "ffmpeg", "-v", "quiet", "-y", "-i"]).arg(clip);
    command.args([
        "-c",
        "copy",
        "-f",
        "hls",
        "-hls_segment_type",
        "fmp4",
        "-hls_time",
        "2",
        "-hls_list_size",
        "0",
    ]);
    command.arg(out.join("list.m3u8")).stdin(Stdio::null()).stderr(Stdio::null());
    let before = peers::of_children();
    command.status().ok().filter(std::process::ExitStatus::success)?;
    Some(peers::of_children() - before)
}
