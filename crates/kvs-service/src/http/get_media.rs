//! GetMedia: fragments out, from the archive on into what is coming in at this moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use kvs_media::time::{Monotonic, Utc};
use kvs_wire::{ContinuationToken, ErrorId, Exception, FragmentNumber, Operation, StartSelector, headers};
use serde::Deserialize;
use tokio::sync::watch;

use super::archive::{Reader, blocking};
use super::body::{Body, Broken, Source};
use super::call::Target;
use super::connection::Connection;
use super::route::{Refused, typed};
use crate::faults::ConnectionFaults;
use crate::live::{Growing, Part};
use crate::rates::Pace;
use crate::readers::{Chunk, failure};
use crate::seats::Seat;
use crate::service::Service;
use crate::store::{Between, FragmentRow, Number, StoreError};
use crate::stream::ActiveStream;

/// Rows of the archive that are looked up at a time.
const ROWS: usize = 64;
/// Fragments that may begin within the longest of them (kvs-api 10.2), to find the one that covers an instant.
const COVERING: usize = 1_000;

const FRAGMENT_NOT_FOUND: ErrorId = ErrorId(4000);
const INTERNAL_ERROR: ErrorId = ErrorId(5000);

#[derive(Deserialize)]
struct Ask {
    #[serde(rename = "StartSelector")]
    start: StartSelector,
}

/// Begins an answer, which has its head at once.
pub(crate) async fn answer(
    service: &Arc<Service>,
    connection: Connection,
    target: &Target,
    body: &Bytes,
) -> Result<Response<Body>, Refused> {
    let start = Start::asked(body)?;
    let stream = target.admit(service, Operation::GetMedia)?;
    stream.metrics.get_requests.one();
    let limits = &service.config.limits;
    let seat = stream.readers.take(limits.get_media_readers).ok_or_else(|| {
        stream.metrics.get_connection_errors.one();
        let message = format!("The stream {} has as many readers as it may.", stream.name());
        Refused::new(Exception::ConnectionLimitExceeded, message)
    })?;
    let faults = service.faults.get_media(stream.name());
    let now = service.clock.monotonic();
    let reading = Reading {
        start: Some(start),
        after: None,
        now: Now::Nothing,
        rows: VecDeque::new(),
        pieces: VecDeque::new(),
        pace: Pace::new(limits.get_media_bytes),
        tick: stream.live.watch(),
        opened: now,
        moved: now,
        age: faults.age.unwrap_or(limits.get_media_duration),
        sent: 0,
        faults,
        ended: false,
        _seat: seat,
        connection,
        stream,
        service: Arc::clone(service),
    };
    Ok(typed(headers::MEDIA, Body::of(reading)))
}

/// Where an answer begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    Now,
    Earliest,
    After(Number),
    /// After a fragment that this service never had.
    AfterNone,
    Server(Utc),
    Producer(Utc),
}

impl Start {
    /// Where the body of a request wants to begin.
    pub(super) fn asked(body: &[u8]) -> Result<Self, Refused> {
        let Ask { start } = serde_json::from_slice(body).map_err(Refused::argument)?;
        Self::of(start)
    }

    fn of(selector: StartSelector) -> Result<Self, Refused> {
        Ok(match selector {
            StartSelector::Now => Self::Now,
            StartSelector::Earliest => Self::Earliest,
            StartSelector::AfterFragment(number) => {
                Number::from_wire(&number).map_or(Self::AfterNone, Self::After)
            }
            StartSelector::ServerTime(time) => Self::Server(time),
            StartSelector::ProducerTime(time) => Self::Producer(time),
            StartSelector::Continuation(token) => {
                let number = token.as_str().parse::<FragmentNumber>().ok();
                let number = number.and_then(|number| Number::from_wire(&number));
                Self::After(number.ok_or_else(|| {
                    Refused::argument("ContinuationToken is not one that this operation gave.")
                })?)
            }
        })
    }
}

