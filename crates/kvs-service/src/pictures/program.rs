//! Where the program of the workers is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const NAME: &str = "kvs-picture";

/// The program that was given, and no other then; else the one beside the running program, else the first in PATH.
pub(super) fn find(given: Option<&Path>, running: Option<&Path>, path: Option<&OsStr>) -> Option<PathBuf> {
    let is_there = |program: &PathBuf| program.is_file();
    if let Some(given) = given {
        // A name alone would be looked for in PATH when it is run.
        return std::path::absolute(given).ok().filter(is_there);
    }
    let beside = running.and_then(Path::parent).map(|folder| folder.join(NAME));
    let in_path = path.into_iter().flat_map(std::env::split_paths).map(|folder| folder.join(NAME));
    // A relative folder of PATH is somebody else's, when the service runs elsewhere.
    beside.into_iter().chain(in_path).filter(|program| program.is_absolute()).find(is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_taken_then_what_is_beside_then_what_is_in_the_path() {
        let (bin, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let running = bin.path().join("kvs");
        let path = std::env::join_paths([Path::new("."), Path::new("/nowhere"), other.path()]).unwrap();
        let found = |given: Option<&Path>| find(given, Some(&running), Some(&path));
        assert_eq!(found(None), None);
        let in_path = other.path().join(NAME);
        std::fs::write(&in_path, "").unwrap();
        assert_eq!(found(None), Some(in_path.clone()));
        let beside = bin.path().join(NAME);
        std::fs::write(&beside, "").unwrap();
        assert_eq!(found(None), Some(beside));
        assert_eq!(found(Some(&in_path)), Some(in_path));
        // What was asked for and is not there is not replaced.
        assert_eq!(found(Some(Path::new("/nowhere/kvs-picture"))), None);
    }
}
