//! How `kvs serve` is set up: flags, then the file of `--config`, then the defaults.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use kvs_service::Config;
use serde::Deserialize;

use crate::amount;
use crate::failure::{Failure, While as _};
use crate::limits::{LimitsTable, Size};

/// Where the data is unless somebody says otherwise.
pub(crate) const DATA: &str = "./kvs-data";
/// This machine alone may connect until somebody says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4580);
/// Where clients find the service of the defaults.
pub(crate) const URL: &str = "http://127.0.0.1:4580";

/// What may be set in both places. A flag wins over the file.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Choices {
    /// The data folder; made on the first start [default: ./kvs-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen; port 0 takes any that is free [default: 127.0.0.1:4580]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    #[serde(deserialize_with = "read::listen")]
    pub(crate) listen: Option<SocketAddr>,
    /// Serve HTTPS with this chain of certificates (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls_self_signed")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", conflicts_with = "tls_self_signed")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Serve HTTPS with a certificate of a CA that is made and kept in the data folder
    #[arg(long)]
    pub(crate) tls_self_signed: bool,
    /// The URL under which clients reach the service, when it is not the one they connect to
    #[arg(long, value_name = "URL", value_parser = url)]
    #[serde(deserialize_with = "read::url")]
    pub(crate) advertise: Option<String>,
    /// As much as all recordings may take, such as 20GB; then the oldest go
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_bytes: Option<Size>,
    /// The program kvs-picture, which makes pictures [default: beside kvs, else in PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) pictures: Option<PathBuf>,
    /// The Region of ARNs [default: us-west-2]
    #[arg(long, value_parser = region)]
    #[serde(deserialize_with = "read::region")]
    pub(crate) region: Option<String>,
    /// The account of ARNs, twelve digits [default: 111122223333]
    #[arg(long, value_name = "ID", value_parser = account)]
    #[serde(deserialize_with = "read::account")]
    pub(crate) account: Option<String>,
    /// Let tests command faults (`kvs faults`)
    #[arg(long)]
    pub(crate) allow_faults: bool,
    /// Write the log as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// What is logged: a level, or a filter such as info,kvs_service=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// In the file alone: on a command line every user of the machine sees it.
    #[arg(skip)]
    pub(crate) metrics_token: Option<String>,
    /// In the file alone.
    #[arg(skip)]
    pub(crate) limits: LimitsTable,
}

/// Where the master keys are.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keys {
    /// The file of the master keys, when it is not the data folder's own; the environment's KVS_MASTER_KEY is the other way
    #[arg(long = "key-file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// How the service is set up, all told.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the service is told.
    pub(crate) config: Config,
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Tls,
    pub(crate) keys: Keys,
    pub(crate) json: bool,
    pub(crate) log: Option<String>,
}

/// What is spoken on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    No,
    SelfSigned,
    Files { certificate: PathBuf, key: PathBuf },
}

impl Choices {
    /// Those of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).doing(format_args!("cannot read {}", path.display()))?;
        toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            // An unknown key is in the message already; a wrong value is only in its line.
            let key =
                text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
            let key = key.filter(|key| !error.message().contains(&format!("`{key}`")));
            let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
            Failure::new(format_args!("{}: line {line}: {key}{}", path.display(), error.message()))
        })
    }

    /// These, and where they say nothing what the file says.
    pub(crate) fn or(self, file: Self) -> Self {
        // A flag that chooses a certificate replaces the file's choice as a whole.
        let tls = if self.tls_self_signed || self.tls_cert.is_some() {
            (self.tls_self_signed, self.tls_cert, self.tls_key)
        } else {
            (file.tls_self_signed, file.tls_cert, file.tls_key)
        };
        Self {
            data: self.data.or(file.data),
            listen: self.listen.or(file.listen),
            tls_self_signed: tls.0,
            tls_cert: tls.1,
            tls_key: tls.2,
            advertise: self.advertise.or(file.advertise),
            max_bytes: self.max_bytes.or(file.max_bytes),
            pictures: self.pictures.or(file.pictures),
            region: self.region.or(file.region),
            account: self.account.or(file.account),
            allow_faults: self.allow_faults || file.allow_faults,
            json: self.json || file.json,
            log: self.log.or(file.log),
            keys: Keys { file: self.keys.file.or(file.keys.file) },
            metrics_token: self.metrics_token.or(file.metrics_token),
            limits: file.limits,
        }
    }

    /// With the defaults for what nobody chose.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        let tls = match (self.tls_self_signed, self.tls_cert, self.tls_key) {
            (false, None, None) => Tls::No,
            (true, None, None) => Tls::SelfSigned,
            (false, Some(certificate), Some(key)) => Tls::Files { certificate, key },
            (true, ..) => return Err(Failure::new("tls_self_signed and tls_cert exclude each other")),
            (false, ..) => return Err(Failure::new("tls_cert and tls_key belong together")),
        };
        let mut config = Config::new(self.data.unwrap_or_else(|| DATA.into()));
        self.limits.apply(&mut config.limits);
        if let Some(region) = self.region {
            config.account.region = region;
        }
        if let Some(id) = self.account {
            config.account.id = id;
        }
        config.advertise = self.advertise;
        config.max_bytes = self.max_bytes.map(|Size(bytes)| bytes);
        config.pictures.program = self.pictures;
        config.allow_faults = self.allow_faults;
        config.metrics_token = self.metrics_token;
        let listen = self.listen.unwrap_or(LISTEN);
        Ok(Settings { config, listen, tls, keys: self.keys, json: self.json, log: self.log })
    }
}

