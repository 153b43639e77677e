//! Whom the client trusts.

use kvs_client::Client;
use kvs_client::client::{CallError, ClientSettings, Environment, SettingsError, Trust};
use kvs_wire::Recovery;

use crate::running::Running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_trusted_by_the_file_that_settings_or_environment_name() {
    let running = Running::with_tls().await;
    let ca = running.tls.as_ref().unwrap().ca().unwrap().to_str().unwrap();
    let without = ClientSettings { ca_file: None, ..running.settings() };
    let stream = "cam1".parse().unwrap();
    for client in [
        running.client(),
        Client::new(without.clone(), [("AWS_CA_BUNDLE", ca)].into_iter().collect()),
        Client::new(
            without.clone(),
            [("KVSSINK_CA_CERT_PATH", ca), ("AWS_CA_BUNDLE", "")].into_iter().collect(),
        ),
    ] {
        let error = client.describe(&stream).await.unwrap_err();
        assert_eq!(error.recovery(), Recovery::NoStream, "{error}");
    }
    let error = Client::new(without, Environment::default()).describe(&stream).await.unwrap_err();
    assert!(matches!(error, CallError::Network { .. }) && error.recovery() == Recovery::BackOff, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn a_file_that_is_no_certificate_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let wrong = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for (content, said) in [
        ("", "there is no certificate in it"),
        (wrong, "ca.pem: "),
        ("-----BEGIN CERTIFICATE-----\n", "ca.pem: "),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = Trust::load(Some(&path), &Environment::default()).unwrap_err();
        assert!(matches!(error, SettingsError::File { .. }) && error.to_string().contains(said), "{error}");
    }
    let variable = [("AWS_CA_BUNDLE", "/nowhere/ca.pem")].into_iter().collect();
    let error = Trust::load(None, &variable).unwrap_err().to_string();
    assert!(error.starts_with("AWS_CA_BUNDLE /nowhere/ca.pem: No such file"), "{error}");
    Trust::load(None, &Environment::default()).unwrap();
}
