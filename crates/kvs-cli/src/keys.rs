//! The master keys that were given, and those that a folder has.

use std::path::{Path, PathBuf};

use kvs_service::keys::{Key, Keyring};
use kvs_service::store::Folder;
use zeroize::Zeroizing;

use crate::failure::{Failure, While as _};
use crate::settings::Keys;

/// Master keys, and who gave them.
#[derive(Debug)]
pub(crate) struct Given {
    /// `None` for those of the data folder.
    pub(crate) keyring: Option<Keyring>,
    pub(crate) source: Source,
}

/// Where master keys are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file that was named.
    File(PathBuf),
    /// The variable of the environment.
    Environment,
    /// The data folder.
    Folder,
}

/// Those of `--key-file`, or of the environment, or else of the data folder.
pub(crate) fn given(keys: &Keys) -> Result<Given, Failure> {
    if keys.file.is_some() {
        return named(keys);
    }
    let variable = Keyring::VARIABLE;
    match std::env::var(variable).map(Zeroizing::new) {
        Ok(text) => {
            let keyring = Some(Keyring::from_variable(&text).doing(variable)?);
            Ok(Given { keyring, source: Source::Environment })
        }
        Err(std::env::VarError::NotPresent) => Ok(Given { keyring: None, source: Source::Folder }),
        // Its text, which VarError shows, is a secret.
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::new(format_args!("{variable} is not UTF-8"))),
    }
}

/// Those of the file that is named, or else of the data folder.
pub(crate) fn named(keys: &Keys) -> Result<Given, Failure> {
    Ok(match &keys.file {
        Some(file) => {
            Given { keyring: Some(Folder::read_key_file(file)?), source: Source::File(file.clone()) }
        }
        None => Given { keyring: None, source: Source::Folder },
    })
}

/// The key of temporary credentials: of the folder's own keys, unless others are given. Takes no lock.
pub(crate) fn sessions(keys: &Keys, data: &Path) -> Result<Key, Failure> {
    let keyring = match given(keys)?.keyring {
        Some(keyring) => keyring,
        None => Folder::read_keyring(data)?,
    };
    Ok(keyring.derive("sessions")?)
}
