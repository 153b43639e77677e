//! PutMedia: a producer's media in, acks out, on one connection and in one task.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{EXPECT, HeaderMap};
use hyper::http::request::Parts;
use kvs_media::mkv::Header;
use kvs_media::time::{Monotonic, Timecode, Utc};
use kvs_wire::{Ack, AckEvent, EpochSeconds, ErrorId, Exception, FragmentTimecodeType, headers};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;

use super::body::{Body, Broken, Source};
use super::connection::Connection;
use super::route::{Refused, json};
use crate::faults::ConnectionFaults;
use crate::ingest::{Beginning, Fragment, Indexed, Limits, Opening, Output, Session, Timecodes};
use crate::live::{Completed, Growing, Opened};
use crate::metrics::Held;
use crate::random::{Random as _, SystemRandom};
use crate::rates::Pace;
use crate::readers;
use crate::service::Service;
use crate::store::{
    AppendError, Commit, FrameEntry, FrameIndexWriter, Number, Numbering, StoreError, Upload,
};
use crate::stream::{ActiveStream, Notice, Producing};

/// Blocks of a session that are on their way to the disk; with as many the producer waits.
const BLOCKS_ON_THE_WAY: usize = 8;

/// So much is taken before it is asked whether the producer is too fast: there may be a thousand fragments in it.
const SLICE: usize = 16 << 10;
/// A producer that says nothing for so long is not in the middle of something.
const QUIET: Duration = Duration::from_secs(1);

const ARCHIVAL_ERROR: ErrorId = ErrorId(5001);
const INTERNAL_ERROR: ErrorId = ErrorId(5000);
const STREAM_NOT_ACTIVE: ErrorId = ErrorId(4008);

/// Begins a session, and answers before a byte of media has come.
pub(crate) async fn answer(
    service: &Arc<Service>,
    stream: Arc<ActiveStream>,
    connection: Connection,
    parts: &Parts,
    mut body: Incoming,
) -> Result<Response<Body>, Refused> {
    let called = service.clock.monotonic();
    stream.metrics.put_requests.one();
    let begun = begin(service, &stream, connection, &parts.headers).await;
    let mut ingest = begun.inspect_err(|_| stream.metrics.put_connection_errors.one())?;
    if parts.headers.contains_key(EXPECT) {
        // The server says "100 Continue" when the body is asked for, and not once the response has begun.
        ingest.first = asked(&mut body).await;
    }
    ingest.body = Some(body);
    let answered = service.clock.monotonic();
    ingest.stream.metrics.put_latency.record(answered.saturating_since(called));
    Ok(json(Body::of(ingest)))
}

/// Asks for the body once, and lets the connection hear it.
async fn asked(body: &mut Incoming) -> Option<Result<Bytes, Broken>> {
    let mut asked = false;
    poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(None);
        }
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(
                frame.map_err(|_| Broken).map(|frame| frame.into_data().unwrap_or_default()),
            )),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

