//! The file of the identities: one JSON document, for the service's own eyes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::identity::{Identities, IdentityError};
use crate::random::Random;

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Why the file of the identities cannot be used.
#[derive(Debug, Error)]
pub enum IdentityFileError {
    /// The system refused something.
    #[error("{path}: cannot {action}: {source}", path = .path.display())]
    Io {
        /// The file or its folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write it.
    #[error(
        "{path} holds secret keys and is open to other users (mode {mode:04o}): run chmod 600 on it",
        path = .path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than any such file.
    #[error("{path} is larger than {MAX_FILE_BYTES} bytes", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What it says is wrong.
    #[error("{path}: {source}", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: IdentityError,
    },
}

/// Reads the identities of a file; when there is none, makes a root user with a new key pair and writes it.
/// Says whether it did.
pub fn load_or_create(path: &Path, random: &dyn Random) -> Result<(Identities, bool), IdentityFileError> {
    match load(path) {
        Err(IdentityFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let identities = Identities::new(random)
                .map_err(|source| IdentityFileError::Content { path: path.to_owned(), source })?;
            save(path, &identities)?;
            Ok((identities, true))
        }
        other => other.map(|identities| (identities, false)),
    }
}

/// Reads the identities of a file that only its owner can open.
pub fn load(path: &Path) -> Result<Identities, IdentityFileError> {
    let failed = |action| move |source| IdentityFileError::Io { path: path.to_owned(), action, source };
    let file = File::open(path).map_err(failed("open it"))?;
    // Asked of the open file: a path could be another one by now.
    let metadata = file.metadata().map_err(failed("see its permissions"))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityFileError::Open { path: path.to_owned(), mode });
    }
    let size = metadata.len();
    let too_large = || IdentityFileError::TooLarge { path: path.to_owned() };
    if size > MAX_FILE_BYTES {
        return Err(too_large());
    }
    let mut json = Zeroizing::new(Vec::with_capacity(usize::try_from(size).map_err(|_| too_large())? + 1));
    file.take(MAX_FILE_BYTES).read_to_end(&mut json).map_err(failed("read it"))?;
    Identities::parse(&json).map_err(|source| IdentityFileError::Content { path: path.to_owned(), source })
}

/// Replaces the file, as a whole or not at all: after a crash it is the old one or the new one.
pub fn save(path: &Path, identities: &Identities) -> Result<(), IdentityFileError> {
    let json = identities
        .to_json()
        .map_err(|source| IdentityFileError::Content { path: path.to_owned(), source })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    let failed = |path: &Path, action| {
        let path = path.to_owned();
        move |source| IdentityFileError::Io { path, action, source }
    };
    // Left over from a crash; a new file has the mode that is asked for, an old one would keep its own.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(&new, "remove it")(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(failed(&new, "create it"))?;
    file.write_all(&json).map_err(failed(&new, "write it"))?;
    file.sync_all().map_err(failed(&new, "make it durable"))?;
    fs::rename(&new, path).map_err(failed(path, "replace it"))?;
    // The name is durable when its folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder, "make it durable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::secret::tests::Counting;
    use crate::random::SystemRandom;

    /// A folder of this test alone, gone when it ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("kvs-auth-{test}-{}", std::process::id()));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_first_start_makes_a_root_key_and_the_second_finds_it() {
        let folder = Folder::new("first");
        let path = folder.0.join("identities.json");
        let (made, created) = load_or_create(&path, &SystemRandom).unwrap();
        assert!(created && made.root().keys().len() == 1);
        assert_eq!(mode(&path), 0o600);
        let (found, created) = load_or_create(&path, &SystemRandom).unwrap();
        assert!(!created);
        assert_eq!(*found.to_json().unwrap(), *made.to_json().unwrap());
    }

    #[test]
    fn saving_replaces_the_file_even_behind_a_crash() {
        let folder = Folder::new("replace");
        let path = folder.0.join("identities.json");
        let new = folder.0.join("identities.json.new");
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
        let folder = Folder::new("open");
        let path = folder.0.join("identities.json");
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
        let folder = Folder::new("loop");
        let path = folder.0.join("identities.json");
        // A name that cannot be opened, and could be replaced.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let message = load_or_create(&path, &Counting::new()).unwrap_err().to_string();
        assert!(message.contains("cannot open it"), "{message}");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let folder = Folder::new("damaged");
        let path = folder.0.join("identities.json");
        load_or_create(&path, &Counting::new()).unwrap();
        fs::write(&path, "{").unwrap();
        let message = load_or_create(&path, &Counting::new()).unwrap_err().to_string();
        assert!(message.ends_with("the file: EOF while parsing an object at line 1 column 1"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
        let message = load(&folder.0).unwrap_err().to_string();
        assert!(message.contains("open to other users") || message.contains("cannot"), "{message}");
    }
}
