//! A service that runs in the test's own process.

use std::net::SocketAddr;
use std::sync::Arc;

use kvs_service::{Config, Limits, Service};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{Client, Keys};

/// A service and its data folder, both gone when this is dropped.
pub(crate) struct Running {
    pub(crate) service: Arc<Service>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    root: Keys,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings than a user gets.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(tempfile::tempdir().unwrap(), change).await
    }

    /// On a data folder that is there already.
    pub(crate) async fn on(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(folder.path());
        // Tests are faster than people.
        config.limits = Limits {
            control_calls_per_stream: 1_000,
            control_calls: 10_000,
            describe_calls: 10_000,
            put_media_calls: 1_000,
            put_media_fragments: 1_000,
            get_media_calls: 1_000,
            ..config.limits
        };
        config.store.segment_bytes = 8 << 20;
        change(&mut config);
        let (service, opened) =
            tokio::task::spawn_blocking(move || Service::open(config)).await.unwrap().unwrap();
        let root = Keys::root(&opened.identities);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(Arc::clone(&service).run(listener, None, async {
            let _ = stopped.await;
        }));
        Self { service, address, folder, root, stop: Some(stop), task }
    }

    /// The root user's client.
    pub(crate) fn client(&self) -> Client {
        Client { address: self.address, keys: self.root.clone() }
    }

    /// Stops as on SIGTERM, and hands the folder back.
    pub(crate) async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        self.task.await.unwrap().unwrap();
        drop(self.service);
        self.folder
    }

    /// Begins to stop.
    pub(crate) fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }
}
