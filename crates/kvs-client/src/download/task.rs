//! The task that reads: it carries out what the session decides, and tells it what became of it.
//!
//! One task a stream, whatever its calls. It is woken by its sockets, by who takes when there is room again, and by one
//! timer. An answer that is not to be read yet is not polled: the network holds it back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use kvs_media::mkv::Header;
use kvs_wire::ApiName;

use super::chunk::{Chunks, Source};
use super::listing::Ask;
use super::queue::Queue;
use super::session::{Action, CallId, Now, Session, Want};
use super::{Listener, Settings};
use crate::client::{CallError, FragmentPage, Media, OpenMedia};
use crate::timer::Timer;
use crate::{Client, clock};

/// Bytes that are read before what was found is handed over.
const AT_ONCE: usize = 1 << 20;

/// Reads until it is told to end.
pub(super) async fn run(
    queue: Arc<Queue>,
    settings: Settings,
    client: Arc<Client>,
    listener: Arc<dyn Listener>,
) {
    let session = Session::new(&settings, clock::monotonic().nanos());
    let mut task = Task {
        at_once: AT_ONCE.min(settings.prefetch / 4).max(1),
        queue,
        settings: Arc::new(settings),
        client,
        listener,
        session,
        list: None,
        lines: Vec::new(),
        header: None,
        timer: Timer::default(),
    };
    poll_fn(|cx| task.poll(cx)).await;
}

struct Task {
    queue: Arc<Queue>,
    settings: Arc<Settings>,
    client: Arc<Client>,
    listener: Arc<dyn Listener>,
    session: Session,
    list: Option<(CallId, Boxed<Result<FragmentPage, CallError>>)>,
    lines: Vec<Line>,
    /// Of the last fragment.
    header: Option<Arc<Header>>,
    timer: Timer,
    at_once: usize,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A call for media.
struct Line {
    id: CallId,
    source: Source,
    stage: Stage,
}

enum Stage {
    Opening(Boxed<Result<(String, OpenMedia), CallError>>),
    Open(Media, Box<Chunks>),
}

impl Task {
    fn now(&self) -> Now {
        Now { clock: clock::monotonic(), utc: self.client.now() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let room = self.queue.poll_room(cx).is_ready();
            if self.queue.is_closed() {
                return Poll::Ready(());
            }
            self.session.turn(self.now(), room);
            let actions: Vec<Action> = self.session.actions().collect();
            let mut busy = !actions.is_empty();
            actions.into_iter().for_each(|action| self.act(action));
            busy |= self.poll_list(cx);
            busy |= self.poll_opening(cx);
            busy |= room && self.poll_media(cx);
            self.hand_over();
            if let Some(end) = self.session.end() {
                self.queue.end(end.clone());
                return Poll::Ready(());
            }
            let now = self.now();
            let deadline = self.session.deadline(now);
            busy |= deadline.is_some_and(|deadline| self.timer.poll(deadline, now.clock, cx));
            if !busy {
                return Poll::Pending;
            }
        }
    }

