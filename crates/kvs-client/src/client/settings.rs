//! How to reach a service, and as whom.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// How to reach a service, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientSettings {
    /// The region. Without one: environment, profile, instance metadata, and last `us-west-2`.
    pub region: Option<String>,
    /// The URL of the control plane. Without one: environment, and last the service of AWS.
    pub endpoint: Option<String>,
    /// Where credentials come from.
    pub credentials: CredentialsFrom,
    /// A profile of the files of AWS, for credentials and region.
    pub profile: Option<String>,
    /// A role to take on with those credentials.
    pub assume_role: Option<String>,
    /// A file of the only certificates that are trusted. Without one: `AWS_CA_BUNDLE`, then the system's.
    pub ca_file: Option<PathBuf>,
    /// Endpoints that keep FIPS 140.
    pub use_fips: bool,
    /// Endpoints that answer over IPv6 too.
    pub use_dual_stack: bool,
    /// How this client calls itself.
    pub user_agent: Option<String>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a control call may take.
    pub call_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            credentials: CredentialsFrom::Chain,
            profile: None,
            assume_role: None,
            ca_file: None,
            use_fips: false,
            use_dual_stack: false,
            user_agent: None,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
        }
    }
}

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CredentialsFrom {
    /// AWS's own chain: environment, files, web identity, container, instance.
    Chain,
    /// These.
    Static(StaticKeys),
    /// A file that somebody renews: `CREDENTIALS id secret`, or `CREDENTIALS id expiry secret token`.
    File(PathBuf),
    /// A device's certificate, for which IoT gives the credentials of a role.
    Iot(IotSettings),
}

/// A key pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StaticKeys {
    /// The id of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Secret,
    /// What makes it a temporary one.
    pub session_token: Option<Secret>,
}

/// How a device shows who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IotSettings {
    /// Host of the credentials provider.
    pub endpoint: String,
    /// The device's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub private_key: PathBuf,
    /// Who signed the provider's certificate.
    pub ca: PathBuf,
    /// The alias of the role.
    pub role_alias: String,
    /// The name of the thing.
    pub thing_name: String,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a call may take.
    pub call_timeout: Duration,
}

/// What is never shown, and overwritten when it is no longer needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}
