//! ffmpeg and GStreamer on what we package.

use std::path::Path;
use std::process::Command;

use kvs_media::TrackKind;
use kvs_media::mp4::{Mp4Track, Segment, init};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::clip::file;
use crate::samples::{adler32, folder};
use crate::stored::Stored;

fn on_disk(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, bytes).unwrap();
    file
}

/// What a program writes that has nothing to complain of.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/run.sh installs it"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A packet as ffprobe finds it.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) stream: usize,
    pub(crate) shown: f64,
    pub(crate) decoded: f64,
    pub(crate) key: bool,
    pub(crate) hash: String,
}

pub(crate) fn packets(bytes: &[u8]) -> Vec<Packet> {
    let file = on_disk(bytes);
    let path = file.path().to_str().unwrap();
    let arguments = ["-v", "warning", "-show_packets", "-show_data_hash", "adler32", "-of", "json", path];
    let found: Value = serde_json::from_str(&output("ffprobe", &arguments)).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let packet = |packet: &Value| Packet {
        stream: usize::try_from(packet["stream_index"].as_u64().unwrap()).unwrap(),
        shown: number(&packet["pts_time"]),
        decoded: number(&packet["dts_time"]),
        key: packet["flags"].as_str().unwrap().contains('K'),
        hash: packet["data_hash"].as_str().unwrap().to_owned(),
    };
    found["packets"].as_array().unwrap().iter().map(packet).collect()
}

/// The decoded frames, each with its stream; `level` is what ffmpeg may not have to say.
pub(crate) fn decoded(input: &Path, level: &str) -> Vec<(usize, String)> {
    let found = output("ffmpeg", &["-v", level, "-i", input.to_str().unwrap(), "-f", "framehash", "-"]);
    let lines = found.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split(',').map(str::trim).collect();
            (words[0].parse().unwrap(), (*words.last().unwrap()).to_owned())
        })
        .collect()
}

/// All segments of a track behind its init segment.
pub(crate) fn segments(stored: &Stored, index: usize) -> Vec<u8> {
    let track = &stored.mp4_tracks()[index];
    let mut bytes = init(&[track]).unwrap().to_vec();
    for fragment in 0..stored.fragments.len() {
        let samples = stored.samples(fragment, index);
        bytes.extend(
            Segment::new(track, stored.place(fragment, index), samples).unwrap().head(fragment as u32),
        );
        bytes.extend(stored.payload(fragment, index));
    }
    bytes
}

/// The recordings of which MP4 has all tracks, those of which it has the first only with that alone.
pub(crate) fn recordings() -> Vec<(&'static str, Stored)> {
    let names = [
        "x264-closed-gop",
        "x264-open-gop",
        "x265-b-frames-opus",
        "x265-open-gop",
        "aac-stereo-44100",
        "alaw",
        "mulaw-stereo",
        "ffmpeg-epoch",
        "mkvmerge-scale-100us",
        "gst-seekable",
    ];
    names
        .into_iter()
        .map(|name| {
            let mut stored = Stored::sample(name);
            if Mp4Track::new(stored.tracks.last().unwrap(), stored.scale).is_err() {
                stored.keep_first_track();
            }
            (name, stored)
        })
        .collect()
}

#[test]
fn ffprobe_finds_every_frame_of_segments_at_its_time() {
    for (name, stored) in recordings() {
        for (index, track) in stored.tracks.iter().enumerate() {
            // From two seconds on: the beginning of the time line has no room for a lead.
            let found = packets(&segments(&stored.later(2), index));
            let frames: Vec<_> = stored
                .fragments
                .iter()
                .flat_map(|f| {
                    f.frames.iter().filter(|(of, ..)| *of == index).map(move |frame| (f.start, frame))
                })
                .collect();
            assert_eq!(found.len(), frames.len(), "{name}");
            let tick = stored.scale.nanos() as f64 / 1e9;
            for (packet, (start, (_, sample, payload))) in found.iter().zip(&frames) {
                assert_eq!(packet.hash, format!("adler32:{:08x}", adler32(payload)), "{name}");
                let shown = start.as_secs_f64() + f64::from(sample.time) * tick + 2.0;
                // Pictures to the unit, sound to the tick.
                let tolerance = if track.kind == TrackKind::Video { 1e-5 } else { tick + 1e-5 };
                assert!((packet.shown - shown).abs() < tolerance, "{name}: {packet:?} at {shown}");
                assert!(packet.decoded <= packet.shown, "{name}: {packet:?}");
                assert_eq!(packet.key, sample.key || track.kind == TrackKind::Audio, "{name}: {packet:?}");
            }
            assert!(found.is_sorted_by(|a, b| a.decoded <= b.decoded), "{name}");
        }
    }
}

