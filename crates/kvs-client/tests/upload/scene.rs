//! A camera, an upload, a path and a service.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kvs_client::client::{Client, ClientSettings, CredentialsFrom, Environment, StaticKeys};
use kvs_client::clock;
use kvs_client::upload::{
    ConnectionState, Dropped, Failure, Frame, Listener, PushError, Remainder, Report, Settings, Stats, Upload,
};
use kvs_media::fragment::{Pace, Timing};
use kvs_media::time::{RunningTime, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_service::Config;
use kvs_wire::Ack;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::media::chunks;
use super::path::Path;
use super::running::Running;

pub(crate) const STREAM: &str = "front-door";
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// What an upload has told.
#[derive(Default)]
pub(crate) struct Told {
    reports: Mutex<Vec<Report>>,
    news: Notify,
}

impl Listener for Told {
    fn tell(&self, report: Report) {
        self.reports.lock().unwrap().push(report);
        self.news.notify_waiters();
    }
}

impl Told {
    pub(crate) fn all(&self) -> Vec<Report> {
        self.reports.lock().unwrap().clone()
    }

    pub(crate) fn failures(&self) -> Vec<Failure> {
        let failure = |report| if let Report::Failed(failure) = report { Some(failure) } else { None };
        self.all().into_iter().filter_map(failure).collect()
    }

    pub(crate) fn dropped(&self) -> Vec<Dropped> {
        let dropped = |report| if let Report::Dropped(dropped) = report { Some(dropped) } else { None };
        self.all().into_iter().filter_map(dropped).collect()
    }

    pub(crate) fn acks(&self) -> Vec<Ack> {
        let ack = |report| if let Report::Ack(report) = report { Some(report.ack) } else { None };
        self.all().into_iter().filter_map(ack).collect()
    }

    pub(crate) fn connected(&self) -> usize {
        let connected = |report: &Report| matches!(report, Report::Connection(report) if report.state == ConnectionState::Connected);
        self.all().iter().filter(|report| connected(report)).count()
    }

    /// Waits until something is true of what was told.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = look(self) {
                    return found;
                }
                news.await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("never came: {what}; {:#?}", self.all()))
    }
}

/// All of it.
pub(crate) struct Scene {
    pub(crate) running: Running,
    pub(crate) path: Path,
    pub(crate) upload: Upload,
    pub(crate) told: Arc<Told>,
    pub(crate) video: TrackNumber,
    pub(crate) sent: u64,
    begun: Utc,
    time: Duration,
}

/// The settings of an upload that is not the subject.
pub(crate) fn settings() -> Settings {
    Settings::new(STREAM.parse().unwrap())
}

/// A client of a service, as its root user.
pub(crate) fn client(running: &Running, url: String) -> Arc<Client> {
    let keys = running.client().keys;
    let keys = StaticKeys {
        access_key_id: keys.access_key,
        secret_access_key: keys.secret.as_str().into(),
        session_token: None,
    };
    of(CredentialsFrom::Static(keys), url)
}

pub(crate) fn of(credentials: CredentialsFrom, url: String) -> Arc<Client> {
    let settings = ClientSettings {
        region: Some("us-west-2".into()),
        endpoint: Some(url),
        credentials,
        connect_timeout: Duration::from_secs(2),
        call_timeout: Duration::from_secs(3),
        ..ClientSettings::default()
    };
    Client::new(settings, Environment::default())
}

/// A service that names a path to itself.
pub(crate) async fn service() -> (Running, Path) {
    service_with(|_| {}).await
}

