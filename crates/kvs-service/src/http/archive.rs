//! The archive: which fragments there are, and the media of those that are named.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use kvs_media::time::Utc;
use kvs_wire::{
    EpochSeconds, ErrorId, Exception, FragmentNumber, FragmentSelector, FragmentSelectorType, Operation,
    headers, limits,
};
use serde::{Deserialize, Serialize};

use super::body::{Body, Broken, Source};
use super::call::{Target, charge};
use super::connection::Connection;
use super::route::{Refused, json, typed};
use crate::faults::ConnectionFaults;
use crate::rates::Pace;
use crate::readers::{Chunk, failure};
use crate::seats::Seat;
use crate::service::Service;
use crate::store::{After, Between, Fragment, FragmentRow, Number, Store, StoreError};
use crate::stream::ActiveStream;
use crate::text::{STANDARD, decode, encode};

/// Bytes that are read at a time, and that a reader has in memory.
const READ: u64 = 512 << 10;

const FRAGMENT_NOT_FOUND: ErrorId = ErrorId(3000);
const INTERNAL_ERROR: ErrorId = ErrorId(5000);

/// Does something with the store that waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    service: &Arc<Service>,
    work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let store = Arc::clone(&service.store);
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    done.unwrap_or_else(|error| {
        Err(StoreError::Disk { what: "read the store", source: std::io::Error::other(error) })
    })
}

/// A stored fragment on its way out, in pieces.
pub(crate) struct Reader {
    fragment: Arc<Fragment>,
    frames: u64,
    position: u64,
}

impl Reader {
    /// Reads what stands in front of the cluster, and the beginning of the cluster with it.
    pub(crate) async fn open(service: &Arc<Service>, row: FragmentRow) -> Result<(Self, Bytes), StoreError> {
        blocking(service, move |store| {
            let fragment = store.fragment(&row)?;
            let end = fragment.payload.min(READ);
            let mut piece = match row.number.to_wire() {
                Some(number) => Vec::from(beginning(&fragment, &number)),
                None => Vec::new(),
            };
            piece.reserve_exact(usize::try_from(end).unwrap_or(0));
            store.payload(&fragment, 0..end, &mut piece)?;
            let frames = u64::try_from(fragment.commit.frames.frames().count()).unwrap_or(u64::MAX);
            Ok((Self { fragment: Arc::new(fragment), frames, position: end }, piece.into()))
        })
        .await
    }

    /// How many frames it has.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn row(&self) -> &FragmentRow {
        &self.fragment.row
    }

    /// More of the cluster; none when it is complete.
    pub(crate) async fn next(&mut self, service: &Arc<Service>) -> Result<Option<Bytes>, StoreError> {
        let (start, end) = (self.position, self.fragment.payload.min(self.position + READ));
        if start == end {
            return Ok(None);
        }
        let fragment = Arc::clone(&self.fragment);
        let piece = blocking(service, move |store| {
            let mut piece = Vec::with_capacity(usize::try_from(end - start).unwrap_or(0));
            store.payload(&fragment, start..end, &mut piece)?;
            Ok(piece)
        });
        let piece = piece.await?;
        self.position = end;
        Ok(Some(piece.into()))
    }
}

fn beginning(fragment: &Fragment, number: &FragmentNumber) -> Bytes {
    let chunk = Chunk {
        header: &fragment.commit.header,
        tags: &fragment.commit.tags,
        number,
        server_time: fragment.row.number.server_time().unwrap_or(Utc::EPOCH),
        producer_time: fragment.commit.producer_time,
    };
    chunk.beginning()
}

