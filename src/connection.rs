//! Whose service, and as whom: what the elements share, as properties.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kvs_client::ClientSettings;
use kvs_client::client::{
    CredentialsFrom, Environment, IotSettings, Secret, ServiceUrl, SettingsError, StaticKeys, Trust,
};

use crate::property::{Field, Row};

/// Whose service, and as whom, as it was set.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    region: Option<String>,
    endpoint: Option<String>,
    access_key: Option<Secret>,
    secret_key: Option<Secret>,
    session_token: Option<Secret>,
    credential_path: Option<String>,
    profile: Option<String>,
    assume_role: Option<String>,
    ca_file: Option<String>,
    use_fips: bool,
    use_dual_stack: bool,
    user_agent: Option<String>,
    connection_timeout: u32,
    completion_timeout: u32,
    iot_certificate: Option<gst::Structure>,
    iot: FlatIot,
}

/// The parts of `iot-certificate` as properties of their own.
#[derive(Clone, Debug, Default)]
struct FlatIot {
    endpoint: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    ca: Option<String>,
    role_alias: Option<String>,
    thing_name: Option<String>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            access_key: None,
            secret_key: None,
            session_token: None,
            credential_path: None,
            profile: None,
            assume_role: None,
            ca_file: None,
            use_fips: false,
            use_dual_stack: false,
            user_agent: None,
            connection_timeout: 5,
            completion_timeout: 10,
            iot_certificate: None,
            iot: FlatIot::default(),
        }
    }
}

/// Why a [`Connection`] cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// One half of a key pair.
    #[error("`{given}` is set, and `{missing}` is not")]
    HalfAKey {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// A part of the device's identity is missing.
    #[error("the device's certificate needs `{0}`")]
    IotMissing(&'static str),
    /// `iot-certificate` has a field that means nothing.
    #[error(
        "`iot-certificate` has no field `{0}`: it has endpoint, cert-path, key-path, ca-path, role-aliases, iot-thing-name, connection-timeout, completion-timeout"
    )]
    IotUnknown(String),
    /// A field of `iot-certificate` is no text, or not what it should be.
    #[error("`iot-certificate`: {0} must be {1}")]
    IotValue(&'static str, &'static str),
    /// Not where a service can be.
    #[error(transparent)]
    Endpoint(SettingsError),
    /// Nobody can be trusted by it.
    #[error("{named}: {error}")]
    CaFile {
        /// Where it was named.
        named: &'static str,
        /// What is wrong with it.
        error: SettingsError,
    },
}

/// What the environment and the disk say, which only the edge reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings<'a> {
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are there.
    pub(crate) has_keys: bool,
    /// `AWS_SESSION_TOKEN`.
    pub(crate) session_token: Option<&'a str>,
    /// `KVSSINK_CA_CERT_PATH`.
    pub(crate) ca_file: Option<&'a str>,
    /// `AWS_USE_DUALSTACK_ENDPOINT` is `true`.
    pub(crate) dual_stack: bool,
    /// The credential file is there.
    pub(crate) has_credential_file: bool,
}

/// The [`Surroundings`] of this process now.
#[derive(Clone)]
pub(crate) struct Around {
    has_keys: bool,
    session_token: Option<String>,
    ca_file: Option<String>,
    dual_stack: bool,
    has_credential_file: bool,
}

impl Around {
    /// Reads the environment, and looks for the credential file.
    pub(crate) fn of(connection: &Connection) -> Self {
        Self {
            has_keys: variable("AWS_ACCESS_KEY_ID").is_some() && variable("AWS_SECRET_ACCESS_KEY").is_some(),
            session_token: variable("AWS_SESSION_TOKEN"),
            ca_file: variable("KVSSINK_CA_CERT_PATH"),
            dual_stack: variable("AWS_USE_DUALSTACK_ENDPOINT").as_deref() == Some("true"),
            has_credential_file: connection.credential_path().is_file(),
        }
    }

