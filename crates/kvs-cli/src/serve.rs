//! `kvs serve`: the service.

use std::future::Future;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kvs_service::store::Recovery;
use kvs_service::{Opened, Service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::certificate::{self, Certificate, Source};
use crate::failure::{Failure, While as _};
use crate::running::Running;
use crate::settings::{Choices, Settings, Tls};
use crate::shell::Shell;
use crate::{folder, keys, logs};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Serve Kinesis Video Streams: in one process, durable, encrypted, wire-compatible
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first start needs nothing: it makes the data folder, a root key pair and a master key, and prints what to paste.
SIGTERM and SIGINT stop it when what is open is finished; a second one at once. SIGHUP reads the
users and the certificate again.

Examples:
  kvs serve                                        on this machine, data in ./kvs-data
  kvs serve --data /var/lib/kvs --listen 0.0.0.0:4580 --tls-self-signed --max-bytes 200GB
  kvs serve --listen 127.0.0.1:0                   on a free port, which it prints")]
pub(crate) struct Serve {
    #[command(flatten)]
    choices: Choices,
    /// A file (TOML) with any of these, and the limits that no flag holds
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = self.config.as_deref().map(Choices::read).transpose()?.unwrap_or_default();
        let flags = self.choices.keys.clone();
        let mut settings = self.choices.or(file).settings()?;
        // The environment stands between the flag and the file, which may be shared.
        let mut given = keys::given(&flags)?;
        if given.source == keys::Source::Folder {
            given = keys::named(&settings.keys)?;
        }
        settings.config.keyring = given.keyring;
        logs::start(settings.log.as_deref(), settings.json)?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kvs-io").build()?;
        runtime.block_on(serve(settings, given.source))
    }
}

async fn serve(settings: Settings, keys: keys::Source) -> Result<(), Failure> {
    // Before anything is announced: whoever reads the notice may signal.
    let stop = stopped()?;
    let hangups = signal(SignalKind::hangup())?;
    let Settings { mut config, listen, tls, .. } = settings;
    let configured = config.limits.connections;
    let connections = connections(configured, raise_open_files());
    config.limits.connections = connections;
    let (account, advertise) = (config.account.clone(), config.advertise.clone());
    let data = config.data.clone();
    let opened = tokio::task::spawn_blocking(move || Service::open(config)).await?;
    let (service, opened) = opened.map_err(|error| folder::unserved(&data, &keys, error))?;
    report(&opened.recovery);
    // After the folder: who starts a service again hears that it runs, and not only that its port is taken.
    let bound = TcpListener::bind(listen).await.doing(format_args!("cannot listen on {listen}"));
    let listener = match bound {
        Ok(listener) => listener,
        Err(failure) => {
            // The store closes with its last owner, which waits for the disk.
            tokio::task::spawn_blocking(move || drop(service)).await?;
            return Err(failure);
        }
    };
    let address = listener.local_addr()?;
    if connections < configured {
        tracing::info!(connections, configured, "fewer connections: the system allows no more open files");
    }
    let data = std::fs::canonicalize(&data).doing(data.display())?;
    if tls == Tls::No && !address.ip().is_loopback() {
        tracing::warn!(%address, "other machines can connect, and nothing is encrypted: see --tls-self-signed");
    }
    let local = local(address);
    let source = source(&tls, || {
        let host = rustix::system::uname();
        let names = certificate::names(local, advertise.as_deref(), host.nodename().to_str().ok());
        Source::Folder { data: data.clone(), names }
    });
    let certificate = match source {
        Some(source) => Some(tokio::task::spawn_blocking(move || Certificate::new(source)).await??),
        None => None,
    };
    let ca = certificate.as_ref().and_then(|(_, tls)| tls.ca()).map(Path::to_owned);
    let tls = certificate.as_ref().map(|(certificate, tls)| certificate.config(tls));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let running = Running {
        url: advertise.unwrap_or_else(|| format!("{scheme}://{local}")),
        local,
        tls: tls.is_some(),
        region: account.region,
        account: account.id,
        ca,
        pid: i32::try_from(std::process::id()).unwrap_or(0),
    };
    let _notice = running.announce(&data)?;
    let certificate = certificate.map(|(certificate, _)| certificate);
    tokio::spawn(reload(Arc::clone(&service), certificate, hangups));
    greet(&running, &data, &opened)?;
    service.run(listener, tls, stop).await.doing("the service")?;
    tracing::info!("stopped");
    Ok(())
}

fn source(tls: &Tls, folder: impl FnOnce() -> Source) -> Option<Source> {
    match tls {
        Tls::No => None,
        Tls::SelfSigned => Some(folder()),
        Tls::Files { certificate, key } => {
            Some(Source::Files { certificate: certificate.clone(), key: key.clone() })
        }
    }
}

