//! The service in a process of its own, and what its clients have to know.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use kvs_client::client::{ClientSettings, CredentialsFrom, Environment, NewStream, StaticKeys};
use kvs_client::{Client, clock};
use kvs_service::tls::Tls;
use kvs_service::{Config, Limits, Service};
use tokio::net::TcpListener;

use crate::common::child::ROLE;

const DATA: &str = "KVS_BENCH_DATA";
const ADVERTISE: &str = "KVS_BENCH_ADVERTISE";
pub(crate) const REGION: &str = "us-west-2";

/// A service that runs. Its data are gone with it.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) keys: (String, String),
}

impl Server {
    /// `advertise`: where data endpoints lead, if not to itself.
    pub(crate) fn start(data: &Path, advertise: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, "serve").env(DATA, data).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(url) = advertise {
            command.env(ADVERTISE, url);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [plain, tls, id, secret] = words[..] else { panic!("the service did not start") };
        Self {
            child,
            data: data.to_owned(),
            plain: plain.parse().unwrap(),
            tls: tls.parse().unwrap(),
            keys: (id.to_owned(), secret.to_owned()),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.tls)
    }

    /// Whom its clients trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.data.join("tls-ca.pem")
    }

    /// Makes streams.
    pub(crate) fn create(&self, names: &[String]) {
        let (id, secret) = &self.keys;
        let settings = ClientSettings {
            region: Some(REGION.to_owned()),
            endpoint: Some(format!("http://{}", self.plain)),
            credentials: CredentialsFrom::Static(StaticKeys {
                access_key_id: id.clone(),
                secret_access_key: secret.as_str().into(),
                session_token: None,
            }),
            ..ClientSettings::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::new(settings, Environment::default());
            let new = NewStream { retention_hours: 24, media_type: None, tags: Vec::new() };
            for name in names {
                client.create(&name.parse().unwrap(), &new).await.unwrap();
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// The child: serves one data folder, in the clear and with TLS, until its standard input ends.
pub(crate) fn serve() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let data = PathBuf::from(std::env::var_os(DATA).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::new(&data);
        config.advertise = std::env::var(ADVERTISE).ok();
        config.limits = Limits {
            control_calls_per_stream: 100_000,
            control_calls: 100_000,
            describe_calls: 100_000,
            put_media_calls: 100_000,
            put_media_bytes: 100_000_000_000,
            put_media_fragments: u32::MAX,
            get_media_readers: 100_000,
            get_media_calls: 100_000,
            get_media_bytes: 100_000_000_000,
            fragment_metadata_points: u32::MAX,
            fragment_media_points: u32::MAX,
            ..config.limits
        };
        let (service, opened) = Service::open(config).unwrap();
        let tls = Tls::self_signed(&data, &[], clock::utc()).unwrap();
        let pair = &opened.identities.root().keys()[0];
        let mut addresses = Vec::new();
        for tls in [None, Some(Arc::clone(tls.config()))] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::spawn(Arc::clone(&service).run(listener, tls, std::future::pending()));
        }
        let (id, secret) = (&pair.access_key_id, pair.secret_access_key.reveal());
        let mut out = std::io::stdout();
        writeln!(out, "{} {} {id} {secret}", addresses[0], addresses[1]).unwrap();
        std::future::pending::<()>().await;
    });
}