    /// Tells what is to be told, and gives what was found to who takes.
    fn hand_over(&mut self) {
        self.queue.push(&mut self.session.items, self.session.stats);
        for report in self.session.reports() {
            if !self.queue.is_closed() {
                self.listener.tell(report);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Close(id) => self.lines.retain(|line| line.id != id),
            Action::List { id, ask, renew_endpoint } => {
                let (client, settings) = (Arc::clone(&self.client), Arc::clone(&self.settings));
                self.list = Some((id, Box::pin(list(client, settings, ask, renew_endpoint))));
            }
            Action::Open { id, want, renew_endpoint } => {
                let (client, settings) = (Arc::clone(&self.client), Arc::clone(&self.settings));
                let source = if matches!(want, Want::Live(_)) { Source::Live } else { Source::Archive };
                let opening = Box::pin(open(client, settings, want, renew_endpoint));
                self.lines.push(Line { id, source, stage: Stage::Opening(opening) });
            }
        }
    }

    fn poll_list(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((id, list)) = &mut self.list else { return false };
        let Poll::Ready(listed) = list.as_mut().poll(cx) else { return false };
        let id = *id;
        self.list = None;
        let now = self.now();
        match listed {
            Ok(page) => self.session.listed(id, page, now),
            Err(error) => self.session.failed(id, (&error).into(), now),
        }
        true
    }

    fn poll_opening(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        let (session, settings, mut busy) = (&mut self.session, &self.settings, false);
        self.lines.retain_mut(|line| {
            let Stage::Opening(opening) = &mut line.stage else { return true };
            let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return true };
            busy = true;
            match opened {
                Ok((endpoint, OpenMedia { media, request_id })) => {
                    session.opened(line.id, &endpoint, request_id, now);
                    line.stage = Stage::Open(media, Box::new(Chunks::new(line.source, settings)));
                    true
                }
                Err(error) => {
                    session.failed(line.id, (&error).into(), now);
                    false
                }
            }
        });
        busy
    }

    /// Reads what has come in the answer whose turn it is. True when something has happened.
    fn poll_media(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(id) = self.session.reading() else { return false };
        let Some(place) = self.lines.iter().position(|line| line.id == id) else { return false };
        let Some(Line { stage: Stage::Open(media, chunks), .. }) = self.lines.get_mut(place) else {
            return false;
        };
        chunks.adopt(self.header.as_ref());
        let (mut busy, mut read) = (false, 0_usize);
        let ended = loop {
            if read >= self.at_once {
                break None;
            }
            let Poll::Ready(piece) = media.poll_next(cx) else { break None };
            busy = true;
            let now = Now { clock: clock::monotonic(), utc: self.client.now() };
            match piece {
                Some(Ok(mut piece)) => {
                    read = read.saturating_add(piece.len());
                    self.session.received(id, piece.len(), now);
                    while let Some(found) = chunks.read(&mut piece) {
                        self.session.found(id, found, now);
                    }
                    if self.session.reading() != Some(id) {
                        // It was given up for what came in it.
                        break None;
                    }
                }
                Some(Err(error)) => break Some(Some(error.to_string())),
                None => {
                    while let Some(found) = chunks.finish() {
                        self.session.found(id, found, now);
                    }
                    break Some(None);
                }
            }
        };
        if let Some(header) = chunks.header() {
            self.header = Some(Arc::clone(header));
        }
        if let Some(broken) = ended {
            self.lines.remove(place);
            self.session.ended(id, broken, Now { clock: clock::monotonic(), utc: self.client.now() });
        }
        busy
    }
}

async fn list(
    client: Arc<Client>,
    settings: Arc<Settings>,
    ask: Ask,
    renew_endpoint: bool,
) -> Result<FragmentPage, CallError> {
    let (stream, api) = (&settings.stream, ApiName::ListFragments);
    if renew_endpoint {
        client.forget_data_endpoint(stream, api);
    }
    let endpoint = client.data_endpoint(stream, api).await?;
    client.list_fragments(&endpoint, stream, &ask.selector, ask.token.as_deref()).await
}

async fn open(
    client: Arc<Client>,
    settings: Arc<Settings>,
    want: Want,
    renew_endpoint: bool,
) -> Result<(String, OpenMedia), CallError> {
    let stream = &settings.stream;
    let api = match &want {
        Want::Live(_) => ApiName::GetMedia,
        Want::Fragments(_) => ApiName::GetMediaForFragmentList,
    };
    if renew_endpoint {
        client.forget_data_endpoint(stream, api);
    }
    let endpoint = client.data_endpoint(stream, api).await?;
    let opened = match &want {
        Want::Live(selector) => client.get_media(&endpoint, stream, selector).await,
        Want::Fragments(numbers) => client.get_media_for_fragments(&endpoint, stream, numbers).await,
    };
    Ok((endpoint.to_string(), opened?))
}
