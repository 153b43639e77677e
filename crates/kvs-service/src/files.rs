//! Small files that are read and replaced as a whole: keys, identities, certificates.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// Why a file cannot be read or replaced.
#[derive(Debug, Error)]
pub enum FileError {
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
    /// Others than the owner may read or write a secret.
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
    #[error("{path} is larger than {most} bytes", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        most: u64,
    },
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }
}

/// Reads a file of at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_if(path, most, |_| true)
}

/// Reads a file that only its owner can open.
pub(crate) fn read_secret(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_if(path, most, |mode| mode & 0o077 == 0)
}

fn read_if(path: &Path, most: u64, may: impl Fn(u32) -> bool) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(FileError::io(path, "open it"))?;
    // Asked of the open file: a path could be another one by now.
    let metadata = file.metadata().map_err(FileError::io(path, "see its permissions"))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !may(mode) {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    let room = usize::try_from(metadata.len()).ok().filter(|_| metadata.len() <= most);
    let room = room.ok_or_else(|| FileError::TooLarge { path: path.to_owned(), most })?;
    // Room from the start: a secret that grows would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(most).read_to_end(&mut bytes).map_err(FileError::io(path, "read it"))?;
    Ok(bytes)
}

/// Replaces a file, as a whole or not at all: after a crash it is the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    // Left over from a crash; a new file has the mode that is asked for, an old one would keep its own.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::io(&new, "remove it")(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .map_err(FileError::io(&new, "create it"))?;
    file.write_all(bytes).map_err(FileError::io(&new, "write it"))?;
    file.sync_all().map_err(FileError::io(&new, "make it durable"))?;
    fs::rename(&new, path).map_err(FileError::io(path, "replace it"))?;
    // The name is durable when its folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::io(folder, "make it durable"))
}

/// A folder of one test alone, gone when it ends.
#[cfg(test)]
pub(crate) struct TempFolder(PathBuf);

#[cfg(test)]
impl TempFolder {
    pub(crate) fn new() -> Self {
        use crate::random::{Random as _, SystemRandom};
        let mut name = [0; 8];
        SystemRandom.fill(&mut name).unwrap();
        let path = std::env::temp_dir().join(format!("kvs-test-{:016x}", u64::from_le_bytes(name)));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_even_behind_a_crash() {
        let folder = TempFolder::new();
        let (path, new) = (folder.path().join("keys"), folder.path().join("keys.new"));
        for (text, wanted) in [("one", 0o600), ("another", 0o644), ("", 0o600)] {
            fs::write(&new, "half of a fi").unwrap();
            chmod(&new, 0o666);
            replace(&path, text.as_bytes(), wanted).unwrap();
            assert_eq!(*read(&path, 7).unwrap(), text.as_bytes());
            assert_eq!((mode(&path), new.exists()), (wanted, false));
        }
    }

    #[test]
    fn a_secret_that_others_may_open_is_refused() {
        let folder = TempFolder::new();
        let path = folder.path().join("keys");
        replace(&path, b"secret", 0o600).unwrap();
        for open in [0o640, 0o604, 0o620, 0o601] {
            chmod(&path, open);
            let expected = format!(
                "{} holds secret keys and is open to other users (mode {open:04o}): run chmod 600 on it",
                path.display()
            );
            assert_eq!(read_secret(&path, 10).unwrap_err().to_string(), expected);
            read(&path, 10).unwrap();
        }
        chmod(&path, 0o400);
        assert_eq!(*read_secret(&path, 6).unwrap(), b"secret");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = TempFolder::new();
        let path = folder.path().join("keys");
        let missing = read(&path, 10).unwrap_err();
        assert!(missing.is_missing() && missing.to_string().contains("keys: cannot open it: "), "{missing}");
        fs::write(&path, "secret").unwrap();
        let large = read(&path, 5).unwrap_err();
        assert_eq!(large.to_string(), format!("{} is larger than 5 bytes", path.display()));
        assert!(!large.is_missing() && !read(folder.path(), 1 << 20).unwrap_err().is_missing());
        let nowhere = replace(&path.join("x"), b"", 0o600).unwrap_err();
        assert!(nowhere.to_string().contains("keys/x.new: cannot "), "{nowhere}");
    }
}
