//! A certificate authority for one data folder, and the server certificate that it signs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kvs_media::time::Utc;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{ServerName, UnixTime};
use zeroize::Zeroizing;

use super::{MOST_PEM, TlsError, certified, chain, private_key, provider};
use crate::files::{self, FileError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a server certificate is good for: Apple's clients take none of more than 825 days.
const LIFETIME: Duration = DAY.saturating_mul(820);
/// A certificate that ends sooner is made anew.
const LEAST_LEFT: Duration = DAY.saturating_mul(30);
/// The clocks of clients may be behind.
const SKEW: Duration = DAY;

/// The files in the data folder.
struct Files {
    ca: PathBuf,
    ca_key: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

/// Whom a certificate is for, in an order of its own.
struct Names(Vec<ServerName<'static>>);

/// The certificate to serve with, and the file with that of its authority.
pub(super) fn certificate(
    folder: &Path,
    names: &[String],
    now: Utc,
) -> Result<(CertifiedKey, PathBuf), TlsError> {
    let names = Names::with(names)?;
    let now = Duration::from_nanos(u64::try_from(now.nanos()).unwrap_or(0));
    let files = Files {
        ca: folder.join("tls-ca.pem"),
        ca_key: folder.join("tls-ca-key.pem"),
        certificate: folder.join("tls-cert.pem"),
        key: folder.join("tls-key.pem"),
    };
    let clients = files.clients(now)?;
    let text = found(files::read(&files.certificate, MOST_PEM))?;
    let found = text.zip(found(files::read_secret(&files.key, MOST_PEM))?);
    let checked = found.map(|(text, key)| files.check(&names, &clients, (&text, &key), now));
    let certified = match checked {
        Some(Ok(certified)) => certified,
        other => {
            if let Some(Err(reason)) = other {
                tracing::info!(path = %files.certificate.display(), %reason, "the certificate has to be renewed");
            }
            files.renew(&names, &clients, now)?
        }
    };
    Ok((certified, files.ca))
}

/// What is not there is made.
fn found<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Err(error) if error.is_missing() => Ok(None),
        other => other.map(Some),
    }
}

impl Files {
    /// What clients do that trust the authority. Its certificate is made when there is none; its key is not touched
    /// otherwise, so that it may be kept elsewhere until the server's certificate has to be renewed.
    fn clients(&self, now: Duration) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
        let text = match found(files::read(&self.ca, MOST_PEM))? {
            Some(text) => text,
            None => self.make_ca(now)?,
        };
        let refused = |source| TlsError::Certificate { path: self.ca.clone(), source };
        let mut roots = RootCertStore::empty();
        for certificate in chain(&self.ca, &text)? {
            roots.add(certificate).map_err(refused)?;
        }
        WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
            .build()
            .map_err(|error| refused(rustls::Error::General(error.to_string())))
    }

    fn make_ca(&self, now: Duration) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let key = match found(files::read_secret(&self.ca_key, MOST_PEM))? {
            Some(text) => self.ca_key(&text)?,
            None => {
                let key = KeyPair::generate().map_err(making("a key"))?;
                files::replace(&self.ca_key, Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
                key
            }
        };
        let mut params = ca_params(&key);
        params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(SKEW);
        // RFC 5280 4.1.2.5: it ends at no known time. Clients trust it by hand; there is nobody to renew it for them.
        params.not_after = date_time_ymd(9999, 12, 31);
        let certificate = params.self_signed(&key).map_err(making("the certificate of the authority"))?;
        let text = Zeroizing::new(certificate.pem().into_bytes());
        files::replace(&self.ca, &text, 0o644)?;
        tracing::info!(path = %self.ca.display(), "a new certificate authority: clients have to trust it");
        Ok(text)
    }

    fn ca_key(&self, text: &[u8]) -> Result<KeyPair, TlsError> {
        let key = private_key(&self.ca_key, text)?;
        KeyPair::try_from(&key).map_err(|error| TlsError::Key {
            path: self.ca_key.clone(),
            source: rustls::Error::General(error.to_string()),
        })
    }

    /// What will do for these names and clients, or why it does not.
    fn check(
        &self,
        names: &Names,
        clients: &WebPkiServerVerifier,
        (text, key): (&[u8], &[u8]),
        now: Duration,
    ) -> Result<CertifiedKey, String> {
        if !text.starts_with(names.head().as_bytes()) {
            return Err("it is for other names".to_owned());
        }
        let read = chain(&self.certificate, text)
            .and_then(|chain| Ok((chain, private_key(&self.key, key)?)))
            .and_then(|(chain, key)| certified(chain, key, (&self.certificate, &self.key)));
        let certified = read.map_err(|error| error.to_string())?;
        let refused = |error: rustls::Error| error.to_string();
        let end = certified.end_entity_cert().map_err(refused)?;
        for time in [now, now.saturating_add(LEAST_LEFT)].map(UnixTime::since_unix_epoch) {
            for name in &names.0 {
                clients.verify_server_cert(end, &[], name, &[], time).map_err(refused)?;
            }
        }
        Ok(certified)
    }

    /// Makes a certificate and writes it, if clients would take it.
    fn renew(
        &self,
        names: &Names,
        clients: &WebPkiServerVerifier,
        now: Duration,
    ) -> Result<CertifiedKey, TlsError> {
        let ca_key = self.ca_key(&files::read_secret(&self.ca_key, MOST_PEM)?)?;
        let ca = ca_params(&ca_key);
        let issuer = Issuer::from_params(&ca, &ca_key);
        let key = KeyPair::generate().map_err(making("a key"))?;
        let made = names.params(now).and_then(|params| params.signed_by(&key, &issuer));
        let text = names.head() + &made.map_err(making("the certificate of the server"))?.pem();
        let key = Zeroizing::new(key.serialize_pem());
        let checked = self.check(names, clients, (text.as_bytes(), key.as_bytes()), now);
        let certified = checked.map_err(|reason| TlsError::NotOurs {
            certificate: self.ca.clone(),
            key: self.ca_key.clone(),
            reason,
        })?;
        // Should the power go between the two, they do not belong together, and the next start makes both again.
        files::replace(&self.key, key.as_bytes(), 0o600)?;
        files::replace(&self.certificate, text.as_bytes(), 0o644)?;
        tracing::info!(path = %self.certificate.display(), "a new certificate");
        Ok(certified)
    }
}

