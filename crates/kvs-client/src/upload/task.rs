//! The task that sends: it carries out what the session decides, and tells it what became of it.
//!
//! One task a stream, whatever its connections. It is woken by its sockets, by one timer, and by who pushes what it has
//! to look at. A frame that is pushed while the socket takes it is sent there and then, by who pushes it: waking the task
//! for each costs more than sending it (docs/decisions/0007).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::{Body, Frame};
use kvs_media::codec::Codec;
use kvs_wire::{ApiName, Exception, Recovery};

use super::core::Turn;
use super::session::{Action, LinkId, Opened, Opening, Pull};
use super::wire::Gather;
use super::{Listener, Settings, Shared};
use crate::client::{Acks, CallError, Connection, NewStream, OpenPutMedia, PutMediaRequest};
use crate::timer::Timer;
use crate::{Client, clock};

/// Sends until it is told to end.
pub(super) async fn run(shared: Arc<Shared>, client: Arc<Client>, listener: Arc<dyn Listener>) {
    let settings = Arc::new(shared.lock().settings.clone());
    let mut task =
        Task { shared, client, listener, settings, setup: None, set_up: false, timer: Timer::default() };
    poll_fn(|cx| task.poll(cx)).await;
}

struct Task {
    shared: Arc<Shared>,
    client: Arc<Client>,
    listener: Arc<dyn Listener>,
    settings: Arc<Settings>,
    /// What is asked of the stream itself, once there is a connection.
    setup: Option<Boxed<Option<bool>>>,
    set_up: bool,
    timer: Timer,
}

/// They hold what is shared, and it holds them: they go with the task.
impl Drop for Task {
    fn drop(&mut self) {
        let _gone = std::mem::take(&mut *self.shared.lines());
    }
}

/// The connections of a session.
#[derive(Default)]
pub(super) struct Lines {
    all: Vec<Line>,
    /// Wakes the task, which is who sockets wake, whoever polls them.
    waker: Option<Waker>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|line| line.id)).finish()
    }
}

impl Lines {
    /// True when something has happened. The task alone opens connections: that needs its runtime.
    fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> bool {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        let busy = self.all.iter_mut().fold(false, |busy, line| line.poll(shared, cx) | busy);
        self.all.retain(|line| !matches!(line.stage, Stage::Closed));
        busy
    }

