//! The credential file of AWS's own element, against a service that refuses what has expired.

use std::time::Duration;

use kvs_client::Client;
use kvs_client::client::{CredentialsError, CredentialsFrom, Environment};
use kvs_wire::{ApiName, Recovery};

use crate::fake::{Fake, response};
use crate::running::{Running, credential_file, settings};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credentials_file_that_is_rewritten_is_read_again() {
    let running = Running::start().await;
    let path = running.folder.path().join("credential");
    let client = Client::new(
        settings(running.url(), CredentialsFrom::File(path.clone()), None),
        Environment::default(),
    );
    let stream = "cam1".parse().unwrap();
    let missing = client.describe(&stream).await.unwrap_err();
    assert_eq!(missing.recovery(), Recovery::Fatal, "there were none yet");

    let (first, second) = (running.session(HOUR), running.session(HOUR));
    std::fs::write(&path, credential_file(&first)).unwrap();
    let read = client.credentials(false).await.unwrap();
    assert_eq!(read.access_key_id(), &*first.access_key_id);
    assert_eq!(
        read.expiry().map(crate::running::utc).unwrap().millis() / 1_000,
        first.expiration.utc().millis() / 1_000
    );
    assert_eq!(client.describe(&stream).await.unwrap_err().recovery(), Recovery::NoStream);

    std::fs::write(&path, credential_file(&second)).unwrap();
    let read = client.credentials(false).await.unwrap();
    assert_eq!(read.access_key_id(), &*second.access_key_id);

    // One that goes wrong does not take away what there is, and says so where that is refused.
    std::fs::write(&path, "CREDENTIALS half").unwrap();
    assert_eq!(client.credentials(false).await.unwrap().access_key_id(), &*second.access_key_id);
    let error = async {
        loop {
            match client.credentials(true).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(10), error).await.unwrap();
    assert!(
        matches!(&error, CredentialsError::Unavailable(why) if why.contains("credential: 1 words")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_is_replaced_within_the_call_by_what_the_file_says_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    std::fs::write(&path, "CREDENTIALS AKIDFIRST sEcReT").unwrap();
    let file = path.clone();
    let fake = Fake::start(move |_, asked| {
        if asked.header("authorization").unwrap().contains("Credential=AKIDSECOND/") {
            return response(200, &[], r#"{"DataEndpoint":"http://localhost:1"}"#);
        }
        // Somebody renews it at this very moment.
        std::fs::write(&file, "CREDENTIALS AKIDSECOND sEcReT").unwrap();
        response(403, &[], r#"{"message":"The security token included in the request is invalid."}"#)
    })
    .await;
    let settings = settings(fake.url(), CredentialsFrom::File(path), None);
    let client = Client::new(settings, Environment::default());
    client.data_endpoint(&"cam1".parse().unwrap(), ApiName::PutMedia).await.unwrap();
    assert_eq!(fake.asked().len(), 2);
}
