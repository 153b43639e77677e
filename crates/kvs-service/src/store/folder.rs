//! The data folder: one process at a time, and the master key in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::disk::FolderDisk;
use super::error::StoreError;
use crate::files;
use crate::keys::{CryptError, Key, Keyring};
use crate::random::Random;

const MASTER_KEY: &str = "master.key";
/// Bytes of a key file that are read: thousands of keys.
const MOST_KEY_FILE: u64 = 1 << 20;

/// A data folder that this process alone works in, for as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is not there, and claims it.
    pub fn claim(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join(super::format::SEGMENTS))
            .map_err(StoreError::disk("make the data folder"))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("LOCK"))
            .map_err(StoreError::disk("open LOCK"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
            Err(TryLockError::Error(source)) => Err(StoreError::Disk { what: "lock LOCK", source }),
        }
    }

    /// The folder as a disk.
    pub fn disk(&self) -> FolderDisk {
        FolderDisk::new(&self.path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys of `master.key`, which is made with a new key when neither it nor a catalog is there.
    pub fn keyring(&self, random: &dyn Random) -> Result<Keyring, StoreError> {
        match Self::read_keyring(&self.path) {
            // A new key would open nothing of an old catalog: say that the file is missing.
            Err(StoreError::File(error))
                if error.is_missing() && !self.path.join("catalog.redb").exists() =>
            {
                let keyring = Keyring::of(Keyring::DEFAULT_ID, Key::generate(random)?);
                files::replace(&self.path.join(MASTER_KEY), keyring.to_text().as_bytes(), 0o600)?;
                Ok(keyring)
            }
            other => other,
        }
    }

    /// The keys of a folder's `master.key`, whoever works in that folder. A file that others than its owner can open
    /// is refused.
    pub fn read_keyring(path: &Path) -> Result<Keyring, StoreError> {
        Self::read_key_file(&path.join(MASTER_KEY))
    }

    /// The keys of a file anywhere, under the same rule.
    pub fn read_key_file(path: &Path) -> Result<Keyring, StoreError> {
        let text = files::read_secret(path, MOST_KEY_FILE)?;
        let keyring = str::from_utf8(&text).map_err(CryptError::KeyText).and_then(Keyring::parse);
        keyring.map_err(|source| StoreError::KeyFile { path: path.display().to_string(), source })
    }
}
