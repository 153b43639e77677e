//! The service in a process of its own, so that its figures are its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvs_media::time::Utc;
use kvs_service::store::{Commit, FrameIndexWriter, Settings, Store};
use kvs_service::tls::Tls;
use kvs_service::{Config, Limits, Service};
use rustls_pki_types::pem::PemObject as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use crate::Meter;
use crate::client::{Client, Keys};
use crate::load::Target;

/// What this program is started as.
pub(crate) const ROLE: &str = "KVS_SERVICE_BENCH_ROLE";
const DATA: &str = "KVS_SERVICE_BENCH_DATA";
/// The streams that are filled, and how much lies between two of their fragments.
pub(crate) const FILLED: [&str; 4] = ["filled-0", "filled-1", "filled-2", "filled-3"];
pub(crate) const FILLED_FROM: i64 = 1_900_000_000;
pub(crate) const FILLED_EVERY_MS: i64 = 200;

/// A service that runs.
pub(crate) struct Server {
    child: Child,
    meter: Meter,
    _stdin: ChildStdin,
    pub(crate) folder: PathBuf,
    pub(crate) plain: Target,
    pub(crate) tls: Target,
    /// From its start until it took connections.
    pub(crate) ready: Duration,
}

impl Server {
    pub(crate) fn start(folder: &Path) -> Self {
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .envs([(ROLE, "serve".as_ref()), (DATA, folder.as_os_str())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = started.elapsed();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [plain, tls, access_key, secret] = words[..] else { panic!("the service said {line:?}") };
        let keys = Keys { access_key: access_key.to_owned(), secret: secret.to_owned(), token: None };
        let target = |address: &str, tls| Target {
            client: Client { address: address.parse::<SocketAddr>().unwrap(), keys: keys.clone() },
            tls,
        };
        let connector = connector(&folder.join("tls-ca.pem"));
        let stdin = child.stdin.take().unwrap();
        Self {
            _stdin: stdin,
            meter: Meter::new(child.id()),
            child,
            folder: folder.to_owned(),
            plain: target(plain, None),
            tls: target(tls, Some(connector)),
            ready,
        }
    }

    /// Milliseconds of CPU so far.
    pub(crate) fn cpu(&self) -> f64 {
        self.meter.cpu()
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// TLS that trusts the service's own authority.
fn connector(ca: &Path) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pki_types::CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn data() -> PathBuf {
    std::env::var_os(DATA).unwrap().into()
}

/// The child: serves one data folder, in the clear and with TLS, until its standard input ends.
pub(crate) fn serve() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::new(data());
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
            playback_calls: 100_000,
            playback_lists: 1_000_000,
            playback_media: 1_000_000,
            fragment_metadata_points: 1_000_000_000,
            fragment_media_points: 1_000_000_000,
            ..config.limits
        };
        let (service, opened) = Service::open(config).unwrap();
        let tls = Tls::self_signed(&data(), &[], now()).unwrap();
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

fn now() -> Utc {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Utc::from_nanos(since.as_nanos() as i64)
}

/// Starts the process that fills streams with small fragments, and dies.
pub(crate) fn run_fill(folder: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let status = child.envs([(ROLE, "fill".as_ref()), (DATA, folder.as_os_str())]).status().unwrap();
    assert!(status.signal().is_some(), "{status}");
}

pub(crate) fn fill() {
    let (store, _) = Store::open(&data(), None, &Settings::default()).unwrap();
    let streams = FILLED.map(|name| store.stream_named(name).unwrap().id);
    let (sender, answers) = mpsc::sync_channel(4000);
    let (mut stored, mut under_way) = (0, 0);
    for n in 0_usize.. {
        while under_way == 4000 || stored + under_way >= crate::rows::fragments() {
            if stored >= crate::rows::fragments() {
                std::process::abort();
            }
            under_way -= 1;
            match answers.recv().unwrap() {
                Ok(()) => stored += 1,
                // It refuses what the index cannot take in time.
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        let millis = FILLED_FROM * 1000 + (n / streams.len()) as i64 * FILLED_EVERY_MS;
        let stream = streams[n % streams.len()];
        let number =
            store.numbering(stream, Utc::EPOCH).unwrap().next(Utc::from_millis(millis).unwrap(), 1, false);
        let mut upload = store.begin(stream, number).unwrap();
        upload.write(Bytes::from_static(&[1; 64]), |_| {});
        let commit = Commit {
            producer_time: number.server_time().unwrap(),
            length_ms: 200,
            timecode: 0,
            timecode_scale: 1_000_000,
            header: Bytes::from_static(&[3; 400]),
            tags: Bytes::new(),
            frames: FrameIndexWriter::new().finish(),
        };
        let sender = sender.clone();
        upload.commit(commit, move |result| sender.send(result).unwrap());
        under_way += 1;
    }
}
