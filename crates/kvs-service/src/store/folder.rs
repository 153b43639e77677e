//! The data folder: one process at a time, and the master key in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::disk::FolderDisk;
use super::error::StoreError;
use crate::keys::{CryptError, Key, Keyring};
use crate::random::Random;

const MASTER_KEY: &str = "master.key";
/// Bytes of a key file that are read: thousands of keys.
const MOST_KEY_FILE: usize = 1 << 20;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused it, or it is no text.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// Others than the owner may read or write it.
    #[error("it holds keys and is open to other users (mode {mode:04o}): run chmod 600 on it")]
    Open {
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than any such file.
    #[error("it is larger than {MOST_KEY_FILE} bytes")]
    TooLarge,
    /// What it says is wrong.
    #[error(transparent)]
    Content(#[from] CryptError),
}

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
            Err(StoreError::KeyFile { source: KeyFileError::Read(error), .. })
                if error.kind() == io::ErrorKind::NotFound && !self.path.join("catalog.redb").exists() =>
            {
                let keyring = Keyring::of(Keyring::DEFAULT_ID, Key::generate(random)?);
                self.write_keyring(&keyring).map_err(StoreError::disk("write master.key"))?;
                Ok(keyring)
            }
            other => other,
        }
    }

    /// The keys of a folder's `master.key`, whoever works in that folder. A file that others than its owner can open
    /// is refused.
    pub fn read_keyring(path: &Path) -> Result<Keyring, StoreError> {
        let path = path.join(MASTER_KEY);
        read_key_file(&path)
            .map_err(|source| StoreError::KeyFile { path: path.display().to_string(), source })
    }

    fn write_keyring(&self, keyring: &Keyring) -> io::Result<()> {
        let part = self.path.join("master.key.new");
        // Left over from a crash: it would keep its mode.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(keyring.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(part, self.path.join(MASTER_KEY))?;
        File::open(&self.path)?.sync_all()
    }
}

fn read_key_file(path: &Path) -> Result<Keyring, KeyFileError> {
    let file = File::open(path).map_err(KeyFileError::Read)?;
    // Asked of the open file: a path could be another one by now.
    let metadata = file.metadata().map_err(KeyFileError::Read)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open { mode });
    }
    let length = usize::try_from(metadata.len()).ok().filter(|length| *length <= MOST_KEY_FILE);
    let length = length.ok_or(KeyFileError::TooLarge)?;
    // Room from the start: a secret that grows would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(length + 1));
    file.take(MOST_KEY_FILE as u64).read_to_string(&mut text).map_err(KeyFileError::Read)?;
    Ok(Keyring::parse(&text)?)
}
