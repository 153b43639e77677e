//! A producer, a network and a service, all in simulated time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use kvs_media::fragment::{Pace, Timing};
use kvs_media::mkv::{Delivery, Event, Limits, Reader};
use kvs_media::time::{Monotonic, RunningTime, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_wire::{Ack, AckEvent, ErrorId, FragmentNumber, Recovery, StreamName};

use super::super::core::Core;
use super::super::report::{FailureKind, Report};
use super::super::session::{Action, LinkId, Opened, Opening, Pull};
use super::super::settings::Settings;
use super::super::{Frame, PushError};
use crate::report::{CallFailure, Signer};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const START: i64 = 1_790_000_000_000;

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn settings() -> Settings {
    Settings::new("front-door".parse::<StreamName>().unwrap())
}

/// What the service does to a connection, and the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection ends.
    Close,
    /// Nothing gets through it any more, in either direction, and nobody says so.
    Stall,
    /// The next fragment that is complete is answered with this error, and the connection ends.
    ErrorAck(u32),
    /// The next ack of this event is lost.
    LoseAck(AckEvent),
    /// Connections are refused for a while.
    Refuse(Recovery, u64),
    /// The service completes what it has of a fragment, and ends the connection: it stops.
    Complete,
    /// Nobody answers for a while, and what is there stands still until then.
    BlackHole(u64),
}

/// A fragment that the service has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) link: u64,
    pub(super) timecode: i64,
    pub(super) tracks: Vec<u64>,
    pub(super) tags: Vec<String>,
    /// The numbers of the frames in it, fillers left out.
    pub(super) frames: Vec<u64>,
}

struct Peer {
    id: LinkId,
    reader: Reader,
    fragment: Option<Stored>,
    tracks: Vec<u64>,
    tags: Vec<String>,
    /// Acks on their way, and when they arrive; `None` ends the connection.
    coming: VecDeque<(Monotonic, Option<Vec<u8>>)>,
    stalled: bool,
    done: bool,
    received: u64,
}

pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Monotonic,
    peers: Vec<Peer>,
    opening: Vec<(Monotonic, Opening)>,
    faults: BTreeMap<Monotonic, Vec<Fault>>,
    /// Until when, and how, connections are refused.
    refusing: Option<(Monotonic, Recovery)>,
    black_hole: Option<Monotonic>,
    errors: VecDeque<u32>,
    lost_acks: Vec<AckEvent>,
    pub(super) stored: Vec<Stored>,
    pub(super) reports: Vec<Report>,
    pub(super) openings: Vec<(Monotonic, Opening)>,
    pub(super) renew_in: Option<Duration>,
    /// What the service keeps, and whether it says so.
    pub(super) keeps: bool,
    pub(super) says_what_it_keeps: bool,
    /// Bytes a second that get through.
    pub(super) rate: Option<u64>,
    spent: u64,
    frames: u64,
    pub(super) pushed: Vec<u64>,
    pub(super) refused_pushes: u64,
    numbers: u64,
    /// Data waited, the path was up, and nothing was in flight since then.
    idle_since: Option<Monotonic>,
    pub(super) longest_idle: Duration,
    last_open: BTreeMap<u64, Monotonic>,
    ahead: Duration,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let mut core = Core::new(settings, 7).unwrap();
        let now = Monotonic::from_nanos(1_000_000_000);
        core.session.start(now);
        Self {
            core,
            now,
            peers: Vec::new(),
            opening: Vec::new(),
            faults: BTreeMap::new(),
            refusing: None,
            black_hole: None,
            errors: VecDeque::new(),
            lost_acks: Vec::new(),
            stored: Vec::new(),
            reports: Vec::new(),
            openings: Vec::new(),
            renew_in: None,
            keeps: true,
            says_what_it_keeps: true,
            rate: None,
            spent: 0,
            frames: 0,
            pushed: Vec::new(),
            refused_pushes: 0,
            numbers: 0,
            idle_since: None,
            longest_idle: Duration::ZERO,
            last_open: BTreeMap::new(),
            ahead: Duration::ZERO,
        }
    }

    pub(super) fn video(&mut self) -> TrackNumber {
        let track = self.core.intake.add_track(Pace::Leading, self.now, &mut self.core.buffer).unwrap();
        self.core.intake.set_header(track, Track::new(track, TrackKind::Video, "V_VP8"));
        track
    }

    pub(super) fn sound(&mut self) -> TrackNumber {
        let track = self.core.intake.add_track(Pace::Steady, self.now, &mut self.core.buffer).unwrap();
        let mut header = Track::new(track, TrackKind::Audio, "A_AAC");
        header.codec_private = vec![0x12, 0x10].into();
        self.core.intake.set_header(track, header);
        track
    }

    pub(super) fn at(&mut self, after: Duration, fault: Fault) {
        self.faults
            .entry(Monotonic::from_nanos(1_000_000_000).saturating_add(after))
            .or_default()
            .push(fault);
    }

    pub(super) fn since_start(&self) -> Duration {
        self.now.saturating_since(Monotonic::from_nanos(1_000_000_000))
    }

    pub(super) fn utc(&self) -> Utc {
        Utc::from_millis(START).unwrap().checked_add(self.since_start() + self.ahead).unwrap()
    }

    /// The calendar is set.
    pub(super) fn jump(&mut self, by: Duration) {
        self.ahead += by;
    }

    /// Pushes a frame of now.
    pub(super) fn push(&mut self, track: TrackNumber, key: bool, size: usize) -> Result<u64, PushError> {
        let (number, utc) = (self.frames, self.utc());
        let mut payload = vec![0; size.max(8)];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let pts = RunningTime::from_nanos(i64::try_from(self.since_start().as_nanos()).unwrap());
        let timing = Timing { key, leading: false, duration: Duration::ZERO, ..Timing::at(pts) };
        let result = self.core.push(track, Frame { payload: Bytes::from(payload), utc, timing }, self.now);
        match result {
            Ok(()) => {
                self.frames += 1;
                self.pushed.push(number);
            }
            Err(_) => self.refused_pushes += 1,
        }
        self.settle();
        result.map(|()| number)
    }

    /// A camera: 10 pictures a second, a key frame every `gop` of them, for so long.
    pub(super) fn film(&mut self, video: TrackNumber, span: Duration, gop: u64, size: usize) {
        let frames = u64::try_from(span.as_millis() / 100).unwrap();
        for index in 0..frames {
            let _ = self.push(video, index % gop == 0, size);
            self.pass(millis(100));
        }
    }

    /// Lets so much time pass.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now.saturating_add(span);
        loop {
            self.settle();
            let next = self.next_event().filter(|next| *next < until);
            self.now = next.unwrap_or(until).max(self.now);
            if next.is_none() {
                return self.settle();
            }
        }
    }

    /// Ends the stream and lets time pass until all is acknowledged; fails when that takes longer than `most`.
    pub(super) fn drain(&mut self, most: Duration) {
        self.core.finish(self.now);
        let until = self.now.saturating_add(most);
        while !self.core.buffer.is_empty() && self.now < until {
            self.pass(millis(50));
        }
        assert!(self.core.buffer.is_empty(), "not drained: {:#?}", self.core.stats(self.now));
        self.settle();
    }

    fn next_event(&self) -> Option<Monotonic> {
        let soon = self.now.saturating_add(millis(1));
        let later = |at: Monotonic| at.max(soon);
        let acks = self.peers.iter().filter_map(|peer| peer.coming.front().map(|(at, _)| *at));
        let opening = self.opening.iter().map(|(at, _)| *at);
        let faults = self.faults.keys().next().copied();
        let core = [self.core.intake.deadline(), self.core.session.deadline(&self.core.buffer)];
        let paced = self.rate.map(|_| self.now.saturating_add(millis(10)));
        let hole = self.black_hole;
        acks.chain(opening)
            .chain(faults)
            .chain(core.into_iter().flatten())
            .chain(paced)
            .chain(hole)
            .map(later)
            .min()
    }

    /// Does everything that is due now.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut busy = self.strike();
            let turn = self.core.turn(self.now);
            self.reports.extend(turn.reports);
            for action in turn.actions {
                busy = true;
                match action {
                    Action::Open(opening) => {
                        if let Some(last) = self.last_open.insert(0, self.now) {
                            assert!(
                                self.now.saturating_since(last) >= millis(200),
                                "more than five calls a second"
                            );
                        }
                        self.openings.push((self.now, opening.clone()));
                        self.opening.push((self.now.saturating_add(millis(20)), opening));
                    }
                    Action::Abort(id) => {
                        self.peers.retain(|peer| peer.id != id);
                        self.opening.retain(|(_, opening)| opening.link != id);
                    }
                }
            }
            busy |= self.answer_openings();
            busy |= self.carry();
            busy |= self.deliver();
            if !busy {
                self.watch();
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Data waits, the path is up, and nothing is in flight.
    fn watch(&mut self) {
        let up = self.refusing.is_none() && self.black_hole.is_none();
        let in_flight = !self.peers.is_empty() || !self.opening.is_empty();
        if up && !in_flight && !self.core.buffer.is_empty() && !self.core.session.has_failed() {
            let since = *self.idle_since.get_or_insert(self.now);
            self.longest_idle = self.longest_idle.max(self.now.saturating_since(since));
        } else {
            self.idle_since = None;
        }
    }

    fn strike(&mut self) -> bool {
        if self.refusing.is_some_and(|(until, _)| until <= self.now) {
            self.refusing = None;
        }
        if self.black_hole.is_some_and(|until| until <= self.now) {
            self.black_hole = None;
        }
        let mut struck = false;
        while let Some(entry) = self.faults.first_entry().filter(|entry| *entry.key() <= self.now) {
            for fault in entry.remove() {
                struck = true;
                match fault {
                    Fault::Close => {
                        for peer in self.peers.drain(..) {
                            self.core.session.closed(peer.id, Some("reset".to_owned()), self.now);
                        }
                    }
                    Fault::Complete => (0..self.peers.len()).for_each(|index| {
                        self.peers[index].done = true;
                        self.finish_peer(index);
                    }),
                    Fault::Stall => self.peers.iter_mut().for_each(|peer| peer.stalled = true),
                    Fault::ErrorAck(id) => self.errors.push_back(id),
                    Fault::LoseAck(event) => self.lost_acks.push(event),
                    Fault::Refuse(recovery, seconds) => {
                        self.refusing = Some((
                            self.now.saturating_add(SECOND * u32::try_from(seconds).unwrap()),
                            recovery,
                        ));
                        for peer in self.peers.drain(..) {
                            self.core.session.closed(peer.id, None, self.now);
                        }
                    }
                    Fault::BlackHole(seconds) => {
                        self.black_hole =
                            Some(self.now.saturating_add(SECOND * u32::try_from(seconds).unwrap()));
                    }
                }
            }
        }
        struck
    }

    fn answer_openings(&mut self) -> bool {
        if self.black_hole.is_some() {
            return false;
        }
        let (due, rest): (Vec<_>, Vec<_>) = self.opening.drain(..).partition(|(at, _)| *at <= self.now);
        self.opening = rest;
        let busy = !due.is_empty();
        for (_, opening) in due {
            if let Some((_, recovery)) = self.refusing {
                let failure = CallFailure {
                    recovery,
                    kind: FailureKind::Refused,
                    message: format!("{recovery:?}"),
                    request_id: None,
                    signer: Signer::Unproven,
                };
                self.core.session.refused(opening.link, failure, self.now);
                continue;
            }
            let renew_in = self.renew_in;
            self.core.session.opened(opening.link, Opened { renew_in, ..Opened::default() }, self.now);
            if self.says_what_it_keeps {
                self.core.session.learn_retention(self.keeps, &mut self.core.buffer);
            }
            self.peers.push(Peer {
                id: opening.link,
                reader: Reader::new(Limits::default(), Delivery::Whole),
                fragment: None,
                tracks: Vec::new(),
                tags: Vec::new(),
                coming: VecDeque::new(),
                stalled: false,
                done: false,
                received: 0,
            });
        }
        busy
    }

    /// Brings bytes to the service.
    fn carry(&mut self) -> bool {
        let mut busy = false;
        let mut ids: Vec<LinkId> = self.peers.iter().map(|peer| peer.id).collect();
        ids.sort();
        for id in ids {
            while let Some(index) = self.peers.iter().position(|peer| peer.id == id) {
                let blocked =
                    self.peers[index].stalled || self.peers[index].done || self.black_hole.is_some();
                let allowed = self.rate.map_or(u64::MAX, |rate| {
                    u64::try_from(self.since_start().as_millis()).unwrap() * rate / 1_000
                });
                if blocked || self.spent >= allowed {
                    break;
                }
                match self.core.session.pull(id, &mut self.core.buffer, self.now) {
                    Pull::Nothing => break,
                    Pull::Done => {
                        busy = true;
                        self.peers[index].done = true;
                        self.finish_peer(index);
                    }
                    Pull::Data(mut data) => {
                        busy = true;
                        self.spent += data.remaining() as u64;
                        let piece = data.copy_to_bytes(data.remaining());
                        self.take(index, piece);
                    }
                }
            }
        }
        busy
    }

    fn take(&mut self, index: usize, mut piece: Bytes) {
        loop {
            let event = self.peers[index].reader.read(&mut piece).expect("the service reads what is sent");
            let Some(event) = event else { return };
            self.take_event(index, event);
        }
    }

    fn finish_peer(&mut self, index: usize) {
        while let Some(event) = self.peers[index].reader.finish().expect("the service reads what is sent") {
            self.take_event(index, event);
        }
        self.complete(index);
        let at = self.now.saturating_add(millis(30));
        self.peers[index].coming.push_back((at, None));
    }

    fn take_event(&mut self, index: usize, event: Event) {
        let link = self.peers[index].id.0;
        match event {
            Event::Document(header) => {
                self.peers[index].tracks = header.tracks.iter().map(|track| track.number.0).collect();
            }
            Event::Tags(tags) => {
                self.complete(index);
                let names = tags.tags.iter().flat_map(|tag| tag.pairs.iter().map(|pair| pair.name.clone()));
                let names: Vec<_> = names.filter(|name| name != kvs_media::mkv::END_OF_FRAGMENT).collect();
                self.peers[index].tags.extend(names);
            }
            Event::Cluster(cluster) => {
                self.complete(index);
                let tags = std::mem::take(&mut self.peers[index].tags);
                let tracks = self.peers[index].tracks.clone();
                let timecode = cluster.timecode.ticks();
                self.peers[index].fragment =
                    Some(Stored { link, timecode, tracks, tags, frames: Vec::new() });
                self.ack(index, AckEvent::Buffering, timecode, millis(5));
            }
            Event::Frame(frame) => {
                let filler = frame.head.invisible && frame.head.discardable;
                let fragment = self.peers[index].fragment.as_mut().expect("a frame is in a fragment");
                if !filler {
                    let number = frame.payload[..8].try_into().unwrap();
                    fragment.frames.push(u64::from_be_bytes(number));
                }
            }
            _ => {}
        }
    }

    /// A fragment is complete: it is stored, or refused.
    fn complete(&mut self, index: usize) {
        let Some(fragment) = self.peers[index].fragment.take() else { return };
        self.peers[index].received += 1;
        let timecode = fragment.timecode;
        if let Some(id) = self.errors.pop_front() {
            let number = self.number();
            let mut bytes = Vec::new();
            Ack::refusal(ErrorId(id), Some((timecode, number))).write(&mut bytes);
            let at = self.now.saturating_add(millis(10));
            self.peers[index].coming.push_back((at, Some(bytes)));
            self.peers[index].coming.push_back((at, None));
            self.peers[index].stalled = true;
            return;
        }
        self.stored.push(fragment);
        self.ack(index, AckEvent::Received, timecode, millis(10));
        if self.keeps {
            self.ack(index, AckEvent::Persisted, timecode, millis(30));
        }
    }

    fn ack(&mut self, index: usize, event: AckEvent, timecode: i64, after: Duration) {
        if let Some(lost) = self.lost_acks.iter().position(|lost| *lost == event) {
            self.lost_acks.remove(lost);
            return;
        }
        let mut bytes = Vec::new();
        Ack::of(event, timecode, self.number()).write(&mut bytes);
        let coming = &mut self.peers[index].coming;
        let at =
            coming.back().map_or(self.now, |(at, _)| self.now.max(*at)).max(self.now.saturating_add(after));
        coming.push_back((at, Some(bytes)));
    }

    fn number(&mut self) -> FragmentNumber {
        self.numbers += 1;
        FragmentNumber::make(self.numbers, self.utc(), 1).unwrap()
    }

    /// Brings acks back.
    fn deliver(&mut self) -> bool {
        if self.black_hole.is_some() {
            return false;
        }
        let mut busy = false;
        let utc = self.utc();
        for id in self.peers.iter().map(|peer| peer.id).collect::<Vec<_>>() {
            while let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
                // A stalled connection brings nothing, unless it is the service that has ended it.
                let ends = peer.coming.iter().any(|(_, bytes)| bytes.is_none());
                let due = peer.coming.front().is_some_and(|(at, _)| *at <= self.now);
                if !due || peer.stalled && !ends {
                    break;
                }
                busy = true;
                match peer.coming.pop_front() {
                    Some((_, Some(bytes))) => {
                        self.core.session.heard(id, &bytes, &mut self.core.buffer, (self.now, utc));
                        self.drop_aborted();
                    }
                    _ => {
                        self.peers.retain(|peer| peer.id != id);
                        self.core.session.closed(id, None, self.now);
                    }
                }
            }
        }
        busy
    }

    /// What the session has given up is gone before anything else happens.
    fn drop_aborted(&mut self) {
        let turn = self.core.turn(self.now);
        self.reports.extend(turn.reports);
        for action in turn.actions {
            match action {
                Action::Open(opening) => {
                    self.last_open.insert(0, self.now);
                    self.openings.push((self.now, opening.clone()));
                    self.opening.push((self.now.saturating_add(millis(20)), opening));
                }
                Action::Abort(id) => {
                    self.peers.retain(|peer| peer.id != id);
                    self.opening.retain(|(_, opening)| opening.link != id);
                }
            }
        }
    }

    /// Frames that are stored, each once.
    pub(super) fn stored_frames(&self) -> BTreeSet<u64> {
        self.stored.iter().flat_map(|fragment| fragment.frames.iter().copied()).collect()
    }

    /// Frames that were stored more often than once.
    pub(super) fn duplicates(&self) -> usize {
        let all: usize = self.stored.iter().map(|fragment| fragment.frames.len()).sum();
        all - self.stored_frames().len()
    }

    /// Every frame that was pushed is stored, was dropped and counted, or was not to be sent and counted.
    pub(super) fn assert_accounted(&self) {
        let stats = self.core.stats(self.now);
        let discarded = stats.cut.before_key + stats.cut.too_large + stats.cut.unknown_track;
        assert_eq!(
            stats.frames_in,
            stats.frames_persisted + stats.frames_dropped + stats.frames_held + discarded,
            "{stats:#?}"
        );
        assert_eq!(stats.frames_in, self.pushed.len() as u64);
    }

    pub(super) fn assert_all_stored_in_order(&self) {
        self.assert_accounted();
        let stored: Vec<u64> = self.stored_frames().into_iter().collect();
        assert_eq!(stored, self.pushed);
        // On one connection nothing goes back.
        for link in self.stored.iter().map(|fragment| fragment.link).collect::<BTreeSet<_>>() {
            let times = self.stored.iter().filter(|fragment| fragment.link == link).map(|f| f.timecode);
            assert!(times.clone().zip(times.skip(1)).all(|(a, b)| a < b));
        }
    }
}
