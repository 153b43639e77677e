//! Who there is: the root user, other users, their keys and their policies. As data; the file is [`super::file`]'s.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;
use zeroize::Zeroizing;

use super::policy::{Policy, PolicyError};
use super::secret::{Secret, random_id};
use crate::random::{Random, RandomError};

/// As many key pairs as a user may have: enough to change them without a pause (IAM's limit).
pub const MAX_KEY_PAIRS: usize = 2;
/// As many policies as a user may have (IAM's limit).
pub const MAX_POLICIES: usize = 10;
/// As many users as there may be (IAM's limit).
pub const MAX_USERS: usize = 5_000;
/// The longest name of a user or of a policy.
const MAX_NAME: usize = 64;
/// What ids of temporary access keys begin with; a lasting key cannot.
pub(super) const TEMPORARY_PREFIX: &str = "ASIA";
const LASTING_PREFIX: &str = "AKIA";
const USER_PREFIX: &str = "AIDA";
/// What [`User::id`] is for the root user.
pub(super) const ROOT_ID: &str = "root";
const FORMAT: u32 = 1;

/// An access key and its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct KeyPair {
    /// The id, which is no secret: 20 characters that begin with `AKIA` when it was made here.
    pub access_key_id: Box<str>,
    /// The secret.
    #[serde(serialize_with = "reveal")]
    pub secret_access_key: Secret,
}

/// A policy and what its user calls it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NamedPolicy {
    /// The name, unique for the user.
    pub name: Box<str>,
    /// The policy.
    pub document: Policy,
}

/// Somebody who may call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct User {
    /// Never given twice, so that a session of a deleted user is none of a new one of the same name.
    id: Box<str>,
    name: Box<str>,
    keys: Vec<KeyPair>,
    policies: Vec<NamedPolicy>,
}

/// All who may call. Consistent at any time: ids, names and keys are unique, limits are kept.
#[derive(Clone, Debug)]
pub struct Identities {
    root: Arc<User>,
    users: Vec<Arc<User>>,
    /// From the id of an access key to the user and the index of the key.
    keys: HashMap<Box<str>, (Arc<User>, usize)>,
    /// From the id of a user, root's included.
    ids: HashMap<Box<str>, Arc<User>>,
}

/// Why identities are not as they are asked to be.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file is not JSON of the expected form.
    #[error("{place}: {message}")]
    Json {
        /// The path of the element.
        place: String,
        /// What is wrong. Quotes no string of the file: it could be a secret.
        message: String,
    },
    /// The file is of a later version.
    #[error("format {0} is not known; this service reads format {FORMAT}")]
    Format(u32),
    /// A name that cannot be.
    #[error("{place}: a name is 1 to {MAX_NAME} letters, digits or any of _+=,.@-")]
    Name {
        /// The path of the element.
        place: String,
    },
    /// A name, id or key that is there already.
    #[error("{place}: there is another with this {what}")]
    Taken {
        /// The path of the element.
        place: String,
        /// What is the same.
        what: &'static str,
    },
    /// A key that cannot be.
    #[error(
        "{place}: an access key id is 3 to 128 letters, digits or underscores and does not begin with \
         {TEMPORARY_PREFIX}; a secret is 1 to 128 visible characters"
    )]
    Key {
        /// The path of the element.
        place: String,
    },
    /// A policy that cannot be.
    #[error("{place}: {source}")]
    Policy {
        /// The path of the policy.
        place: String,
        /// What is wrong in it, and where.
        source: PolicyError,
    },
    /// More of something than there may be.
    #[error("{place}: at most {limit} {what}")]
    TooMany {
        /// The path of the list.
        place: String,
        /// How many there may be.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// Nobody of this name.
    #[error("there is no user {0:?}")]
    NoUser(String),
    /// No random bytes for a new key.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl IdentityError {
    fn json(place: String, error: &serde_json::Error) -> Self {
        let mut message = error.to_string();
        if message.contains('"') {
            message = format!("a text in a wrong place at line {} column {}", error.line(), error.column());
        }
        Self::Json { place, message }
    }
}

impl User {
    /// What they are called; the root user is `root`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether they may do everything.
    pub fn is_root(&self) -> bool {
        *self.id == *ROOT_ID
    }

    /// Their key pairs.
    pub fn keys(&self) -> &[KeyPair] {
        &self.keys
    }