async fn begin(
    service: &Arc<Service>,
    stream: &Arc<ActiveStream>,
    connection: Connection,
    headers: &HeaderMap,
) -> Result<Ingest, Refused> {
    let opening = opening(headers, stream.persists())?;
    let (mail, notices) = mpsc::unbounded_channel();
    let limits = &service.config.limits;
    let place = stream.produce(limits.put_media_sessions, mail.clone()).ok_or_else(|| {
        let message = format!("The stream {} has as many producers as it may.", stream.name());
        Refused::new(Exception::ConnectionLimitExceeded, message)
    })?;
    let numbering = {
        let (store, id) = (Arc::clone(&service.store), stream.id);
        let created = stream.arn.created().unwrap_or(Utc::EPOCH);
        let asked = tokio::task::spawn_blocking(move || store.numbering(id, created)).await;
        asked.map_err(|_| Refused::new(Exception::InternalFailure, "The store failed."))?
    };
    // Told to stop before this session could hear it.
    if service.is_stopping() {
        return Err(Refused::new(Exception::ServiceUnavailable, "The service stops."));
    }
    // Deleted before this session could hear it.
    if stream.is_deleted() {
        return Err(Refused::no_stream());
    }
    let numbering = numbering.map_err(|error| {
        if matches!(error, StoreError::NoStream(_)) {
            return Refused::no_stream();
        }
        tracing::error!(stream = %stream.name(), %error, "no fragment numbers");
        Refused::new(Exception::InternalFailure, "The store failed.")
    })?;
    let faults = service.faults.put_media(stream.name());
    let session =
        Limits { session_duration: faults.age.unwrap_or(limits.session.session_duration), ..limits.session };
    let now = service.clock.monotonic();
    let held = stream.metrics.put_connections.hold();
    Ok(Ingest {
        session: Session::new(opening, session, now).refusing(faults.error_ack),
        persists: opening.persists,
        pace: Pace::new(limits.put_media_bytes),
        fragment_pace: Pace::new(u64::from(limits.put_media_fragments)),
        resume: None,
        replaced: false,
        stop_by: None,
        body: None,
        rest: Bytes::new(),
        first: None,
        out: Vec::new(),
        acks: VecDeque::new(),
        header: None,
        open: None,
        numbering,
        fragments: 0,
        media: 0,
        received: now,
        mail,
        notices,
        blocks: Arc::new(Semaphore::new(BLOCKS_ON_THE_WAY)),
        timer: Timer::default(),
        faults,
        closed: false,
        place,
        _held: held,
        connection,
        stream: Arc::clone(stream),
        service: Arc::clone(service),
    })
}

/// What the head says of the session.
pub(super) fn opening(headers: &HeaderMap, persists: bool) -> Result<Opening, Refused> {
    let text = |name: &'static str| -> Result<Option<&str>, Refused> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        value.to_str().map(Some).map_err(|_| Refused::argument(format!("{name} is not text.")))
    };
    let kind = text(headers::FRAGMENT_TIMECODE_TYPE)?
        .ok_or_else(|| Refused::argument(format!("{} must be given.", headers::FRAGMENT_TIMECODE_TYPE)))?;
    let kind: FragmentTimecodeType = kind.parse().map_err(Refused::argument)?;
    let start = text(headers::PRODUCER_START_TIMESTAMP)?;
    let start: Option<EpochSeconds> = start
        .map(str::parse)
        .transpose()
        .map_err(|error| Refused::argument(format!("{}: {error}", headers::PRODUCER_START_TIMESTAMP)))?;
    let timecodes = match (kind, start) {
        (FragmentTimecodeType::Absolute, _) => Timecodes::Absolute,
        (FragmentTimecodeType::Relative, Some(EpochSeconds(start))) => Timecodes::Relative(start),
        (FragmentTimecodeType::Relative, None) => {
            let message = format!("RELATIVE timecodes need {}.", headers::PRODUCER_START_TIMESTAMP);
            return Err(Refused::argument(message));
        }
    };
    let acks = text(headers::FRAGMENT_ACKNOWLEDGMENT_REQUIRED)?;
    Ok(Opening { timecodes, acks: headers::wants_acks(acks).map_err(Refused::argument)?, persists })
}

