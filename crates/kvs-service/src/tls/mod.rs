//! TLS for the listener: from files that somebody made, or with a certificate of our own.
//!
//! HTTP/1.1 over TLS 1.2 or 1.3. Nothing is installed for the whole process.

mod local;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvs_media::time::Utc;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::files::{self, FileError};

/// Bytes of a PEM file that are read: hundreds of certificates.
const MOST_PEM: u64 = 1 << 20;

/// What a listener needs to speak TLS. A clone is the same.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    ca: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not what PEM (RFC 7468) allows.
    #[error("{path} is no PEM file: {fault}", path = .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// There is no certificate in a file.
    #[error("{path}: there is no certificate in it", path = .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no private key in a file.
    #[error("{path}: there is no private key in it (one with a password is not read)", path = .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be used.
    #[error("{path}: the certificate: {source}", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A private key cannot be used.
    #[error("{path}: the private key: {source}", path = .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A private key belongs to another certificate.
    #[error("the key in {key} is not that of the certificate in {certificate}",
        key = .key.display(), certificate = .certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate cannot be for this name.
    #[error("{0:?} is neither a host name nor an IP address")]
    Name(String),
    /// No certificate can be made.
    #[error("cannot make {what}: {source}")]
    Make {
        /// What was being made.
        what: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// The certificate of our own authority was made with another key, or by somebody else.
    #[error("{certificate} was not made with the key in {key} ({reason}): put the right key there, or remove both",
        certificate = .certificate.display(), key = .key.display())]
    NotOurs {
        /// The file of the authority's certificate.
        certificate: PathBuf,
        /// The file of its key.
        key: PathBuf,
        /// Why a client that trusts the one takes nothing that the other has signed.
        reason: String,
    },
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
}

impl Tls {
    /// From a certificate, with those between it and its authority behind it, and its private key; both PEM.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = chain(certificate, &files::read(certificate, MOST_PEM)?)?;
        let secret = private_key(key, &files::read(key, MOST_PEM)?)?;
        Self::of(certified(chain, secret, (certificate, key))?, None)
    }

    /// With a certificate for `localhost`, its addresses and these names, signed by an authority of our own. All of it is
    /// kept in the data folder and made when it is missing; a certificate that ends within 30 days, or is for other
    /// names, is made anew, while the authority stays, so that whoever trusts it goes on doing so.
    ///
    /// To be asked again now and then while a service runs: what it gives is good for 30 days at least.
    pub fn self_signed(folder: &Path, names: &[String], now: Utc) -> Result<Self, TlsError> {
        let (certified, ca) = local::certificate(folder, names, now)?;
        Self::of(certified, Some(ca))
    }

    /// The file with the certificate that a client has to trust, when it is one of our own.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// How the server speaks.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// What takes connections in.
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }

    fn of(certified: CertifiedKey, ca: Option<PathBuf>) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), ca })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificates of a file.
fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| no_pem(path, &error))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

/// The first private key of a file.
fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        error => no_pem(path, &error),
    })
}

/// What the parser says holds parts of what it read: of a key nothing may be shown.
fn no_pem(path: &Path, error: &pem::Error) -> TlsError {
    let fault = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is not closed",
        pem::Error::Base64Decode(_) => "a section is no base 64",
        _ => "it cannot be read",
    };
    TlsError::Pem { path: path.to_owned(), fault }
}

/// A certificate and its key, if they belong together; `files` are named in errors.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    (certificate_file, key_file): (&Path, &Path),
) -> Result<CertifiedKey, TlsError> {
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|source| TlsError::Key { path: key_file.to_owned(), source })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::Mismatch { certificate: certificate_file.to_owned(), key: key_file.to_owned() })
        }
        Err(source) => Err(TlsError::Certificate { path: certificate_file.to_owned(), source }),
    }
}
