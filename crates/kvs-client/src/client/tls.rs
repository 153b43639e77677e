//! Whom the client trusts: one answer for its own connections and for those of AWS's libraries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_kinesisvideo::config::SharedHttpClient;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::error::{SettingsError, causes};

/// Bytes of a PEM file that are read: more than all authorities there are.
const MOST_PEM: u64 = 4 << 20;

/// Whom a client trusts.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    http: SharedHttpClient,
}

/// Where certificates come from: a file, and who named it; or the system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CaFile {
    what: &'static str,
    path: PathBuf,
}

impl Trust {
    /// The certificates of `ca_file` and no others; without it those of `AWS_CA_BUNDLE`, then of
    /// `KVSSINK_CA_CERT_PATH`, and last the system's. Reads files.
    ///
    /// # Errors
    /// When the file cannot be read, or there is no certificate in it.
    pub fn load(ca_file: Option<&Path>, environment: &Environment) -> Result<Self, SettingsError> {
        let Some(file) = CaFile::choose(ca_file, environment) else {
            let roots = system_roots();
            // AWS's library takes it for a bug of its caller's when there is nobody to trust.
            let store = if roots.is_empty() { TrustStore::empty() } else { TrustStore::default() };
            return Ok(Self { config: tls(roots)?, http: http_client(store)? });
        };
        let pem = read_pem(file.what, &file.path)?;
        let roots = roots(file.what, &file.path, &pem)?;
        let store = TrustStore::empty().with_pem_certificate(pem.to_vec());
        Ok(Self { config: tls(roots)?, http: http_client(store)? })
    }

    /// For connections of our own.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// For AWS's libraries.
    pub fn http_client(&self) -> &SharedHttpClient {
        &self.http
    }
}

impl CaFile {
    fn choose(set: Option<&Path>, environment: &Environment) -> Option<Self> {
        if let Some(path) = set {
            return Some(Self { what: "the file of certificates", path: path.into() });
        }
        let (what, path) = environment.first(&["AWS_CA_BUNDLE", "KVSSINK_CA_CERT_PATH"])?;
        Some(Self { what, path: path.into() })
    }
}

/// Trusts the authorities of `ca`, and shows a certificate of its own.
pub(crate) fn mutual_tls(
    ca: &Path,
    certificate: &Path,
    private_key: &Path,
) -> Result<ClientConfig, SettingsError> {
    let what = "the file of certificates of IoT";
    let roots = roots(what, ca, &read_pem(what, ca)?)?;
    let what = "the certificate of the device";
    let chain = certificates(what, certificate, &read_pem(what, certificate)?)?;
    let what = "the private key of the device";
    let key = PrivateKeyDer::from_pem_slice(&read_pem(what, private_key)?).map_err(|_| {
        file(what, private_key, "there is no private key in it (one with a password is not read)")
    })?;
    let builder = builder()?.with_root_certificates(roots);
    let mut config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| file("the certificate of the device", certificate, causes(&error)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// HTTP/1.1 only: the service's other end of PutMedia is not documented over HTTP/2 (kvs-api 0.3).
fn tls(roots: RootCertStore) -> Result<Arc<ClientConfig>, SettingsError> {
    let mut config = builder()?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config.into())
}

/// With a provider of its own: what is installed for the whole process is the application's.
fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, SettingsError> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| SettingsError::text("TLS", "the provider has no suite for it"))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    // Not an error: a service without TLS needs none, and what cannot be trusted says so when it is met.
    if added == 0 {
        tracing::warn!(ignored, "the system trusts no certificate");
    }
    roots
}

fn http_client(store: TrustStore) -> Result<SharedHttpClient, SettingsError> {
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|_| SettingsError::text("TLS", "no context can be made for it"))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https())
}

fn roots(what: &'static str, path: &Path, pem: &[u8]) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path, pem)? {
        roots.add(certificate).map_err(|error| file(what, path, causes(&error)))?;
    }
    Ok(roots)
}

fn certificates(
    what: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| file(what, path, causes(&error)))?;
    if found.is_empty() {
        return Err(file(what, path, "there is no certificate in it"));
    }
    Ok(found)
}

fn read_pem(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, SettingsError> {
    read_small(path, MOST_PEM).map_err(|reason| file(what, path, reason))
}

/// Reads a file that may be secret, if it is no larger than that.
pub(crate) fn read_small(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    use std::io::Read as _;
    let mut bytes = Zeroizing::new(Vec::new());
    let open = std::fs::File::open(path).and_then(|file| {
        // A pipe or a device would be waited for.
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)
    });
    open.map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(format!("it has more than {most} bytes"));
    }
    Ok(bytes)
}

fn file(what: &'static str, path: &Path, reason: impl Into<String>) -> SettingsError {
    SettingsError::File { what, path: path.to_owned(), reason: reason.into() }
}