/// What an authority's certificates say of it: its name follows from its key, so that the key alone is enough to sign.
fn ca_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id = params.key_identifier(key);
    let id: String = id.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = common_name(format!("kvs local authority {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn making(what: &'static str) -> impl FnOnce(rcgen::Error) -> TlsError {
    move |source| TlsError::Make { what, source }
}

fn common_name(name: String) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

impl Names {
    /// This machine, and what else it is called.
    fn with(others: &[String]) -> Result<Self, TlsError> {
        let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut known = BTreeSet::new();
        let mut names = Vec::new();
        let mut sorted: Vec<_> = others.iter().map(|name| name.to_ascii_lowercase()).collect();
        sorted.sort_unstable();
        for text in local.into_iter().chain(sorted) {
            // As it stands in a URL.
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
            let bare = bare.strip_suffix('.').unwrap_or(bare);
            let name = ServerName::try_from(bare.to_owned()).ok().filter(|_| !bare.ends_with('.'));
            let name = name.ok_or_else(|| TlsError::Name(text.clone()))?;
            if known.insert(name.to_str().into_owned()) {
                names.push(name);
            }
        }
        Ok(Self(names))
    }

    /// What stands in front of the certificate, where RFC 7468 allows any text: whom it is for, to be compared as it is.
    fn head(&self) -> String {
        let names: Vec<_> = self.0.iter().map(ServerName::to_str).collect();
        format!("kvs made this for {}\n", names.join(" "))
    }

    fn params(&self, now: Duration) -> Result<CertificateParams, rcgen::Error> {
        let names: Vec<_> = self.0.iter().map(|name| name.to_str().into_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = common_name("kvs".to_owned());
        params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(SKEW);
        params.not_after = date_time_ymd(1970, 1, 1) + now.saturating_add(LIFETIME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}