#[test]
fn the_decoded_frames_of_a_clip_are_those_of_the_recording() {
    for (name, stored) in recordings() {
        let clip = on_disk(&file(&stored));
        let (ours, recorded) =
            (decoded(clip.path(), "error"), decoded(&folder().join(name).with_extension("mkv"), "error"));
        for index in 0..stored.tracks.len() {
            let of = |frames: &[(usize, String)]| -> Vec<String> {
                frames.iter().filter(|(of, _)| *of == index).map(|(_, hash)| hash.clone()).collect()
            };
            let (ours, recorded) = (of(&ours), of(&recorded));
            assert!(
                !ours.is_empty() && ours == recorded,
                "{name} {index}: {} of {}",
                ours.len(),
                recorded.len()
            );
        }
    }
}

/// When the first and the last frame of a track of a clip are shown, by ffprobe and by GStreamer.
fn span(clip: &Path, track: usize, kind: TrackKind) -> [(f64, f64); 2] {
    let bytes = std::fs::read(clip).unwrap();
    let found = packets(&bytes);
    let times = found.iter().filter(|packet| packet.stream == track).map(|packet| packet.shown);
    let ffmpeg = times.fold((f64::MAX, f64::MIN), |(first, last), at| (first.min(at), last.max(at)));
    let pad = if kind == TrackKind::Video { "d.video_0" } else { "d.audio_0" };
    [ffmpeg, running_times(&bytes, pad)]
}

/// The running times of the first and the last buffer of a pad of `qtdemux`.
fn running_times(bytes: &[u8], pad: &str) -> (f64, f64) {
    let (begin, (first, last)) = buffers(bytes, pad);
    (first + begin, last + begin)
}

/// The times of the first and the last buffer of a pad of `qtdemux`, and what makes running times of them.
fn buffers(bytes: &[u8], pad: &str) -> (f64, (f64, f64)) {
    let file = on_disk(bytes);
    let line = format!(
        "-v filesrc location={} ! qtdemux name=d {pad} ! identity silent=false ! fakesink",
        file.path().display()
    );
    let output = Command::new("gst-launch-1.0").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let after = |line: &str, key: &str| line.split_once(key).map(|(_, rest)| rest.to_owned());
    let number = |text: String| {
        text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<f64>().unwrap() / 1e9
    };
    let (mut base, mut start) = (0.0, 0.0);
    let mut span = (f64::MAX, f64::MIN);
    for line in said.lines().filter(|line| line.contains("identity0: last-message")) {
        if line.contains("type: segment") {
            base = number(after(line, "base=(guint64)").unwrap());
            start = number(after(line, " start=(guint64)").unwrap());
        } else if let Some(pts) = after(line, "pts: ") {
            let clock: Vec<f64> =
                pts.split(',').next().unwrap().split(':').map(|part| part.parse().unwrap()).collect();
            let at = clock[0] * 3600.0 + clock[1] * 60.0 + clock[2];
            span = (span.0.min(at), span.1.max(at));
        }
    }
    (base - start, span)
}

#[test]
fn pictures_and_sound_of_a_clip_are_as_far_apart_as_they_were() {
    for name in ["x264-closed-gop", "ffmpeg-epoch", "gst-seekable", "x264-open-gop"] {
        let stored = Stored::sample(name);
        let clip = on_disk(&file(&stored));
        let origin = (0..stored.tracks.len()).map(|track| stored.shown(track)[0]).min().unwrap();
        for (index, track) in stored.tracks.iter().enumerate() {
            let shown = stored.shown(index);
            let expected = [shown[0], *shown.last().unwrap()].map(|at| (at - origin) as f64 / 1e9);
            for (first, last) in span(clip.path(), index, track.kind) {
                assert!((first - expected[0]).abs() < 0.0011, "{name} {index}: {first} {expected:?}");
                assert!((last - expected[1]).abs() < 0.0011, "{name} {index}: {last} {expected:?}");
            }
        }
    }
}

