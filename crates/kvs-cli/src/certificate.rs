//! The certificate of the listener, which can be replaced while it serves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use kvs_service::tls::Tls;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::failure::Failure;
use crate::moment::now;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Files that somebody else keeps up to date.
    Files { certificate: PathBuf, key: PathBuf },
    /// The data folder, where it is made and renewed.
    Folder { data: PathBuf, names: Vec<String> },
}

/// A certificate that is read again when it is told to.
#[derive(Debug)]
pub(crate) struct Certificate {
    source: Source,
    resolver: RwLock<Arc<dyn ResolvesServerCert>>,
}

impl Certificate {
    /// Reads it, or makes it. Waits for the disk.
    pub(crate) fn new(source: Source) -> Result<(Arc<Self>, Tls), Failure> {
        let tls = source.read()?;
        let resolver = RwLock::new(Arc::clone(&tls.config().cert_resolver));
        Ok((Arc::new(Self { source, resolver }), tls))
    }

    /// How a server speaks that shows whichever certificate there is.
    pub(crate) fn config(self: &Arc<Self>, tls: &Tls) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(tls.config());
        config.cert_resolver = Arc::clone(self) as _;
        Arc::new(config)
    }

    /// Reads it again; the old one stays when that fails. Waits for the disk.
    pub(crate) fn renew(&self) -> Result<(), Failure> {
        let tls = self.source.read()?;
        *self.resolver.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::clone(&tls.config().cert_resolver);
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.resolver.read().unwrap_or_else(PoisonError::into_inner).resolve(hello)
    }
}

impl Source {
    fn read(&self) -> Result<Tls, Failure> {
        Ok(match self {
            Self::Files { certificate, key } => Tls::from_files(certificate, key)?,
            Self::Folder { data, names } => Tls::self_signed(data, names, now())?,
        })
    }
}

/// Whom a certificate of our own is for beside this machine's loopback: where it listens, what clients are told, and what
/// the machine is called.
pub(crate) fn names(local: SocketAddr, advertise: Option<&str>, host: Option<&str>) -> Vec<String> {
    let told =
        advertise.and_then(|url| url.split_once("://")).map(|(_, place)| match place.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => place.split(':').next().unwrap_or_default(),
        });
    // A machine may be called what no certificate can be for.
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let host = host.filter(|host| !host.is_empty() && host.bytes().all(letter));
    let mut names: Vec<String> = told.into_iter().chain(host).map(Into::into).collect();
    if !local.ip().is_loopback() {
        names.push(local.ip().to_string());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_what_clients_may_call_the_machine() {
        let names = |local: &str, advertise, host| names(local.parse().unwrap(), advertise, host);
        assert_eq!(names("127.0.0.1:1", None, None), [""; 0]);
        assert_eq!(names("127.0.0.1:1", Some("https://cam.lan:8443"), Some("box")), ["cam.lan", "box"]);
        assert_eq!(names("192.0.2.7:1", Some("https://[2001:db8::1]:1"), None), ["2001:db8::1", "192.0.2.7"]);
        assert_eq!(names("[::1]:1", Some("http://cam.lan"), Some("my_box")), ["cam.lan"]);
    }
}
