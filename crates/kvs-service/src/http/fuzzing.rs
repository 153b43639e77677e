//! What the target `service_bodies` of `fuzz/` needs of the inside of the listener. No part of the crate's interface.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use kvs_wire::{Operation, limits};

use super::archive::{Page, asked_media};
use super::body::Body;
use super::call::Target;
use super::get_media::Start;
use super::images;
use super::put_media::opening;
use super::route::Refused;

/// Takes a request of the data plane in, up to where a stream would be asked for. Gives the body of its refusal.
pub fn request(operation: Operation, headers: &[(&str, &[u8])], body: &[u8]) -> Option<Vec<u8>> {
    let _ = Target::of_body(operation, body);
    let taken = match operation {
        Operation::PutMedia => opening(&map(headers), true).map(drop),
        Operation::GetMedia => Start::asked(body).map(drop),
        Operation::ListFragments => Page::asked(body).map(|(page, most)| {
            // A token that is taken is one that is given.
            let again = Page::of_token(&page.token());
            assert!(most > 0 && again.is_none_or(|again| again == page));
        }),
        Operation::GetMediaForFragmentList => asked_media(body).map(drop),
        Operation::GetImages => images::asked(body).map(|(page, most, _)| {
            assert!((1..=limits::IMAGES_RESULTS).contains(&most));
            assert_eq!(images::Page::of_token(&page.token()), Some(page));
        }),
        _ => Ok(()),
    };
    let body = taken.err().map(Refused::into_response)?.into_body();
    match body {
        Body::Whole(bytes) => Some(bytes.to_vec()),
        Body::Stream(_) => None,
    }
}

fn map(headers: &[(&str, &[u8])]) -> HeaderMap {
    let header = |(name, value): &(&str, &[u8])| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    headers.iter().filter_map(header).collect()
}
