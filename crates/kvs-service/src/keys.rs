//! The master keys, from which every other secret of a data folder follows or under which it is kept.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};
use crate::text::{hex, parse_hex};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// What can go wrong with keys and sealed bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CryptError {
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Sealing failed.
    #[error("cannot seal")]
    Seal,
    /// The bytes are not what was sealed, or not under this key, or not at this place.
    #[error("sealed bytes do not open: changed, or under another key")]
    Open,
    /// No key could be made of another.
    #[error("cannot derive a key")]
    Derive,
    /// A key is named that the keyring does not hold.
    #[error("the keyring holds no key {0:?}")]
    UnknownKey(String),
    /// A line of a keyring is not `ID HEX`.
    #[error("line {0} is not an id and 64 hexadecimal digits")]
    KeyLine(usize),
    /// Two lines of a keyring name the same key.
    #[error("line {line} names the key {id:?} again")]
    KeyTwice {
        /// The later of the two.
        line: usize,
        /// The name.
        id: String,
    },
    /// A key file that is no text.
    #[error("it is no text: {0}")]
    KeyText(std::str::Utf8Error),
    /// A keyring without a key.
    #[error("there is no key in it")]
    NoKey,
}

/// 32 secret bytes that print as nothing, and whose memory is zeroed when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    /// A key from bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    pub fn generate(random: &dyn Random) -> Result<Self, CryptError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The key for a purpose that has this name: HKDF-SHA256 (RFC 5869) with the salt `kvs purpose`, the name as info.
    pub fn derive(&self, purpose: &str) -> Result<Self, CryptError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        Salt::new(HKDF_SHA256, b"kvs purpose")
            .extract(&*self.0)
            .expand(&[purpose.as_bytes()], HKDF_SHA256)
            .and_then(|material| material.fill(&mut *bytes))
            .map_err(|_| CryptError::Derive)?;
        Ok(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The master keys by id; new streams, and what is derived, take the first.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: String,
    keys: BTreeMap<String, Key>,
}

impl Keyring {
    /// The environment variable that holds a keyring: see [`from_variable`](Self::from_variable).
    pub const VARIABLE: &'static str = "KVS_MASTER_KEY";
    /// What a key is called to which nobody gave a name.
    pub const DEFAULT_ID: &'static str = "default";

    /// A keyring of one key.
    pub fn of(id: impl Into<String>, key: Key) -> Self {
        let current = id.into();
        Self { keys: BTreeMap::from([(current.clone(), key)]), current }
    }