    /// What they may do.
    pub fn policies(&self) -> &[NamedPolicy] {
        &self.policies
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn root(keys: Vec<KeyPair>) -> Self {
        Self { id: ROOT_ID.into(), name: ROOT_ID.into(), keys, policies: Vec::new() }
    }
}

impl KeyPair {
    /// A new one.
    pub fn random(random: &dyn Random) -> Result<Self, RandomError> {
        let access_key_id = random_id(LASTING_PREFIX, random)?.into();
        Ok(Self { access_key_id, secret_access_key: Secret::random(random)? })
    }
}

impl Identities {
    /// Only a root user, with one new key pair.
    pub fn new(random: &dyn Random) -> Result<Self, IdentityError> {
        Self::build(User::root(vec![KeyPair::random(random)?]), Vec::new())
    }

    /// The root user.
    pub fn root(&self) -> &Arc<User> {
        &self.root
    }

    /// All users but root.
    pub fn users(&self) -> &[Arc<User>] {
        &self.users
    }

    /// The owner and the secret of an access key.
    pub fn key(&self, access_key_id: &str) -> Option<(&Arc<User>, &Secret)> {
        let (user, index) = self.keys.get(access_key_id)?;
        Some((user, &user.keys.get(*index)?.secret_access_key))
    }

    pub(super) fn user_of_id(&self, id: &str) -> Option<&Arc<User>> {
        self.ids.get(id)
    }

    /// These with one more user, who has a new key pair and may do nothing.
    pub fn with_user(&self, name: &str, random: &dyn Random) -> Result<Self, IdentityError> {
        let user = User {
            id: random_id(USER_PREFIX, random)?.into(),
            name: name.into(),
            keys: vec![KeyPair::random(random)?],
            policies: Vec::new(),
        };
        self.edited(|_, users| {
            users.push(user);
            Ok(())
        })
    }

    /// These without a user.
    pub fn without_user(&self, name: &str) -> Result<Self, IdentityError> {
        self.edited(|_, users| {
            let before = users.len();
            users.retain(|user| *user.name != *name);
            if users.len() < before { Ok(()) } else { Err(IdentityError::NoUser(name.to_owned())) }
        })
    }

    /// These with one more key pair of a user, or of `root`.
    pub fn with_key(&self, name: &str, pair: KeyPair) -> Result<Self, IdentityError> {
        self.edited(|root, users| {
            find(root, users, name)?.keys.push(pair);
            Ok(())
        })
    }

    /// These without a key; nothing changes when there is none of this id.
    pub fn without_key(&self, access_key_id: &str) -> Result<Self, IdentityError> {
        self.edited(|root, users| {
            for user in std::iter::once(root).chain(users) {
                user.keys.retain(|pair| *pair.access_key_id != *access_key_id);
            }
            Ok(())
        })
    }

    /// These with a policy of a user, in the place of the one of the same name.
    pub fn with_policy(&self, user: &str, policy: &str, document: Policy) -> Result<Self, IdentityError> {
        self.edited(|root, users| {
            let policies = &mut find(root, users, user)?.policies;
            match policies.iter_mut().find(|known| *known.name == *policy) {
                Some(known) => known.document = document,
                None => policies.push(NamedPolicy { name: policy.into(), document }),
            }
            Ok(())
        })
    }

    /// These without a policy of a user; nothing changes when there is none of this name.
    pub fn without_policy(&self, user: &str, policy: &str) -> Result<Self, IdentityError> {
        self.edited(|root, users| {
            find(root, users, user)?.policies.retain(|known| *known.name != *policy);
            Ok(())
        })
    }

    /// Reads what [`Identities::to_json`] wrote, or a person. Errors say where, and quote no secret.
    pub fn parse(json: &[u8]) -> Result<Self, IdentityError> {
        let at = |place: &str| {
            let place = place.to_owned();
            move |error| IdentityError::json(place, &error)
        };
        let FormatField { format } = serde_json::from_slice(json).map_err(at("the file"))?;
        if format != FORMAT {
            return Err(IdentityError::Format(format));
        }
        let file: FileFields<'_> = serde_json::from_slice(json).map_err(at("the file"))?;
        let root: RootFields = serde_json::from_str(file.root.get()).map_err(at("Root"))?;
        let mut users = Vec::new();
        for (index, json) in file.users.iter().enumerate() {
            let place = format!("Users[{index}]");
            let fields: UserFields<'_> = serde_json::from_str(json.get()).map_err(at(&place))?;
            users.push(fields.user(&place)?);
        }
        Self::build(User::root(root.keys), users)
    }

