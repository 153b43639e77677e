//! `kvs users`: who may call, and what they may do. The service that runs takes a change up at once.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use kvs_service::auth::{Identities, IdentityError, KeyPair, Policy, file};
use kvs_service::random::SystemRandom;
use rustix::process::Signal;
use serde_json::json;

use crate::env::{identities, user};
use crate::failure::{Failure, While as _};
use crate::running::Running;
use crate::settings::DATA;
use crate::table::Table;

/// Who may call, their keys and what they may do
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvs users add camera                         a user with a key, who may do nothing yet
  kvs users policy camera put put.json         what they may do: an IAM policy document
  kvs users key camera                         one more key, to change them without a pause
  kvs users key camera --revoke AKIA...        and the old one away
A service that runs on the folder takes each change up at once.")]
pub(crate) struct Users {
    /// The data folder of the service
    #[arg(long, value_name = "DIR", default_value = DATA, global = true)]
    data: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show all users, the ids of their keys and the names of their policies
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a user, who has a key and may do nothing
    Add {
        /// What the user is called
        name: String,
    },
    /// Remove a user: their keys and sessions end
    Remove {
        /// Who
        name: String,
    },
    /// Make one more key of a user, or revoke one
    Key {
        /// Whose; root has keys too
        name: String,
        /// Revoke this key instead
        #[arg(long, value_name = "ID")]
        revoke: Option<String>,
    },
    /// Show, set or remove a policy of a user
    Policy {
        /// Whose
        name: String,
        /// What the policy is called
        policy: String,
        /// Set it to the IAM policy document in this file; - is standard input
        #[arg(conflicts_with = "remove")]
        file: Option<PathBuf>,
        /// Remove it
        #[arg(long)]
        remove: bool,
    },
}

impl Users {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.what {
            What::List { json } => return list(&identities(&self.data)?, *json),
            What::Policy { name, policy, file: None, remove: false } => {
                return show(&identities(&self.data)?, name, policy);
            }
            _ => {}
        }
        // Two that change the file at a time would each lose the other's change.
        let folder = File::open(&self.data).doing(format_args!("cannot open {}", self.data.display()))?;
        folder.lock().doing(format_args!("cannot lock {}", self.data.display()))?;
        let before = identities(&self.data)?;
        self.what.check()?;
        let (after, said) = self.change(&before)?;
        file::save(&self.data.join("identities.json"), &after)?;
        // First: a key that was made is never seen again.
        std::io::stdout().lock().write_all(said.as_bytes())?;
        match Running::find(&self.data)? {
            Some(service) => service.signal(Signal::HUP),
            None => Ok(()),
        }
    }

    /// The identities after the change, and what there is to say.
    fn change(&self, before: &Identities) -> Result<(Identities, String), Failure> {
        Ok(match &self.what {
            What::Add { name } => {
                let after = before.with_user(name, &SystemRandom).map_err(|error| in_words(error, name))?;
                let said = user(&after, name)?.keys().last().map(key_lines);
                (after, said.unwrap_or_default())
            }
            What::Remove { name } => (before.without_user(name)?, String::new()),
            What::Key { name, revoke: None } => {
                let pair = KeyPair::random(&SystemRandom)?;
                let said = key_lines(&pair);
                (before.with_key(name, pair).map_err(|error| in_words(error, name))?, said)
            }
            What::Key { name, revoke: Some(id) } => {
                let pairs = user(before, name)?.keys();
                if !pairs.iter().any(|pair| *pair.access_key_id == **id) {
                    return Err(Failure::new(format_args!("the user {name:?} has no key {id}")));
                }
                (before.without_key(id)?, String::new())
            }
            What::Policy { name, policy, file: Some(path), .. } => {
                let after = before.with_policy(name, policy, read_policy(path)?);
                (after.map_err(|error| in_words(error, policy))?, String::new())
            }
            What::Policy { name, policy, .. } => {
                document(before, name, policy)?;
                (before.without_policy(name, policy)?, String::new())
            }
            What::List { .. } => (before.clone(), String::new()),
        })
    }
}

impl What {
    /// Root is no user like the others.
    fn check(&self) -> Result<(), Failure> {
        Err(Failure::new(match self {
            Self::Add { name } if name == "root" => {
                "root is there from the start; one more key of it: kvs users key root"
            }
            Self::Remove { name } if name == "root" => {
                "root cannot be removed; a key of it can: kvs users key root --revoke ID"
            }
            Self::Policy { name, .. } if name == "root" => "root may do everything, and has no policies",
            _ => return Ok(()),
        }))
    }
}

/// A mistake in the words of the command, not of the file in which it would have been one. The name is the new one, or
/// of the user whose key it is.
fn in_words(error: IdentityError, name: &str) -> Failure {
    match error {
        IdentityError::Taken { what: "name", .. } => Failure::new(format_args!(
            "there is a user {name:?} already, or one whose name differs in upper and lower case alone"
        )),
        IdentityError::TooMany { limit, what: "keys", .. } => Failure::new(format_args!(
            "the user {name:?} has {limit} keys, and no user has more; revoke one first: \
             kvs users key {name} --revoke ID"
        )),
        IdentityError::TooMany { limit, what, .. } => {
            Failure::new(format_args!("there are {limit} {what}, and no more can be"))
        }
        IdentityError::Name { ref place } => {
            let said = error.to_string();
            let rule = said.strip_prefix(place).map_or(&*said, |rule| rule.trim_start_matches(": "));
            Failure::new(format_args!("{name:?} is no name: {rule}"))
        }
        error => error.into(),
    }
}

fn key_lines(pair: &KeyPair) -> String {
    format!(
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
        pair.access_key_id,
        pair.secret_access_key.reveal()
    )
}

fn document<'a>(identities: &'a Identities, name: &str, policy: &str) -> Result<&'a Policy, Failure> {
    let named = user(identities, name)?.policies().iter().find(|named| *named.name == *policy);
    let none = || Failure::new(format_args!("the user {name:?} has no policy {policy:?}"));
    named.map(|named| &named.document).ok_or_else(none)
}

fn show(identities: &Identities, name: &str, policy: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{}", document(identities, name, policy)?.source())?)
}

/// A policy document of a file, or of standard input.
fn read_policy(path: &Path) -> Result<Policy, Failure> {
    Policy::parse(&read_text(path)?).doing(path.display())
}

/// The text of a file, or of standard input (`-`).
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_string(&mut text),
        false => File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.doing(format_args!("cannot read {}", path.display()))?;
    Ok(text)
}

fn list(identities: &Identities, json: bool) -> Result<(), Failure> {
    let users = std::iter::once(identities.root()).chain(identities.users()).map(|user| {
        let keys: Vec<_> = user.keys().iter().map(|pair| &*pair.access_key_id).collect();
        let policies: Vec<_> = user.policies().iter().map(|policy| &*policy.name).collect();
        (user.name(), keys, policies)
    });
    let mut out = std::io::stdout().lock();
    if json {
        let users: Vec<_> = users
            .map(|(name, keys, policies)| json!({ "Name": name, "AccessKeyIds": keys, "Policies": policies }))
            .collect();
        return Ok(writeln!(out, "{}", json!({ "Users": users }))?);
    }
    let mut table = Table::new(["USER", "KEYS", "POLICIES"]);
    for (name, keys, policies) in users {
        table.row([name.into(), keys.join(" "), policies.join(" ")]);
    }
    Ok(out.write_all(table.to_string().as_bytes())?)
}