/// A session between its head and its end: reads the request, and makes the response.
struct Ingest {
    session: Session,
    persists: bool,
    /// The media; none once nothing more is taken.
    body: Option<Incoming>,
    /// What came and was not taken yet.
    rest: Bytes,
    /// What came of asking for the body before the response.
    first: Option<Result<Bytes, Broken>>,
    pace: Pace,
    fragment_pace: Pace,
    /// The producer was faster than it may be, and goes on here.
    resume: Option<Monotonic>,
    /// The producer has begun another session.
    replaced: bool,
    /// The service stops, and waits no longer than this.
    stop_by: Option<Monotonic>,
    out: Vec<Output>,
    /// What goes out, and not before when.
    acks: VecDeque<(Monotonic, Bytes)>,
    /// The header section of the document, as it came and as it goes out.
    header: Option<(Arc<Header>, Bytes)>,
    open: Option<Open>,
    numbering: Numbering,
    /// Fragments and bytes so far.
    fragments: u64,
    media: u64,
    /// When the last piece came.
    received: Monotonic,
    mail: mpsc::UnboundedSender<Notice>,
    notices: mpsc::UnboundedReceiver<Notice>,
    blocks: Arc<Semaphore>,
    timer: Timer,
    faults: ConnectionFaults,
    closed: bool,
    place: Producing,
    _held: Held,
    connection: Connection,
    stream: Arc<ActiveStream>,
    service: Arc<Service>,
}

/// The fragment that is coming in.
struct Open {
    growing: Arc<Growing>,
    /// On its way into the store, when the stream keeps it.
    upload: Option<Upload>,
    frames: FrameIndexWriter,
    timecode: Timecode,
    scale: u64,
}

/// What happens next.
enum Event {
    Notice(Notice),
    Media(Bytes),
    End,
    Broken,
    Room,
    Time,
}

impl Source for Ingest {
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            let now = self.service.clock.monotonic();
            if let Some((due, _)) = self.acks.front()
                && *due <= now
            {
                return self.acks.pop_front().map(|(_, ack)| Ok(ack));
            }
            if self.closed && self.acks.is_empty() && self.session.storing() == 0 {
                return None;
            }
            match self.event(now).await {
                Event::Notice(notice) => self.notice(notice),
                Event::Media(mut bytes) => {
                    self.rest = bytes.split_off(SLICE.min(bytes.len()));
                    if let Some((_, after)) = self.faults.end {
                        let left = after.saturating_sub(self.media);
                        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    }
                    let stream = Arc::clone(&self.stream);
                    let order = stream.in_order();
                    self.media(&bytes);
                    self.carry_out();
                    drop(order);
                    if let Some((how, after)) = self.faults.end
                        && self.media >= after
                    {
                        return Some(Err(self.connection.end(how).await));
                    }
                }
                Event::End => {
                    self.connection.request_is_read();
                    self.session.finish(&mut self.out);
                }
                Event::Broken => {
                    self.session.disconnect(&mut self.out);
                    self.carry_out();
                    return Some(Err(Broken));
                }
                Event::Room => self.read_on(self.service.clock.monotonic()),
                Event::Time => {
                    let now = self.service.clock.monotonic();
                    if self.resume.is_some() || self.blocks.available_permits() == 0 {
                        self.read_on(now);
                    }
                    self.resume = self.resume.filter(|resume| *resume > now);
                    self.session.poll(now, &mut self.out);
                    if self.abandoned().is_some_and(|abandoned| abandoned <= now) {
                        self.session.interrupt(&mut self.out);
                    }
                    if self.stop_by.is_some_and(|stop_by| stop_by <= now) {
                        self.stop_by = None;
                        let quiet = QUIET.min(self.service.config.limits.stop_timeout / 2);
                        if now.saturating_since(self.received) >= quiet {
                            // A cluster of open size is as complete as it will be.
                            self.session.finish(&mut self.out);
                        } else {
                            self.session.interrupt(&mut self.out);
                        }
                    }
                }
            }
            self.carry_out();
        }
    }
}

