//! The canonical form of a request: the one spelling of it that is signed.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::digest;

use super::refusal::Refusal;
use super::request::Request;
use crate::text::hex_value;

/// The query parameter that holds the signature, and is therefore not signed.
pub(super) const SIGNATURE: &str = "X-Amz-Signature";
/// The query parameter that holds the session token; some clients add it after signing.
pub(super) const SECURITY_TOKEN: &str = "X-Amz-Security-Token";
/// The longest list of signed headers.
const MAX_SIGNED_HEADERS: usize = 64;

/// How a client spells path and query when it signs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// As the signing specification has it: dot segments removed and the path encoded once more, the query decoded
    /// (a plus is a space) and encoded again.
    Specified,
    /// As they stand on the wire: curl, and botocore for a query that is part of the URL.
    Sent,
}

/// The canonical requests that clients may have meant with one request, all but their payload hash.
///
/// Clients differ in how they spell path and query, whether the port belongs to the host, and whether a session
/// token in the query is signed. Each request has few spellings that differ at all, mostly one.
pub(super) fn candidates(
    request: &Request<'_>,
    signed_headers: &str,
    presigned: bool,
) -> Result<Vec<digest::Context>, Refusal> {
    let mut targets = Vec::with_capacity(1);
    for spelling in [Spelling::Specified, Spelling::Sent] {
        for token_signed in [true, false] {
            let skipped =
                |name: &str| presigned && (name == SIGNATURE || (!token_signed && name == SECURITY_TOKEN));
            let target = target(request, spelling, skipped);
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    let names = signed_header_names(request, signed_headers)?;
    let mut contexts = Vec::with_capacity(targets.len());
    for target in &targets {
        for host in hosts(request) {
            contexts.push(prefix(request, target, &names, signed_headers, host));
        }
    }
    Ok(contexts)
}

/// `METHOD\npath\nquery\nheaders\n\nnames\n`.
fn prefix(
    request: &Request<'_>,
    target: &str,
    names: &[&str],
    signed_headers: &str,
    host: &[u8],
) -> digest::Context {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(request.method.as_bytes());
    context.update(b"\n");
    context.update(target.as_bytes());
    context.update(b"\n");
    for name in names {
        context.update(name.as_bytes());
        context.update(b":");
        if *name == "host" {
            update_folded(&mut context, host);
        } else {
            for (index, value) in request.values(name).enumerate() {
                context.update(if index == 0 { b"" } else { b"," });
                update_folded(&mut context, value);
            }
        }
        context.update(b"\n");
    }
    context.update(b"\n");
    context.update(signed_headers.as_bytes());
    context.update(b"\n");
    context
}

/// The header names of a list `host;x-amz-date`, each of which the request has.
fn signed_header_names<'a>(request: &Request<'_>, list: &'a str) -> Result<Vec<&'a str>, Refusal> {
    let mut names = Vec::with_capacity(8);
    for name in list.split(';') {
        let well_formed = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
        if !well_formed || names.len() >= MAX_SIGNED_HEADERS {
            return Err(Refusal::Malformed { part: "SignedHeaders" });
        }
        if names.contains(&name) {
            return Err(Refusal::Repeated { part: "SignedHeaders" });
        }
        if request.values(name).next().is_none() {
            return Err(Refusal::SignedHeaderAbsent);
        }
        names.push(name);
    }
    Ok(names)
}

/// The host as it was sent and, when that has a port, without it: the C SDK signs the bare host (kvs-api 0.5).
fn hosts<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let sent = request.values("host").next().unwrap_or_default();
    let colon = sent.iter().rposition(|byte| *byte == b':');
    // A colon inside of `[::1]` has no digits alone behind it.
    let bare = colon.and_then(|at| sent.split_at_checked(at)).filter(|(name, port)| {
        !name.is_empty() && port.len() > 1 && port.iter().skip(1).all(u8::is_ascii_digit)
    });
    std::iter::once(sent).chain(bare.map(|(name, _)| name))
}

/// A header's value without white space around it, and with one space for each run of it.
fn update_folded(context: &mut digest::Context, value: &[u8]) {
    let words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        context.update(if index == 0 { b"" } else { b" " });
        context.update(word);
    }
}

/// `path\nquery`.
fn target(request: &Request<'_>, spelling: Spelling, skipped: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(request.path.len() + request.query.len() + 1);
    match spelling {
        Spelling::Specified => write_path(request.path, &mut out),
        Spelling::Sent if request.path.is_empty() => out.push('/'),
        Spelling::Sent => out.push_str(request.path),
    }
    out.push('\n');
    let mut parameters: Vec<(Cow<'_, str>, Cow<'_, str>)> = parameters(request.query)
        .filter(|(name, _)| !skipped(name))
        .map(|(name, value)| match spelling {
            Spelling::Specified => (recoded(name), recoded(value)),
            Spelling::Sent => (Cow::Borrowed(name), Cow::Borrowed(value)),
        })
        .collect();
    // By name, and then by value; the lines themselves would sort `a=` behind `a-b=`.
    parameters.sort_unstable();
    for (index, (name, value)) in parameters.iter().enumerate() {
        let separator = if index == 0 { "" } else { "&" };
        for part in [separator, name, "=", value] {
            out.push_str(part);
        }
    }
    out
}