/// Where this machine reaches it.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What there is to paste.
fn greet(running: &Running, data: &Path, opened: &Opened) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let url = running.url.trim_end_matches('/');
    writeln!(
        out,
        "kvs serve is ready\n\n  URL     {}\n  page    {url}/\n  data    {}",
        running.url,
        data.display()
    )?;
    if let Some(ca) = &running.ca {
        writeln!(out, "  CA      {}", ca.display())?;
    }
    let folder = data.to_string_lossy();
    if let Some(pair) = opened.identities.root().keys().first().filter(|_| opened.created) {
        writeln!(
            out,
            "\nThis is the first start. The key of the root user, who may do everything:\n\n  \
             AWS_ACCESS_KEY_ID      {}\n  AWS_SECRET_ACCESS_KEY  {}\n\n\
             It is kept in {folder}/identities.json, and what is recorded opens only with {folder}/master.key.",
            pair.access_key_id,
            pair.secret_access_key.reveal(),
        )?;
    }
    writeln!(
        out,
        "\nTo use it from a shell:\n\n  eval \"$(kvs env --data {})\"\n",
        Shell::Sh.quoted(&folder)
    )?;
    Ok(out.flush()?)
}

/// What the start found that a clean stop would not have left.
fn report(recovery: &Recovery) {
    for damage in &recovery.damage {
        let fragments = damage.fragments.len();
        let (segment, offset, length) = (damage.segment, damage.offset, damage.length);
        if fragments == 0 {
            tracing::warn!(%segment, offset, length, "torn bytes of a fragment that was never acknowledged");
        } else {
            tracing::warn!(%segment, offset, length, fragments, "damaged bytes: fragments are lost");
        }
    }
    for segment in &recovery.lost {
        tracing::warn!(%segment, "a segment is missing, or has lost its header");
    }
    if recovery.sealed > 0 || recovery.fragments > 0 {
        let (sealed, fragments) = (recovery.sealed, recovery.fragments);
        tracing::info!(sealed, fragments, "taken up what the last run left open");
    }
}

/// Descriptors that are no connection's: segments, databases, what is read for readers.
const RESERVE: u64 = 256;
/// Even where the system allows less than the reserve.
const LEAST_CONNECTIONS: usize = 16;

/// As many connections as leave recordings the files that they need.
fn connections(configured: usize, open_files: Option<u64>) -> usize {
    let Some(open_files) = open_files else { return configured };
    let room = usize::try_from(open_files.saturating_sub(RESERVE)).unwrap_or(usize::MAX);
    configured.min(room.max(LEAST_CONNECTIONS))
}

/// Each connection and each segment is an open file. Gives how many there may be; `None` is without a limit.
fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(?current, ?maximum, %error, "cannot raise the number of open files");
        return current;
    }
    maximum
}

/// Ends with the first SIGTERM or SIGINT; the second ends the process.
fn stopped() -> Result<impl Future<Output = ()> + Send, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping: once more to stop at once");
        // Nobody listens when the start has failed.
        let _ = tell.send(());
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("stopped at once");
        std::process::exit(1);
    });
    Ok(async move {
        let _ = told.await;
    })
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}

/// Reads what others change, whenever SIGHUP says so: the users and the certificate. The certificate also once a day, so
/// that it never ends while the service runs.
async fn reload(service: Arc<Service>, certificate: Option<Arc<Certificate>>, mut hangups: Signal) {
    loop {
        let told = tokio::select! {
            told = hangups.recv() => told.is_some(),
            () = tokio::time::sleep(DAY) => false,
        };
        let (service, certificate) = (Arc::clone(&service), certificate.clone());
        let work = move || {
            if told {
                match service.reload_identities() {
                    Ok(()) => tracing::info!("the users are read again"),
                    Err(error) => tracing::error!(%error, "the users stay as they were"),
                }
            }
            match certificate.map(|certificate| certificate.renew()) {
                Some(Ok(())) => tracing::info!("the certificate is read again"),
                Some(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
                None => {}
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::error!(%error, "nothing is read again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_recordings_their_files() {
        for (configured, open_files, expected) in [
            (20_000, Some(1_048_576), 20_000),
            (20_000, Some(4_096), 3_840),
            (3_840, Some(4_096), 3_840),
            (20_000, Some(200), 16),
            (7, Some(200), 7),
            (20_000, None, 20_000),
        ] {
            assert_eq!(connections(configured, open_files), expected, "{configured} {open_files:?}");
        }
    }

    #[test]
    fn this_machine_calls_no_unspecified_address() {
        for (address, expected) in [
            ("127.0.0.1:4580", "127.0.0.1:4580"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:2", "[::1]:2"),
            ("192.0.2.7:443", "192.0.2.7:443"),
        ] {
            assert_eq!(local(address.parse().unwrap()).to_string(), expected);
        }
    }
}