pub(crate) async fn service_with(change: impl FnOnce(&mut Config)) -> (Running, Path) {
    let path = Path::to("127.0.0.1:1".parse().unwrap()).await;
    let url = path.url();
    let running = Running::start_with(|config| {
        config.advertise = Some(url);
        config.allow_faults = true;
        change(config);
    })
    .await;
    path.lead_to(running.address);
    (running, path)
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let (running, path) = service().await;
        let client = client(&running, path.url());
        Self::of(running, path, client, settings)
    }

    pub(crate) fn of(running: Running, path: Path, client: Arc<Client>, settings: Settings) -> Self {
        let upload = Upload::new(settings).unwrap();
        let told = Arc::new(Told::default());
        let video = upload.add_track(Pace::Leading).unwrap();
        upload.set_header(video, Track::new(video, TrackKind::Video, "V_VP8"));
        upload.start(client, &Handle::current(), Arc::<Told>::clone(&told));
        Self { running, path, upload, told, video, sent: 0, begun: clock::utc(), time: Duration::ZERO }
    }

    pub(crate) fn fault(&self, fault: serde_json::Value) {
        self.running.service.faults().set(fault.to_string().as_bytes()).unwrap();
    }

    /// Pushes the next picture, 100 ms after the one before by its own time.
    pub(crate) fn push(&mut self, size: usize) -> Result<(), PushError> {
        let mut payload = vec![0; size.max(8)];
        payload[..8].copy_from_slice(&self.sent.to_be_bytes());
        let pts = RunningTime::from_nanos(i64::try_from(self.time.as_nanos()).unwrap());
        let timing = Timing { key: self.sent.is_multiple_of(10), leading: false, ..Timing::at(pts) };
        let utc = self.begun.checked_add(self.time).unwrap();
        self.upload.push(self.video, Frame { payload: Bytes::from(payload), utc, timing })?;
        self.sent += 1;
        self.time += Duration::from_millis(100);
        Ok(())
    }

    /// Pushes so many at once.
    pub(crate) fn burst(&mut self, frames: u64, size: usize) {
        for _ in 0..frames {
            self.push(size).unwrap();
        }
    }

    /// Films so many frames, four times as fast as life: no more than five fragments begin in a second.
    pub(crate) async fn film(&mut self, frames: u64, size: usize) {
        let mut clock = tokio::time::interval(Duration::from_millis(22));
        for _ in 0..frames {
            clock.tick().await;
            let _ = self.push(size);
        }
    }

    /// Says that nothing more comes, and waits until all is acknowledged.
    pub(crate) async fn drain(&self) {
        self.upload.finish();
        let drained = |told: &Told| {
            let all = told.all();
            matches!(all.last(), Some(Report::Drained)).then_some(())
        };
        self.told.until("the end", drained).await;
    }

    pub(crate) async fn stop(&self, timeout: Duration) -> Remainder {
        let upload = self.upload.clone();
        tokio::task::spawn_blocking(move || upload.stop(timeout, Duration::from_secs(5))).await.unwrap()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.upload.stats()
    }

    /// The numbers of the frames in every fragment that the service has, by the fragment.
    pub(crate) async fn stored(&self) -> Vec<Vec<u64>> {
        let client = self.running.client();
        let numbers: Vec<_> =
            client.fragments(STREAM).await.iter().map(|row| row["FragmentNumber"].clone()).collect();
        let mut stored = Vec::new();
        for part in numbers.chunks(200) {
            let body = json!({ "StreamName": STREAM, "Fragments": part });
            let mut media = client.media(kvs_wire::Operation::GetMediaForFragmentList, body).await;
            assert_eq!(media.head.status, 200);
            for chunk in chunks(&media.all().await) {
                let frames = chunk.payloads().into_iter().filter(|payload| payload.len() >= 8);
                stored.push(
                    frames.map(|payload| u64::from_be_bytes(payload[..8].try_into().unwrap())).collect(),
                );
            }
        }
        stored
    }

    /// Every frame that was pushed is stored; says how many are stored more than once.
    pub(crate) async fn assert_all_stored(&self) -> usize {
        let stored = self.stored().await;
        let all: usize = stored.iter().map(Vec::len).sum();
        let distinct: BTreeSet<u64> = stored.into_iter().flatten().collect();
        assert!(
            distinct.iter().copied().eq(0..self.sent),
            "{} of {}: {:#?}",
            distinct.len(),
            self.sent,
            self.stats()
        );
        all - distinct.len()
    }
}