fn size(text: &str) -> Result<Size, String> {
    amount::bytes(text).map(Size)
}

/// An address, or a name that has one.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let form = "an address is such as 127.0.0.1:4580, [::1]:4580 or localhost:4580";
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("{error}; {form}"))?;
    addresses.next().ok_or_else(|| form.into())
}

/// The base of a URL, without a slash at its end.
fn url(text: &str) -> Result<String, String> {
    let base = text.strip_suffix('/').unwrap_or(text);
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://")).unwrap_or_default();
    let fits =
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    if fits { Ok(base.into()) } else { Err("a URL is http:// or https://, a host, and maybe a port".into()) }
}

fn region(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(text.into()) } else { Err("a Region is lower-case letters, digits and hyphens".into()) }
}

fn account(text: &str) -> Result<String, String> {
    let fits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(text.into()) } else { Err("an account is twelve digits".into()) }
}

/// The file says it in the same words as a flag.
mod read {
    use std::net::SocketAddr;

    use serde::{Deserialize as _, Deserializer, de::Error as _};

    macro_rules! read {
        ($($name:ident: $type:ty,)*) => {
            $(pub(super) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<$type>, D::Error> {
                super::$name(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
            })*
        };
    }

    read! {
        listen: SocketAddr,
        url: String,
        region: String,
        account: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use clap::Parser;
    use std::time::Duration;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        choices: Choices,
    }

    fn flags(line: &[&str]) -> Choices {
        Line::try_parse_from([&["kvs"], line].concat()).unwrap().choices
    }

    fn said(text: &str) -> String {
        let folder = Scratch::new(&format!(
            "settings-{:x}",
            text.len() * 31 + text.bytes().map(usize::from).sum::<usize>()
        ));
        match Choices::read(&folder.file("kvs.toml", text)) {
            Err(Failure::Said(said)) => said.split_once("kvs.toml: ").unwrap().1.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_said_is_a_service_for_this_machine() {
        let settings = Choices::default().settings().unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:4580");
        assert_eq!(settings.config.data, Path::new(DATA));
        assert_eq!((settings.tls, settings.config.allow_faults), (Tls::No, false));
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let folder = Scratch::new("precedence");
        let file = folder.file(
            "kvs.toml",
            r#"
                data = "from-file"
                listen = "0.0.0.0:1"
                tls_cert = "c.pem"
                tls_key = "k.pem"
                advertise = "https://cam.example:8443/"
                max_bytes = "20GB"
                pictures = "bin/kvs-picture"
                region = "eu-west-1"
                account = "222233334444"
                allow_faults = true
                json = true
                log = "debug"
                metrics_token = "let me in"
                [keys]
                file = "master.key"
                [limits]
                connections = 7
                get_media_idle = "3min"
                body_bytes = "2MiB"
                [limits.session]
                fragment_duration = "5s"
                tracks = 1
            "#,
        );
        let settings = Choices::default().or(Choices::read(&file).unwrap()).settings().unwrap();
        let config = &settings.config;
        assert_eq!(config.data, Path::new("from-file"));
        assert_eq!(settings.listen.to_string(), "0.0.0.0:1");
        assert_eq!(settings.tls, Tls::Files { certificate: "c.pem".into(), key: "k.pem".into() });
        assert_eq!(config.advertise.as_deref(), Some("https://cam.example:8443"));
        assert_eq!(config.max_bytes, Some(20_000_000_000));
        assert_eq!(config.pictures.program.as_deref(), Some(Path::new("bin/kvs-picture")));
        assert_eq!((&*config.account.region, &*config.account.id), ("eu-west-1", "222233334444"));
        assert_eq!(
            (config.allow_faults, settings.json, settings.log.as_deref()),
            (true, true, Some("debug"))
        );
        assert_eq!(config.metrics_token.as_deref(), Some("let me in"));
        assert_eq!(settings.keys.file.as_deref(), Some(Path::new("master.key")));
        assert_eq!((config.limits.connections, config.limits.body_bytes), (7, 2 << 20));
        assert_eq!(config.limits.get_media_idle, Duration::from_secs(180));
        assert_eq!(config.limits.session.fragment_duration, Duration::from_secs(5));
        assert_eq!(config.limits.session.tracks, 1);
        assert_eq!(config.limits.streams, kvs_service::Limits::default().streams);

        let given = flags(&[
            "--data",
            "d",
            "--listen",
            "[::1]:2",
            "--tls-self-signed",
            "--advertise",
            "http://a",
            "--max-bytes",
            "1",
            "--pictures",
            "p",
            "--region",
            "r",
            "--account",
            "000000000000",
            "--log",
            "warn",
            "--key-file",
            "k",
        ]);
        let settings = given.or(Choices::read(&file).unwrap()).settings().unwrap();
        let config = &settings.config;
        assert_eq!((config.data.as_path(), settings.tls), (Path::new("d"), Tls::SelfSigned));
        assert_eq!(settings.listen.to_string(), "[::1]:2");
        assert_eq!((config.advertise.as_deref(), config.max_bytes), (Some("http://a"), Some(1)));
        assert_eq!(config.pictures.program.as_deref(), Some(Path::new("p")));
        assert_eq!((&*config.account.region, &*config.account.id), ("r", "000000000000"));
        assert_eq!(
            (settings.log.as_deref(), settings.keys.file.as_deref()),
            (Some("warn"), Some(Path::new("k")))
        );
        assert_eq!(config.limits.connections, 7);
    }

    #[test]
    fn a_mistake_in_the_file_is_named_with_its_line() {
        let unknown = said(
            "data = 'x'
listen_on = 'y'
",
        );
        assert!(unknown.starts_with("line 2: unknown field `listen_on`"), "{unknown}");
        let nested = said(
            "[limits]

[limits.session]
fragments = 1
",
        );
        assert!(nested.starts_with("line 4: unknown field `fragments`"), "{nested}");
        assert!(
            said(
                "[limits]
streams = 'many'"
            )
            .starts_with("line 2: streams: invalid type: string")
        );
        assert_eq!(
            said(
                "[limits]
streams = 1
stop_timeout = '10'"
            ),
            "line 3: stop_timeout: a span is a number and ms, s, min, h or days, such as 45min or 1h30min, and not \"10\""
        );
        assert!(
            said(
                "[limits]
body_bytes = -1"
            )
            .starts_with("line 2: body_bytes: ")
        );
        assert!(
            said(
                "[limits]
put_media_sessions = 99999999999999999999"
            )
            .starts_with("line 2: put_media_sessions: ")
        );
        assert_eq!(
            said("[limits]\n[limits.session]\nidle_ack = '0s'"),
            "line 3: idle_ack: at least 100ms and at most 10 years"
        );
        assert_eq!(said("account = '12'"), "line 1: account: an account is twelve digits");
        assert!(said("listen = 'nowhere'").starts_with("line 1: listen: "));
        assert!(said("region = 'EU'").starts_with("line 1: region: "));
        assert!(said("advertise = 'ftp://x'").starts_with("line 1: advertise: a URL is"));
        assert!(said("\nregion = eu").starts_with("line 2: region: "));
    }

    #[test]
    fn half_a_certificate_is_none() {
        for line in [
            &["--tls-cert", "c"][..],
            &["--tls-key", "k"],
            &["--tls-cert", "c", "--tls-key", "k", "--tls-self-signed"],
            &["--listen", "4580"],
            &["--max-bytes", "many"],
            &["--account", "1"],
            &["--advertise", "localhost"],
        ] {
            assert!(Line::try_parse_from([&["kvs"], line].concat()).is_err(), "{line:?}");
        }
        let file = Choices { tls_cert: Some("c".into()), ..Choices::default() };
        assert!(file.settings().is_err());
    }

    #[test]
    fn the_base_of_a_url_has_no_path() {
        assert_eq!(url("http://localhost:4580/").as_deref(), Ok("http://localhost:4580"));
        assert_eq!(url("https://[::1]:1").as_deref(), Ok("https://[::1]:1"));
        for text in ["", "http://", "localhost", "http://a/b", "http://a b", "http://u@a", "https:///"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
