use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use proptest::prelude::*;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
};
use rustls_pki_types::{ServerName, UnixTime};

use super::*;
use crate::files::{TempFolder, mode};

const NOW: Utc = Utc::from_nanos(1_800_000_000_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct Clock(Utc);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_nanos(self.0.nanos().try_into().unwrap())))
    }
}

fn later(days: u32) -> Utc {
    NOW.checked_add(DAY * days).unwrap()
}

fn own(folder: &TempFolder, names: &[&str], now: Utc) -> Result<Tls, TlsError> {
    Tls::self_signed(folder.path(), &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), now)
}

fn file(folder: &TempFolder, name: &str) -> Vec<u8> {
    fs::read(folder.path().join(name)).unwrap()
}

fn roots(path: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path, &fs::read(path).unwrap()).unwrap() {
        roots.add(certificate).unwrap();
    }
    roots
}

/// A client that trusts an authority.
struct Client<'a> {
    ca: &'a Path,
    now: Utc,
    versions: &'a [&'static SupportedProtocolVersion],
    protocols: &'a [&'a str],
}

impl Client<'_> {
    fn of(ca: &Path) -> Client<'_> {
        Client { ca, now: NOW, versions: rustls::ALL_VERSIONS, protocols: &["h2", "http/1.1"] }
    }

    /// Goes through a handshake in memory: the version, and what both sides will speak.
    fn greet(&self, tls: &Tls, name: &str) -> Result<(ProtocolVersion, Vec<u8>), rustls::Error> {
        let mut config = ClientConfig::builder_with_details(provider(), Arc::new(Clock(self.now)))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots(self.ca))
            .with_no_client_auth();
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(tls.config())).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            let mut bytes = &bytes[..];
            while !bytes.is_empty() {
                server.read_tls(&mut bytes).unwrap();
            }
            let refused = server.process_new_packets();
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            let mut bytes = &bytes[..];
            while !bytes.is_empty() {
                client.read_tls(&mut bytes).unwrap();
            }
            client.process_new_packets()?;
            refused?;
        }
        Ok((client.protocol_version().unwrap(), client.alpn_protocol().unwrap_or_default().to_vec()))
    }
}

#[test]
fn who_trusts_the_authority_reaches_the_server_by_all_its_names() {
    let folder = TempFolder::new();
    let names = ["Camera-7.local", "192.168.1.9", "[fd00::9]", "host.example.", "under_score"];
    let tls = own(&folder, &names, NOW).unwrap();
    let ca = tls.ca().unwrap();
    assert_eq!(ca, folder.path().join("tls-ca.pem"));
    let client = Client::of(ca);
    for name in ["localhost", "127.0.0.1", "::1", "camera-7.local", "192.168.1.9", "fd00::9", "host.example"]
    {
        for (versions, spoken) in
            [(&[&TLS12], ProtocolVersion::TLSv1_2), (&[&TLS13], ProtocolVersion::TLSv1_3)]
        {
            let spoken = (spoken, b"http/1.1".to_vec());
            assert_eq!(Client { versions, ..client }.greet(&tls, name).unwrap(), spoken, "{name}");
        }
    }
    for other in ["example.com", "127.0.0.2", "x.localhost"] {
        let refused = client.greet(&tls, other).unwrap_err();
        assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{other}: {refused}");
    }
}

