//! A session, a service, and the network between them.

use std::collections::VecDeque;
use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::{ErrorId, FragmentNumber, Recovery};

use super::super::chunk::Found;
use super::super::item::Item;
use super::super::listing::Ask;
use super::super::report::{FailureKind, Report};
use super::super::session::{Action, CallId, Now, Session, Want};
use super::super::settings::Settings;
use super::service::{Chance, SECOND, Service, monotonic, utc};
use crate::report::{CallFailure, Signer};

/// How often what goes wrong, of a thousand times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// A call does not come about.
    pub(super) refusals: u64,
    /// An answer breaks, at each look.
    pub(super) breaks: u64,
    /// Nothing comes any more, at each look.
    pub(super) stalls: u64,
    /// An answer ends as it should, at each look.
    pub(super) ends: u64,
    /// An answer ends as it should behind each fragment.
    pub(super) one_each: bool,
    /// Little comes, at each look.
    pub(super) slow: u64,
    /// A fragment is said not to be there, or what comes is damaged.
    pub(super) damage: u64,
    /// Who takes does not, for a while.
    pub(super) pauses: u64,
}

/// A call for media, as the service sees it.
struct Call {
    id: CallId,
    /// When it is answered.
    at: i64,
    open: bool,
    stalled: bool,
    /// What was asked for by name, of that what is left.
    named: Option<VecDeque<FragmentNumber>>,
    /// The last that was begun, and how many parts of it were given, while it is not whole.
    after: Option<FragmentNumber>,
    given: Option<usize>,
    /// Something was given.
    begun: bool,
    /// When something was given last.
    life: i64,
}

pub(super) struct World {
    pub(super) session: Session,
    pub(super) service: Service,
    pub(super) chance: Chance,
    pub(super) weather: Weather,
    pub(super) now: i64,
    list: Option<(CallId, i64, Ask)>,
    calls: Vec<Call>,
    paused_until: i64,
    refused: bool,
    /// When who signs is denied everything.
    pub(super) denied: std::ops::Range<i64>,
    damaged_at: i64,
    pub(super) items: Vec<Item>,
    pub(super) reports: Vec<Report>,
    /// When calls for media were made.
    pub(super) opened: Vec<i64>,
}

impl World {
    pub(super) fn new(settings: &Settings, service: Service, seed: u64) -> Self {
        Self {
            session: Session::new(settings, seed),
            service,
            chance: Chance(seed),
            weather: Weather::default(),
            now: 0,
            list: None,
            calls: Vec::new(),
            paused_until: 0,
            refused: false,
            denied: 0..0,
            damaged_at: i64::MIN / 2,
            items: Vec::new(),
            reports: Vec::new(),
            opened: Vec::new(),
        }
    }

    fn moment(&self) -> Now {
        Now { clock: monotonic(self.now), utc: utc(self.now) }
    }

    /// Plays until then, or until the session has ended.
    pub(super) fn play(&mut self, until: i64) {
        while self.now < until && self.session.end().is_none() {
            self.look();
            self.now += 10_000_000 + i64::try_from(self.chance.below(90_000_000)).unwrap();
        }
    }

    fn look(&mut self) {
        if self.chance.often(self.weather.pauses) {
            self.paused_until = self.now + i64::try_from(self.chance.below(20)).unwrap() * SECOND;
        }
        let room = self.now >= self.paused_until;
        // The network is slow at times.
        let mut most = if self.chance.often(self.weather.slow) { self.chance.below(25) } else { u64::MAX };
        for _ in 0..20_000 {
            self.session.turn(self.moment(), room);
            let actions: Vec<Action> = self.session.actions().collect();
            self.items.append(&mut self.session.items);
            let reports: Vec<Report> = self.session.reports().collect();
            self.reports.extend(reports);
            if self.session.end().is_some() {
                return;
            }
            let mut busy = !actions.is_empty();
            actions.into_iter().for_each(|action| self.act(action));
            let idle = self.list.is_none() && self.calls.is_empty();
            let due = self.session.deadline(self.moment());
            assert!(!idle || busy || due.is_some(), "nothing is due at {} {:#?}", self.now, self.session);
            assert!(due.is_none_or(|due| due > monotonic(self.now)), "due at once, again and again");
            busy |= self.answer();
            let give = room && most > 0 && self.give();
            most -= u64::from(give);
            busy |= give;
            if !busy {
                return;
            }
        }
        panic!("it never comes to rest at {} {:#?}", self.now, self.session);
    }

    fn act(&mut self, action: Action) {
        let at = self.now + i64::try_from(self.chance.below(80)).unwrap() * 1_000_000;
        match action {
            Action::Close(id) => self.calls.retain(|call| call.id != id),
            Action::List { id, ask, .. } => {
                assert!(self.list.is_none(), "one list at a time");
                self.list = Some((id, at, ask));
            }
            Action::Open { id, want, .. } => {
                self.opened.push(self.now);
                let (named, after) = match want {
                    Want::Live(selector) => (None, self.service.before(&selector, self.now)),
                    Want::Fragments(numbers) => (Some(numbers.into()), None),
                };
                let (open, stalled, given, begun, life) = (false, false, None, false, self.now);
                self.calls.push(Call { id, at, open, stalled, named, after, given, begun, life });
                assert!(self.calls.len() <= 2, "two answers at a time");
            }
        }
    }

