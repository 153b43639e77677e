//! The data folder: one process at a time, and the master key in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::disk::FolderDisk;
use super::error::StoreError;
use crate::keys::{Key, Keyring};
use crate::random::Random;

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

    /// The keys of `master.key`, which is made with a new key when neither it nor a catalog is there.
    pub fn keyring(&self, random: &dyn Random) -> Result<Keyring, StoreError> {
        let path = self.path.join("master.key");
        match fs::read_to_string(&path) {
            Ok(text) => Keyring::parse(&text)
                .map_err(|source| StoreError::KeyFile { path: path.display().to_string(), source }),
            // A new key would open nothing of an old catalog: say that the file is missing.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && !self.path.join("catalog.redb").exists() =>
            {
                let keyring = Keyring::of("default", Key::generate(random)?);
                let write = || {
                    let part = self.path.join("master.key.new");
                    let mut file =
                        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
                    file.write_all(keyring.to_text().as_bytes())?;
                    file.sync_all()?;
                    fs::rename(part, &path)?;
                    File::open(&self.path)?.sync_all()
                };
                write().map_err(StoreError::disk("write master.key"))?;
                Ok(keyring)
            }
            Err(source) => Err(StoreError::Disk { what: "read master.key", source }),
        }
    }
}