/// The parameters of a query string, as they were sent.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
}

/// The path without dot segments and empty ones, percent-encoded.
fn write_path(path: &str, out: &mut String) {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push('/');
        segment.bytes().for_each(|byte| push_encoded(byte, out));
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push('/');
    }
}

/// A part of a query in the one encoding of RFC 3986.
fn recoded(part: &str) -> Cow<'_, str> {
    if part.bytes().all(is_unreserved) {
        return Cow::Borrowed(part);
    }
    let mut out = String::with_capacity(part.len() + 16);
    decoded_bytes(part).for_each(|byte| push_encoded(byte, &mut out));
    Cow::Owned(out)
}

/// A part of a query as text; `None` when it is none.
pub(super) fn decoded(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains(['%', '+']) {
        return Some(Cow::Borrowed(part));
    }
    String::from_utf8(decoded_bytes(part).collect()).ok().map(Cow::Owned)
}

/// The bytes that a part of a query stands for. A `%` without two digits behind it stands for itself.
fn decoded_bytes(part: &str) -> impl Iterator<Item = u8> {
    let mut rest = part.as_bytes();
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        rest = tail;
        match (first, tail) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => match (hex_value(*high), hex_value(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    Some(high << 4 | low)
                }
                _ => Some(b'%'),
            },
            _ => Some(*first),
        }
    })
}

fn push_encoded(byte: u8, out: &mut String) {
    if is_unreserved(byte) {
        out.push(char::from(byte));
    } else {
        // A string takes every write.
        let _ = write!(out, "%{byte:02X}");
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(path: &'a str, query: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> Request<'a> {
        Request { method: "POST", path, query, headers }
    }

    #[test]
    fn paths_are_spelled_as_specified() {
        for (path, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/putMedia", "/putMedia"),
            ("//putMedia", "/putMedia"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a"),
            ("/a/b/../", "/a/"),
            ("/../../a", "/a"),
            ("/a%20b", "/a%2520b"),
            ("/é~", "/%C3%A9~"),
        ] {
            let mut out = String::new();
            write_path(path, &mut out);
            assert_eq!(out, canonical, "{path}");
        }
    }

    #[test]
    fn queries_are_sorted_by_name_then_value_in_one_encoding() {
        for (query, specified, sent) in [
            ("", "", ""),
            ("b=1&a=2", "a=2&b=1", "a=2&b=1"),
            ("a-b=1&a=2", "a=2&a-b=1", "a=2&a-b=1"),
            ("a=2&a=10&a", "a=&a=10&a=2", "a=&a=10&a=2"),
            ("k=a+b%2bc", "k=a%20b%2Bc", "k=a+b%2bc"),
            ("k=100%&j=%zz%", "j=%25zz%25&k=100%25", "j=%zz%&k=100%"),
            ("k=é&x==", "k=%C3%A9&x=%3D", "k=é&x=="),
            ("&&a=1&", "a=1", "a=1"),
        ] {
            let spelled = |spelling| target(&request("/", query, &[]), spelling, |_| false);
            assert_eq!(spelled(Spelling::Specified), format!("/\n{specified}"), "{query}");
            assert_eq!(spelled(Spelling::Sent), format!("/\n{sent}"), "{query}");
        }
    }

    #[test]
    fn only_a_port_is_cut_from_a_host() {
        for (sent, forms) in [
            ("localhost", vec!["localhost"]),
            ("localhost:4580", vec!["localhost:4580", "localhost"]),
            ("[::1]:4580", vec!["[::1]:4580", "[::1]"]),
            ("[::1]", vec!["[::1]"]),
            ("localhost:", vec!["localhost:"]),
            (":80", vec![":80"]),
        ] {
            let headers = [("Host", sent.as_bytes())];
            let request = request("/", "", &headers);
            let found: Vec<&str> = hosts(&request).map(|host| std::str::from_utf8(host).unwrap()).collect();
            assert_eq!(found, forms);
        }
    }

    #[test]
    fn a_plain_request_has_one_candidate() {
        let headers: [(&str, &[u8]); 1] = [("host", b"localhost")];
        let found = candidates(&request("/putMedia", "", &headers), "host", false).unwrap();
        assert_eq!(found.len(), 1);
        let worst = format!("{SECURITY_TOKEN}=%2b&{SIGNATURE}=x");
        let headers: [(&str, &[u8]); 1] = [("host", b"localhost:80")];
        let found = candidates(&request("/a%20b", &worst, &headers), "host", true).unwrap();
        assert_eq!(found.len(), 8);
    }
}