impl Ingest {
    /// Waits for whatever comes first.
    async fn event(&mut self, now: Monotonic) -> Event {
        let due = self.acks.front().map(|(due, _)| *due);
        let deadlines = [self.session.deadline(), self.resume, self.stop_by, self.abandoned(), due];
        let deadline = deadlines.into_iter().flatten().min();
        let timer = self.timer.until(deadline, now, &self.service);
        let reads = self.resume.is_none();
        let full = self.blocks.available_permits() == 0;
        if reads && !full && !self.rest.is_empty() {
            return Event::Media(std::mem::take(&mut self.rest));
        }
        if let Some(first) = self.first.take() {
            return first.map_or(Event::Broken, Event::Media);
        }
        let media = async {
            match &mut self.body {
                Some(body) if reads && !full => match body.frame().await {
                    Some(Ok(frame)) => frame.into_data().map_or(Event::Room, Event::Media),
                    Some(Err(_)) => Event::Broken,
                    None => Event::End,
                },
                // Wakes when a block is written.
                Some(_) if reads => self.blocks.acquire().await.map_or(Event::Broken, |_| Event::Room),
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(notice) = self.notices.recv() => Event::Notice(notice),
            event = media => event,
            () = timer => Event::Time,
        }
    }

    /// Nothing was read up to now, because it was too fast or the disk too slow: that was no silence of the producer.
    fn read_on(&mut self, now: Monotonic) {
        self.received = now;
        self.session.read_on(now);
    }

    /// The producer goes on when so many bytes more are within what it may.
    fn slow_down(&mut self, bytes: u64, now: Monotonic) {
        self.resume = self.resume.max(self.pace.spend(bytes, now));
    }

    /// When a session is over whose producer has begun another one. Its connection is, most likely; what is open in it
    /// is sent again in the other.
    fn abandoned(&self) -> Option<Monotonic> {
        let idle = self.service.config.limits.replaced_idle;
        (self.replaced && !self.closed).then(|| self.received.saturating_add(idle))
    }

    /// Media came in.
    fn media(&mut self, bytes: &Bytes) {
        let now = self.service.now();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.media = self.media.saturating_add(length);
        self.received = now.clock;
        self.stream.metrics.put_bytes.add(length);
        self.slow_down(length, now.clock);
        let (numbering, mut first) = (&self.numbering, self.fragments == 0);
        self.session.bytes(
            bytes,
            now,
            |utc| {
                let mut tail = [0; 4];
                // Numbers are told apart by their counter; chance only makes them look like AWS's.
                let _ = SystemRandom.fill(&mut tail);
                numbering.next(utc, u32::from_be_bytes(tail), std::mem::take(&mut first)).to_wire()
            },
            &mut self.out,
        );
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Stored(number, complete, Ok(())) => {
                let now = self.service.clock.monotonic();
                self.stream.metrics.put_persisted.record(now.saturating_since(complete));
                self.session.persisted(&number, &mut self.out);
            }
            Notice::Stored(number, _, Err(error)) => {
                let id = match error {
                    _ if self.stream.is_deleted() => STREAM_NOT_ACTIVE,
                    AppendError::Crypt(_) => INTERNAL_ERROR,
                    _ => ARCHIVAL_ERROR,
                };
                tracing::warn!(stream = %self.stream.name(), %number, %error, "a fragment could not be stored");
                self.session.failed(&number, id, &mut self.out);
            }
            Notice::Deleted => self.session.fail(STREAM_NOT_ACTIVE, &mut self.out),
            Notice::Replaced => self.replaced = true,
            Notice::Stop => {
                let now = self.service.clock.monotonic();
                self.stop_by = Some(now.saturating_add(self.service.config.limits.stop_timeout));
                self.session.stop(&mut self.out);
            }
        }
    }