/// The stream of a call that reads what is kept.
pub(super) fn kept(
    service: &Service,
    target: &Target,
    operation: Operation,
) -> Result<Arc<ActiveStream>, Refused> {
    let stream = target.admit(service, operation)?;
    if !stream.persists() {
        let message = format!("The stream {} keeps no data: its retention is zero hours.", stream.name());
        return Err(Refused::new(Exception::NoDataRetention, message));
    }
    Ok(stream)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskList {
    fragment_selector: Option<FragmentSelector>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    fragments: Vec<ListedFragment>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedFragment {
    fragment_length_in_milliseconds: u32,
    fragment_number: Option<FragmentNumber>,
    fragment_size_in_bytes: u64,
    producer_timestamp: EpochSeconds,
    server_timestamp: EpochSeconds,
}

impl From<&FragmentRow> for ListedFragment {
    fn from(row: &FragmentRow) -> Self {
        Self {
            fragment_length_in_milliseconds: row.length_ms,
            fragment_number: row.number.to_wire(),
            fragment_size_in_bytes: row.size,
            producer_timestamp: EpochSeconds(row.producer_time),
            server_timestamp: EpochSeconds(row.number.server_time().unwrap_or(Utc::EPOCH)),
        }
    }
}

/// Answers ListFragments.
pub(crate) async fn list_fragments(
    service: &Arc<Service>,
    target: &Target,
    body: Bytes,
) -> Result<Response<Body>, Refused> {
    let (page, most) = Page::asked(&body)?;
    let stream = kept(service, target, Operation::ListFragments)?;
    let started = service.clock.monotonic();
    stream.metrics.list_requests.one();
    let points = u32::try_from(most).unwrap_or(u32::MAX);
    let allowed = service.config.limits.fragment_metadata_points;
    charge(service, Operation::ListFragments, Some(&stream), allowed, points)?;
    let shuffled = page.shuffled || service.faults.shuffles_lists(stream.name());
    stream.metrics.metadata_points.add(u64::from(points));
    let page = Page { shuffled, ..page };
    let id = stream.id;
    let rows = blocking(service, move |store| match page.shuffled {
        false => store.list(id, page.between(), page.after, most + 1),
        true => page.shuffled_rows(store.list(id, page.between(), None, usize::MAX)?, most + 1),
    });
    let mut rows = rows.await.map_err(|error| store_refusal(&stream, &error))?;
    let next_token = (rows.len() > most).then(|| {
        rows.truncate(most);
        rows.last().map(|row| Page { after: Some(After::from(row)), ..page }.token())
    });
    let delay = service.faults.list_delay(stream.name());
    let now = service.now().utc;
    let fragments = rows.iter().filter(|row| is_listed(row, delay, now)).map(Into::into).collect();
    let listed = Listed { fragments, next_token: next_token.flatten() };
    let answer = serde_json::to_vec(&listed).map_err(|error| store_refusal(&stream, &error))?;
    stream.metrics.list_success.one();
    stream.metrics.list_latency.record(service.clock.monotonic().saturating_since(started));
    Ok(json(answer))
}

pub(super) fn store_refusal(stream: &ActiveStream, error: &dyn std::error::Error) -> Refused {
    tracing::error!(stream = %stream.name(), %error, "the archive cannot be read");
    Refused::new(Exception::InternalFailure, "The archive cannot be read.")
}

/// Whether a fragment is visible yet: a fault on command makes it late.
pub(super) fn is_listed(row: &FragmentRow, delay: Duration, now: Utc) -> bool {
    if delay.is_zero() {
        return true;
    }
    let stored = row.number.server_time().unwrap_or(Utc::EPOCH);
    let visible = stored.checked_add(Duration::from_millis(u64::from(row.length_ms)) + delay);
    visible.is_none_or(|visible| visible <= now)
}

/// A place in a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Page {
    selector: FragmentSelector,
    after: Option<After>,
    /// In no order: a fault on command.
    shuffled: bool,
}

impl Page {
    /// What the body of a request asks for, and how many rows of it.
    pub(super) fn asked(body: &[u8]) -> Result<(Self, usize), Refused> {
        let ask: AskList = serde_json::from_slice(body).map_err(Refused::argument)?;
        let most = match ask.max_results {
            None => limits::LIST_FRAGMENTS_DEFAULT_RESULTS,
            Some(asked) => usize::try_from(asked)
                .ok()
                .filter(|asked| (1..=limits::LIST_FRAGMENTS_RESULTS).contains(asked))
                .ok_or_else(|| {
                    Refused::argument(format!(
                        "MaxResults must be from 1 to {}.",
                        limits::LIST_FRAGMENTS_RESULTS
                    ))
                })?,
        };
        let page = match (ask.next_token, ask.fragment_selector) {
            (Some(token), _) => Self::of_token(&token)
                .ok_or_else(|| Refused::argument("NextToken is not one that this operation gave."))?,
            (None, Some(selector)) => Self { selector, after: None, shuffled: false },
            (None, None) => return Err(Refused::argument("FragmentSelector or NextToken must be given.")),
        };
        Ok((page, most))
    }

    fn between(&self) -> Between {
        let (start, end) = (self.selector.range.start(), self.selector.range.end());
        match self.selector.selector_type {
            FragmentSelectorType::ProducerTimestamp => Between::ProducerTimes(start, end),
            FragmentSelectorType::ServerTimestamp => Between::ServerTimes(start, end),
        }
    }

    /// The rows of this page, in an order that is the same on every page.
    fn shuffled_rows(&self, mut rows: Vec<FragmentRow>, most: usize) -> Result<Vec<FragmentRow>, StoreError> {
        let place = |number: Number| {
            (number.sequence ^ u64::from(number.tail)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
        };
        rows.sort_unstable_by_key(|row| (place(row.number), row.number));
        if let Some(after) = self.after {
            rows.retain(|row| (place(row.number), row.number) > (place(after.number), after.number));
        }
        rows.truncate(most);
        Ok(rows)
    }

    pub(super) fn token(&self) -> String {
        let producer = self.selector.selector_type == FragmentSelectorType::ProducerTimestamp;
        let mut bytes = vec![u8::from(producer) | u8::from(self.shuffled) << 1];
        for time in [self.selector.range.start(), self.selector.range.end()] {
            bytes.extend_from_slice(&time.nanos().to_be_bytes());
        }
        if let Some(After { producer_time, number }) = self.after {
            bytes.extend_from_slice(&producer_time.nanos().to_be_bytes());
            bytes.extend_from_slice(&number.to_bytes());
        }
        encode(&bytes, STANDARD)
    }

    pub(super) fn of_token(token: &str) -> Option<Self> {
        // One of another length is none, and need not be decoded to know it.
        let bytes =
            Some(token).filter(|token| token.len() <= 64).and_then(|token| decode(token, STANDARD))?;
        let (kind, rest) = bytes.split_first()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (producer_time, number) = rest.split_first_chunk()?;
        let time = |bytes: &[u8; 8]| Utc::from_nanos(i64::from_be_bytes(*bytes));
        let selector_type = match kind & 1 {
            0 => FragmentSelectorType::ServerTimestamp,
            _ => FragmentSelectorType::ProducerTimestamp,
        };
        let range = kvs_wire::TimestampRange::new(time(start), time(end)).ok()?;
        let number = Some(number).filter(|number| number.len() == Number::BYTES)?;
        let after = After { producer_time: time(producer_time), number: Number::from_bytes(number)? };
        Some(Self {
            selector: FragmentSelector { selector_type, range },
            after: Some(after),
            shuffled: kind & 2 != 0,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskMedia {
    fragments: Vec<FragmentNumber>,
}

/// The numbers that the body of a request asks for.
pub(super) fn asked_media(body: &[u8]) -> Result<Vec<FragmentNumber>, Refused> {
    let AskMedia { fragments } = serde_json::from_slice(body).map_err(Refused::argument)?;
    if !(1..=limits::FRAGMENT_LIST_LENGTH).contains(&fragments.len()) {
        let message = format!("Fragments must hold 1 to {} numbers.", limits::FRAGMENT_LIST_LENGTH);
        return Err(Refused::argument(message));
    }
    // The service's own words (kvs-api 6).
    if fragments.iter().any(|number| Number::from_wire(number).is_none()) {
        return Err(Refused::argument("Fragment numbers are invalid :"));
    }
    Ok(fragments)
}

/// Answers GetMediaForFragmentList, in the order of the request.
pub(crate) async fn media_for_fragment_list(
    service: &Arc<Service>,
    connection: Connection,
    target: &Target,
    body: &Bytes,
) -> Result<Response<Body>, Refused> {
    let fragments = asked_media(body)?;
    let stream = kept(service, target, Operation::GetMediaForFragmentList)?;
    stream.metrics.list_media_requests.one();
    let service_limits = &service.config.limits;
    let points = u32::try_from(fragments.len()).unwrap_or(u32::MAX);
    let operation = Operation::GetMediaForFragmentList;
    charge(service, operation, Some(&stream), service_limits.fragment_media_points, points)?;
    stream.metrics.media_points.add(u64::from(points));
    let seat = stream.list_readers.take(service_limits.fragment_list_readers).ok_or_else(|| {
        let message = format!("The stream {} has as many readers as it may.", stream.name());
        Refused::new(Exception::ClientLimitExceeded, message)
    })?;
    let listing = Listing {
        fragments: fragments.into(),
        reader: None,
        pace: Pace::new(service_limits.get_media_bytes),
        sent: 0,
        faults: service.faults.list_media(stream.name()),
        _seat: seat,
        _connection: connection,
        stream,
        service: Arc::clone(service),
    };
    Ok(typed(headers::MEDIA, Body::of(listing)))
}

/// An answer to GetMediaForFragmentList.
struct Listing {
    /// What is still to come.
    fragments: VecDeque<FragmentNumber>,
    reader: Option<Reader>,
    pace: Pace,
    sent: u64,
    faults: ConnectionFaults,
    _seat: Seat,
    _connection: Connection,
    stream: Arc<ActiveStream>,
    service: Arc<Service>,
}

impl Source for Listing {
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        let Some(piece) = self.piece().await? else { return Some(Err(Broken)) };
        let piece = self.faults.spoil(piece, self.sent);
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_add(length);
        self.stream.metrics.list_media_bytes.add(length);
        if let Some(resume) = self.pace.spend(length, self.service.clock.monotonic()) {
            tokio::time::sleep_until(self.service.clock.instant(resume).into()).await;
        }
        Some(Ok(piece))
    }
}

impl Listing {
    /// More of the fragment that is open, or the next one; none at the end, and nothing in the middle of a fragment
    /// that cannot be read on.
    async fn piece(&mut self) -> Option<Option<Bytes>> {
        if let Some(reader) = &mut self.reader {
            match reader.next(&self.service).await {
                Ok(Some(piece)) => return Some(Some(piece)),
                Ok(None) => {
                    let metrics = &self.stream.metrics;
                    metrics.list_media_fragments.one();
                    metrics.list_media_success.one();
                    metrics.list_media_frames.add(reader.frames());
                    self.reader = None;
                }
                Err(error) => {
                    tracing::error!(stream = %self.stream.name(), %error, "an answer is cut");
                    return Some(None);
                }
            }
        }
        if self.service.is_stopping() {
            // A cut tells that this was not all.
            return Some(None);
        }
        let number = self.fragments.pop_front()?;
        Some(Some(match self.open(&number).await {
            Ok(Some((reader, beginning))) => {
                self.reader = Some(reader);
                beginning
            }
            Ok(None) | Err(StoreError::Gone { .. }) => failure(FRAGMENT_NOT_FOUND, Some(number)),
            Err(error) => {
                tracing::error!(stream = %self.stream.name(), %number, %error, "a fragment cannot be read");
                failure(INTERNAL_ERROR, Some(number))
            }
        }))
    }

    async fn open(&self, number: &FragmentNumber) -> Result<Option<(Reader, Bytes)>, StoreError> {
        if self.service.faults.loses(self.stream.name(), number) {
            return Ok(None);
        }
        let Some(number) = Number::from_wire(number) else { return Ok(None) };
        let id = self.stream.id;
        let row = blocking(&self.service, move |store| store.get(id, number)).await?;
        let delay = self.service.faults.list_delay(self.stream.name());
        let now = self.service.now().utc;
        match row.filter(|row| is_listed(row, delay, now)) {
            Some(row) => Reader::open(&self.service, row).await.map(Some),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_place(
            (start, span, producer_time) in (0_i64..1 << 60, 0_i64..1 << 60, any::<i64>()),
            (sequence, server_ms, tail) in any::<(u64, u64, u32)>(),
            (producer, shuffled) in any::<(bool, bool)>(),
        ) {
            let range = kvs_wire::TimestampRange::new(Utc::from_nanos(start), Utc::from_nanos(start + span)).unwrap();
            let selector_type = match producer {
                true => FragmentSelectorType::ProducerTimestamp,
                false => FragmentSelectorType::ServerTimestamp,
            };
            let number = Number { sequence, server_ms, tail };
            let after = Some(After { producer_time: Utc::from_nanos(producer_time), number });
            let page = Page { selector: FragmentSelector { selector_type, range }, after, shuffled };
            prop_assert_eq!(Page::of_token(&page.token()), Some(page));
        }

        #[test]
        fn any_text_is_a_token_or_refused(token: String) {
            let _ = Page::of_token(&token);
        }
    }
}