#[test]
fn only_http_1_1_is_spoken() {
    let folder = TempFolder::new();
    let tls = own(&folder, &[], NOW).unwrap();
    let client = Client::of(tls.ca().unwrap());
    assert_eq!(Client { protocols: &[], ..client }.greet(&tls, "localhost").unwrap().1, b"");
    let refused = Client { protocols: &["h2"], ..client }.greet(&tls, "localhost").unwrap_err();
    assert_eq!(refused, rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
}

#[test]
fn nobody_who_trusts_another_authority_is_taken_in() {
    let (one, two) = (TempFolder::new(), TempFolder::new());
    let (tls, other) = (own(&one, &[], NOW).unwrap(), own(&two, &[], NOW).unwrap());
    let refused = Client::of(other.ca().unwrap()).greet(&tls, "localhost").unwrap_err();
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
}

#[test]
fn keys_are_for_their_owner_and_certificates_for_everybody() {
    let folder = TempFolder::new();
    own(&folder, &[], NOW).unwrap();
    let modes =
        [("tls-ca.pem", 0o644), ("tls-ca-key.pem", 0o600), ("tls-cert.pem", 0o644), ("tls-key.pem", 0o600)];
    for (name, expected) in modes {
        assert_eq!(mode(&folder.path().join(name)), expected, "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), modes.len());
    for (name, now) in [("tls-key.pem", NOW), ("tls-ca-key.pem", later(800))] {
        let path = folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = own(&folder, &[], now).err().unwrap().to_string();
        assert!(refused.contains(name) && refused.contains("open to other users (mode 0640)"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn the_certificate_is_renewed_when_it_ends_or_its_names_change_and_the_authority_stays() {
    let folder = TempFolder::new();
    let tls = own(&folder, &["a.example", "10.0.0.1"], NOW).unwrap();
    let (ca, ca_key) = (file(&folder, "tls-ca.pem"), file(&folder, "tls-ca-key.pem"));
    let mut certificate = file(&folder, "tls-cert.pem");
    let mut renewed = |names: &[&str], now| {
        let key = file(&folder, "tls-key.pem");
        let tls = own(&folder, names, now).unwrap();
        assert_eq!(
            (file(&folder, "tls-ca.pem"), file(&folder, "tls-ca-key.pem")),
            (ca.clone(), ca_key.clone())
        );
        // It can be used by those who trusted the authority from the start.
        let client = Client { now, ..Client::of(tls.ca().unwrap()) };
        client.greet(&tls, "localhost").unwrap();
        let before = std::mem::replace(&mut certificate, file(&folder, "tls-cert.pem"));
        assert_eq!(before != certificate, key != file(&folder, "tls-key.pem"), "both or none");
        before != certificate
    };
    assert!(!renewed(&["a.example", "10.0.0.1"], NOW));
    assert!(!renewed(&["10.0.0.1", "A.example", "localhost", "a.example"], later(789)));
    assert!(renewed(&["10.0.0.1", "a.example"], later(791)));
    assert!(!renewed(&["10.0.0.1", "a.example"], later(792)));
    assert!(renewed(&["a.example"], later(792)), "a name less");
    assert!(renewed(&["a.example", "b.example"], later(792)), "a name more");
    // The clock was ahead when it was made.
    assert!(renewed(&["a.example", "b.example"], NOW));
    // Far behind its end, too.
    assert!(renewed(&["a.example", "b.example"], later(36_500)));
    // What was given before goes on.
    Client::of(tls.ca().unwrap()).greet(&tls, "a.example").unwrap();
}

#[test]
fn a_certificate_holds_for_820_days_and_from_a_day_ago() {
    let folder = TempFolder::new();
    let tls = own(&folder, &[], NOW).unwrap();
    let at = |now| Client { now, ..Client::of(tls.ca().unwrap()) }.greet(&tls, "localhost").is_ok();
    let second = Duration::from_secs(1);
    assert!(at(NOW.checked_sub(DAY).unwrap()) && !at(NOW.checked_sub(DAY + second).unwrap()));
    assert!(at(later(820)) && !at(later(820).checked_add(second).unwrap()));
}

#[test]
fn what_is_lost_or_damaged_of_the_servers_is_made_again() {
    let folder = TempFolder::new();
    own(&folder, &[], NOW).unwrap();
    let ca = file(&folder, "tls-ca.pem");
    let foreign = TempFolder::new();
    own(&foreign, &[], NOW).unwrap();
    for name in ["tls-cert.pem", "tls-key.pem"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        let damaged: [&dyn Fn(); 5] = [
            &|| fs::remove_file(&path).unwrap(),
            &|| fs::write(&path, "").unwrap(),
            &|| fs::write(&path, &whole[..whole.len() / 2]).unwrap(),
            &|| fs::write(&path, b"\xff\xff").unwrap(),
            // As a power cut between the two leaves them, or a copy from elsewhere.
            &|| fs::write(&path, file(&foreign, name)).unwrap(),
        ];
        for damage in damaged {
            damage();
            let tls = own(&folder, &[], NOW).unwrap();
            Client::of(tls.ca().unwrap()).greet(&tls, "127.0.0.1").unwrap();
            assert_eq!((file(&folder, "tls-ca.pem"), mode(&path) & 0o177), (ca.clone(), mode(&path) & 0o044));
        }
    }
}

#[test]
fn the_key_of_the_authority_is_needed_for_signing_only_and_must_be_its_own() {
    let (folder, other) = (TempFolder::new(), TempFolder::new());
    own(&folder, &[], NOW).unwrap();
    own(&other, &[], NOW).unwrap();
    let path = folder.path().join("tls-ca-key.pem");
    let key = fs::read(&path).unwrap();
    let served = || (file(&folder, "tls-cert.pem"), file(&folder, "tls-key.pem"));
    let before = served();
    let failed = |fault: &str| {
        own(&folder, &[], NOW).unwrap();
        let refused = own(&folder, &["new.example"], NOW).err().unwrap().to_string();
        assert!(refused.contains(fault) && refused.contains("tls-ca-key.pem"), "{refused}");
        assert_eq!(served(), before, "nothing that works is overwritten");
    };
    fs::remove_file(&path).unwrap();
    failed("cannot open it");
    files::replace(&path, b"no key", 0o600).unwrap();
    failed("there is no private key in it");
    files::replace(&path, &file(&other, "tls-ca-key.pem"), 0o600).unwrap();
    failed("tls-ca.pem was not made with the key in");
    files::replace(&path, &key, 0o600).unwrap();
    own(&folder, &["new.example"], NOW).unwrap();
    // The certificate of the authority follows from its key: who trusted the old one trusts the new one's signatures.
    let kept = TempFolder::new();
    fs::copy(folder.path().join("tls-ca.pem"), kept.path().join("ca.pem")).unwrap();
    fs::remove_file(folder.path().join("tls-ca.pem")).unwrap();
    let tls = own(&folder, &["newer.example"], later(1)).unwrap();
    Client { now: later(1), ..Client::of(&kept.path().join("ca.pem")) }.greet(&tls, "newer.example").unwrap();
}

#[test]
fn files_of_somebody_else_are_served_with_all_their_certificates() {
    let folder = TempFolder::new();
    let own = own(&folder, &["cam.example"], NOW).unwrap();
    let chain_path = folder.path().join("chain.pem");
    fs::write(&chain_path, [file(&folder, "tls-cert.pem"), file(&folder, "tls-ca.pem")].concat()).unwrap();
    let tls = Tls::from_files(&chain_path, &folder.path().join("tls-key.pem")).unwrap();
    assert_eq!(tls.ca(), None);
    Client::of(own.ca().unwrap()).greet(&tls, "cam.example").unwrap();
    // A key beside its certificate in one file.
    let both = folder.path().join("both.pem");
    fs::write(&both, [file(&folder, "tls-key.pem"), file(&folder, "tls-cert.pem")].concat()).unwrap();
    Client::of(own.ca().unwrap()).greet(&Tls::from_files(&both, &both).unwrap(), "cam.example").unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let (folder, other) = (TempFolder::new(), TempFolder::new());
    own(&folder, &[], NOW).unwrap();
    own(&other, &[], NOW).unwrap();
    let certificate = folder.path().join("tls-cert.pem");
    let key = folder.path().join("tls-key.pem");
    let said = |certificate: &Path, key: &Path| Tls::from_files(certificate, key).err().unwrap().to_string();
    let named = |path: &Path, rest: &str| format!("{}{rest}", path.display());

    let mismatch = format!(
        "the key in {} is not that of the certificate in {}",
        other.path().join("tls-key.pem").display(),
        certificate.display()
    );
    assert_eq!(said(&certificate, &other.path().join("tls-key.pem")), mismatch);
    assert_eq!(said(&key, &key), named(&key, ": there is no certificate in it"));
    let no_key = ": there is no private key in it (one with a password is not read)";
    assert_eq!(said(&certificate, &certificate), named(&certificate, no_key));
    let missing = folder.path().join("missing.pem");
    assert!(said(&missing, &key).starts_with(&named(&missing, ": cannot open it: ")));
    assert!(said(&certificate, &missing).starts_with(&named(&missing, ": cannot open it: ")));
    assert!(said(folder.path(), &key).starts_with(&named(folder.path(), ": cannot read it: ")));

    let broken = folder.path().join("broken.pem");
    let wrong = |text: &str| {
        fs::write(&broken, text).unwrap();
        (said(&broken, &key), said(&certificate, &broken))
    };
    let begin = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let pem = |rest| named(&broken, &format!(" is no PEM file: {rest}"));
    assert_eq!(wrong(&begin("CERTIFICATE", "!!")).0, pem("a section is no base 64"));
    assert_eq!(wrong(&begin("PRIVATE KEY", "secret!!")).1, pem("a section is no base 64"));
    assert_eq!(wrong("-----BEGIN CERTIFICATE-----\nAAAA\n").0, pem("a section has no end"));
    assert_eq!(wrong("-----BEGIN PRIVATE KEY\nAAAA\n").1, pem("a line that begins a section is not closed"));
    assert!(wrong(&begin("CERTIFICATE", "AAAA")).0.starts_with(&named(&broken, ": the certificate: ")));
    assert!(wrong(&begin("PRIVATE KEY", "AAAA")).1.starts_with(&named(&broken, ": the private key: ")));
    assert_eq!(wrong(&begin("ENCRYPTED PRIVATE KEY", "AAAA")).1, named(&broken, no_key));
    fs::write(&broken, vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert_eq!(said(&broken, &key), named(&broken, " is larger than 1048576 bytes"));
}

#[test]
fn what_is_no_name_is_said() {
    let folder = TempFolder::new();
    for name in ["", "a b", "*.example", "-", "a..b", "a..", "cam:4580", "fe80::1%eth0", "é"] {
        let refused = own(&folder, &["fine.example", name], NOW).err().unwrap().to_string();
        assert_eq!(refused, format!("{name:?} is neither a host name nor an IP address"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made before that");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_names_and_any_time_give_a_certificate_for_them_or_say_which_is_none(
        names in proptest::collection::vec("[a-zA-Z0-9_.-]{1,20}|[0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-f:]{2,10}|.{0,8}", 0..4),
        now: i64,
    ) {
        let folder = TempFolder::new();
        let now = Utc::from_nanos(now);
        match Tls::self_signed(folder.path(), &names, now) {
            Ok(tls) => {
                let seconds = u64::try_from(now.nanos()).unwrap_or(0) / 1_000_000_000;
                let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
                let ca = Arc::new(roots(tls.ca().unwrap()));
                let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(ca, provider()).build();
                let path = folder.path().join("tls-cert.pem");
                let certificate = chain(&path, &fs::read(&path).unwrap()).unwrap().remove(0);
                for name in names {
                    let name = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_owned();
                    let name = ServerName::try_from(name).unwrap();
                    verifier.as_ref().unwrap().verify_server_cert(&certificate, &[], &name, &[], now).unwrap();
                }
            }
            Err(TlsError::Name(name)) => {
                prop_assert!(names.iter().any(|given| given.to_ascii_lowercase() == name));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
