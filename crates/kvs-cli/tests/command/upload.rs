//! An upload, and a service that stands still, is killed, and comes back.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kvs_client::client::{Client, ClientSettings, CredentialsFrom, Environment, StaticKeys};
use kvs_client::clock;
use kvs_client::upload::{Frame, Listener, Report, Settings, Upload};
use kvs_media::fragment::{Pace, Timing};
use kvs_media::time::{RunningTime, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_service::IDENTITIES;
use kvs_service::auth::file;
use rustix::process::Signal;
use serde_json::Value;

use super::child::{Running, Scratch, answer, kvs};

/// Between two frames; no more than five fragments of ten begin in a second.
const PAUSE: Duration = Duration::from_millis(22);

struct Told(Mutex<Sender<Report>>);

impl Listener for Told {
    fn tell(&self, report: Report) {
        let _ = self.0.lock().unwrap().send(report);
    }
}

struct Camera {
    upload: Upload,
    told: Receiver<Report>,
    track: TrackNumber,
    begun: Utc,
    frames: u32,
}

impl Camera {
    /// Films as the root user of the service in a folder.
    fn new(folder: &Scratch, url: &str, runtime: &tokio::runtime::Runtime) -> Self {
        let identities = file::load(&folder.data().join(IDENTITIES)).unwrap();
        let pair = &identities.root().keys()[0];
        let keys = StaticKeys {
            access_key_id: pair.access_key_id.to_string(),
            secret_access_key: pair.secret_access_key.reveal().into(),
            session_token: None,
        };
        let settings = ClientSettings {
            region: Some("us-west-2".into()),
            endpoint: Some(url.into()),
            credentials: CredentialsFrom::Static(keys),
            ..ClientSettings::default()
        };
        let upload = Upload::new(Settings::new("door".parse().unwrap())).unwrap();
        let track = upload.add_track(Pace::Leading).unwrap();
        upload.set_header(track, Track::new(track, TrackKind::Video, "V_VP8"));
        let (tells, told) = channel();
        let client = Client::new(settings, Environment::default());
        upload.start(client, runtime.handle(), Arc::new(Told(Mutex::new(tells))));
        Self { upload, told, track, begun: clock::utc(), frames: 0 }
    }

    /// Films so many frames.
    fn film(&mut self, frames: u32) {
        for _ in 0..frames {
            let time = PAUSE * self.frames;
            let pts = RunningTime::from_nanos(i64::try_from(time.as_nanos()).unwrap());
            let timing = Timing { key: self.frames.is_multiple_of(10), leading: false, ..Timing::at(pts) };
            let utc = self.begun.checked_add(time).unwrap();
            let frame = Frame { payload: Bytes::from(vec![1; 3_000]), utc, timing };
            self.upload.push(self.track, frame).unwrap();
            self.frames += 1;
            thread::sleep(PAUSE);
        }
    }

    fn drain(&self) {
        self.upload.finish();
        loop {
            let report = self.told.recv_timeout(Duration::from_secs(40));
            if matches!(report.unwrap_or_else(|_| panic!("{:#?}", self.upload.stats())), Report::Drained) {
                return;
            }
        }
    }
}

#[test]
fn a_service_that_stands_still_and_is_killed_gets_everything() {
    let folder = Scratch::new("upload-through-faults");
    let limits = folder.file(
        "kvs.toml",
        "[limits]\ncontrol_calls_per_stream = 1000\nput_media_calls = 1000\nfragment_metadata_points = 100000\n",
    );
    let mut service = Running::serve(&folder, &["--config".as_ref(), limits.as_os_str()]);
    let url = service.url();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut camera = Camera::new(&folder, &url, &runtime);
    camera.film(60);
    service.signal(Signal::STOP);
    camera.film(250);
    service.signal(Signal::CONT);
    camera.film(50);
    service.signal(Signal::KILL);
    service.end();
    camera.film(90);
    let listen = url.strip_prefix("http://").unwrap();
    let mut command = kvs(&folder);
    command.args(["serve", "--listen", listen, "--config"]).arg(limits).arg("--data").arg(folder.data());
    let mut service = Running::start(&mut command);
    service.line("eval ");
    camera.film(30);
    camera.drain();

    let stats = camera.upload.stats();
    assert_eq!((stats.frames_persisted, stats.frames_dropped), (u64::from(camera.frames), 0), "{stats:#?}");
    let left = camera.upload.stop(Duration::from_secs(10), Duration::from_secs(5));
    assert!(left.is_empty(), "{left:?}");
    let mut command = kvs(&folder);
    let identities = file::load(&folder.data().join(IDENTITIES)).unwrap();
    let pair = &identities.root().keys()[0];
    command
        .args(["fragments", "door", "--json"])
        .env("AWS_ENDPOINT_URL", &url)
        .env("AWS_REGION", "us-west-2")
        .env("AWS_ACCESS_KEY_ID", &*pair.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", pair.secret_access_key.reveal());
    let listed: Value = serde_json::from_str(&answer(&command.output().unwrap())).unwrap();
    let mut times: Vec<_> = listed["Fragments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["ProducerTimestamp"].to_string())
        .collect();
    times.sort();
    let all = times.len();
    times.dedup();
    // Two faults, and no more than two fragments twice for each.
    assert!(all - times.len() <= 4, "{} twice of {all}", all - times.len());
    assert_eq!(listed["Gaps"].as_array().map(Vec::len), Some(0), "{listed:#}");
}