    /// Does what the session says.
    fn carry_out(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.out);
        let mut moved = false;
        for output in out.drain(..) {
            moved |= !matches!(output, Output::Ack(_) | Output::Close | Output::Frame(_));
            match output {
                Output::Begin(beginning) => self.begin_fragment(*beginning),
                Output::Bytes(bytes) => {
                    if let Some(open) = &mut self.open
                        && open.growing.push(bytes)
                    {
                        open.settle(false, &self.blocks);
                    }
                }
                Output::Frame(frame) => self.index(&frame),
                Output::Commit(fragment) => self.commit(&fragment),
                Output::Abort(_) => self.abort(),
                Output::Ack(ack) => self.ack(&ack),
                Output::Close => {
                    self.closed = true;
                    (self.body, self.rest) = (None, Bytes::new());
                }
            }
        }
        // The room in it serves the next piece.
        if self.out.is_empty() {
            self.out = out;
        }
        if moved {
            self.stream.live.wake();
        }
    }

    fn begin_fragment(&mut self, beginning: Beginning) {
        let Beginning { number: wire_number, producer_time, timecode, header, tags, .. } = beginning;
        let Some(number) = Number::from_wire(&wire_number) else { return };
        let outgoing = match &self.header {
            Some((known, outgoing)) if Arc::ptr_eq(known, &header) => outgoing.clone(),
            _ => {
                let outgoing = readers::header(&header);
                self.header = Some((Arc::clone(&header), outgoing.clone()));
                outgoing
            }
        };
        if self.fragments == 0 {
            self.place.replace_older();
        }
        self.fragments += 1;
        let now = self.service.clock.monotonic();
        self.resume = self.resume.max(self.fragment_pace.spend(1, now));
        let growing = self.stream.live.begin(Opened {
            number,
            wire_number,
            server_time: number.server_time().unwrap_or(beginning.server_time),
            producer_time,
            header: outgoing,
            tags: tags.iter().flat_map(|tags| tags.raw.iter().copied()).collect(),
            begun: now,
            stored: self.persists,
        });
        let upload = match self.persists.then(|| self.service.store.begin(self.stream.id, number)) {
            Some(Ok(upload)) => Some(upload),
            // The stream is gone, as the next notice will say.
            Some(Err(_)) | None => None,
        };
        let (frames, scale) = (FrameIndexWriter::new(), header.info.scale.nanos());
        self.open = Some(Open { growing, upload, frames, timecode, scale });
    }

    fn index(&mut self, frame: &Indexed) {
        let Some(open) = &mut self.open else { return };
        self.stream.metrics.put_frames.one();
        let time = frame.timecode.ticks().saturating_sub(open.timecode.ticks());
        let entry = FrameEntry {
            offset: frame.offset,
            size: u32::try_from(frame.size).unwrap_or(u32::MAX),
            time: i32::try_from(time).unwrap_or(if time < 0 { i32::MIN } else { i32::MAX }),
            track: frame.track.0,
            key: frame.key,
            discardable: frame.discardable,
            invisible: frame.invisible,
        };
        if let Err(error) = open.frames.push(&entry) {
            tracing::warn!(stream = %self.stream.name(), %error, "a frame is in no index");
        }
    }

    fn commit(&mut self, fragment: &Fragment) {
        let Some(mut open) = self.open.take() else { return };
        let now = self.service.clock.monotonic();
        let metrics = &self.stream.metrics;
        metrics.put_fragments.one();
        metrics.put_ingestion.record(now.saturating_since(open.growing.opened().begun));
        let completed = Completed { length: fragment.length, frames: fragment.frames, at: now };
        if !self.persists {
            metrics.put_success.one();
            open.settle(true, &self.blocks);
            self.stream.live.keep(&open.growing, completed);
            return self.service.forget_old(&self.stream);
        }
        open.settle(true, &self.blocks);
        open.growing.complete(completed);
        let number = open.growing.number();
        let wire_number = open.growing.opened().wire_number.clone();
        let (stream, service, mail) =
            (Arc::clone(&self.stream), Arc::clone(&self.service), self.mail.clone());
        let permit = Arc::clone(&self.blocks).try_acquire_owned().ok();
        let stored = move |result: Result<(), AppendError>| {
            drop(permit);
            // From here on readers find it in the store, or nowhere.
            stream.live.remove(number);
            stream.live.wake();
            let took = service.clock.monotonic().saturating_since(now);
            stream.metrics.put_persist.record(took);
            if result.is_ok() {
                stream.metrics.put_success.one();
            }
            let _ = mail.send(Notice::Stored(wire_number, now, result));
        };
        let Some(upload) = open.upload.take() else { return stored(Err(AppendError::Expired)) };
        let opened = open.growing.opened();
        // Header and tags go to the disk with each fragment, and count as what comes in does.
        let around = opened.header.len().saturating_add(opened.tags.len());
        self.slow_down(u64::try_from(around).unwrap_or(u64::MAX), now);
        let commit = Commit {
            producer_time: opened.producer_time,
            length_ms: u32::try_from(fragment.length.as_millis()).unwrap_or(u32::MAX),
            timecode: open.timecode.ticks(),
            timecode_scale: open.scale,
            header: opened.header.clone(),
            tags: opened.tags.clone(),
            frames: open.frames.finish(),
        };
        upload.commit(commit, stored);
    }

    fn abort(&mut self) {
        if let Some(open) = self.open.take() {
            open.growing.abort();
            self.stream.live.remove(open.growing.number());
        }
    }

    fn ack(&mut self, ack: &Ack) {
        if ack.event == AckEvent::Error {
            self.stream.metrics.put_error_acks.one();
            tracing::info!(
                stream = %self.stream.name(),
                peer = %self.connection.peer,
                error = ack.error().map_or(0, |id| id.0),
                "a session is refused"
            );
        }
        let metrics = &self.stream.metrics;
        let since = |received: Monotonic| self.service.clock.monotonic().saturating_since(received);
        match ack.event {
            AckEvent::Buffering => metrics.put_buffering.record(since(self.received)),
            AckEvent::Received => metrics.put_received.record(since(self.received)),
            _ => {}
        }
        if self.faults.drop_acks == Some(ack.event) {
            return;
        }
        let mut line = Vec::with_capacity(160);
        ack.write(&mut line);
        let due = self.service.clock.monotonic().saturating_add(self.faults.delay_acks);
        self.acks.push_back((due, line.into()));
    }
}

