//! What a service has recorded: numbered frames, 100 ms apart, ten in a fragment.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use kvs_client::Client;
use kvs_client::clock;
use kvs_media::time::Utc;
use serde_json::json;

use super::media::Body;
use super::path::Path;
use super::running::Running;
use super::scene::{STREAM, client, service};

pub(crate) struct Recording {
    pub(crate) running: Running,
    pub(crate) path: Path,
    pub(crate) frames: u64,
    /// When the first frame is.
    pub(crate) begun: Utc,
    /// When the next one is, after that.
    next: u64,
}

impl Recording {
    /// A stream in which nothing is recorded. What is recorded begins so long ago by the producer's clock.
    pub(crate) async fn empty(ago: Duration) -> Self {
        let (running, path) = service().await;
        running.client().create(STREAM, 24).await;
        let begun = clock::utc().checked_sub(ago).unwrap();
        let begun = Utc::from_millis(begun.millis()).unwrap();
        Self { running, path, frames: 0, begun, next: 0 }
    }

    /// So many fragments, of yesterday.
    pub(crate) async fn of(fragments: u64) -> Self {
        let mut recording = Self::empty(Duration::from_secs(86_400)).await;
        recording.record(fragments).await;
        recording
    }

    /// An instant so many milliseconds after the first frame.
    pub(crate) fn at(&self, millis: u64) -> Utc {
        self.begun.checked_add(Duration::from_millis(millis)).unwrap()
    }

    /// Records so many fragments, all in one PutMedia session, and no others in it.
    pub(crate) async fn record(&mut self, fragments: u64) {
        let mut put = self.running.client().put(STREAM).await;
        let mut body = Body::new(1);
        for _ in 0..fragments {
            let mut bytes = body.cluster(self.at(self.next).millis());
            for frame in 0..10 {
                bytes.extend(body.frame(1, self.at(self.next).millis(), frame == 0, &payload(self.frames)));
                self.frames += 1;
                self.next += 100;
            }
            put.send(&bytes).await;
        }
        put.finish().await;
        put.acks().await;
    }

    /// Nothing happens for so many milliseconds.
    pub(crate) fn pause(&mut self, millis: u64) {
        self.next += millis;
    }

    /// Records the last fragments again, as a producer does that did not hear that they are stored.
    pub(crate) async fn record_again(&mut self, fragments: u64) {
        self.frames -= fragments * 10;
        self.next -= fragments * 1_000;
        self.record(fragments).await;
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        client(&self.running, self.path.url())
    }

    pub(crate) fn fault(&self, fault: serde_json::Value) {
        self.running.service.faults().set(fault.to_string().as_bytes()).unwrap();
    }

    /// As often as it comes.
    pub(crate) fn always(&self, what: serde_json::Value) {
        self.fault(json!({ "what": what }));
    }

    /// Turns a bit of what the service has written, in this part of it.
    pub(crate) fn damage(&self, part: f64) {
        let mut folders = vec![self.running.folder.path().to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => files.push(entry.path()),
                }
            }
        }
        let used = |path: &std::path::PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
        };
        files.retain(|path| path.extension().is_some_and(|extension| extension != "redb"));
        let file = files.into_iter().max_by_key(used).unwrap();
        let at = (used(&file) as f64 * part) as u64;
        let open = std::fs::File::options().read(true).write(true).open(&file).unwrap();
        let mut byte = [0];
        open.read_exact_at(&mut byte, at).unwrap();
        open.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![0xA5; 3_000];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload
}
