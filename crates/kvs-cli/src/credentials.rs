//! `kvs credentials`: temporary ones, made without asking the service.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kvs_service::auth::{Authenticator, Regions};
use kvs_service::random::SystemRandom;
use serde_json::json;
use zeroize::Zeroizing;

use crate::amount;
use crate::env::{Place, Proof, identities, shell, user};
use crate::failure::Failure;
use crate::keys;
use crate::moment::now;
use crate::settings::{DATA, Keys};
use crate::shell::Shell;
use crate::users::read_text;

/// Make temporary credentials, which end by themselves
#[derive(Debug, clap::Args)]
#[command(after_help = "\
They are made from the data folder; the service may run or not, and knows them in any case.

Examples:
  eval \"$(kvs credentials --for 15min --user camera)\"
  kvs credentials --for 60s --format container

In ~/.aws/config, for clients that refresh by themselves:
  [profile local]
  credential_process = kvs credentials --data /var/lib/kvs --for 15min --format process")]
pub(crate) struct Credentials {
    /// The data folder of the service
    #[arg(long, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
    /// How long they last: 15s to 36h
    #[arg(long = "for", value_name = "SPAN", value_parser = amount::span, default_value = "1h")]
    lifetime: Duration,
    /// Who they are
    #[arg(long, value_name = "NAME", default_value = "root")]
    user: String,
    /// Of what the user may do, they may do what the IAM policy document in this file allows; - is standard input
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Env)]
    format: Format,
    /// For which shell, with --format env and container-env [default: that of $SHELL]
    #[arg(long, value_enum)]
    shell: Option<Shell>,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// What a shell evaluates, with the service's address
    Env,
    /// As GetSessionToken answers
    Json,
    /// As a credential_process prints
    Process,
    /// As a container's credentials endpoint answers
    Container,
    /// What a shell evaluates, so that clients ask the service for such credentials and refresh them
    ContainerEnv,
}

impl Credentials {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let policy = self.policy.as_deref().map(read_text).transpose()?;
        let sessions = keys::sessions(&self.keys, &self.data)?;
        let identities = identities(&self.data)?;
        let user = Arc::clone(user(&identities, &self.user)?);
        // Nothing that it hands out says an account.
        let issuer = Authenticator::new("", Regions::Any, &sessions, identities)?;
        let made = issuer.issue(&user, self.lifetime, policy.as_deref(), now(), &SystemRandom)?;
        let (id, secret) = (&*made.access_key_id, made.secret_access_key.reveal());
        let token = made.session_token.reveal();
        let text = match self.format {
            Format::Env => {
                let place = Place::of(&self.data)?;
                shell(self.shell).script(&place.variables(Proof::Key { id, secret, token: Some(token) }))
            }
            Format::ContainerEnv => {
                if policy.is_some() {
                    return Err(Failure::new(
                        "credentials of a container are the user's: --policy is for others",
                    ));
                }
                let (place, token) = (Place::of(&self.data)?, issuer.container_token(&user));
                let url = place.credentials_url(self.lifetime.as_secs());
                shell(self.shell)
                    .script(&place.variables(Proof::Container { url: &url, token: token.reveal() }))
            }
            Format::Json => Zeroizing::new(format!(
                "{}\n",
                json!({ "Credentials": {
                    "AccessKeyId": id,
                    "SecretAccessKey": secret,
                    "SessionToken": token,
                    "Expiration": made.expiration.extended(),
                } })
            )),
            Format::Process => Zeroizing::new(format!("{}\n", *made.process_json())),
            Format::Container => Zeroizing::new(format!("{}\n", *made.container_json())),
        };
        Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
    }
}