    /// From the text of a key file: a line `ID HEX` for each key, `#` begins a comment, the first is for new streams.
    pub fn parse(text: &str) -> Result<Self, CryptError> {
        let mut keyring: Option<Self> = None;
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let (id, key) = text
                .split_once(char::is_whitespace)
                .and_then(|(id, hex)| Some((id, Key::new(parse_hex(hex.trim())?))))
                .ok_or(CryptError::KeyLine(line))?;
            match &mut keyring {
                Some(keyring) if keyring.holds(id) => {
                    return Err(CryptError::KeyTwice { line, id: id.to_owned() });
                }
                Some(keyring) => drop(keyring.keys.insert(id.to_owned(), key)),
                None => keyring = Some(Self::of(id, key)),
            }
        }
        keyring.ok_or(CryptError::NoKey)
    }

    /// From the value of [`VARIABLE`](Self::VARIABLE): one key as 64 hexadecimal digits, or the lines of a key file.
    pub fn from_variable(text: &str) -> Result<Self, CryptError> {
        match parse_hex(text.trim()) {
            Some(bytes) => Ok(Self::of(Self::DEFAULT_ID, Key::new(bytes))),
            None => Self::parse(text),
        }
    }

    /// The text of a key file with these keys.
    pub fn to_text(&self) -> Zeroizing<String> {
        const HEAD: &str =
            "# Master keys: id and 64 hex digits. Without them nothing in this folder can be read.\n";
        let line = |id: &str| id.len() + 2 * KEY_BYTES + 2;
        // Room from the start: a secret that grows would leave copies behind.
        let room = HEAD.len() + self.ids().map(line).sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str(HEAD);
        for (id, key) in self.in_order() {
            let digits = Zeroizing::new(hex(&key.0));
            text.extend([id, " "]);
            text.extend(digits.iter().copied().map(char::from));
            text.push('\n');
        }
        text
    }

    /// The id of the key for new streams.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// The key of an id.
    pub fn key(&self, id: &str) -> Result<&Key, CryptError> {
        self.keys.get(id).ok_or_else(|| CryptError::UnknownKey(id.to_owned()))
    }

    /// Whether there is a key of this id.
    pub fn holds(&self, id: &str) -> bool {
        self.keys.contains_key(id)
    }

    /// The ids of all keys; that of the key for new streams comes first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.in_order().map(|(id, _)| id)
    }

    /// The key for a purpose other than wrapping: it follows from the current key and the name of the purpose, and
    /// tells nothing of either that or another purpose's. It changes when the current key does.
    pub fn derive(&self, purpose: &str) -> Result<Key, CryptError> {
        self.key(&self.current)?.derive(purpose)
    }

    fn in_order(&self) -> impl Iterator<Item = (&str, &Key)> {
        let rest = self.keys.iter().filter(|(id, _)| **id != self.current);
        self.keys.get_key_value(&self.current).into_iter().chain(rest).map(|(id, key)| (id.as_str(), key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_file_reads_back_and_its_first_key_is_for_new_streams() {
        let text = format!("# keys\nnew {}\n old {} # kept\n", "ab".repeat(32), "01".repeat(32));
        let keyring = Keyring::parse(&text).unwrap();
        assert_eq!(keyring.current(), "new");
        let again = Keyring::parse(&keyring.to_text()).unwrap();
        assert_eq!(again.ids().collect::<Vec<_>>(), ["new", "old"]);
        assert_eq!(again.key("old").unwrap(), &Key::new([1; 32]));
        assert!(again.holds("old") && !again.holds("gone"));
        assert_eq!(keyring.key("gone"), Err(CryptError::UnknownKey("gone".into())));
    }

    #[test]
    fn a_wrong_key_file_says_which_line_is_wrong() {
        let hex = "ab".repeat(32);
        let error = |text: &str| Keyring::parse(text).unwrap_err().to_string();
        assert_eq!(error("x 12"), "line 1 is not an id and 64 hexadecimal digits");
        assert_eq!(error(&format!("x {hex}\n\n{hex}")), "line 3 is not an id and 64 hexadecimal digits");
        assert_eq!(error(&format!("x {hex}\n#\nx {hex}")), r#"line 3 names the key "x" again"#);
        assert_eq!(error("\n# nothing"), "there is no key in it");
    }

    #[test]
    fn the_variable_holds_one_key_or_the_lines_of_a_file() {
        let hex = "01".repeat(32);
        for text in
            [hex.clone(), format!(" {hex}\n"), format!("default {hex}"), format!("# a\ndefault {hex}\n")]
        {
            let keyring = Keyring::from_variable(&text).unwrap();
            assert_eq!((keyring.current(), keyring.key("default")), ("default", Ok(&Key::new([1; 32]))));
        }
        let two = format!("b {hex}\na {hex}");
        assert_eq!(Keyring::from_variable(&two).unwrap().ids().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(Keyring::from_variable(&hex[1..]).unwrap_err(), CryptError::KeyLine(1));
        assert_eq!(Keyring::from_variable("").unwrap_err(), CryptError::NoKey);
    }

    #[test]
    fn a_derived_key_is_that_of_the_documentation_and_no_two_purposes_share_one() {
        let keyring = Keyring::of("k", Key::new([7; 32]));
        // Made by another implementation of HKDF.
        let sessions = "f3589bfb1e9c4da0f7dd53c89cb14ea4086fa955d12f9c253fa666628640b037";
        assert_eq!(keyring.derive("sessions").unwrap(), Key::new(parse_hex(sessions).unwrap()));
        let names = ["sessions", "session", "", "sessions "];
        for (at, one) in names.iter().enumerate() {
            let derived = keyring.derive(one).unwrap();
            assert_ne!(derived, Key::new([7; 32]));
            assert!(names.iter().skip(at + 1).all(|other| keyring.derive(other).unwrap() != derived));
            assert_ne!(Key::new([8; 32]).derive(one).unwrap(), derived);
        }
    }

    #[test]
    fn a_key_prints_as_nothing() {
        assert_eq!(
            format!("{:?}", Keyring::of("k", Key::new([7; 32]))),
            r#"Keyring { current: "k", keys: {"k": Key(..)} }"#
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_keyring_or_an_error_and_a_keyring_survives_its_text(text in "([a-c#]{1,2}[ \t]?(ab){32}\r?\n?){0,4}|.*") {
            if let Ok(keyring) = Keyring::from_variable(&text) {
                let again = Keyring::parse(&keyring.to_text()).unwrap();
                prop_assert!(again.ids().eq(keyring.ids()));
                prop_assert!(keyring.ids().all(|id| keyring.key(id) == again.key(id)));
            }
        }
    }
}