    fn fails(&mut self) -> Option<CallFailure> {
        let (kind, message, request_id) = (FailureKind::Refused, "no".to_owned(), None);
        if self.denied.contains(&self.now) {
            let recovery = Recovery::NewCredentials;
            return Some(CallFailure { recovery, kind, message, request_id, signer: Signer::Denied });
        }
        if !self.chance.often(self.weather.refusals) {
            return None;
        }
        let recoveries =
            [Recovery::BackOff, Recovery::NewEndpoint, Recovery::BackOff, Recovery::NewCredentials];
        let mut recovery = recoveries[usize::try_from(self.chance.below(4)).unwrap()];
        // A second time it would be a failure.
        if std::mem::replace(&mut self.refused, recovery == Recovery::NewCredentials) {
            recovery = Recovery::BackOff;
            self.refused = true;
        }
        Some(CallFailure { recovery, kind, message, request_id, signer: Signer::Unproven })
    }

    /// Answers what is due.
    fn answer(&mut self) -> bool {
        let mut busy = false;
        if let Some((id, _, ask)) = self.list.take_if(|(_, at, _)| *at <= self.now) {
            busy = true;
            match self.fails() {
                Some(failure) => self.session.failed(id, failure, self.moment()),
                None => {
                    let page = self.service.list(&ask, self.now, &mut self.chance);
                    self.refused = false;
                    self.session.listed(id, page, self.moment());
                }
            }
        }
        while let Some(place) = self.calls.iter().position(|call| !call.open && call.at <= self.now) {
            busy = true;
            let id = self.calls[place].id;
            match self.fails() {
                Some(failure) => {
                    self.calls.remove(place);
                    self.session.failed(id, failure, self.moment());
                }
                None => {
                    (self.calls[place].open, self.calls[place].life) = (true, self.now);
                    self.refused = false;
                    self.session.opened(id, "there", None, self.moment());
                }
            }
        }
        busy
    }

    /// Gives more of the answer that is being read.
    fn give(&mut self) -> bool {
        let Some(id) = self.session.reading() else { return false };
        let Some(place) = self.calls.iter().position(|call| call.id == id) else { return false };
        if self.calls[place].stalled {
            return false;
        }
        if self.chance.often(self.weather.stalls) {
            self.calls[place].stalled = true;
            return false;
        }
        let within = self.calls[place].given.is_some();
        let broken = self.chance.often(self.weather.breaks).then(|| "reset".to_owned());
        let one = self.weather.one_each && self.calls[place].begun;
        if broken.is_some() || (!within && (one || self.chance.often(self.weather.ends))) {
            // A list that ends early is one whose fragments were not there.
            if broken.is_some() || self.calls[place].named.is_none() {
                self.calls.remove(place);
                self.session.ended(id, broken, self.moment());
                return true;
            }
        }
        let Ok(found) = self.next(place) else {
            self.calls.remove(place);
            self.session.ended(id, Some("cut".to_owned()), self.moment());
            return true;
        };
        let call = &mut self.calls[place];
        match found {
            Some(found) => {
                (call.life, call.begun) = (self.now, true);
                self.session.received(id, 1, self.moment());
                self.session.found(id, found, self.moment());
                true
            }
            None if call.named.is_some() || self.now - call.life >= 3 * SECOND => {
                self.calls.remove(place);
                self.session.ended(id, None, self.moment());
                true
            }
            None => false,
        }
    }

    /// The next part of an answer; `Err` when it is cut.
    fn next(&mut self, place: usize) -> Result<Option<Found>, ()> {
        let damage = self.now - self.damaged_at > 20 * SECOND && self.chance.often(self.weather.damage);
        let call = &mut self.calls[place];
        let Some(given) = call.given else {
            let number = match &mut call.named {
                Some(named) => named.pop_front(),
                None => self.service.after(call.after.as_ref(), self.now).map(|next| next.number.clone()),
            };
            let Some(number) = number else { return Ok(None) };
            if damage {
                self.damaged_at = self.now;
                let named = call.named.is_some();
                return Ok(Some(match named {
                    true => {
                        let id = Some(ErrorId(5000));
                        Found::Failure { number: Some(number), id, message: "not now".to_owned() }
                    }
                    false => Found::Damaged { number: Some(number), why: "noise".to_owned(), fatal: true },
                }));
            }
            let recorded = self.service.get(&number).unwrap();
            (call.after, call.given) = (Some(number), Some(0));
            return Ok(Some(Found::Begin(self.service.head(recorded))));
        };
        let recorded = self.service.get(call.after.as_ref().unwrap()).unwrap();
        let part = recorded.part(given, self.now)?;
        call.given = match &part {
            Some(Found::End(_)) => None,
            Some(_) => Some(given + 1),
            None => Some(given),
        };
        Ok(part)
    }

    /// The frames that were handed out.
    pub(super) fn given(&self) -> Vec<u64> {
        let id = |item: &Item| match item {
            Item::Frame(frame) => Some(u64::from_be_bytes(frame.payload[..].try_into().unwrap())),
            _ => None,
        };
        self.items.iter().filter_map(id).collect()
    }

    /// Every frame from one to another was handed out, once and in order, and each within a fragment.
    pub(super) fn assert_all(&self, from: u64, to: u64) {
        let given = self.given();
        if !given.iter().copied().eq(from..to) {
            let runs: Vec<_> = given
                .chunk_by(|one, other| one + 1 == *other)
                .map(|run| (run[0], run[run.len() - 1]))
                .collect();
            panic!("{from}..{to} {runs:?} {:#?}", self.session.stats);
        }
        let mut open: Option<(Utc, FragmentNumber)> = None;
        for item in &self.items {
            match item {
                Item::Fragment(fragment) => open = Some((fragment.producer, fragment.number.clone())),
                Item::Frame(frame) => {
                    let begin = open.as_ref().unwrap().0;
                    assert!(frame.time.since(begin).is_some_and(|since| since < Duration::from_secs(2)));
                }
                Item::Done(end) => assert_eq!(open.take().unwrap().1, end.number),
                _ => {}
            }
        }
    }
}
