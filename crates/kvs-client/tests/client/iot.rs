//! The credentials of a role, for a device with a certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kvs_client::Client;
use kvs_client::client::{ClientSettings, CredentialsError, CredentialsFrom, Environment, IotSettings};
use kvs_media::time::Utc;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use tempfile::TempDir;

use crate::fake::{Asked, Fake, response};
use crate::running::{PATIENCE, utc};

/// An authority, the files of a device, and what the provider needs to check them.
struct Pki {
    folder: TempDir,
    server: ServerConfig,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let (certificate, key) = signed("thing");
        std::fs::write(folder.path().join("thing.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("thing.key"), key.serialize_pem()).unwrap();
        let (certificate, key) = signed("localhost");
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { folder, server }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self, fake: &Fake) -> IotSettings {
        IotSettings {
            endpoint: format!("localhost:{}", fake.address.port()),
            certificate: self.file("thing.pem"),
            private_key: self.file("thing.key"),
            ca: self.file("ca.pem"),
            role_alias: "camera-role".to_owned(),
            thing_name: "thing1".to_owned(),
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_millis(600),
        }
    }

    async fn fake(&self, answer: impl Fn(usize, &Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Fake {
        Fake::with_tls(Some(self.server.clone()), answer).await
    }
}

fn client(iot: IotSettings) -> Arc<Client> {
    let settings = ClientSettings { credentials: CredentialsFrom::Iot(iot), ..ClientSettings::default() };
    Client::new(settings, Environment::default())
}

/// Keys that are good for so many milliseconds.
fn granted(number: usize, millis: u64) -> Option<Vec<u8>> {
    let expiration = utc(SystemTime::now() + Duration::from_millis(millis)).to_string();
    let keys = format!(
        r#"{{"credentials":{{"accessKeyId":"ASIA{number}","secretAccessKey":"sEcReT","sessionToken":"tOkEn","expiration":"{expiration}"}}}}"#
    );
    // The real one keeps its connections open.
    response(200, &[("X-Stay", "1")], keys)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_given_the_credentials_of_its_role_once_for_all() {
    let pki = Pki::new();
    let fake = pki.fake(|number, _| granted(number, 3_600_000)).await;
    let client = client(pki.settings(&fake));
    let all = (0..20).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.credentials(false).await.unwrap() })
    });
    for credentials in futures_util::future::join_all(all).await {
        let credentials = credentials.unwrap();
        assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("ASIA0", "sEcReT"));
        assert_eq!(credentials.session_token(), Some("tOkEn"));
        let left = utc(credentials.expiry().unwrap()).since(client.now()).unwrap();
        assert!((3_590..=3_600).contains(&left.as_secs()), "{left:?}");
    }
    // They are new: a refusal brings no others at once.
    client.credentials(true).await.unwrap();
    let asked = fake.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line(), "GET /role-aliases/camera-role/credentials HTTP/1.1");
    assert_eq!(asked[0].header("x-amzn-iot-thingname"), Some("thing1"));
    assert_eq!(asked[0].header("host").unwrap(), format!("localhost:{}", fake.address.port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_renewed_while_the_old_ones_are_good() {
    let pki = Pki::new();
    let fake = pki.fake(|number, _| granted(number, 4_000)).await;
    let client = client(pki.settings(&fake));
    let first = client.credentials(false).await.unwrap();
    let good_until = utc(first.expiry().unwrap());
    let renewed = async {
        loop {
            let now = client.credentials(false).await.unwrap();
            if now.access_key_id() != first.access_key_id() {
                return now;
            }
            tokio::task::yield_now().await;
        }
    };
    let renewed = tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    assert_eq!(renewed.access_key_id(), "ASIA1");
    assert!(client.now() < good_until, "there was a gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_may_pass_and_shows_no_secret() {
    let pki = Pki::new();
    let secret = r#"{"credentials":{"accessKeyId":"A","secretAccessKey":"sEcReT","sessionToken":7}}"#;
    let timeless = r#"{"credentials":{"accessKeyId":"A","secretAccessKey":"sEcReT","sessionToken":"t","expiration":"sEcReT"}}"#;
    let rows: [(Option<Vec<u8>>, &str); 7] = [
        (
            response(403, &[], r#"{"message":"Invalid thing name passed"}"#),
            "refused (HTTP 403): Invalid thing name",
        ),
        (response(500, &[], "<html>"), "refused (HTTP 500)"),
        (response(200, &[], secret), "not the JSON that it should be (line 1 column"),
        (response(200, &[], timeless), "the expiration in the answer is no time"),
        (response(200, &[], vec![b' '; 100_000]), "length limit exceeded"),
        (Some(b"\x00\x01".to_vec()), "asking localhost:"),
        (None, "no answer within 0.6 s"),
    ];
    for (answer, said) in rows {
        let fake = pki.fake(move |_, _| answer.clone()).await;
        let error = client(pki.settings(&fake)).credentials(false).await.unwrap_err();
        assert!(matches!(error, CredentialsError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(!error.to_string().contains("sEcReT"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_asked_for_and_the_provider_is_checked() {
    let (pki, other) = (Pki::new(), Pki::new());
    let fake = pki.fake(|number, _| granted(number, 3_600_000)).await;
    for wrong in [
        IotSettings { ca: other.file("ca.pem"), ..pki.settings(&fake) },
        IotSettings {
            certificate: other.file("thing.pem"),
            private_key: other.file("thing.key"),
            ..pki.settings(&fake)
        },
    ] {
        let error = client(wrong).credentials(false).await.unwrap_err();
        assert!(matches!(error, CredentialsError::Unavailable(_)), "{error:?}");
    }
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn what_is_set_wrong_is_final_and_says_what() {
    let pki = Pki::new();
    let fake = pki.fake(|_, _| None).await;
    let settings = || pki.settings(&fake);
    for (wrong, said) in [
        (IotSettings { certificate: pki.file("none.pem"), ..settings() }, "none.pem: No such file"),
        (
            IotSettings { private_key: pki.file("ca.pem"), ..settings() },
            "ca.pem: there is no private key in it",
        ),
        (IotSettings { ca: pki.file("thing.key"), ..settings() }, "thing.key: there is no certificate in it"),
        (
            IotSettings { endpoint: "http://localhost".to_owned(), ..settings() },
            "the endpoint of IoT: it has to be https://",
        ),
        (IotSettings { endpoint: String::new(), ..settings() }, "the endpoint of IoT: "),
        (IotSettings { role_alias: "a/../b".to_owned(), ..settings() }, "the alias of the role: "),
        (IotSettings { thing_name: "a\r\nb: c".to_owned(), ..settings() }, "the name of the thing: "),
    ] {
        let error = client(wrong).credentials(false).await.unwrap_err();
        assert!(matches!(&error, CredentialsError::None(why) if why.contains(said)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_s_date_sets_the_clock() {
    let pki = Pki::new();
    let fake = pki
        .fake(|_, _| {
            let keys = r#"{"credentials":{"accessKeyId":"A","secretAccessKey":"s","sessionToken":"t","expiration":"2036-01-01T01:00:00Z"}}"#;
            response(200, &[("Date", "Tue, 01 Jan 2036 00:00:00 GMT")], keys)
        })
        .await;
    let client = client(pki.settings(&fake));
    let expiry = utc(client.credentials(false).await.unwrap().expiry().unwrap());
    let left = expiry.since(client.now()).unwrap();
    assert!((3_590..=3_600).contains(&left.as_secs()), "{left:?}");
    assert!(client.now() > Utc::from_millis(2_082_700_000_000).unwrap());
}
