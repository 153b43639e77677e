//! The master keys that were given, and those that a folder has.

use std::path::Path;

use kvs_service::keys::{Key, Keyring};
use kvs_service::store::Folder;
use zeroize::Zeroizing;

use crate::failure::{Failure, While as _};
use crate::settings::Keys;

/// Those of `--key-file`, or of the environment; `None` for those of the data folder.
pub(crate) fn given(keys: &Keys) -> Result<Option<Keyring>, Failure> {
    if keys.file.is_some() {
        return named(keys);
    }
    let variable = Keyring::VARIABLE;
    match std::env::var(variable).map(Zeroizing::new) {
        Ok(text) => Ok(Some(Keyring::from_variable(&text).doing(variable)?)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        // Its text, which VarError shows, is a secret.
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::new(format_args!("{variable} is not UTF-8"))),
    }
}

/// Those of the file that is named.
pub(crate) fn named(keys: &Keys) -> Result<Option<Keyring>, Failure> {
    Ok(keys.file.as_deref().map(Folder::read_key_file).transpose()?)
}

/// The key of temporary credentials: of the folder's own keys, unless others are given. Takes no lock.
pub(crate) fn sessions(keys: &Keys, data: &Path) -> Result<Key, Failure> {
    let keyring = match given(keys)? {
        Some(keyring) => keyring,
        None => Folder::read_keyring(data)?,
    };
    Ok(keyring.derive("sessions")?)
}