    /// What of it matters.
    pub(crate) fn seen(&self) -> Surroundings<'_> {
        Surroundings {
            has_keys: self.has_keys,
            session_token: self.session_token.as_deref(),
            ca_file: self.ca_file.as_deref(),
            dual_stack: self.dual_stack,
            has_credential_file: self.has_credential_file,
        }
    }
}

/// What the environment says.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

const CREDENTIAL_PATH: &str = ".kvs/credential";
const IOT_FIELDS: [&str; 8] = [
    "endpoint",
    "cert-path",
    "key-path",
    "ca-path",
    "role-aliases",
    "iot-thing-name",
    "connection-timeout",
    "completion-timeout",
];

impl Connection {
    /// Where the incumbent's credential file would be.
    pub(crate) fn credential_path(&self) -> &Path {
        Path::new(self.credential_path.as_deref().unwrap_or(CREDENTIAL_PATH))
    }

    /// What the client is made from.
    ///
    /// # Errors
    /// When what is set does not fit together.
    pub(crate) fn client_settings(
        &self,
        stream: &str,
        around: Surroundings<'_>,
    ) -> Result<ClientSettings, ConnectionError> {
        if let Some(endpoint) = self.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) {
            ServiceUrl::parse("`endpoint`", endpoint).map_err(ConnectionError::Endpoint)?;
        }
        let (connect, call) = if self.completion_timeout < self.connection_timeout {
            // As the incumbent: what cannot be is not taken.
            (5, 10)
        } else {
            (self.connection_timeout, self.completion_timeout)
        };
        Ok(ClientSettings {
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            credentials: self.credentials(stream, around)?,
            profile: self.profile.clone(),
            assume_role: self.assume_role.clone(),
            ca_file: self.ca_file.as_deref().or(around.ca_file).map(PathBuf::from),
            use_fips: self.use_fips,
            use_dual_stack: self.use_dual_stack || around.dual_stack,
            user_agent: self.user_agent.clone(),
            connect_timeout: Duration::from_secs(u64::from(connect)),
            call_timeout: Duration::from_secs(u64::from(call)),
        })
    }

    /// Reads the certificates that these settings name, so that a mistake in them is known before anything starts.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn check_files(&self, settings: &ClientSettings) -> Result<(), ConnectionError> {
        let Some(path) = &settings.ca_file else { return Ok(()) };
        let named = if self.ca_file.is_some() { "`ca-file`" } else { "KVSSINK_CA_CERT_PATH" };
        // The environment names none then.
        let trust = Trust::load(Some(path), &Environment::default());
        trust.map(|_| ()).map_err(|error| ConnectionError::CaFile { named, error })
    }

    /// The order of kvssink-compat A5, then AWS's own chain.
    fn credentials(
        &self,
        stream: &str,
        around: Surroundings<'_>,
    ) -> Result<CredentialsFrom, ConnectionError> {
        if let Some(iot) = self.iot(stream)? {
            return Ok(CredentialsFrom::Iot(iot));
        }
        let half = |given, missing| ConnectionError::HalfAKey { given, missing };
        match (&self.access_key, &self.secret_key) {
            (Some(id), Some(secret)) => {
                // Lines that give the keys of a temporary user leave the token to the environment.
                let temporary = id.expose().starts_with("ASIA");
                let session_token = self
                    .session_token
                    .clone()
                    .or_else(|| around.session_token.filter(|_| temporary).map(Secret::from));
                return Ok(CredentialsFrom::Static(StaticKeys {
                    access_key_id: id.expose().to_owned(),
                    secret_access_key: secret.clone(),
                    session_token,
                }));
            }
            (Some(_), None) => return Err(half("access-key", "secret-key")),
            (None, Some(_)) => return Err(half("secret-key", "access-key")),
            (None, None) => {}
        }
        let elsewhere = around.has_keys || self.profile.is_some();
        let file = !elsewhere && (self.credential_path.is_some() || around.has_credential_file);
        Ok(if file {
            CredentialsFrom::File(self.credential_path().to_owned())
        } else {
            CredentialsFrom::Chain
        })
    }

    fn iot(&self, stream: &str) -> Result<Option<IotSettings>, ConnectionError> {
        let flat = &self.iot;
        let any =
            [&flat.endpoint, &flat.certificate, &flat.key, &flat.ca, &flat.role_alias, &flat.thing_name];
        let structure = self.iot_certificate.as_ref();
        if structure.is_none() && any.iter().all(|part| part.is_none()) {
            return Ok(None);
        }
        if let Some(structure) = structure
            && let Some(unknown) = structure.fields().find(|field| !IOT_FIELDS.contains(&field.as_str()))
        {
            return Err(ConnectionError::IotUnknown(unknown.to_string()));
        }
        let field = |name: &'static str| -> Result<Option<String>, ConnectionError> {
            let Some(value) = structure.and_then(|structure| structure.value(name).ok()) else {
                return Ok(None);
            };
            crate::property::text(value)
                .map(Some)
                .ok_or(ConnectionError::IotValue(name, "a text that is not empty"))
        };
        let part = |own: &Option<String>, name, missing| -> Result<String, ConnectionError> {
            match own.clone() {
                Some(own) => Ok(own),
                None => field(name)?.ok_or(ConnectionError::IotMissing(missing)),
            }
        };
        let span = |name, otherwise| match field(name)? {
            None => Ok(Duration::from_secs(otherwise)),
            Some(text) => text
                .parse()
                .map(Duration::from_secs)
                .map_err(|_| ConnectionError::IotValue(name, "a number of seconds")),
        };
        Ok(Some(IotSettings {
            endpoint: part(&flat.endpoint, "endpoint", "iot-endpoint")?,
            certificate: part(&flat.certificate, "cert-path", "iot-certificate-path")?.into(),
            private_key: part(&flat.key, "key-path", "iot-key-path")?.into(),
            ca: part(&flat.ca, "ca-path", "iot-ca-path")?.into(),
            role_alias: part(&flat.role_alias, "role-aliases", "iot-role-alias")?,
            thing_name: match (&flat.thing_name, field("iot-thing-name")?) {
                (Some(own), _) => own.clone(),
                (None, Some(field)) => field,
                (None, None) => stream.to_owned(),
            },
            connect_timeout: span("connection-timeout", 3)?,
            call_timeout: span("completion-timeout", 5)?,
        }))
    }
}

