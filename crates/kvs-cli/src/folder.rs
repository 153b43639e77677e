//! Why a data folder does not open, in the words of who wants it open.

use std::path::Path;

use kvs_service::OpenError;
use kvs_service::keys::{CryptError, Keyring};
use kvs_service::store::StoreError;

use crate::failure::Failure;
use crate::keys::Source;
use crate::running::Running;

/// What is to be said of a service that does not start on a folder.
pub(crate) fn unserved(data: &Path, keys: &Source, error: OpenError) -> Failure {
    match error {
        OpenError::Store(error) => unopened(data, keys, error),
        OpenError::Keys(error) => unopened(data, keys, StoreError::Crypt(error)),
        error => error.into(),
    }
}

/// What is to be said of a store that does not open.
pub(crate) fn unopened(data: &Path, keys: &Source, error: StoreError) -> Failure {
    match error {
        StoreError::InUse(_) => match Running::find(data) {
            Ok(Some(Running { url, pid, .. })) => Failure::new(format_args!(
                "the data folder {} is in use by the service at {url} (pid {pid})",
                data.display()
            )),
            // Nobody that announces it: a check, or a start that is not done yet.
            _ => error.into(),
        },
        StoreError::Crypt(why @ (CryptError::Open | CryptError::UnknownKey(_))) => {
            let keys = match keys {
                Source::File(file) => file.display().to_string(),
                Source::Environment => format!("the environment ({})", Keyring::VARIABLE),
                Source::Folder => data.join("master.key").display().to_string(),
            };
            let data = data.display();
            Failure::new(format_args!(
                "the master key of {keys} does not open the data folder {data}, which was made with another ({why})"
            ))
        }
        error => error.into(),
    }
}
