//! A service in this process, and the path to it.

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use kvs_service::Config;
use kvs_wire::Operation;
use serde_json::{Value, json};

use super::client::{Client, Keys};
use super::path::Path;
use super::running::Running;
use super::stored::Fragment;

/// A service in this process, the path to it, and the threads that both run on.
pub(crate) struct Ground {
    running: Option<Running>,
    pub(crate) path: Path,
    pub(crate) keys: Keys,
    pub(crate) runtime: Runtime,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other settings than a user gets.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("ground").enable_all().build().unwrap();
        let (running, path) = runtime.block_on(super::scene::service_with(change));
        let keys = running.client().keys;
        Self { running: Some(running), path, keys, runtime }
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("the service is stopped")
    }

    /// The root user's client, which takes no path but the straight one.
    pub(crate) fn client(&self) -> Client {
        self.running().client()
    }

    /// Commands a fault.
    pub(crate) fn fault(&self, fault: Value) {
        self.running().service.faults().set(fault.to_string().as_bytes()).unwrap();
    }

    /// Makes what is recorded so old, by the service's clock, that lists are trusted with it.
    pub(crate) fn settle(&self) {
        self.fault(json!({ "what": { "skew_clock": { "millis": 60_000 } } }));
    }

    /// Takes all faults back.
    pub(crate) fn clear_faults(&self) {
        self.running().service.faults().clear();
    }

    /// Stops the service; nobody is at the end of the path.
    pub(crate) fn stop(&mut self) -> TempDir {
        let running = self.running.take().unwrap();
        self.path.weather(|weather| weather.refuses = true);
        self.runtime.block_on(running.stop())
    }

    /// Starts it again on its folder.
    pub(crate) fn start_again(&mut self, folder: TempDir) {
        let url = self.path.url();
        let running = self.runtime.block_on(Running::on(folder, |config| {
            config.advertise = Some(url);
            config.allow_faults = true;
        }));
        self.path.lead_to(running.address);
        self.path.weather(|weather| weather.refuses = false);
        self.running = Some(running);
    }

    /// A sink `k` for a stream of this service, as its root user.
    pub(crate) fn sink(&self, stream: &str) -> String {
        let Keys { access_key, secret, .. } = &self.keys;
        format!(
            "kvssink name=k stream-name={stream} endpoint={} aws-region=us-west-2 access-key={access_key} \
             secret-key=\"{secret}\" connection-timeout=2 completion-timeout=3",
            self.path.url()
        )
    }

    /// A source `k` of a stream of this service, as its root user.
    pub(crate) fn source(&self, stream: &str) -> String {
        let Keys { access_key, secret, .. } = &self.keys;
        format!(
            "kvssrc name=k stream-name={stream} endpoint={} aws-region=us-west-2 access-key={access_key} \
             secret-key=\"{secret}\" connection-timeout=2 completion-timeout=3",
            self.path.url()
        )
    }

    /// The same as who has these credentials.
    pub(crate) fn source_of(&self, stream: &str, credentials: &super::Passing) -> String {
        format!(
            "kvssrc name=k stream-name={stream} endpoint={} aws-region=us-west-2 credential-path={} \
             connection-timeout=2 completion-timeout=3",
            self.path.url(),
            credentials.file().display()
        )
    }

    /// Records a source, which ends, as this stream; from this instant on.
    pub(crate) fn record(&self, stream: &str, source: &str, start: i64) {
        let line = super::Line::new(&format!("{source} {} start-time={start}", self.sink(stream)));
        line.play_to_the_end();
        line.assert_adds_up();
    }

    /// Calls an operation that answers with JSON, and has to.
    pub(crate) fn call(&self, operation: Operation, body: Value) -> Value {
        self.runtime.block_on(self.client().ok(operation, body))
    }

    /// The body of an answer that is none.
    pub(crate) fn answer(&self, operation: Operation, body: Value) -> bytes::Bytes {
        let answer = self.runtime.block_on(self.client().call(operation, body));
        assert_eq!(answer.head.status, 200, "{operation}: {answer:?}");
        answer.body
    }

    /// Makes a stream that keeps its media for a day.
    pub(crate) fn create(&self, stream: &str) {
        self.runtime.block_on(self.client().create(stream, 24));
    }

    /// Deletes a stream.
    pub(crate) fn delete(&self, stream: &str) {
        let client = self.client();
        self.runtime.block_on(async {
            let said = client.ok(Operation::DescribeStream, json!({ "StreamName": stream })).await;
            client.ok(Operation::DeleteStream, json!({ "StreamARN": said["StreamInfo"]["StreamARN"] })).await;
        });
    }

    /// The fragments that a stream lists, sorted by number.
    pub(crate) fn listed(&self, stream: &str) -> Vec<Value> {
        self.runtime.block_on(self.client().fragments(stream))
    }

    /// Waits until a stream lists so many fragments, whoever writes them.
    pub(crate) fn until_listed(&self, stream: &str, count: usize) {
        let begun = std::time::Instant::now();
        let body = json!({
            "StreamName": stream,
            "FragmentSelector": {
                "FragmentSelectorType": "SERVER_TIMESTAMP",
                "TimestampRange": { "StartTimestamp": 0, "EndTimestamp": 4_000_000_000_u32 },
            },
        });
        loop {
            let answer = self.runtime.block_on(self.client().call(Operation::ListFragments, body.clone()));
            let listed = if answer.head.status == 200 {
                answer.json()["Fragments"].as_array().map(Vec::len)
            } else {
                None
            };
            if listed.is_some_and(|listed| listed >= count) {
                return;
            }
            assert!(begun.elapsed() < super::PATIENCE, "{stream} does not get {count} fragments");
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }

    /// All that is stored of a stream.
    pub(crate) fn stored(&self, stream: &str) -> Vec<Fragment> {
        let client = self.client();
        let rows = self.listed(stream);
        let fetched = rows.into_iter().map(|row| {
            let body = json!({ "StreamName": stream, "Fragments": [row["FragmentNumber"]] });
            let document = self.runtime.block_on(async {
                let mut media = client.media(Operation::GetMediaForFragmentList, body).await;
                assert_eq!(media.head.status, 200);
                media.all().await
            });
            Fragment::read(document)
        });
        fetched.collect()
    }

    /// What GetMedia gives of a stream from its beginning, in so many fragments.
    pub(crate) fn media(&self, stream: &str, fragments: usize) -> Vec<super::media::Chunk> {
        let client = self.client();
        self.runtime.block_on(async {
            let mut media = client.get(stream, json!({ "StartSelectorType": "EARLIEST" })).await;
            let ended = |bytes: &[u8]| {
                // The group behind a fragment is the last of it.
                let name = kvs_wire::tags::CONTINUATION_TOKEN.as_bytes();
                bytes.windows(name.len()).filter(|window| *window == name).count() >= fragments
            };
            let bytes = media.until(ended).await;
            super::media::chunks(&bytes)
        })
    }
}
