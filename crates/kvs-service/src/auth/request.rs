//! What authentication sees of an HTTP request.

use super::refusal::Refusal;

/// As many headers as a request may have.
pub const MAX_HEADERS: usize = 128;
/// As many bytes as the path and the query string may have together.
pub const MAX_TARGET_BYTES: usize = 16 * 1024;
/// As many bytes as the values of all headers may have together.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The head of a request, exactly as it was sent: signatures are made over these bytes.
///
/// It has no `Debug`: its headers hold session tokens.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, such as `POST`.
    pub method: &'a str,
    /// The path, still percent-encoded.
    pub path: &'a str,
    /// What follows the first `?`, still percent-encoded; empty when there is none.
    pub query: &'a str,
    /// Names, in any case, and values in the order they came.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Request<'a> {
    /// Whether the parts are within the limits that keep verification cheap.
    pub(super) fn check_size(&self) -> Result<(), Refusal> {
        if self.headers.len() > MAX_HEADERS {
            return Err(Refusal::TooLarge { what: "number of headers", limit: MAX_HEADERS });
        }
        if self.path.len().saturating_add(self.query.len()) > MAX_TARGET_BYTES {
            return Err(Refusal::TooLarge { what: "length of the request target", limit: MAX_TARGET_BYTES });
        }
        let bytes = self.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        if bytes.fold(0, usize::saturating_add) > MAX_HEADER_BYTES {
            return Err(Refusal::TooLarge { what: "length of the headers", limit: MAX_HEADER_BYTES });
        }
        Ok(())
    }

    /// The values of a header, in order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The one value of a header that decides; of two, each end could take another.
    pub(super) fn single(&self, name: &'static str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.values(name);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refusal::Repeated { part: name });
        }
        let text = std::str::from_utf8(value).map_err(|_| Refusal::Malformed { part: name })?;
        Ok(Some(text.trim_matches([' ', '\t'])))
    }
}