    /// Sends what has just been pushed, as far as sockets take it. True when something happened that the task has to
    /// look at.
    pub(super) fn send(&mut self, shared: &Shared) -> bool {
        let Some(waker) = &self.waker else { return true };
        let mut cx = Context::from_waker(waker);
        let open = self.all.iter_mut().filter(|line| line.is_open());
        open.fold(false, |busy, line| line.poll(shared, &mut cx) | busy)
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A connection of the session's.
struct Line {
    id: LinkId,
    stage: Stage,
}

enum Stage {
    Opening(Boxed<Result<(String, OpenPutMedia<Outgoing>), CallError>>),
    Open {
        /// `None` when it is done.
        connection: Option<Connection<Outgoing>>,
        acks: Acks,
    },
    /// The session knows that it has ended.
    Closed,
}

/// The body of a request: what the session gives it.
struct Outgoing {
    shared: Arc<Shared>,
    link: LinkId,
}

impl Body for Outgoing {
    type Data = Gather;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Gather>, Infallible>>> {
        let mut core = self.shared.lock();
        let core = &mut *core;
        // The task is woken when there is more, and polls the connection that polls this.
        match core.session.pull(self.link, &mut core.buffer, clock::monotonic()) {
            Pull::Data(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Pull::Nothing => Poll::Pending,
            Pull::Done => Poll::Ready(None),
        }
    }
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.register(cx.waker());
        loop {
            let Turn { actions, reports, deadline, closed } = self.shared.lock().turn(clock::monotonic());
            reports.into_iter().for_each(|report| self.listener.tell(report));
            // Room may have come, or the end.
            self.shared.tell_waiting();
            if closed {
                return Poll::Ready(());
            }
            let mut busy = !actions.is_empty();
            for action in actions {
                match action {
                    Action::Open(opening) => self.open(opening),
                    Action::Abort(id) => self.shared.lines().all.retain(|line| line.id != id),
                }
            }
            busy |= self.poll_lines(cx);
            busy |= self.poll_setup(cx);
            busy |= deadline.is_some_and(|deadline| self.timer.poll(deadline, clock::monotonic(), cx));
            // A connection that was polled may have found that another is needed.
            busy |= self.shared.lock().has_news();
            if !busy {
                return Poll::Pending;
            }
        }
    }

    fn poll_lines(&mut self, cx: &mut Context<'_>) -> bool {
        let mut lines = self.shared.lines();
        let mut busy = lines.poll(&self.shared, cx);
        let is_open = lines.all.iter().any(Line::is_open);
        drop(lines);
        if !self.set_up && self.setup.is_none() && is_open {
            self.setup = Some(Box::pin(set_up(Arc::clone(&self.client), Arc::clone(&self.settings))));
            busy = true;
        }
        busy
    }

    fn poll_setup(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(setup) = &mut self.setup else { return false };
        let Poll::Ready(keeps) = setup.as_mut().poll(cx) else { return false };
        self.setup = None;
        self.set_up = true;
        if let Some(keeps) = keeps {
            let mut core = self.shared.lock();
            let core = &mut *core;
            core.session.learn_retention(keeps, &mut core.buffer);
        }
        true
    }

    fn open(&mut self, opening: Opening) {
        let outgoing = Outgoing { shared: Arc::clone(&self.shared), link: opening.link };
        let media_type = media_type(&self.shared);
        let opened =
            open(Arc::clone(&self.client), Arc::clone(&self.settings), opening.clone(), media_type, outgoing);
        self.shared.lines().all.push(Line { id: opening.link, stage: Stage::Opening(Box::pin(opened)) });
    }
}

impl Line {
    const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// True when something has happened.
    fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> bool {
        match &mut self.stage {
            Stage::Closed => false,
            Stage::Opening(opening) => {
                let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return false };
                let now = clock::monotonic();
                let mut core = shared.lock();
                match opened {
                    Ok((endpoint, open)) => {
                        let OpenPutMedia { connection, acks, request_id, renew_in, .. } = open;
                        core.session.opened(self.id, Opened { endpoint, request_id, renew_in }, now);
                        self.stage = Stage::Open { connection: Some(connection), acks };
                    }
                    Err(error) => {
                        core.session.refused(self.id, (&error).into(), now);
                        self.stage = Stage::Closed;
                    }
                }
                true
            }
            Stage::Open { connection, acks } => {
                // Sent first: what is read tells what more may go.
                let mut busy = false;
                let mut broken = None;
                if let Some(open) = connection
                    && let Poll::Ready(ended) = Pin::new(open).poll(cx)
                {
                    *connection = None;
                    broken = ended.err().map(|error| error.to_string());
                    busy = true;
                }
                loop {
                    match acks.poll_next(cx) {
                        Poll::Ready(Some(Ok(bytes))) => {
                            let mut core = shared.lock();
                            let core = &mut *core;
                            let now = (clock::monotonic(), clock::utc());
                            core.session.heard(self.id, &bytes, &mut core.buffer, now);
                            busy = true;
                        }
                        Poll::Ready(Some(Err(error))) => {
                            let cause = broken.unwrap_or_else(|| error.to_string());
                            shared.lock().session.closed(self.id, Some(cause), clock::monotonic());
                            self.stage = Stage::Closed;
                            return true;
                        }
                        Poll::Ready(None) => {
                            shared.lock().session.closed(self.id, broken, clock::monotonic());
                            self.stage = Stage::Closed;
                            return true;
                        }
                        Poll::Pending => return busy,
                    }
                }
            }
        }
    }
}

/// Opens a connection: where to, the stream itself if it is not there, and the call.
async fn open(
    client: Arc<Client>,
    settings: Arc<Settings>,
    opening: Opening,
    media_type: Option<String>,
    body: Outgoing,
) -> Result<(String, OpenPutMedia<Outgoing>), CallError> {
    let stream = &settings.stream;
    let api = ApiName::PutMedia;
    if opening.renew_endpoint {
        client.forget_data_endpoint(stream, api);
    }
    let endpoint = match client.data_endpoint(stream, api).await {
        Err(error) if error.recovery() == Recovery::NoStream && settings.setup.create => {
            let retention_hours = settings.setup.retention_hours;
            let new = NewStream { retention_hours, media_type, tags: settings.setup.tags.clone() };
            match client.create(stream, &new).await {
                Ok(arn) => tracing::info!(%arn, "created the stream"),
                // Somebody else was faster.
                Err(error) if error.exception() == Some(Exception::ResourceInUse) => {}
                Err(error) => return Err(error),
            }
            client.data_endpoint(stream, api).await?
        }
        other => other?,
    };
    let request = PutMediaRequest {
        stream: stream.clone(),
        timecodes: settings.timecodes,
        start: opening.start.unwrap_or_else(clock::utc),
        acks: settings.acks,
    };
    let opened = client.put_media(&endpoint, &request, opening.renew_credentials, body).await;
    opened.map(|opened| (endpoint.to_string(), opened))
}

/// What is done about a stream that is there: tags, and whether it keeps anything. Neither is needed to send. What may
/// pass is asked again; `None` where it is not allowed.
async fn set_up(client: Arc<Client>, settings: Arc<Settings>) -> Option<bool> {
    let Settings { stream, setup, .. } = &*settings;
    let mut tagged = setup.tags.is_empty();
    let mut pause = Duration::from_secs(1);
    loop {
        if !tagged {
            let tags = client.tag(stream, &setup.tags).await;
            if let Err(error) = &tags {
                tracing::warn!(%error, "the stream did not get its tags");
            }
            tagged = !tags.is_err_and(|error| may_pass(&error));
        }
        match client.describe(stream).await {
            Ok(described) if tagged => {
                if described.retention_hours != setup.retention_hours {
                    let (kept, set) = (described.retention_hours, setup.retention_hours);
                    tracing::info!(
                        "the stream keeps its media for {kept} h; {set} h is for a stream that is made new"
                    );
                }
                return Some(described.retention_hours > 0);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::info!(%error, "what the stream keeps is not known");
                if !may_pass(&error) {
                    return None;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

/// Whether the same call may succeed later. Who is not allowed now will hardly be.
fn may_pass(error: &CallError) -> bool {
    matches!(error.recovery(), Recovery::BackOff | Recovery::NewEndpoint | Recovery::NoStream)
}

/// What the media of a new stream are, as the service names them: `video/h264,audio/aac`.
fn media_type(shared: &Shared) -> Option<String> {
    let core = shared.lock();
    let types: Vec<&str> =
        core.intake.tracks().filter_map(|track| Some(name_of(Codec::of(track)?))).collect();
    (!types.is_empty()).then(|| types.join(","))
}

const fn name_of(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "video/h264",
        Codec::H265 => "video/h265",
        Codec::Av1 => "video/av1",
        Codec::Vp8 => "video/vp8",
        Codec::Vp9 => "video/vp9",
        Codec::Mjpeg => "video/jpeg",
        Codec::Aac => "audio/aac",
        Codec::Opus => "audio/opus",
        Codec::Alaw => "audio/alaw",
        Codec::Mulaw => "audio/mulaw",
        Codec::Pcm(_) => "audio/L16",
        Codec::Data => "application/octet-stream",
    }
}