    /// The whole as JSON, secrets included.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Root<'a> {
            keys: &'a [KeyPair],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct File<'a> {
            format: u32,
            root: Root<'a>,
            users: Vec<&'a User>,
        }
        let users = self.users.iter().map(Arc::as_ref).collect();
        let file = File { format: FORMAT, root: Root { keys: &self.root.keys }, users };
        // Room from the start: a buffer that grows leaves copies of secrets behind.
        let policies = self.users.iter().flat_map(|user| &user.policies);
        let room = policies.map(|policy| policy.document.source().len() + 256).sum::<usize>();
        let mut json = Zeroizing::new(Vec::with_capacity(room + 2_048 * (self.users.len() + 1)));
        serde_json::to_writer_pretty(&mut *json, &file)
            .map_err(|error| IdentityError::json("the file".to_owned(), &error))?;
        json.push(b'\n');
        Ok(json)
    }

    fn edited(
        &self,
        edit: impl FnOnce(&mut User, &mut Vec<User>) -> Result<(), IdentityError>,
    ) -> Result<Self, IdentityError> {
        let mut root = (*self.root).clone();
        let mut users = self.users.iter().map(|user| (**user).clone()).collect();
        edit(&mut root, &mut users)?;
        Self::build(root, users)
    }

    /// The one way in: whatever the source, every rule is checked here.
    fn build(root: User, users: Vec<User>) -> Result<Self, IdentityError> {
        limit(users.len(), MAX_USERS, "users", "Users")?;
        let root = Arc::new(root);
        let mut keys = HashMap::new();
        let mut names = HashSet::from([root.name.clone()]);
        let mut ids = HashMap::from([(root.id.clone(), root.clone())]);
        add_keys(&root, "Root", &mut keys)?;
        let users: Vec<Arc<User>> = users.into_iter().map(Arc::new).collect();
        for (index, user) in users.iter().enumerate() {
            let place = format!("Users[{index}]");
            let taken = |what| IdentityError::Taken { place: place.clone(), what };
            // Names differ by more than case (IAM), and none is the root user's.
            if !is_name(&user.name) {
                return Err(IdentityError::Name { place: place + ".Name" });
            }
            if !names.insert(user.name.to_ascii_lowercase().into()) {
                return Err(taken("name"));
            }
            if !is_name(&user.id) {
                return Err(IdentityError::Name { place: place + ".Id" });
            }
            if ids.insert(user.id.clone(), user.clone()).is_some() {
                return Err(taken("id"));
            }
            limit(user.policies.len(), MAX_POLICIES, "policies", &format!("{place}.Policies"))?;
            for (index, policy) in user.policies.iter().enumerate() {
                let place = format!("{place}.Policies[{index}]");
                if !is_name(&policy.name) {
                    return Err(IdentityError::Name { place });
                }
                if user.policies.iter().take(index).any(|earlier| earlier.name == policy.name) {
                    return Err(IdentityError::Taken { place, what: "name" });
                }
            }
            add_keys(user, &place, &mut keys)?;
        }
        Ok(Self { root, users, keys, ids })
    }
}

fn find<'a>(root: &'a mut User, users: &'a mut [User], name: &str) -> Result<&'a mut User, IdentityError> {
    std::iter::once(root)
        .chain(users)
        .find(|user| *user.name == *name)
        .ok_or_else(|| IdentityError::NoUser(name.to_owned()))
}