#[test]
fn a_clip_from_the_middle_of_an_open_group_plays_without_a_broken_picture() {
    let mut stored = Stored::sample("x264-open-gop");
    stored.fragments.remove(0);
    let first = stored.fragments[0].frames[0].1;
    assert!(first.key && stored.samples(0, 0).iter().any(|sample| sample.time < first.time));
    let clip = on_disk(&file(&stored));
    let whole = decoded(&folder().join("x264-open-gop.mkv"), "error");
    // It says that the pictures before are not there.
    let found = decoded(clip.path(), "fatal");
    let leading = stored.samples(0, 0).iter().filter(|sample| sample.time < first.time).count();
    assert_eq!(found.len(), stored.samples(0, 0).len() - leading);
    assert!(whole.ends_with(&found));
}

#[test]
fn gstreamer_shows_the_frames_of_segments_at_their_times() {
    // `qtdemux` alone lets the running time begin with the first segment; the elements of HLS and DASH do not.
    for name in ["x264-closed-gop", "x265-open-gop", "alaw", "aac-stereo-44100"] {
        let mut stored = Stored::sample(name);
        stored.keep_first_track();
        let video = stored.tracks[0].kind == TrackKind::Video;
        let shown = stored.shown(0);
        let (_, (first, last)) =
            buffers(&segments(&stored.later(2), 0), if video { "d.video_0" } else { "d.audio_0" });
        let expected = [shown[0], *shown.last().unwrap()].map(|at| at as f64 / 1e9 + 2.0);
        assert!(
            (first - expected[0]).abs() < 0.0011 && (last - expected[1]).abs() < 0.0011,
            "{name}: {first} {last} {expected:?}"
        );
    }
}

/// A playlist of the segments of one track, and those, in a folder.
fn playlist(folder: &Path, name: &str, stored: &Stored, index: usize) {
    let track = &stored.mp4_tracks()[index];
    std::fs::write(folder.join(format!("{name}.mp4")), init(&[track]).unwrap()).unwrap();
    let mut lines =
        format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:3\n#EXT-X-MAP:URI=\"{name}.mp4\"\n");
    for fragment in 0..stored.fragments.len() {
        let segment =
            Segment::new(track, stored.place(fragment, index), stored.samples(fragment, index)).unwrap();
        let bytes = [&segment.head(1)[..], &stored.payload(fragment, index)].concat();
        std::fs::write(folder.join(format!("{name}-{fragment}.m4s")), bytes).unwrap();
        lines.push_str(&format!("#EXTINF:{:.3},\n{name}-{fragment}.m4s\n", segment.duration().as_secs_f64()));
    }
    lines.push_str("#EXT-X-ENDLIST\n");
    std::fs::write(folder.join(format!("{name}.m3u8")), lines).unwrap();
}

#[test]
fn ffmpeg_plays_two_playlists_as_far_apart_as_their_tracks_were() {
    for name in ["x264-closed-gop", "ffmpeg-short-clusters"] {
        let folder = tempfile::tempdir().unwrap();
        // The time line of a session begins at the epoch.
        let stored = Stored::sample(name).later(1_795_145_031);
        playlist(folder.path(), "video", &stored, 0);
        playlist(folder.path(), "audio", &stored, 1);
        let codecs =
            stored.mp4_tracks().iter().map(|track| track.rfc6381().to_owned()).collect::<Vec<_>>().join(",");
        let main = format!(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,URI=\"audio.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS=\"{codecs}\",AUDIO=\"audio\"\nvideo.m3u8\n"
        );
        let path = folder.path().join("main.m3u8");
        std::fs::write(&path, main).unwrap();
        let arguments = ["-v", "warning", "-show_packets", "-show_data_hash", "adler32", "-of", "json"];
        let said = output("ffprobe", &[&arguments[..], &[path.to_str().unwrap()]].concat());
        let found: Value = serde_json::from_str(&said).unwrap();
        let found = found["packets"].as_array().unwrap();
        let times = |kind: &str| {
            let of_kind = found.iter().filter(|packet| packet["codec_type"] == kind);
            let mut times: Vec<f64> =
                of_kind.map(|p| p["pts_time"].as_str().unwrap().parse().unwrap()).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let (video, audio) = (times("video"), times("audio"));
        assert_eq!((video.len(), audio.len()), (stored.shown(0).len(), stored.shown(1).len()), "{name}");
        let apart = (stored.shown(0)[0] - stored.shown(1)[0]) as f64 / 1e9;
        assert!((video[0] - audio[0] - apart).abs() < 0.0011, "{name}: {} {} {apart}", video[0], audio[0]);
        let span = (stored.shown(0).last().unwrap() - stored.shown(0)[0]) as f64 / 1e9;
        assert!((video.last().unwrap() - video[0] - span).abs() < 0.0011, "{name}");
    }
}
