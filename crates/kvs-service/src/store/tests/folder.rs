use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::files::mode;
use crate::random::SystemRandom;

#[test]
fn a_folder_is_claimed_before_its_store_and_stays_claimed_with_it() {
    let folder = TempFolder::new();
    let claimed = Folder::claim(folder.path()).unwrap();
    assert_eq!(claimed.path(), folder.path());
    let in_use = || {
        let refused = Folder::claim(folder.path()).unwrap_err();
        assert!(matches!(refused, StoreError::InUse(_)), "{refused}");
        let refused = Store::open(folder.path(), None, &Settings::default()).err().unwrap();
        assert!(matches!(refused, StoreError::InUse(_)), "{refused}");
    };
    in_use();
    let keyring = claimed.keyring(&SystemRandom).unwrap();
    let (store, _) = Store::open_in(claimed, keyring, &Settings::default()).unwrap();
    in_use();
    store.create_stream("camera", None, b"").unwrap();
    drop(store);
    // Another start finds the same keys.
    let (store, _) = Store::open(folder.path(), None, &Settings::default()).unwrap();
    assert!(store.stream_named("camera").is_some());
}

#[test]
fn a_folder_that_was_claimed_and_could_not_be_opened_is_free_again() {
    let folder = TempFolder::new();
    drop(Store::open(folder.path(), None, &Settings::default()).unwrap());
    let claimed = Folder::claim(folder.path()).unwrap();
    assert!(Store::open_in(claimed, keyring(), &Settings::default()).is_err());
    Folder::claim(folder.path()).unwrap();
}

#[test]
fn the_keyring_is_read_while_another_works_in_the_folder() {
    let folder = TempFolder::new();
    assert!(Folder::read_keyring(folder.path()).is_err());
    assert!(!folder.path().join("master.key").exists(), "reading makes nothing");
    let claimed = Folder::claim(folder.path()).unwrap();
    let made = claimed.keyring(&SystemRandom).unwrap();
    let found = Folder::read_keyring(folder.path()).unwrap();
    assert_eq!(found.key("default").unwrap(), made.key("default").unwrap());
    assert_eq!(found.current(), "default");
}

#[test]
fn a_key_file_that_others_may_open_is_refused_by_all() {
    let folder = TempFolder::new();
    let claimed = Folder::claim(folder.path()).unwrap();
    // Half a file of a crash, with a mode of its own.
    fs::write(folder.path().join("master.key.new"), "default 01").unwrap();
    claimed.keyring(&SystemRandom).unwrap();
    let path = folder.path().join("master.key");
    assert_eq!((mode(&path), folder.path().join("master.key.new").exists()), (0o600, false));
    for open in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let expected = format!(
            "{} holds secret keys and is open to other users (mode {open:04o}): run chmod 600 on it",
            path.display()
        );
        assert_eq!(Folder::read_keyring(folder.path()).unwrap_err().to_string(), expected);
        assert_eq!(claimed.keyring(&SystemRandom).unwrap_err().to_string(), expected);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    claimed.keyring(&SystemRandom).unwrap();
}

#[test]
fn a_key_file_that_is_wrong_is_named_and_stays_as_it_is() {
    let folder = TempFolder::new();
    let claimed = Folder::claim(folder.path()).unwrap();
    claimed.keyring(&SystemRandom).unwrap();
    let path = folder.path().join("master.key");
    for (text, expected) in [
        (&b"default 12"[..], "line 1 is not an id and 64 hexadecimal digits"),
        (b"", "there is no key in it"),
        (b"\xff", "it is no text: invalid utf-8 sequence of 1 bytes from index 0"),
    ] {
        fs::write(&path, text).unwrap();
        let refused = claimed.keyring(&SystemRandom).unwrap_err();
        assert_eq!(refused.to_string(), format!("{}: {expected}", path.display()));
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}
