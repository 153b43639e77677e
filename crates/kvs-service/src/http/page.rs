//! The page to watch on: a few files, in the binary as they are in the repository.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::body::Body;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Scripts, styles and calls of this origin only; pictures and media that they make. No other page shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data: blob:; media-src 'self' blob:; form-action 'none'; base-uri 'none'; \
                      frame-ancestors 'none'";
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

macro_rules! files {
    ($($path:literal $name:literal $kind:ident),* $(,)?) => {
        &[$(($path, $kind, include_bytes!(concat!("../page/", $name)))),*]
    };
}

/// The path, the type and the content of each.
const FILES: &[(&str, &str, &[u8])] = files![
    "/" "index.html" HTML,
    "/page/page.css" "page.css" CSS,
    "/page/icon.svg" "icon.svg" SVG,
    "/page/main.js" "main.js" JAVASCRIPT,
    "/page/sign-in.js" "sign-in.js" JAVASCRIPT,
    "/page/streams.js" "streams.js" JAVASCRIPT,
    "/page/watch.js" "watch.js" JAVASCRIPT,
    "/page/dom.js" "dom.js" JAVASCRIPT,
    "/page/words.js" "words.js" JAVASCRIPT,
    "/page/sha256.js" "sha256.js" JAVASCRIPT,
    "/page/sign.js" "sign.js" JAVASCRIPT,
    "/page/service.js" "service.js" JAVASCRIPT,
    "/page/recorded.js" "recorded.js" JAVASCRIPT,
    "/page/timeline.js" "timeline.js" JAVASCRIPT,
    "/page/pictures.js" "pictures.js" JAVASCRIPT,
    "/page/playlist.js" "playlist.js" JAVASCRIPT,
    "/page/mp4.js" "mp4.js" JAVASCRIPT,
    "/page/feed.js" "feed.js" JAVASCRIPT,
    "/page/player.js" "player.js" JAVASCRIPT,
];

/// A name for the content of all files: modules of two versions never meet.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: Vec<u8> = FILES.iter().flat_map(|(_, _, content)| content.iter().copied()).collect();
    let hash = digest(&SHA256, &all);
    let hash: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
});

/// Answers a request for a file of the page. None where the path is another's.
pub(crate) fn answer(parts: &Parts) -> Option<Response<Body>> {
    let path = parts.uri.path();
    let (_, kind, content) = FILES.iter().find(|(name, _, _)| *name == path)?;
    // A POST is a call of an operation, also of one that is unknown.
    if parts.method == Method::POST {
        return None;
    }
    let mut response = Response::new(Body::Whole(Bytes::from_static(content)));
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        response = Response::new(Body::Whole(Bytes::new()));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let known = parts.headers.get_all(IF_NONE_MATCH).iter();
    if known.filter_map(|value| value.to_str().ok()).any(|value| value.contains(VERSION.as_str())) {
        response = Response::new(Body::Whole(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(PERMISSIONS, HeaderValue::from_static("camera=(), microphone=(), geolocation=()"));
    // Kept, and asked about each time: another version of the service has another page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(version) = HeaderValue::from_str(&VERSION) {
        headers.insert(ETAG, version);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_and_every_import_is_one() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page");
        let mut served: Vec<&str> =
            FILES.iter().map(|(path, _, _)| path.rsplit('/').next().unwrap()).collect();
        served[0] = "index.html";
        served.sort_unstable();
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort_unstable();
        assert_eq!(served, there);
        for (path, _, content) in FILES {
            let text = std::str::from_utf8(content).unwrap();
            for named in
                text.split(['"', '\'']).filter(|word| word.starts_with("./") || word.starts_with("/page/"))
            {
                let name = named.rsplit('/').next().unwrap();
                assert!(there.iter().any(|file| file == name), "{path}: {named}");
            }
        }
    }

    fn asked(method: Method, path: &str, known: Option<&HeaderValue>) -> Option<Response<Body>> {
        let mut request = hyper::Request::builder().method(method).uri(path);
        request.headers_mut().unwrap().extend(known.map(|known| (IF_NONE_MATCH, known.clone())));
        answer(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_file_comes_with_its_type_and_its_rules_and_is_not_sent_twice() {
        use hyper::body::Body as _;
        for (path, kind) in [("/", HTML), ("/page/page.css", CSS), ("/page/main.js", JAVASCRIPT)] {
            let response = asked(Method::GET, path, None).unwrap();
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], kind);
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[REFERRER_POLICY], "no-referrer");
            assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'; "));
            assert_ne!(response.body().size_hint().exact(), Some(0));
            let again = asked(Method::GET, path, Some(&headers[ETAG])).unwrap();
            assert_eq!(
                (again.status(), again.body().size_hint().exact()),
                (StatusCode::NOT_MODIFIED, Some(0))
            );
        }
        let other = asked(Method::GET, "/", Some(&HeaderValue::from_static("\"another\""))).unwrap();
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn only_reading_is_answered_and_calls_are_left_to_the_service() {
        assert_eq!(asked(Method::PUT, "/", None).unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(asked(Method::POST, "/", None).is_none());
        assert!(asked(Method::GET, "/page/", None).is_none());
        assert!(asked(Method::GET, "/page/../Cargo.toml", None).is_none());
    }

    #[test]
    fn no_file_names_another_place() {
        for (path, _, content) in FILES {
            let text = std::str::from_utf8(content).unwrap();
            // The namespaces of SVG are names, and nobody asks there.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{path}");
        }
    }
}
