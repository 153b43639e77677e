//! What is streamed: made once, by ffmpeg, and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

/// H.264 with a key frame every two seconds and nothing but its bit rate to tell it from a camera's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Film {
    pub(crate) name: &'static str,
    size: &'static str,
    bitrate: &'static str,
    seconds: u32,
}

/// 2 Mbit/s, 30 frames a second.
pub(crate) const SMALL: Film = Film { name: "720p 2 Mbps", size: "1280x720", bitrate: "2M", seconds: 240 };
/// 8 Mbit/s, 30 frames a second.
pub(crate) const LARGE: Film = Film { name: "1080p 8 Mbps", size: "1920x1080", bitrate: "8M", seconds: 240 };

/// Seconds that are encoded; the rest is their repetition.
const SCENE: &str = "16";

impl Film {
    /// Of a frame, one with another.
    pub(crate) fn frame_bytes(&self) -> usize {
        let megabits: usize = self.bitrate.trim_end_matches('M').parse().unwrap();
        megabits * 1_000_000 / 8 / 30
    }

    /// Its first seconds, as MP4.
    pub(crate) fn scene(&self, folder: &Path) -> PathBuf {
        let file = folder.join(format!("{}-scene.mp4", self.stem()));
        made(&file, |out| {
            let picture = format!("testsrc2=size={}:rate=30,noise=alls=12:allf=t", self.size);
            ffmpeg(&[
                &["-f", "lavfi", "-i", &picture, "-t", SCENE, "-pix_fmt", "yuv420p"],
                &["-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-keyint_min", "60", "-bf", "0"],
                &["-sc_threshold", "0", "-x264-params", "nal-hrd=cbr"],
                &["-b:v", self.bitrate, "-minrate", self.bitrate, "-maxrate", self.bitrate],
                &["-bufsize", self.bitrate, text(out)],
            ]);
        });
        file
    }

    /// The MP4 file.
    pub(crate) fn file(&self, folder: &Path) -> PathBuf {
        let file = folder.join(format!("{}.mp4", self.stem()));
        made(&file, |out| {
            let (scene, seconds) = (self.scene(folder), self.seconds.to_string());
            ffmpeg(&[&["-stream_loop", "-1", "-i", text(&scene), "-t", &seconds, "-c", "copy", text(out)]]);
        });
        file
    }

    /// The same as a document that the service takes.
    pub(crate) fn matroska(&self, folder: &Path) -> PathBuf {
        let mp4 = self.file(folder);
        let file = folder.join(format!("{}.mkv", self.stem()));
        made(&file, |out| {
            ffmpeg(&[&[
                "-i",
                text(&mp4),
                "-c",
                "copy",
                "-live",
                "1",
                "-cluster_time_limit",
                "2000",
                text(out),
            ]]);
        });
        file
    }

    fn stem(&self) -> String {
        format!("h264-{}-{}", self.size, self.bitrate)
    }
}

/// Under its name only when it is whole.
fn made(file: &Path, make: impl FnOnce(&Path)) {
    if file.exists() {
        return;
    }
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let extension = file.extension().unwrap().to_str().unwrap();
    let part = file.with_extension(format!("part.{extension}"));
    make(&part);
    std::fs::rename(part, file).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ffmpeg(arguments: &[&[&str]]) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-y"]).args(arguments.concat());
    let status = command.status().expect("ffmpeg has to be installed: it makes the films");
    assert!(status.success(), "ffmpeg: {status}");
}
