//! Sessions: made from wishes, found again by their tokens, and moved along with what is stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kvs_media::time::Utc;
use kvs_wire::{Exception, FragmentSelectorType, limits};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::facts::Facts;
use super::generations::Generations;
use super::program::{Program, Unplayable};
use super::request::{Mode, Range, Wish};
use super::select::by_producer_time;
use super::ticket::{Ticket, TicketError, Tickets};
use super::timeline::Timeline;
use crate::keys::{CryptError, Key};
use crate::random::Random;
use crate::rates::Rates;
use crate::store::{Between, Fragment, FragmentRow, Number, Store, StoreError, StreamId};

/// Bytes that timelines take, twice.
const TIMELINES: usize = 32 << 20;
/// Bytes of facts that are kept, with the headers that they speak of, twice.
const FACTS: usize = 64 << 20;
/// Bytes of headers that are kept as what they say, twice.
const HEADERS: usize = 4 << 20;
/// Requests that are at the store at a time.
const SEATS: usize = 32;
/// KiB of segments that are in memory as a whole.
const ROOM: usize = 256 << 10;
/// Rows that are read at a time.
const ROWS: usize = 1_000;
/// The service's own words (kvs-api 6).
const NOTHING: &str = "No fragments found in the stream for the streaming request.";

/// Why a session does not go on.
#[derive(Debug, Error)]
pub(crate) enum PlaybackError {
    /// What is asked for is not there, or is not played.
    #[error(transparent)]
    Unplayable(#[from] Unplayable),
    /// What there is cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token can be made.
    #[error(transparent)]
    Crypt(#[from] CryptError),
}

impl PlaybackError {
    pub(super) fn nothing() -> Self {
        Self::Unplayable(Unplayable::new(Exception::ResourceNotFound, NOTHING))
    }
}

type Known = Result<Arc<Program>, Unplayable>;

/// All sessions of a service.
#[derive(Debug)]
pub(crate) struct Playback {
    tickets: Tickets,
    timelines: Mutex<Generations<Box<str>, Arc<Mutex<Timeline>>>>,
    facts: Mutex<Generations<(StreamId, Number), Facts>>,
    programs: Mutex<Generations<Bytes, Known>>,
    /// How often sessions ask, by a hash of their token and of what they ask for.
    pub(super) rates: Mutex<Rates<u64>>,
    /// Places for what waits for the disk: others wait for it too.
    pub(crate) seats: Semaphore,
    /// KiB for what has to be made whole before it is sent.
    pub(crate) room: Arc<Semaphore>,
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Playback {
    /// With a key that serves nothing else.
    pub(crate) fn new(key: &Key) -> Result<Self, CryptError> {
        Ok(Self {
            tickets: Tickets::new(key)?,
            timelines: Mutex::new(Generations::new(TIMELINES)),
            facts: Mutex::new(Generations::new(FACTS)),
            programs: Mutex::new(Generations::new(HEADERS)),
            rates: Mutex::default(),
            seats: Semaphore::new(SEATS),
            room: Arc::new(Semaphore::new(ROOM)),
        })
    }

    /// The session of a token.
    pub(crate) fn ticket(&self, token: &str, now: Utc) -> Result<Ticket, TicketError> {
        self.tickets.open(token, now)
    }

    /// Begins a session. Says its token. Waits for the disk.
    pub(crate) fn begin(
        &self,
        store: &Store,
        stream: StreamId,
        wish: Wish,
        now: Utc,
        random: &dyn Random,
    ) -> Result<String, PlaybackError> {
        let first = match (wish.mode, wish.range) {
            (Mode::Live, _) | (_, None) => newest(store, stream, wish.most.into(), now)?,
            (Mode::LiveReplay, Some(range)) => {
                store.list(stream, between(wish.clock, range), None, 1)?.into_iter().next()
            }
            (Mode::OnDemand, Some(range)) => {
                self.rows(store, stream, wish.clock, range, 1)?.into_iter().next()
            }
        };
        let first = first.ok_or_else(PlaybackError::nothing)?;
        let facts = self.facts(store, &first)?;
        facts.program.admit(wish.format.api())?;
        let ticket =
            Ticket { stream, wish, created: now, first: first.number, zero: facts.start(wish.clock) };
        Ok(self.tickets.seal(&ticket, random)?)
    }

    /// Does something with a session's timeline as it is at a time. Waits for the disk.
    pub(crate) fn with_timeline<T>(
        &self,
        store: &Store,
        token: &str,
        ticket: Ticket,
        now: Utc,
        work: impl FnOnce(&mut Timeline) -> Result<T, Unplayable>,
    ) -> Result<T, PlaybackError> {
        // There at once: whoever asks meanwhile waits for this one, and makes none of his own.
        let timeline = held(&self.timelines).get_or_insert(&Box::from(token), size_of::<Timeline>(), || {
            Arc::new(Mutex::new(Timeline::new(ticket)))
        });
        let (done, cost) = {
            let mut timeline = held(&timeline);
            self.advance(store, &mut timeline, now)?;
            (work(&mut timeline), timeline.cost())
        };
        held(&self.timelines).insert(token.into(), timeline, cost + token.len());
        Ok(done?)
    }

    /// Adds what is stored by now.
    fn advance(&self, store: &Store, timeline: &mut Timeline, now: Utc) -> Result<(), PlaybackError> {
        let Ticket { stream, wish, first, .. } = *timeline.ticket();
        while !timeline.has_enough(now) {
            let newest = timeline.newest();
            let rows = match (wish.mode, wish.range) {
                (Mode::OnDemand, Some(range)) => self.rows(store, stream, wish.clock, range, usize::MAX)?,
                (Mode::LiveReplay, Some(range)) => {
                    store.list(stream, between(wish.clock, range), newest, ROWS)?
                }
                _ => {
                    let from = newest.map_or(first, |newest| newest.number.next());
                    store.list(stream, Between::Numbers(from, Number::LAST), None, ROWS)?
                }
            };
            if let Some(oldest) = rows.first().filter(|_| wish.mode == Mode::Live) {
                timeline.begin_behind(oldest.number);
            }
            let more = self.push_all(store, timeline, rows, now)?;
            let over = wish.range.and_then(|range| range.end).is_some_and(|end| end < now);
            if wish.mode == Mode::OnDemand || (over && !more) {
                timeline.complete();
            }
            if !more || timeline.is_broken() {
                break;
            }
        }
        Ok(())
    }

    /// Adds rows, as many as are shown at a time. Says whether there may be more.
    fn push_all(
        &self,
        store: &Store,
        timeline: &mut Timeline,
        rows: Vec<FragmentRow>,
        now: Utc,
    ) -> Result<bool, PlaybackError> {
        let wish = timeline.ticket().wish;
        let by_producer = wish.clock == FragmentSelectorType::ProducerTimestamp;
        let more = rows.len() >= ROWS;
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            if wish.mode != Mode::Live && timeline.has_enough(now) {
                return Ok(true);
            }
            // Of those that begin together the newest counts, unless another was shown.
            let again = rows.peek().is_some_and(|next| next.producer_time == row.producer_time);
            if by_producer && (again || timeline.repeats(&row)) {
                timeline.pass(&row);
                continue;
            }
            match self.facts(store, &row) {
                Ok(facts) => timeline.push(facts, now),
                Err(PlaybackError::Unplayable(why)) => timeline.end(why),
                // It has expired since it was listed, or is damaged: what can be played is.
                Err(error) => {
                    tracing::warn!(number = %row.number, %error, "a fragment cannot be played");
                    timeline.pass(&row);
                }
            }
            if timeline.is_broken() {
                return Ok(false);
            }
        }
        Ok(more)
    }

    /// The fragments of a range, in the order in which they are played; at most so many.
    pub(super) fn rows(
        &self,
        store: &Store,
        stream: StreamId,
        clock: FragmentSelectorType,
        range: Range,
        most: usize,
    ) -> Result<Vec<FragmentRow>, StoreError> {
        let between = between(clock, range);
        match clock {
            FragmentSelectorType::ServerTimestamp => store.list(stream, between, None, most),
            FragmentSelectorType::ProducerTimestamp => {
                let mut rows = by_producer_time(store.list(stream, between, None, usize::MAX)?);
                rows.truncate(most);
                Ok(rows)
            }
        }
    }

    /// How many bytes a fragment has. Waits for the disk.
    pub(crate) fn size(&self, store: &Store, stream: StreamId, number: Number) -> Result<u64, PlaybackError> {
        Ok(store.get(stream, number)?.ok_or_else(PlaybackError::nothing)?.size)
    }

    /// A fragment by its number.
    pub(crate) fn fragment(
        &self,
        store: &Store,
        stream: StreamId,
        number: Number,
    ) -> Result<Fragment, PlaybackError> {
        let row = store.get(stream, number)?.ok_or_else(PlaybackError::nothing)?;
        Ok(store.fragment(&row)?)
    }

    /// What is known of a fragment.
    pub(super) fn facts(&self, store: &Store, row: &FragmentRow) -> Result<Facts, PlaybackError> {
        let key = (row.stream, row.number);
        if let Some(facts) = held(&self.facts).get(&key) {
            return Ok(facts);
        }
        let fragment = store.fragment(row)?;
        let facts = Facts::of(&fragment, self.program(&fragment)?);
        let cost = size_of::<Facts>().saturating_add(fragment.commit.header.len().saturating_mul(2));
        held(&self.facts).insert(key, facts.clone(), cost);
        Ok(facts)
    }

    /// What the header of a fragment says.
    pub(crate) fn program(&self, fragment: &Fragment) -> Known {
        let header = &fragment.commit.header;
        if let Some(known) = held(&self.programs).get(header) {
            return known;
        }
        let known = Program::read(header).map(Arc::new);
        held(&self.programs).insert(header.clone(), known.clone(), header.len() + 1_024);
        known
    }
}

fn between(clock: FragmentSelectorType, Range { start, end }: Range) -> Between {
    let end = end.unwrap_or(Utc::from_nanos(i64::MAX));
    match clock {
        FragmentSelectorType::ProducerTimestamp => Between::ProducerTimes(start, end),
        FragmentSelectorType::ServerTimestamp => Between::ServerTimes(start, end),
    }
}

/// The first of the newest fragments of a stream that is live.
fn newest(store: &Store, stream: StreamId, most: usize, now: Utc) -> Result<Option<FragmentRow>, StoreError> {
    let Some(last) = store.last(stream)? else { return Ok(None) };
    let ended = |row: &FragmentRow| {
        row.number.server_time()?.checked_add(Duration::from_millis(row.length_ms.into()))
    };
    let silent = ended(&last).and_then(|ended| now.since(ended));
    if silent.is_some_and(|silent| silent > limits::PLAYBACK_LIVE) {
        return Ok(None);
    }
    // There is no list from the end: a window that grows until enough is in it.
    let mut back = Duration::from_secs(60);
    loop {
        let since = now.checked_sub(back).unwrap_or(Utc::from_nanos(i64::MIN));
        let rows =
            store.list(stream, Between::ServerTimes(since, Utc::from_nanos(i64::MAX)), None, usize::MAX)?;
        if rows.len() >= most || back > limits::PLAYBACK_RANGE {
            let first = rows.len().saturating_sub(most);
            return Ok(rows.into_iter().nth(first).or(Some(last)));
        }
        back = back.saturating_mul(4);
    }
}
