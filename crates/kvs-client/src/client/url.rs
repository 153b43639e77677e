//! Where a service is.

use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use hyper::http::uri::Scheme;
use rustls_pki_types::ServerName;

use super::error::SettingsError;

/// Where a service is: a URL of `http` or `https`, with nothing in it that only some requests have. A clone is the
/// same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceUrl(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// As the header `Host` has it: with the port, unless it is the scheme's own.
    authority: String,
    /// A path that all paths of the service are below, without a slash at its end.
    prefix: String,
}

impl ServiceUrl {
    /// Reads one that `what` names.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(what: &'static str, url: &str) -> Result<Self, SettingsError> {
        // Not repeated: there may be a password in it.
        let wrong = |reason| SettingsError::Url { what, reason };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong("it is no URL of http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a user in it is not taken"));
        }
        if uri.query().is_some() {
            return Err(wrong("a query in it is not taken"));
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if ServerName::try_from(bare).is_err() {
            return Err(wrong("its host is no name and no address"));
        }
        let own = if tls { 443 } else { 80 };
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(host) => own,
            None => return Err(wrong("its port is no number of a port")),
        };
        let authority = if port == own { host.to_owned() } else { format!("{host}:{port}") };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Parts { tls, host: bare.to_owned(), port, authority, prefix })))
    }

    /// Whether by TLS.
    pub fn is_tls(&self) -> bool {
        self.0.tls
    }

    /// The host, as a resolver takes it.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The value of the header `Host`.
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// The path to send for one of the service's.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.0.prefix)
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.0.authority, self.0.prefix)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_has_the_port_unless_it_is_the_scheme_s_own() {
        for (url, shown, host, port) in [
            (
                "https://s-01b343f5.kinesisvideo.us-west-2.amazonaws.com",
                "s-01b343f5.kinesisvideo.us-west-2.amazonaws.com",
                "s-01b343f5.kinesisvideo.us-west-2.amazonaws.com",
                443,
            ),
            ("https://localhost:443/", "localhost", "localhost", 443),
            ("http://localhost:4580/", "localhost:4580", "localhost", 4580),
            ("http://[::1]:4580", "[::1]:4580", "::1", 4580),
            ("HTTP://[::1]", "[::1]", "::1", 80),
        ] {
            let read = ServiceUrl::parse("endpoint", url).unwrap();
            assert_eq!((read.authority(), read.host(), read.port()), (shown, host, port), "{url}");
            assert_eq!(read.path("/putMedia"), "/putMedia", "{url}");
        }
        let below = ServiceUrl::parse("endpoint", "https://gateway/video/").unwrap();
        assert_eq!(
            (below.path("/putMedia"), below.to_string()),
            ("/video/putMedia".into(), "https://gateway/video".into())
        );
    }

    #[test]
    fn what_is_no_url_of_a_service_is_refused_without_being_repeated() {
        for url in [
            "",
            "localhost",
            "localhost:4580",
            "ftp://h",
            "https://",
            "https://u:sEcReT@h",
            "https://h/?sEcReT",
            "https://h:99999",
            "https://h:",
            "https://a b",
            "https://-/",
            "/p",
        ] {
            let error =
                ServiceUrl::parse("endpoint", url).map(|read| panic!("{url:?} is {read}")).unwrap_err();
            assert!(error.to_string().starts_with("endpoint: ") && !error.to_string().contains("sEcReT"));
        }
    }
}
