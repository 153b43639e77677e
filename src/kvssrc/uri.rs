//! `kvs://STREAM?from=…&to=…&region=…`: a stream as an address.
//!
//! Pure: what a parameter means is the property's own business.

use kvs_wire::{StreamName, StreamNameError};

/// A stream, and the properties that its address sets, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The stream.
    pub(crate) stream: StreamName,
    /// Names of properties, and what they are set to.
    pub(crate) properties: Vec<(&'static str, String)>,
}

/// Why an address leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    /// Another scheme.
    #[error("it does not begin with kvs://")]
    Scheme,
    /// A user, and perhaps a password.
    #[error("credentials do not belong into a URI: they show up in logs and lists of processes")]
    Credentials,
    /// No stream can be called so.
    #[error("kvs://STREAM: {0}")]
    Stream(#[from] StreamNameError),
    /// Something between the stream and the parameters, or behind them.
    #[error("a URI of a stream has no {0}")]
    Part(&'static str),
    /// A percent sign that no two hexadecimal digits follow, or bytes that are no UTF-8.
    #[error("{0} is not encoded as it should be")]
    Encoding(String),
    /// Not what can be set.
    #[error(
        "there is no parameter {0}: there are from, to, region, endpoint, and other properties of kvssrc"
    )]
    Unknown(String),
    /// A parameter without a value.
    #[error("{0} has no value")]
    Empty(String),
    /// A parameter that is there twice.
    #[error("{0} is there twice")]
    Twice(String),
}

/// Parameters, and the properties that they set.
const PARAMETERS: [(&str, &str); 21] = [
    ("region", "aws-region"),
    ("aws-region", "aws-region"),
    ("endpoint", "endpoint"),
    ("from", "from"),
    ("to", "to"),
    ("start-selector", "start-selector"),
    ("start-timestamp", "start-timestamp"),
    ("after-fragment", "after-fragment"),
    ("continuation-token", "continuation-token"),
    ("timeline", "timeline"),
    ("gap-policy", "gap-policy"),
    ("prefetch-bytes", "prefetch-bytes"),
    ("latency", "latency"),
    ("no-data-timeout", "no-data-timeout"),
    ("profile", "profile"),
    ("assume-role-arn", "assume-role-arn"),
    ("ca-file", "ca-file"),
    ("use-fips", "use-fips"),
    ("use-dual-stack", "use-dual-stack"),
    ("connection-timeout", "connection-timeout"),
    ("completion-timeout", "completion-timeout"),
];