/// The properties of a connection, for an element whose settings have one.
#[rustfmt::skip]
pub(crate) fn rows<S: Default + AsMut<Connection>>() -> impl Iterator<Item = Row<S>> {
    [
        Row::new("aws-region", "Region",
            "Region of the stream; while it is not set: of the environment, the profile or the instance, and last us-west-2",
            Field::Text(|s: &mut S| &mut s.as_mut().region, Some("us-west-2"))),
        Row::new("endpoint", "Endpoint",
            "URL of the service's control plane, such as http://127.0.0.1:4580; while it is not set: of the environment, else AWS's own",
            Field::Text(|s| &mut s.as_mut().endpoint, None)),
        Row::new("access-key", "Access key",
            "Id of the access key. Can be written and not read; other sources of credentials do not show up in a list of processes",
            Field::Secret(|s| &mut s.as_mut().access_key, Some("access_key"))),
        Row::new("secret-key", "Secret key",
            "Secret of the access key. Can be written and not read; other sources of credentials do not show up in a list of processes",
            Field::Secret(|s| &mut s.as_mut().secret_key, Some("secret_key"))),
        Row::new("session-token", "Session token",
            "What makes the access key a temporary one. Can be written and not read",
            Field::Secret(|s| &mut s.as_mut().session_token, Some("session_token"))),
        Row::new("credential-path", "Credential file",
            "File that somebody renews: CREDENTIALS id secret, or CREDENTIALS id expiry secret token. Read when there are no keys elsewhere",
            Field::Text(|s| &mut s.as_mut().credential_path, Some(CREDENTIAL_PATH))),
        Row::new("profile", "Profile",
            "Profile of AWS's configuration files, for credentials and region",
            Field::Text(|s| &mut s.as_mut().profile, None)),
        Row::new("assume-role-arn", "Role",
            "ARN of a role to take on with the credentials",
            Field::Text(|s| &mut s.as_mut().assume_role, None)),
        Row::new("ca-file", "Certificate authorities",
            "PEM file of the only certificates that are trusted; while it is not set: AWS_CA_BUNDLE, else the system's",
            Field::Text(|s| &mut s.as_mut().ca_file, None)),
        Row::new("use-fips", "FIPS endpoints",
            "Use endpoints that keep FIPS 140",
            Field::Flag(|s| &mut s.as_mut().use_fips)),
        Row::new("use-dual-stack", "Dual-stack endpoints",
            "Use endpoints that answer over IPv6 too",
            Field::Flag(|s| &mut s.as_mut().use_dual_stack)),
        Row::new("user-agent", "User agent",
            "How the element calls itself to the service; while it is not set, by its own name and version",
            Field::Sentinel(|s| &mut s.as_mut().user_agent, "AWS-SDK-KVS-CPP-CLIENT/3.6.0")),
        Row::new("connection-timeout", "Connection timeout",
            "Longest time that a connection may take, in seconds",
            Field::Number(|s| &mut s.as_mut().connection_timeout)),
        Row::new("completion-timeout", "Completion timeout",
            "Longest time that a control call may take, in seconds; below connection-timeout, both are as if not set",
            Field::Number(|s| &mut s.as_mut().completion_timeout)),
        Row::new("iot-certificate", "IoT certificate",
            "Identity of an IoT device: iot-certificate,endpoint=,cert-path=,key-path=,ca-path=,role-aliases=[,iot-thing-name=][,connection-timeout=][,completion-timeout=]",
            Field::Structure(|s| &mut s.as_mut().iot_certificate)),
        Row::new("iot-endpoint", "IoT endpoint",
            "Host of the IoT credentials provider; wins over iot-certificate",
            Field::Text(|s| &mut s.as_mut().iot.endpoint, None)),
        Row::new("iot-certificate-path", "IoT certificate file",
            "PEM file of the device's certificate",
            Field::Text(|s| &mut s.as_mut().iot.certificate, None)),
        Row::new("iot-key-path", "IoT key file",
            "PEM file of the device's private key",
            Field::Text(|s| &mut s.as_mut().iot.key, None)),
        Row::new("iot-ca-path", "IoT certificate authorities",
            "PEM file of who signed the credentials provider's certificate",
            Field::Text(|s| &mut s.as_mut().iot.ca, None)),
        Row::new("iot-role-alias", "IoT role alias",
            "Alias of the role whose credentials the device gets",
            Field::Text(|s| &mut s.as_mut().iot.role_alias, None)),
        Row::new("iot-thing-name", "IoT thing name",
            "Name of the thing; while it is not set, the stream's",
            Field::Text(|s| &mut s.as_mut().iot.thing_name, None)),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Only(Connection);

    impl AsMut<Connection> for Only {
        fn as_mut(&mut self) -> &mut Connection {
            &mut self.0
        }
    }

    fn set(settings: &mut Only, name: &str, value: impl Into<glib::Value>) {
        rows::<Only>().find(|row| row.name == name).unwrap().set(settings, &value.into());
    }

    fn of(properties: &[(&str, &str)], around: Surroundings<'_>) -> Result<ClientSettings, ConnectionError> {
        let mut settings = Only::default();
        for (name, value) in properties {
            set(&mut settings, name, *value);
        }
        settings.0.client_settings("cam", around)
    }

    #[test]
    fn credentials_come_in_the_order_of_the_incumbent() {
        let keys = [("access-key", "AKIA"), ("secret-key", "s")];
        let file = Surroundings { has_credential_file: true, ..Surroundings::default() };
        let both = Surroundings { has_keys: true, ..file };
        let credentials = |properties: &[_], around| of(properties, around).unwrap().credentials;
        assert_eq!(credentials(&[], Surroundings::default()), CredentialsFrom::Chain);
        assert_eq!(credentials(&[], file), CredentialsFrom::File(".kvs/credential".into()));
        assert_eq!(credentials(&[], both), CredentialsFrom::Chain);
        let own = [("credential-path", "/run/kvs")];
        assert_eq!(credentials(&own, Surroundings::default()), CredentialsFrom::File("/run/kvs".into()));
        assert!(matches!(credentials(&keys, both), CredentialsFrom::Static(_)));
        let sentinels =
            [("access-key", "access_key"), ("secret-key", "secret_key"), ("session-token", "session_token")];
        assert_eq!(credentials(&sentinels, Surroundings::default()), CredentialsFrom::Chain);
    }

    #[test]
    fn a_temporary_key_without_its_token_takes_the_one_of_the_environment() {
        let around = Surroundings { session_token: Some("t"), ..Surroundings::default() };
        let token = |id| match of(&[("access-key", id), ("secret-key", "s")], around).unwrap().credentials {
            CredentialsFrom::Static(keys) => keys.session_token,
            _ => panic!(),
        };
        assert_eq!(token("ASIA1"), Some(Secret::from("t")));
        assert_eq!(token("AKIA1"), None);
    }

    #[test]
    fn half_a_key_and_half_a_device_are_refused() {
        let half = of(&[("secret-key", "s")], Surroundings::default()).unwrap_err();
        assert_eq!(half.to_string(), "`secret-key` is set, and `access-key` is not");
        let half = of(&[("iot-endpoint", "e")], Surroundings::default()).unwrap_err();
        assert_eq!(half.to_string(), "the device's certificate needs `iot-certificate-path`");
    }

    #[test]
    fn a_device_is_told_by_the_incumbents_structure_or_by_flat_properties() {
        gst::init().unwrap();
        let text =
            "iot-certificate,endpoint=e,cert-path=c,key-path=k,ca-path=a,role-aliases=r,completion-timeout=7";
        let mut settings = Only::default();
        set(&mut settings, "iot-certificate", text.parse::<gst::Structure>().unwrap());
        set(&mut settings, "iot-role-alias", "other");
        let made = settings.0.client_settings("cam", Surroundings::default()).unwrap();
        let expected = IotSettings {
            endpoint: "e".into(),
            certificate: "c".into(),
            private_key: "k".into(),
            ca: "a".into(),
            role_alias: "other".into(),
            thing_name: "cam".into(),
            connect_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(7),
        };
        assert_eq!(made.credentials, CredentialsFrom::Iot(expected));
        for (wrong, said) in
            [("iot,endpoint=e,cert=c", "no field `cert`"), ("iot,endpoint=e", "needs `iot-certificate-path`")]
        {
            set(&mut settings, "iot-certificate", wrong.parse::<gst::Structure>().unwrap());
            let refused = settings.0.client_settings("cam", Surroundings::default()).unwrap_err();
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused_and_not_repeated() {
        let said = |endpoint| {
            of(&[("endpoint", endpoint)], Surroundings::default())
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert_eq!(said("http://127.0.0.1:4580"), Ok(()));
        assert_eq!(said(""), Ok(()));
        assert_eq!(said("127.0.0.1:4580"), Err("`endpoint`: it is no URL of http:// or https://".to_owned()));
        let secret = said("https://me:hush-hush@kvs").unwrap_err();
        assert!(secret.starts_with("`endpoint`: ") && !secret.contains("hush"), "{secret}");
    }

    #[test]
    fn no_secret_is_shown() {
        let mut settings = Only::default();
        for name in ["access-key", "secret-key", "session-token"] {
            set(&mut settings, name, "hush-hush");
            assert!(rows::<Only>().find(|row| row.name == name).unwrap().get(&mut settings).is_none());
        }
        assert!(!format!("{:?}", settings.0).contains("hush"));
        // The id of a key is not the key; the rest is nobody's business.
        let made = settings.0.client_settings("cam", Surroundings::default()).unwrap();
        let CredentialsFrom::Static(keys) = made.credentials else { panic!() };
        assert_eq!(
            format!("{:?} {:?}", keys.secret_access_key, keys.session_token),
            "<secret> Some(<secret>)"
        );
    }
}
