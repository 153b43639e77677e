//! `kvs env`: what points every client of a shell at the service.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvs_service::auth::{Identities, User, file};
use kvs_service::control::Account;

use crate::failure::{Failure, While as _};
use crate::running::Running;
use crate::settings::{DATA, URL};
use crate::shell::{Shell, Variable};

/// Point this shell at the service: eval "$(kvs env)"
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval \"$(kvs env)\"                         sh, bash, zsh
  kvs env --shell fish | source             fish
  eval \"$(kvs env --user camera)\"           as another user")]
pub(crate) struct Env {
    /// The data folder of the service
    #[arg(long, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
    /// Whose keys
    #[arg(long, value_name = "NAME", default_value = "root")]
    user: String,
    /// For which shell [default: that of $SHELL]
    #[arg(long, value_enum)]
    shell: Option<Shell>,
}

/// The identities of a data folder, which may be in use.
pub(crate) fn identities(data: &Path) -> Result<Identities, Failure> {
    let path = data.join("identities.json");
    if !path.try_exists().doing(format_args!("cannot look for {}", path.display()))? {
        let data = data.display();
        return Err(Failure::new(format_args!(
            "no service has run on {data} yet: start kvs serve --data {data}"
        )));
    }
    Ok(file::load(&path)?)
}

/// A user by name, root included.
pub(crate) fn user<'a>(identities: &'a Identities, name: &str) -> Result<&'a Arc<User>, Failure> {
    std::iter::once(identities.root())
        .chain(identities.users())
        .find(|user| user.name() == name)
        .ok_or_else(|| Failure::new(format_args!("there is no user {name:?}")))
}

/// The shell that was asked for, or the one that this runs in.
pub(crate) fn shell(asked: Option<Shell>) -> Shell {
    asked.unwrap_or_else(|| Shell::of(std::env::var("SHELL").ok().as_deref()))
}

/// Where clients go: the service that runs, or where it is when nobody says otherwise.
#[derive(Debug)]
pub(crate) struct Place {
    url: String,
    region: String,
    ca: Option<String>,
}

impl Place {
    pub(crate) fn of(data: &Path) -> Result<Self, Failure> {
        Ok(match Running::find(data)? {
            Some(Running { url, region, ca, .. }) => {
                let ca = ca.map(|ca| ca.into_os_string().into_string());
                let ca = ca.transpose().map_err(|ca| Failure::new(format_args!("no text: {ca:?}")))?;
                Self { url, region, ca }
            }
            None => {
                let mut errors = std::io::stderr().lock();
                writeln!(
                    errors,
                    "# no service runs on {} now: this is where it is by default",
                    data.display()
                )?;
                Self { url: URL.into(), region: Account::default().region, ca: None }
            }
        })
    }

    /// Where a container gets temporary credentials, which last so many seconds.
    pub(crate) fn credentials_url(&self, seconds: u64) -> String {
        format!("{}/credentials?for={seconds}", self.url)
    }

    /// With the names that AWS's own clients know. What would win over it, for some of them, goes.
    pub(crate) fn variables<'a>(&'a self, proof: Proof<'a>) -> Vec<Variable<'a>> {
        use Variable::{Set, Unset};
        let mut variables = vec![
            Set("AWS_ENDPOINT_URL", &self.url),
            Set("AWS_REGION", &self.region),
            Set("AWS_DEFAULT_REGION", &self.region),
        ];
        // The CA of another service is the only one that clients would trust.
        variables.push(self.ca.as_deref().map_or(Unset("AWS_CA_BUNDLE"), |ca| Set("AWS_CA_BUNDLE", ca)));
        match proof {
            Proof::Key { id, secret, token } => variables.extend([
                Set("AWS_ACCESS_KEY_ID", id),
                Set("AWS_SECRET_ACCESS_KEY", secret),
                token.map_or(Unset("AWS_SESSION_TOKEN"), |token| Set("AWS_SESSION_TOKEN", token)),
            ]),
            Proof::Container { url, token } => variables.extend([
                Set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url),
                Set("AWS_CONTAINER_AUTHORIZATION_TOKEN", token),
                Unset("AWS_ACCESS_KEY_ID"),
                Unset("AWS_SECRET_ACCESS_KEY"),
                Unset("AWS_SESSION_TOKEN"),
            ]),
        }
        variables.push(Unset("AWS_PROFILE"));
        variables
    }
}

/// What a client has to show. No `Debug`: it holds secrets.
#[derive(Clone, Copy)]
pub(crate) enum Proof<'a> {
    /// A key, and the token of a temporary one.
    Key { id: &'a str, secret: &'a str, token: Option<&'a str> },
    /// A token for which temporary keys are given at a URL.
    Container { url: &'a str, token: &'a str },
}

impl Env {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let identities = identities(&self.data)?;
        let user = user(&identities, &self.user)?;
        let pair = user.keys().last();
        let pair = pair.ok_or_else(|| Failure::new(format_args!("the user {:?} has no key", self.user)))?;
        let place = Place::of(&self.data)?;
        let (id, secret) = (&*pair.access_key_id, pair.secret_access_key.reveal());
        let variables = place.variables(Proof::Key { id, secret, token: None });
        let script = shell(self.shell).script(&variables);
        Ok(std::io::stdout().lock().write_all(script.as_bytes())?)
    }
}