/// What nobody should write where others read.
const SECRETS: [&str; 4] = ["access-key", "secret-key", "session-token", "credential-path"];

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When it leads nowhere. No value is repeated: it may be a secret in the wrong place.
    pub(crate) fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("kvs") {
            return Err(UriError::Scheme);
        }
        if rest.contains('#') {
            return Err(UriError::Part("fragment (#)"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        if host.contains('@') {
            return Err(UriError::Credentials);
        }
        if !path.is_empty() {
            return Err(UriError::Part("path"));
        }
        if host.contains(':') {
            return Err(UriError::Part("port"));
        }
        let stream = decoded(host, "the name of the stream")?.parse()?;
        let mut properties: Vec<(&'static str, String)> = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = decoded(name, "a name")?.to_ascii_lowercase();
            if SECRETS.contains(&name.as_str()) || name.starts_with("iot-") || name.starts_with("x-amz-") {
                return Err(UriError::Credentials);
            }
            let known = PARAMETERS.iter().find(|(known, _)| *known == name);
            let Some((_, property)) = known else {
                return Err(UriError::Unknown(name.chars().take(64).collect()));
            };
            let value = decoded(value, property)?;
            if value.is_empty() {
                return Err(UriError::Empty(name));
            }
            if properties.iter().any(|(set, _)| set == property) {
                return Err(UriError::Twice(name));
            }
            properties.push((property, value));
        }
        Ok(Self { stream, properties })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kvs://{}", self.stream.as_str())?;
        for (place, (property, value)) in self.properties.iter().enumerate() {
            let name = PARAMETERS.iter().find(|(_, of)| of == property).map_or(*property, |(name, _)| name);
            write!(f, "{}{name}=", if place == 0 { '?' } else { '&' })?;
            for byte in value.bytes() {
                // RFC 3986, 2.3 and what 3.4 allows in a query and no form reads otherwise.
                if byte.is_ascii_alphanumeric() || b"-._~:/,@".contains(&byte) {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a property may stand in an address.
pub(crate) fn is_parameter(property: &str) -> bool {
    PARAMETERS.iter().any(|(_, of)| *of == property)
}

/// RFC 3986, 2.1. A plus is a plus: times have them.
fn decoded(text: &str, what: &str) -> Result<String, UriError> {
    let error = || UriError::Encoding(what.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = after.split_first_chunk::<2>().ok_or_else(error)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let [high, low] = digits.map(digit);
        bytes.push(high.ok_or_else(error)? << 4 | low.ok_or_else(error)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[rustfmt::skip]
    fn an_address_is_a_stream_and_properties() {
        type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
        let rows: [Row; 9] = [
            ("kvs://front-door", "front-door", &[]),
            ("KVS://Front_Door.1", "Front_Door.1", &[]),
            ("kvs://door/", "door", &[]),
            ("kvs://door?", "door", &[]),
            ("kvs://door/?from=-10min", "door", &[("from", "-10min")]),
            ("kvs://door?from=2026-11-20T03:23:51Z&to=2026-11-20T04:23:51+01:00", "door", &[("from", "2026-11-20T03:23:51Z"), ("to", "2026-11-20T04:23:51+01:00")]),
            ("kvs://door?region=eu-west-1&endpoint=http%3A%2F%2F127.0.0.1%3a4580", "door", &[("aws-region", "eu-west-1"), ("endpoint", "http://127.0.0.1:4580")]),
            ("kvs://door?&start-selector=earliest&&latency=0", "door", &[("start-selector", "earliest"), ("latency", "0")]),
            ("kvs://door?profile=caf%C3%A9%20%26", "door", &[("profile", "café &")]),
        ];
        for (text, stream, properties) in rows {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let found: Vec<_> = address.properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!((address.stream.as_str(), &found[..]), (stream, properties), "{text}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_leads_nowhere_is_refused_and_no_secret_repeated() {
        let credentials = "credentials do not belong into a URI: they show up in logs and lists of processes";
        let rows = [
            ("", "it does not begin with kvs://"),
            ("kvs:door", "it does not begin with kvs://"),
            ("http://door", "it does not begin with kvs://"),
            ("kvs://", "kvs://STREAM: a stream name without characters"),
            ("kvs://?from=now", "kvs://STREAM: a stream name without characters"),
            ("kvs://no%20spaces", "kvs://STREAM: a stream name with ' ' at byte 2; letters, digits, '_', '.' and '-' are allowed"),
            ("kvs://me:hush@door", credentials),
            ("kvs://AKIA@door", credentials),
            ("kvs://door?secret-key=hush", credentials),
            ("kvs://door?Access-Key=hush", credentials),
            ("kvs://door?session%2Dtoken=hush", credentials),
            ("kvs://door?X-Amz-Security-Token=hush", credentials),
            ("kvs://door?iot-key-path=hush", credentials),
            ("kvs://door:4580", "a URI of a stream has no port"),
            ("kvs://door/yard", "a URI of a stream has no path"),
            ("kvs://door#1", "a URI of a stream has no fragment (#)"),
            ("kvs://door?form=now", "there is no parameter form: there are from, to, region, endpoint, and other properties of kvssrc"),
            ("kvs://door?from", "from has no value"),
            ("kvs://door?from=", "from has no value"),
            ("kvs://door?region=a&aws-region=b", "aws-region is there twice"),
            ("kvs://door?from=%2", "from is not encoded as it should be"),
            ("kvs://door?from=%zz", "from is not encoded as it should be"),
            ("kvs://door?from=%ff", "from is not encoded as it should be"),
        ];
        for (text, said) in rows {
            let error = Address::parse(text).expect_err(text).to_string();
            assert_eq!(error, said, "{text}");
            assert!(!error.contains("hush"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_reads_as_it_prints(stream in "[a-zA-Z0-9_.-]{1,20}", from in "\\PC{1,20}", endpoint in any::<String>()) {
            let mut properties = vec![("from", from)];
            if !endpoint.is_empty() {
                properties.push(("endpoint", endpoint));
            }
            let address = Address { stream: stream.parse().unwrap(), properties };
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }

        #[test]
        fn any_text_is_an_address_or_refused(text in "(kvs://)?[a-z%0-9?&=@:/#-]{0,40}|.{0,40}") {
            let _ = Address::parse(&text);
        }
    }
}