impl Drop for Ingest {
    /// Whatever ended it, nobody waits for the fragment that was open.
    fn drop(&mut self) {
        self.abort();
        self.stream.live.wake();
    }
}

impl Open {
    /// Makes blocks of what has come, and hands them over to the store, if it is to go there: whole ones, or all at the
    /// `last`. What stays in memory is copied out of the buffers that it came in.
    fn settle(&mut self, last: bool, blocks: &Arc<Semaphore>) {
        let Some((piece, block)) = self.growing.take_block(last) else { return };
        let Some(upload) = &mut self.upload else { return };
        // One more than may be is no harm: the producer is not read from before there is room.
        let permit = Arc::clone(blocks).try_acquire_owned().ok();
        let growing = Arc::clone(&self.growing);
        upload.write(block, move |written| {
            drop(permit);
            if let Ok(written) = written {
                growing.stored(piece, written);
            }
        });
    }
}

/// A timer that is set again only when it has to be earlier, or has gone off: deadlines that move on with every frame
/// cost nothing.
#[derive(Default)]
struct Timer {
    sleep: Option<(Monotonic, Pin<Box<Sleep>>)>,
}

impl Timer {
    /// Ends at the deadline, or before it.
    fn until(
        &mut self,
        deadline: Option<Monotonic>,
        now: Monotonic,
        service: &Service,
    ) -> impl Future<Output = ()> + use<'_> {
        match (deadline, &mut self.sleep) {
            (None, _) => self.sleep = None,
            // It goes off before the deadline; what is due then is seen then.
            (Some(deadline), Some((set, _))) if now < *set && *set <= deadline => {}
            (Some(deadline), Some((set, sleep))) => {
                *set = deadline;
                sleep.as_mut().reset(service.clock.instant(deadline).into());
            }
            (Some(deadline), none) => {
                let at = service.clock.instant(deadline).into();
                *none = Some((deadline, Box::pin(tokio::time::sleep_until(at))));
            }
        }
        let sleep = &mut self.sleep;
        async move {
            match sleep {
                Some((_, sleep)) => sleep.as_mut().await,
                None => std::future::pending().await,
            }
        }
    }
}