/// An answer between its head and its end.
struct Reading {
    /// Not looked up yet.
    start: Option<Start>,
    /// Everything up to it was sent, or is not wanted.
    after: Option<Number>,
    now: Now,
    /// Fragments of the archive that come next.
    rows: VecDeque<FragmentRow>,
    /// What is ready to go.
    pieces: VecDeque<Bytes>,
    pace: Pace,
    tick: watch::Receiver<u64>,
    opened: Monotonic,
    /// When something was sent, or could have been.
    moved: Monotonic,
    age: Duration,
    sent: u64,
    faults: ConnectionFaults,
    ended: bool,
    _seat: Seat,
    connection: Connection,
    stream: Arc<ActiveStream>,
    service: Arc<Service>,
}

/// The fragment that is being sent.
enum Now {
    Nothing,
    /// One that is coming in, from a place in it.
    Live(Arc<Growing>, u64),
    /// One of the archive.
    Stored(Reader),
}

impl Source for Reading {
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return self.send(piece).await;
            }
            if self.ended {
                return None;
            }
            if self.stream.is_deleted() {
                // Between two chunks there is room to say so.
                if !matches!(self.now, Now::Nothing) {
                    return Some(Err(Broken));
                }
                self.fail(FRAGMENT_NOT_FOUND, None);
                continue;
            }
            match self.step().await {
                Ok(()) => {}
                Err(Stop::End) => self.ended = true,
                Err(Stop::Cut) => return Some(Err(Broken)),
                Err(Stop::Store(error)) => {
                    tracing::error!(stream = %self.stream.name(), %error, "a reader ends");
                    self.fail(INTERNAL_ERROR, None);
                }
            }
        }
    }
}