fn add_keys(
    user: &Arc<User>,
    place: &str,
    keys: &mut HashMap<Box<str>, (Arc<User>, usize)>,
) -> Result<(), IdentityError> {
    limit(user.keys.len(), MAX_KEY_PAIRS, "keys", &format!("{place}.Keys"))?;
    for (index, pair) in user.keys.iter().enumerate() {
        let place = format!("{place}.Keys[{index}]");
        let id = &pair.access_key_id;
        let well_formed = (3..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !id.starts_with(TEMPORARY_PREFIX);
        if !well_formed || !pair.secret_access_key.is_well_formed() {
            return Err(IdentityError::Key { place });
        }
        if keys.insert(id.clone(), (user.clone(), index)).is_some() {
            return Err(IdentityError::Taken { place, what: "access key id" });
        }
    }
    Ok(())
}

fn limit(count: usize, limit: usize, what: &'static str, place: &str) -> Result<(), IdentityError> {
    if count > limit {
        return Err(IdentityError::TooMany { place: place.to_owned(), limit, what });
    }
    Ok(())
}

/// `[\w+=,.@-]{1,64}` (service model of IAM).
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

fn reveal<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

/// Read first, so that a later format is called that, whatever else it has.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FormatField {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct FileFields<'a> {
    #[serde(rename = "Format")]
    _format: u32,
    #[serde(borrow)]
    root: &'a RawValue,
    #[serde(borrow, default)]
    users: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RootFields {
    keys: Vec<KeyPair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct UserFields<'a> {
    id: Box<str>,
    name: Box<str>,
    #[serde(default)]
    keys: Vec<KeyPair>,
    #[serde(borrow, default)]
    policies: Vec<PolicyFields<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct PolicyFields<'a> {
    name: Box<str>,
    #[serde(borrow)]
    document: &'a RawValue,
}

impl UserFields<'_> {
    fn user(self, place: &str) -> Result<User, IdentityError> {
        let mut policies = Vec::new();
        for (index, policy) in self.policies.into_iter().enumerate() {
            let document = Policy::parse(policy.document.get()).map_err(|source| IdentityError::Policy {
                place: format!("{place}.Policies[{index}].Document"),
                source,
            })?;
            policies.push(NamedPolicy { name: policy.name, document });
        }
        Ok(User { id: self.id, name: self.name, keys: self.keys, policies })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::auth::secret::tests::Counting;
    use proptest::prelude::*;

    pub(crate) const READ_ONLY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kinesisvideo:Get*","Resource":"*"}}"#;

    pub(crate) fn sample() -> Identities {
        let random = Counting::new();
        let identities = Identities::new(&random).unwrap().with_user("eve", &random).unwrap();
        identities.with_policy("eve", "read", Policy::parse(READ_ONLY).unwrap()).unwrap()
    }

    fn text(identities: &Identities) -> String {
        String::from_utf8(identities.to_json().unwrap().to_vec()).unwrap()
    }

    fn refused(json: &str) -> String {
        Identities::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_reads_back() {
        let identities = sample();
        let again = Identities::parse(text(&identities).as_bytes()).unwrap();
        assert_eq!(text(&again), text(&identities));
        let eve = &again.users()[0];
        assert!(eve.name() == "eve" && !eve.is_root() && again.root().is_root());
        for user in [eve, again.root()] {
            let pair = &user.keys()[0];
            assert!(pair.access_key_id.starts_with("AKIA") && pair.access_key_id.len() == 20);
            let (owner, secret) = again.key(&pair.access_key_id).unwrap();
            assert_eq!(owner.name(), user.name());
            assert_eq!(secret.reveal(), pair.secret_access_key.reveal());
        }
        assert!(again.key("AKIAOTHER").is_none());
    }

    #[test]
    fn no_secret_is_in_any_debug_output() {
        let identities = sample();
        let shown = format!("{identities:?} {identities:#?}");
        for user in [identities.root(), &identities.users()[0]] {
            assert!(!shown.contains(user.keys()[0].secret_access_key.reveal()));
        }
    }

    #[test]
    fn keys_come_and_go_two_at_a_time() {
        let random = Counting::new();
        random.fill(&mut [0; 100]).unwrap();
        let pair = KeyPair::random(&random).unwrap();
        let two = sample().with_key("eve", pair.clone()).unwrap();
        assert_eq!(two.key(&pair.access_key_id).unwrap().0.name(), "eve");
        let error = two.with_key("eve", KeyPair::random(&random).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "Users[0].Keys: at most 2 keys");
        let error = two.with_key("root", pair.clone()).unwrap_err();
        assert_eq!(error.to_string(), "Users[0].Keys[1]: there is another with this access key id");
        let one = two.without_key(&pair.access_key_id).unwrap();
        assert!(one.key(&pair.access_key_id).is_none());
        assert!(two.with_key("bob", pair).unwrap_err().to_string().contains("no user \"bob\""));
    }

    #[test]
    fn a_deleted_user_takes_everything_along_and_a_new_one_is_another() {
        let before = sample();
        let old = before.users()[0].clone();
        let after = before.without_user("eve").unwrap();
        assert!(after.key(&old.keys()[0].access_key_id).is_none() && after.user_of_id(old.id()).is_none());
        assert!(after.without_user("eve").is_err());
        let again = after.with_user("eve", &crate::random::SystemRandom).unwrap();
        assert_ne!(again.users()[0].id(), old.id());
        assert!(before.without_policy("eve", "read").unwrap().users()[0].policies().is_empty());
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named_with_its_place() {
        let good = text(&sample());
        for (from, to, message) in [
            ("\"Format\": 1", "\"Format\": 2", "format 2 is not known; this service reads format 1"),
            (
                "\"Effect\":\"Allow\"",
                "\"Effect\":\"Allow\",\"Condition\":{}",
                "Users[0].Policies[0].Document: Statement.Condition: conditions are not supported",
            ),
            ("\"eve\"", "\"Root\"", "Users[0]: there is another with this name"),
            ("\"eve\"", "\"e v\"", "Users[0].Name: a name is 1 to 64 letters, digits or any of _+=,.@-"),
            ("\"AIDA", "\"AID*", "Users[0].Id: a name is 1 to 64 letters, digits or any of _+=,.@-"),
            (sample().users()[0].id(), "root", "Users[0]: there is another with this id"),
        ] {
            assert!(good.contains(from), "{from}");
            assert_eq!(refused(&good.replacen(from, to, 1)), message);
        }
        let key = |id: &str, secret: &str| {
            format!(
                r#"{{"Format":1,"Root":{{"Keys":[{{"AccessKeyId":"{id}","SecretAccessKey":"{secret}"}}]}}}}"#
            )
        };
        assert!(Identities::parse(key("test", "test").as_bytes()).is_ok());
        for (id, secret) in
            [("ASIATEST", "x"), ("ab", "x"), ("a b", "x"), ("test", ""), ("test", "a b"), ("test", "é")]
        {
            assert!(refused(&key(id, secret)).starts_with("Root.Keys[0]: an access key id is"), "{id}");
        }
        for (json, start) in [
            (good.replace("\"Policies\"", "\"Polices\""), "Users[0]: unknown field `Polices`"),
            (
                good.replacen("\"SecretAccessKey\": \"", "\"SecretAccessKey\": [\"Zz9\"], \"x\": \"", 1),
                "Root: invalid type",
            ),
            (
                r#"{"Format":1,"Root":{"Keys":"Zz9"}}"#.to_owned(),
                "Root: a text in a wrong place at line 1 column 13",
            ),
            (String::new(), "the file: EOF"),
        ] {
            let message = refused(&json);
            assert!(message.starts_with(start) && !message.contains("Zz9"), "{message}");
        }
    }

    #[test]
    fn users_and_policies_are_limited_and_policies_have_names_of_their_own() {
        let file = |users: usize, policies: &str| {
            let user = |index| format!(r#"{{"Id":"u{index}","Name":"n{index}","Policies":[{policies}]}}"#);
            let users: Vec<String> = (0..users).map(user).collect();
            format!(r#"{{"Format":1,"Root":{{"Keys":[]}},"Users":[{}]}}"#, users.join(","))
        };
        let policy = |name: &str| format!(r#"{{"Name":"{name}","Document":{READ_ONLY}}}"#);
        let policies =
            |count| (0..count).map(|index| policy(&format!("p{index}"))).collect::<Vec<_>>().join(",");
        assert!(Identities::parse(file(5_000, "").as_bytes()).is_ok());
        assert_eq!(refused(&file(5_001, "")), "Users: at most 5000 users");
        assert!(Identities::parse(file(1, &policies(10)).as_bytes()).is_ok());
        assert_eq!(refused(&file(1, &policies(11))), "Users[0].Policies: at most 10 policies");
        let twice = [policy("a"), policy("a")].join(",");
        assert_eq!(refused(&file(1, &twice)), "Users[0].Policies[1]: there is another with this name");
        assert!(refused(&file(1, &policy("a b"))).starts_with("Users[0].Policies[0]: a name is"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_identities_or_refused(bytes: Vec<u8>, at in any::<proptest::sample::Index>(), byte: u8) {
            let _ = Identities::parse(&bytes);
            let mut json = sample().to_json().unwrap().to_vec();
            let at = at.index(json.len());
            json[at] = byte;
            let _ = Identities::parse(&json);
        }
    }
}
