//! The file of the identities: one JSON document, for the service's own eyes.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::identity::{Identities, IdentityError};
use crate::files::{self, FileError};
use crate::random::Random;

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Why the file of the identities cannot be used.
#[derive(Debug, Error)]
pub enum IdentityFileError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// What it says is wrong.
    #[error("{path}: {source}", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: IdentityError,
    },
}

impl IdentityFileError {
    fn content(path: &Path) -> impl FnOnce(IdentityError) -> Self {
        move |source| Self::Content { path: path.to_owned(), source }
    }
}

/// Reads the identities of a file; when there is none, makes a root user with a new key pair and writes it.
/// Says whether it did.
pub fn load_or_create(path: &Path, random: &dyn Random) -> Result<(Identities, bool), IdentityFileError> {
    match load(path) {
        Err(IdentityFileError::File(error)) if error.is_missing() => {
            let identities = Identities::new(random).map_err(IdentityFileError::content(path))?;
            save(path, &identities)?;
            Ok((identities, true))
        }
        other => other.map(|identities| (identities, false)),
    }
}

/// Reads the identities of a file that only its owner can open.
pub fn load(path: &Path) -> Result<Identities, IdentityFileError> {
    let json = files::read_secret(path, MAX_FILE_BYTES)?;
    Identities::parse(&json).map_err(IdentityFileError::content(path))
}

/// Replaces the file, as a whole or not at all: after a crash it is the old one or the new one.
pub fn save(path: &Path, identities: &Identities) -> Result<(), IdentityFileError> {
    let json = identities.to_json().map_err(IdentityFileError::content(path))?;
    Ok(files::replace(path, &json, 0o600)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::auth::secret::tests::Counting;
    use crate::files::{TempFolder, mode};
    use crate::random::SystemRandom;

    #[test]
    fn the_first_start_makes_a_root_key_and_the_second_finds_it() {
        let folder = TempFolder::new();
        let path = folder.path().join("identities.json");
        let (made, created) = load_or_create(&path, &SystemRandom).unwrap();
        assert!(created && made.root().keys().len() == 1);
        assert_eq!(mode(&path), 0o600);
        let (found, created) = load_or_create(&path, &SystemRandom).unwrap();
        assert!(!created);
        assert_eq!(*found.to_json().unwrap(), *made.to_json().unwrap());
    }

    #[test]
    fn saving_replaces_the_file_even_behind_a_crash() {
        let folder = TempFolder::new();
        let path = folder.path().join("identities.json");
        let new = folder.path().join("identities.json.new");
        fs::write(&new, "half of a fi").unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o666)).unwrap();
        let (one, _) = load_or_create(&path, &Counting::new()).unwrap();
        let two = one.with_user("eve", &SystemRandom).unwrap();
        save(&path, &two).unwrap();
        assert_eq!(load(&path).unwrap().users()[0].name(), "eve");
        assert_eq!((mode(&path), new.exists()), (0o600, false));
    }

    #[test]
    fn a_file_that_others_may_open_is_refused() {
        let folder = TempFolder::new();
        let path = folder.path().join("identities.json");
        load_or_create(&path, &Counting::new()).unwrap();
        for open in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let message = load_or_create(&path, &Counting::new()).unwrap_err().to_string();
            let expected = format!("is open to other users (mode {open:04o}): run chmod 600 on it");
            assert!(message.contains(&expected), "{message}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        load(&path).unwrap();
    }

    #[test]
    fn only_a_missing_file_is_made() {
        let folder = TempFolder::new();
        let path = folder.path().join("identities.json");
        // A name that cannot be opened, and could be replaced.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let message = load_or_create(&path, &Counting::new()).unwrap_err().to_string();
        assert!(message.contains("cannot open it"), "{message}");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let folder = TempFolder::new();
        let path = folder.path().join("identities.json");
        load_or_create(&path, &Counting::new()).unwrap();
        fs::write(&path, "{").unwrap();
        let message = load_or_create(&path, &Counting::new()).unwrap_err().to_string();
        assert!(message.ends_with("the file: EOF while parsing an object at line 1 column 1"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
        let message = load(folder.path()).unwrap_err().to_string();
        assert!(message.contains("open to other users") || message.contains("cannot"), "{message}");
    }
}
