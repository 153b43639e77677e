//! AWS's own chain, each link against a peer that counts. Its libraries read the environment by themselves.

use std::sync::Arc;

use kvs_client::Client;
use kvs_client::client::{ClientSettings, CredentialsError, Environment};
use kvs_wire::{ApiName, Recovery};

use crate::child::is_child;
use crate::fake::{Fake, response};
use crate::running::{Running, settings, some_keys};

fn chain() -> ClientSettings {
    ClientSettings { region: Some("us-west-2".to_owned()), ..ClientSettings::default() }
}

fn in_environment(settings: ClientSettings) -> Arc<Client> {
    Client::new(settings, Environment::of_process())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_link_there_are_none_at_all() {
    if !is_child("chain::without_any_link_there_are_none_at_all", &[]) {
        return;
    }
    let error = in_environment(chain()).credentials(false).await.unwrap_err();
    assert!(matches!(error, CredentialsError::None(_)), "{error:?}");
    assert!(error.to_string().starts_with("there are no credentials: "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_the_first_link() {
    let keys =
        [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "sEcReT"), ("AWS_SESSION_TOKEN", "tOkEn")];
    if !is_child("chain::the_environment_is_the_first_link", &keys) {
        return;
    }
    let read = in_environment(chain()).credentials(false).await.unwrap();
    assert_eq!((read.access_key_id(), read.session_token()), ("AKID", Some("tOkEn")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_is_rewritten_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let profile = |id: &str| format!("[cameras]\naws_access_key_id = {id}\naws_secret_access_key = sEcReT\n");
    std::fs::write(&path, profile("AKIDONE")).unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[profile cameras]\nregion = eu-north-1\n").unwrap();
    let environment = [
        ("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap()),
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        // Not what was asked for.
        ("AWS_ACCESS_KEY_ID", "AKIDOTHER"),
        ("AWS_SECRET_ACCESS_KEY", "sEcReT"),
    ];
    if !is_child("chain::a_profile_that_is_rewritten_is_read_again", &environment) {
        return;
    }
    let path = variable("AWS_SHARED_CREDENTIALS_FILE");
    let unknown = ClientSettings { profile: Some("doors".to_owned()), ..chain() };
    let error = in_environment(unknown).credentials(false).await.unwrap_err();
    assert!(matches!(&error, CredentialsError::None(why) if why.contains("doors")), "{error:?}");
    let profiled = ClientSettings { profile: Some("cameras".to_owned()), ..ClientSettings::default() };
    let client = in_environment(profiled);
    let id = async || client.credentials(false).await.unwrap().access_key_id().to_owned();
    assert_eq!(id().await, "AKIDONE");
    std::fs::write(&path, profile("AKIDANOTHER")).unwrap();
    assert_eq!(id().await, "AKIDANOTHER");
    // One that is half written does not take away what there is.
    std::fs::write(&path, "[cameras").unwrap();
    assert_eq!(id().await, "AKIDANOTHER");
    assert!(format!("{client:?}").contains("eu-north-1"), "the region of the profile: {client:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_given_credentials_that_the_service_takes() {
    let running = Running::start().await;
    let url = format!("{}/credentials?for=900", running.url());
    let (token, service) = (running.container_token(), running.url());
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", &*token),
        ("AWS_ENDPOINT_URL", &*service),
        ("AWS_REGION", "us-west-2"),
    ];
    // The child's end is waited for on a thread, so that the service answers meanwhile.
    let names: Vec<_> = environment.map(|(name, value)| (name, value.to_owned())).into();
    let child = tokio::task::spawn_blocking(move || {
        let names: Vec<_> = names.iter().map(|(name, value)| (*name, &**value)).collect();
        is_child("chain::a_container_is_given_credentials_that_the_service_takes", &names)
    });
    if !child.await.unwrap() {
        return;
    }
    let client = in_environment(ClientSettings::default());
    let error = client.data_endpoint(&"cam1".parse().unwrap(), ApiName::PutMedia).await.unwrap_err();
    assert_eq!(error.recovery(), Recovery::NoStream, "{error}");
    assert!(client.credentials(false).await.unwrap().expiry().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_tells_its_region_and_the_credentials_of_its_role() {
    let name = "chain::an_instance_tells_its_region_and_the_credentials_of_its_role";
    let fake = Fake::start(|_, asked| match asked.line().split(' ').nth(1).unwrap() {
        "/latest/api/token" => {
            response(200, &[("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "token")
        }
        "/latest/meta-data/placement/region" => response(200, &[], "ap-south-1"),
        "/latest/meta-data/iam/security-credentials/" => response(200, &[], "role"),
        "/latest/meta-data/iam/security-credentials/role" => {
            let keys = r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIA1","SecretAccessKey":"sEcReT","Token":"tOkEn","LastUpdated":"2026-01-01T00:00:00Z","Expiration":"2036-01-01T00:00:00Z"}"#;
            response(200, &[], keys)
        }
        _ => response(404, &[], ""),
    })
    .await;
    let url = fake.url();
    let child = tokio::task::spawn_blocking(move || {
        is_child(name, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url), ("AWS_EC2_METADATA_DISABLED", "false")])
    });
    if !child.await.unwrap() {
        let region = fake.asked().iter().filter(|asked| asked.line().contains("placement")).count();
        let keys = fake.asked().iter().filter(|asked| asked.line().contains("credentials/role ")).count();
        assert_eq!((region, keys), (1, 1));
        return;
    }
    let client = in_environment(ClientSettings::default());
    for _ in 0..3 {
        let read = client.credentials(false).await.unwrap();
        assert_eq!((read.access_key_id(), read.session_token()), ("ASIA1", Some("tOkEn")));
        assert!(read.expiry().is_some());
    }
    assert!(format!("{client:?}").contains("ap-south-1"), "{client:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_taken_on_with_the_credentials_that_are_set() {
    let name = "chain::a_role_is_taken_on_with_the_credentials_that_are_set";
    let fake = Fake::start(|_, asked| {
        let role = asked.body.contains("Action=AssumeRole&")
            && asked.body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fcamera")
            && asked.header("authorization").is_some_and(|signed| signed.contains("Credential=AKIDEXAMPLE/"));
        if !role {
            return response(400, &[], "");
        }
        response(
            200,
            &[("Content-Type", "text/xml")],
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>2036-01-01T00:00:00Z</Expiration></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>",
        )
    })
    .await;
    let url = fake.url();
    let child = tokio::task::spawn_blocking(move || is_child(name, &[("AWS_ENDPOINT_URL_STS", &url)]));
    if !child.await.unwrap() {
        assert_eq!(fake.asked().len(), 1);
        return;
    }
    let client = in_environment(ClientSettings {
        credentials: some_keys(),
        assume_role: Some("arn:aws:iam::111122223333:role/camera".to_owned()),
        ..chain()
    });
    for _ in 0..2 {
        let assumed = client.credentials(false).await.unwrap();
        assert_eq!(assumed.access_key_id(), "ASIAROLE");
        assert!(assumed.expiry().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_for_a_region_that_is_named() {
    // The instance's metadata would be asked here.
    let fake = Fake::start(|_, _| response(500, &[], "")).await;
    let name = "chain::nobody_is_asked_for_a_region_that_is_named";
    let url = fake.url();
    let child = tokio::task::spawn_blocking(move || {
        is_child(
            name,
            &[
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
                ("AWS_EC2_METADATA_DISABLED", "false"),
                ("AWS_DEFAULT_REGION", "eu-west-3"),
            ],
        )
    });
    if !child.await.unwrap() {
        assert!(fake.asked().is_empty(), "{:?}", fake.asked());
        return;
    }
    let control = Fake::start(|_, _| response(500, &[], "{}")).await;
    let named = ClientSettings { region: None, ..settings(control.url(), some_keys(), None) };
    in_environment(named).describe(&"cam1".parse().unwrap()).await.unwrap_err();
    assert!(control.asked()[0].header("authorization").unwrap().contains("/eu-west-3/kinesisvideo/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_trusts_nobody_calls_without_tls() {
    let name = "chain::a_machine_that_trusts_nobody_calls_without_tls";
    if !is_child(name, &[("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")]) {
        return;
    }
    let control = Fake::start(|_, _| response(404, &[], "{}")).await;
    let client = in_environment(settings(control.url(), some_keys(), None));
    let error = client.describe(&"cam1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.recovery(), Recovery::NewEndpoint, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_container_is_answered_badly_shows_no_secret() {
    let name = "chain::what_a_container_is_answered_badly_shows_no_secret";
    for (status, body) in [
        (200, r#"{"AccessKeyId":"A","SecretAccessKey":"sEcReT","Token":"tOkEn","Expiration":"sEcReT"}"#),
        (200, r#"{"AccessKeyId":"A","SecretAccessKey":"sEcReT","Token":sEcReT"#),
        (403, r#"{"code":"AccessDenied","message":"no"}"#),
    ] {
        let fake = Fake::start(move |_, _| response(status, &[], body)).await;
        let url = fake.url();
        let child = tokio::task::spawn_blocking(move || {
            is_child(name, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)])
        });
        if child.await.unwrap() {
            let error = in_environment(chain()).credentials(false).await.unwrap_err();
            assert!(matches!(error, CredentialsError::Unavailable(_)), "{error:?}");
            assert!(!error.to_string().contains("sEcReT") && !error.to_string().contains("tOkEn"), "{error}");
            return;
        }
        assert!(!fake.asked().is_empty());
    }
}