/// Why an answer does not go on.
enum Stop {
    /// As it should.
    End,
    /// In the middle of a fragment that will never be complete.
    Cut,
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Reading {
    /// Hands out a piece, no faster than it may be, and as faults command.
    async fn send(&mut self, mut piece: Bytes) -> Option<Result<Bytes, Broken>> {
        let now = self.service.clock.monotonic();
        if let Some((how, after)) = self.faults.end {
            let left = usize::try_from(after.saturating_sub(self.sent)).unwrap_or(usize::MAX);
            if left == 0 {
                return Some(Err(self.connection.end(how).await));
            }
            if left < piece.len() {
                self.pieces.push_front(piece.split_off(left));
            }
        }
        let piece = self.faults.spoil(piece, self.sent);
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_add(length);
        self.moved = now;
        self.stream.metrics.get_bytes.add(length);
        if let Some(resume) = self.pace.spend(length, now) {
            tokio::time::sleep_until(self.service.clock.instant(resume).into()).await;
        }
        Some(Ok(piece))
    }

    /// Goes on by a piece, a fragment or a wait.
    async fn step(&mut self) -> Result<(), Stop> {
        match &mut self.now {
            Now::Nothing => self.choose().await,
            Now::Stored(reader) => {
                let (row, frames) = (*reader.row(), reader.frames());
                match reader.next(&self.service).await {
                    Ok(Some(piece)) => self.pieces.push_back(piece),
                    Ok(None) => {
                        let length = Duration::from_millis(u64::from(row.length_ms));
                        self.finish(row.number, length, frames);
                    }
                    Err(error) => {
                        let number = row.number;
                        tracing::error!(stream = %self.stream.name(), %number, %error, "a fragment is cut");
                        self.stream.set_broken(number);
                        return Err(Stop::Cut);
                    }
                }
                Ok(())
            }
            Now::Live(growing, position) => match growing.part(*position) {
                Part::Bytes(bytes) => {
                    *position += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.pieces.push_back(bytes);
                    Ok(())
                }
                Part::Stored(written, skip) => {
                    let id = self.stream.id;
                    let read = blocking(&self.service, move |store| {
                        let mut bytes = Vec::new();
                        store.written(id, &written, &mut bytes)?;
                        Ok(bytes)
                    });
                    let read = read.await.map_err(|error| {
                        tracing::error!(stream = %self.stream.name(), %error, "an open fragment is cut");
                        Stop::Cut
                    });
                    let mut bytes = Bytes::from(read?);
                    let bytes = bytes.split_off(skip.min(bytes.len()));
                    *position += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.pieces.push_back(bytes);
                    Ok(())
                }
                Part::End(completed) => {
                    let number = growing.number();
                    self.finish(number, completed.length, completed.frames);
                    Ok(())
                }
                // It is open as long as its producer is there, so that this wait ends.
                Part::Pending => {
                    self.wait(None).await;
                    Ok(())
                }
                // The header went out, and a part of the cluster: only a cut tells the reader.
                Part::Aborted => Err(Stop::Cut),
            },
        }
    }

    /// The end of a chunk, and what is due between two of them.
    fn finish(&mut self, number: Number, length: Duration, frames: u64) {
        let server_time = number.server_time().unwrap_or(Utc::EPOCH);
        let end = server_time.checked_add(length).unwrap_or(server_time);
        let behind = self.service.now().utc.since(end).unwrap_or_default().as_millis();
        let behind = u64::try_from(behind).unwrap_or(u64::MAX);
        if let Some(number) = number.to_wire() {
            self.pieces.push_back(Chunk::end(behind, ContinuationToken::from(&number)));
        }
        let metrics = &self.stream.metrics;
        metrics.get_fragments.one();
        metrics.get_success.one();
        metrics.get_frames.add(frames);
        metrics.get_behind.set(behind);
        self.after = Some(number);
        self.now = Now::Nothing;
        let age = self.service.clock.monotonic().saturating_since(self.opened);
        self.ended |= age >= self.age || self.service.is_stopping();
    }

    /// Finds the next fragment, or waits for it.
    async fn choose(&mut self) -> Result<(), Stop> {
        if let Some(start) = self.start.take() {
            return self.begin(start).await;
        }
        if let Some(row) = self.rows.pop_front() {
            return self.open(row).await;
        }
        self.tick.mark_unchanged();
        // First what is coming in, then the archive: what moves from one to the other in between is found twice
        // rather than never.
        let live = self.stream.live.after(self.after);
        if let Some(growing) = &live
            && self.after.is_some()
            && growing.previous() == self.after
        {
            self.follow(live);
            return Ok(());
        }
        let first = self.after.map_or(Number::FIRST, Number::next);
        let last = live.as_ref().map_or(Some(Number::LAST), |growing| growing.number().previous());
        if let Some(last) = last.filter(|last| first <= *last) {
            self.rows = self.list(Between::Numbers(first, last), ROWS).await?.into();
            if let Some(row) = self.rows.pop_front() {
                return self.open(row).await;
            }
        }
        if live.is_some() {
            self.follow(live);
            return Ok(());
        }
        let now = self.service.clock.monotonic();
        let limits = &self.service.config.limits;
        let idle = self.moved.saturating_add(limits.get_media_idle);
        let old = self.opened.saturating_add(self.age);
        if now >= idle.min(old) || self.service.is_stopping() {
            return Err(Stop::End);
        }
        self.wait(Some(idle.min(old))).await;
        Ok(())
    }

    /// Follows a fragment that is coming in.
    fn follow(&mut self, growing: Option<Arc<Growing>>) {
        let Some(growing) = growing else { return };
        let opened = growing.opened();
        let chunk = Chunk {
            header: &opened.header,
            tags: &opened.tags,
            number: &opened.wire_number,
            server_time: opened.server_time,
            producer_time: opened.producer_time,
        };
        self.pieces.push_back(chunk.beginning());
        self.now = Now::Live(growing, 0);
    }

    /// Opens a fragment of the archive. One that is damaged costs itself, and is said.
    async fn open(&mut self, row: FragmentRow) -> Result<(), Stop> {
        if self.stream.is_broken(row.number) {
            self.after = Some(row.number);
            return Ok(());
        }
        match Reader::open(&self.service, row).await {
            Ok((reader, beginning)) => {
                self.pieces.push_back(beginning);
                self.now = Now::Stored(reader);
            }
            // Expired while the answer was on its way to it.
            Err(StoreError::Gone { .. }) => self.after = Some(row.number),
            Err(
                error @ (StoreError::Damaged { .. } | StoreError::Crypt(_) | StoreError::Malformed { .. }),
            ) => {
                let number = row.number;
                tracing::error!(stream = %self.stream.name(), %number, %error, "a fragment is left out");
                self.after = Some(number);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits for something to happen, until a time at the latest.
    async fn wait(&mut self, until: Option<Monotonic>) {
        let changed = self.tick.changed();
        match until {
            // The sender lives as long as the stream does, which is held.
            None => drop(changed.await),
            Some(until) => {
                let until = self.service.clock.instant(until);
                drop(tokio::time::timeout_at(until.into(), changed).await);
            }
        }
    }

    async fn list(&self, between: Between, limit: usize) -> Result<Vec<FragmentRow>, StoreError> {
        let id = self.stream.id;
        blocking(&self.service, move |store| store.list(id, between, None, limit)).await
    }

    /// Looks up where to begin.
    async fn begin(&mut self, start: Start) -> Result<(), Stop> {
        match start {
            Start::Earliest => {}
            Start::After(number) => self.after = Some(number),
            Start::AfterNone => {
                self.fail(FRAGMENT_NOT_FOUND, None);
            }
            Start::Now => return self.begin_now().await,
            Start::Server(time) => return self.begin_at(time, false).await,
            Start::Producer(time) => return self.begin_at(time, true).await,
        }
        Ok(())
    }

    /// With the fragment that is coming in, or that has just come. One that came long ago is not now.
    async fn begin_now(&mut self) -> Result<(), Stop> {
        let (now, idle) = (self.service.now(), self.service.config.limits.get_media_idle);
        let newest = self.stream.live.newest();
        let recent = |growing: &Arc<Growing>| {
            growing.completed().is_none_or(|done| now.clock.saturating_since(done.at) <= idle)
        };
        if let Some(growing) = newest.filter(recent) {
            self.follow(Some(growing));
            return Ok(());
        }
        let id = self.stream.id;
        let last = blocking(&self.service, move |store| store.last(id)).await?;
        if let Some(row) = last {
            let end = row.number.server_time().unwrap_or(Utc::EPOCH);
            let end = end.checked_add(Duration::from_millis(u64::from(row.length_ms))).unwrap_or(end);
            if now.utc.since(end).is_none_or(|since| since <= idle) {
                return self.open(row).await;
            }
        }
        // Whatever comes from now on.
        self.after = self.stream.live.last().max(last.map(|row| row.number));
        Ok(())
    }

    /// With the fragment that covers an instant, or else the first one behind it.
    async fn begin_at(&mut self, time: Utc, producer: bool) -> Result<(), Stop> {
        let between = |from, to| match producer {
            true => Between::ProducerTimes(from, to),
            false => Between::ServerTimes(from, to),
        };
        let longest = self.service.config.limits.session.fragment_duration;
        let from = time.checked_sub(longest).unwrap_or(time);
        // What comes in is looked at before the archive, as ever.
        let live = self.stream.live.all();
        let before = self.list(between(from, time), COVERING).await?;
        let start_of = |row: &FragmentRow| match producer {
            true => row.producer_time,
            false => row.number.server_time().unwrap_or(Utc::EPOCH),
        };
        let covers = |start: Utc, length: Duration| {
            start <= time && start.checked_add(length).is_none_or(|end| time <= end)
        };
        let length_of = |row: &FragmentRow| Duration::from_millis(u64::from(row.length_ms));
        let covering = before.iter().find(|row| covers(start_of(row), length_of(row)));
        if let Some(row) = covering {
            return self.open(*row).await;
        }
        let live_start = |growing: &Arc<Growing>| match producer {
            true => growing.opened().producer_time,
            false => growing.opened().server_time,
        };
        let open_covers = |growing: &&Arc<Growing>| {
            covers(live_start(growing), growing.completed().map_or(longest, |done| done.length))
        };
        if let Some(growing) = live.iter().find(open_covers) {
            self.follow(Some(Arc::clone(growing)));
            return Ok(());
        }
        let next = self.list(between(time, Utc::from_nanos(i64::MAX)), 1).await?.pop();
        let next_live =
            live.iter().filter(|growing| live_start(growing) >= time).min_by_key(|g| live_start(g));
        match (next, next_live) {
            (Some(row), Some(growing)) if live_start(growing) < start_of(&row) => {
                self.follow(Some(Arc::clone(growing)));
            }
            (Some(row), _) => return self.open(row).await,
            (None, Some(growing)) => self.follow(Some(Arc::clone(growing))),
            (None, None) => {
                let id = self.stream.id;
                let last = blocking(&self.service, move |store| store.last(id)).await?;
                self.after = self.stream.live.last().max(last.map(|row| row.number));
            }
        }
        Ok(())
    }

    /// Says in band what is wrong, and ends.
    fn fail(&mut self, id: ErrorId, number: Option<FragmentNumber>) {
        self.pieces.push_back(failure(id, number));
        self.ended = true;
    }
}
