//! The half that gives every track its pad.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::UniqueFlowCombiner;
use kvs_client::download::{Failure, FailureKind, Fragment};
use kvs_media::mkv::Header;
use kvs_media::{Track, TrackKind, TrackNumber};

use super::caps::Format;
use super::lane::{Lane, stem};
use super::mark::{self, Mark};
use super::run::Run;
use crate::log::SRC;
use crate::message;

/// As many pads as a hostile stream may ask for; the service allows three tracks.
const LANES: usize = 64;

glib::wrapper! {
    /// The half that gives every track its pad.
    pub(crate) struct KvsDemux(ObjectSubclass<Demux>)
        @extends gst::Element, gst::Object;
}

#[derive(Debug)]
pub(crate) struct Demux {
    sink: gst::Pad,
    /// The streaming thread's. It is taken out while it is at work, so that nothing is locked when somebody else is called.
    inner: Mutex<Inner>,
    /// What other threads ask for.
    asked: Mutex<Asked>,
    /// There is more than one track.
    several: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    run: Option<Arc<Run>>,
    lanes: Vec<Lane>,
    combiner: UniqueFlowCombiner,
    header: Option<Arc<Header>>,
    /// As it came.
    segment: Option<gst::Event>,
    time: gst::FormattedSegment<gst::ClockTime>,
    /// Where the fragment begins whose frames come.
    begun: gst::ClockTime,
    collection: Option<gst::StreamCollection>,
    /// All tracks of the first fragment are there.
    complete: bool,
    /// Tracks that have no pad, by their streams, since nobody wants them.
    unwanted: Option<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Asked {
    run: Option<Arc<Run>>,
    /// The streams that are wanted, since this was said last.
    streams: Option<(Vec<String>, gst::Seqnum)>,
    /// The last seek, and whether it was done.
    last_seek: Option<(gst::Seqnum, bool)>,
}

#[glib::object_subclass]
impl ObjectSubclass for Demux {
    const NAME: &'static str = "GstRsKvsSrcDemux";
    type Type = KvsDemux;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        let sink = match klass.pad_template("sink") {
            Some(template) => gst::Pad::builder_from_template(&template),
            None => gst::Pad::builder(gst::PadDirection::Sink),
        };
        let sink = sink
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |own| own.chain(buffer))
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |own| own.sink_event(pad, event))
            })
            .build();
        Self { sink, inner: Mutex::default(), asked: Mutex::default(), several: AtomicBool::new(false) }
    }
}

impl ObjectImpl for Demux {
    fn constructed(&self) {
        self.parent_constructed();
        // It has no other yet.
        let _ = self.obj().add_pad(&self.sink);
    }
}

impl GstObjectImpl for Demux {}

impl ElementImpl for Demux {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Kinesis Video Streams demuxer",
                "Codec/Demuxer",
                "A part of kvssrc",
                "the gst-plugin-kvs authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let any = gst::Caps::new_any();
            let sink = gst::PadTemplate::new("sink", gst::PadDirection::Sink, gst::PadPresence::Always, &any);
            sink.into_iter().chain(super::imp::templates()).collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let changed = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady {
            // Nothing streams any more.
            let inner = std::mem::take(&mut *lock(&self.inner));
            for lane in inner.lanes.into_iter().filter(|lane| lane.shown) {
                let _ = lane.pad.set_active(false);
                let _ = self.obj().remove_pad(&lane.pad);
            }
            *lock(&self.asked) = Asked::default();
            self.several.store(false, Ordering::Relaxed);
        }
        changed
    }
}

impl Demux {
    /// What it will give pads to.
    pub(super) fn set_run(&self, run: Option<Arc<Run>>) {
        *lock(&self.asked) = Asked { run, ..Asked::default() };
    }

    /// These streams are wanted, and no others. It is done when the next frame comes.
    pub(super) fn choose(&self, select: &gst::event::SelectStreams) {
        let streams = select.streams().iter().map(ToString::to_string).collect();
        lock(&self.asked).streams = Some((streams, select.seqnum()));
    }

    /// There is, or was, more than one track.
    pub(super) fn has_several(&self) -> bool {
        self.several.load(Ordering::Relaxed)
    }

    /// Works on what belongs to the streaming thread.
    fn work<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = std::mem::take(&mut *lock(&self.inner));
        let result = work(&mut inner);
        *lock(&self.inner) = inner;
        result
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Only there so that what is in front of it comes at once.
        if buffer.pts().is_none() {
            return Ok(gst::FlowSuccess::Ok);
        }
        self.work(|inner| {
            self.select(inner);
            let Inner { lanes, combiner, time, begun, run: Some(run), .. } = inner else {
                return Err(gst::FlowError::Flushing);
            };
            let (number, now) = (TrackNumber(buffer.offset()), buffer.pts());
            run.voice().has_data();
            let Some(lane) = lanes.iter_mut().find(|lane| lane.shown && lane.number == Some(number)) else {
                // Nobody wants it.
                return Ok(gst::FlowSuccess::Ok);
            };
            let pushed = lane.push(buffer, time, &run.tally);
            let flow = combiner.update_pad_flow(&lane.pad, pushed);
            if let Some(now) = now.filter(|_| pushed.is_ok()) {
                for other in lanes.iter_mut().filter(|lane| lane.shown && lane.number != Some(number)) {
                    other.keep_up(now, *begun, time);
                }
            }
            flow
        })
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            // What they say of the fetching half is of no use to anybody.
            gst::EventView::StreamStart(_) | gst::EventView::Caps(_) => true,
            gst::EventView::Segment(segment) => {
                let Some(time) = segment.segment().downcast_ref::<gst::ClockTime>().cloned() else {
                    return false;
                };
                self.work(|inner| {
                    inner.time = time;
                    inner.segment = Some(event.clone());
                    inner.combiner.reset();
                    for lane in &mut inner.lanes {
                        lane.restart(Some(&event));
                    }
                });
                true
            }
            gst::EventView::CustomDownstream(custom) => match custom.structure().and_then(Mark::of) {
                Some((mark, stretch)) => {
                    let run = lock(&self.asked).run.clone();
                    if run.is_some_and(|run| run.stretch() == stretch) {
                        self.take(&mark);
                    }
                    true
                }
                None => gst::Pad::event_default(pad, Some(&*self.obj()), event),
            },
            gst::EventView::FlushStop(_) => {
                let flushed = gst::Pad::event_default(pad, Some(&*self.obj()), event);
                self.work(|inner| {
                    inner.combiner.reset();
                    for lane in &mut inner.lanes {
                        lane.restart(None);
                    }
                });
                flushed
            }
            gst::EventView::Eos(_) => {
                let is_bare = self.work(|inner| {
                    inner.lanes.iter_mut().for_each(Lane::end);
                    inner.lanes.is_empty()
                });
                // There is nobody whom the end could be told, and all would wait for it.
                if is_bare && let Some(run) = lock(&self.asked).run.clone() {
                    let message = "what comes has no tracks".to_owned();
                    let failure = Failure { kind: FailureKind::Empty, message, request_id: None };
                    run.voice().fail(&run, &failure);
                }
                true
            }
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::SelectStreams(select) => {
                self.choose(select);
                return true;
            }
            // One seek of a pipeline comes up every branch.
            gst::EventView::Seek(_) => {
                let seqnum = event.seqnum();
                if let Some((_, done)) = lock(&self.asked).last_seek.filter(|(last, _)| *last == seqnum) {
                    return done;
                }
                // What comes up another branch meanwhile is this one.
                lock(&self.asked).last_seek = Some((seqnum, true));
                let done = gst::Pad::event_default(pad, Some(&*self.obj()), event);
                lock(&self.asked).last_seek = Some((seqnum, done));
                return done;
            }
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Something between two frames.
    fn take(&self, mark: &Mark) {
        match mark {
            Mark::Begin { fragment, position, discont, silence } => {
                self.work(|inner| {
                    if inner.run.is_none() {
                        inner.run.clone_from(&lock(&self.asked).run);
                    }
                    self.meet(inner, fragment);
                    inner.begun =
                        u64::try_from(*position).map(gst::ClockTime::from_nseconds).unwrap_or_default();
                    inner.lanes.iter_mut().for_each(|lane| lane.begin(fragment.resumed));
                    if *discont {
                        inner.lanes.iter_mut().for_each(Lane::interrupt);
                    }
                    let end = silence.and_then(|(_, end)| u64::try_from(end).ok());
                    if let Some(end) = end.map(gst::ClockTime::from_nseconds) {
                        let Inner { lanes, time, .. } = inner;
                        lanes.iter_mut().for_each(|lane| lane.advance(end, time));
                    }
                });
                if let Some((silence, end)) = silence {
                    self.say(mark::gap(*silence, *end));
                }
            }
            Mark::End { fragment, end, position } => self.say(mark::message(fragment, end, *position)),
            Mark::Moved(by) => {
                let text = format!("the producer's clock has jumped: times go on elsewhere, by {by} ns");
                gst::warning!(SRC, imp = self, "{text}");
                self.say(message::repaired("time-moved", &text, None));
            }
        }
    }

    /// The tracks of a fragment, each to its pad.
    fn meet(&self, inner: &mut Inner, fragment: &Arc<Fragment>) {
        self.select(inner);
        if inner.header.as_ref().is_some_and(|header| Arc::ptr_eq(header, &fragment.header)) {
            return;
        }
        inner.header = Some(Arc::clone(&fragment.header));
        let Some(run) = inner.run.clone() else { return };
        let places = places(&inner.lanes, &fragment.header.tracks);
        for lane in &mut inner.lanes {
            lane.number = None;
        }
        let mut made = Vec::new();
        for (track, place) in fragment.header.tracks.iter().zip(places) {
            match place.and_then(|place| inner.lanes.get_mut(place)) {
                Some(lane) => {
                    if lane.follow(track) {
                        gst::info!(
                            SRC,
                            imp = self,
                            "{}: other caps, {:?}",
                            lane.pad.name(),
                            lane.pad.current_caps()
                        );
                        self.warn(lane.warning(&run.tally));
                    }
                }
                None => made.extend(self.lane(&run, inner, &made, track)),
            }
        }
        if !made.is_empty() {
            self.introduce(&run, inner, made);
        }
        if !std::mem::replace(&mut inner.complete, true) {
            self.obj().no_more_pads();
        }
    }

    /// A lane for a track that has none.
    fn lane(&self, run: &Run, inner: &Inner, made: &[Lane], track: &Track) -> Option<Lane> {
        if inner.lanes.len().saturating_add(made.len()) >= LANES {
            return None;
        }
        let stem = stem(track.kind);
        let taken = |name: &str| inner.lanes.iter().chain(made).any(|lane| lane.pad.name() == name);
        let name = (0..=LANES).map(|number| format!("{stem}_{number}")).find(|name| !taken(name))?;
        let pad = self.pad(&name, stem)?;
        let format = Format::of(track);
        let id = format!("{}/{name}", run.plan.stream.as_str());
        let mut lane = Lane::new(pad, &id, track, format);
        self.warn(lane.warning(&run.tally));
        Some(lane)
    }

    /// A pad, which is shown once: one that was removed cannot be shown again.
    fn pad(&self, name: &str, stem: &str) -> Option<gst::Pad> {
        let template = self.obj().pad_template(&format!("{stem}_%u"))?;
        let pad = gst::Pad::builder_from_template(&template).name(name);
        let pad = pad.event_function(|pad, parent, event| {
            Self::catch_panic_pad_function(parent, || false, |own| own.src_event(pad, event))
        });
        Some(pad.build())
    }

    /// Shows new lanes to everybody.
    fn introduce(&self, run: &Run, inner: &mut Inner, made: Vec<Lane>) {
        if inner.lanes.len().saturating_add(made.len()) > 1 {
            self.several.store(true, Ordering::Relaxed);
        }
        let streams = inner.lanes.iter().chain(&made).map(|lane| lane.stream.clone());
        let collection =
            gst::StreamCollection::builder(Some(run.plan.stream.as_str())).streams(streams).build();
        inner.collection = Some(collection.clone());
        let element = self.obj();
        self.post(gst::message::StreamCollection::builder(&collection).src(&*element).build());
        for lane in &inner.lanes {
            lane.pad.push_event(gst::event::StreamCollection::new(&collection));
        }
        // Whoever heard of the collection may have chosen already.
        let wanted = lock(&self.asked).streams.take();
        if let Some((wanted, _)) = &wanted {
            inner.unwanted = Some(unwanted(&collection, wanted));
        }
        for mut lane in made {
            if is_wanted(inner.unwanted.as_ref(), &lane) {
                self.show(run, inner, &mut lane);
            }
            inner.lanes.push(lane);
        }
        if let Some((_, asked)) = wanted {
            self.say_selected(inner, &collection, asked);
        }
    }

    fn say_selected(&self, inner: &Inner, collection: &gst::StreamCollection, asked: gst::Seqnum) {
        let chosen = inner.lanes.iter().filter(|lane| lane.shown).map(|lane| lane.stream.clone());
        let message = gst::message::StreamsSelected::builder(collection).streams(chosen).src(&*self.obj());
        self.post(message.seqnum(asked).build());
    }

    fn show(&self, run: &Run, inner: &mut Inner, lane: &mut Lane) {
        if let Err(error) = lane.pad.set_active(true) {
            gst::error!(SRC, imp = self, "{}: {error}", lane.pad.name());
            return;
        }
        lane.shown = true;
        lane.introduce(run, inner.segment.as_ref(), inner.collection.as_ref());
        inner.combiner.add_pad(&lane.pad);
        if let Err(error) = self.obj().add_pad(&lane.pad) {
            gst::error!(SRC, imp = self, "{error}");
        }
    }

    /// Does what was asked for by SELECT_STREAMS.
    fn select(&self, inner: &mut Inner) {
        let Some((wanted, asked)) = lock(&self.asked).streams.take() else { return };
        let (Some(collection), Some(run)) = (inner.collection.clone(), inner.run.clone()) else {
            lock(&self.asked).streams = Some((wanted, asked));
            return;
        };
        let before = inner.unwanted.replace(unwanted(&collection, &wanted));
        let mut lanes = std::mem::take(&mut inner.lanes);
        for lane in &mut lanes {
            let (was, is) = (is_wanted(before.as_ref(), lane), is_wanted(inner.unwanted.as_ref(), lane));
            if was && !is {
                lane.end();
                lane.shown = false;
                inner.combiner.remove_pad(&lane.pad);
                let _ = lane.pad.set_active(false);
                let _ = self.obj().remove_pad(&lane.pad);
            } else if is
                && !was
                && let Some(pad) = self.pad(&lane.pad.name(), stem(lane.kind))
            {
                lane.pad = pad;
                lane.restart(None);
                self.show(&run, inner, lane);
            }
        }
        inner.lanes = lanes;
        self.say_selected(inner, &collection, asked);
    }

    /// Says something as the source.
    fn say(&self, structure: gst::Structure) {
        if let Some(source) = self.source() {
            source.imp().say(structure);
        }
    }

    fn warn(&self, warning: Option<&str>) {
        if let (Some(warning), Some(source)) = (warning, self.source()) {
            source.imp().warn(gst::StreamError::Format, warning);
        }
    }

    fn source(&self) -> Option<super::KvsSrc> {
        self.obj().parent().and_downcast()
    }

    fn post(&self, message: gst::Message) {
        // Without a bus nobody wants to know.
        let _ = self.obj().post_message(message);
    }
}

fn unwanted(collection: &gst::StreamCollection, wanted: &[String]) -> HashSet<String> {
    let ids = collection.iter().filter_map(|stream| stream.stream_id());
    ids.map(|id| id.to_string()).filter(|id| !wanted.contains(id)).collect()
}

fn is_wanted(unwanted: Option<&HashSet<String>>, lane: &Lane) -> bool {
    let id = lane.stream.stream_id().unwrap_or_default();
    unwanted.is_none_or(|unwanted| !unwanted.contains(id.as_str()))
}

/// Which lane each track goes to, where there is one: that of its number and kind, else the next of its kind. Numbers are
/// of a session, and another session may have others.
fn places(lanes: &[Lane], tracks: &[Track]) -> Vec<Option<usize>> {
    let kinds: Vec<_> = lanes.iter().map(|lane| (lane.number, lane.kind)).collect();
    assign(&kinds, tracks)
}

fn assign(lanes: &[(Option<TrackNumber>, TrackKind)], tracks: &[Track]) -> Vec<Option<usize>> {
    let mut free = vec![true; lanes.len()];
    let mut places: Vec<_> = tracks.iter().map(|_| None).collect();
    for by_number in [true, false] {
        for (track, place) in tracks.iter().zip(&mut places).filter(|(_, place)| place.is_none()) {
            let fits = |(at, (number, kind)): &(usize, &(Option<TrackNumber>, TrackKind))| {
                free.get(*at) == Some(&true)
                    && stem(*kind) == stem(track.kind)
                    && (!by_number || *number == Some(track.number))
            };
            *place = lanes.iter().enumerate().find(fits).map(|(at, _)| at);
            if let Some(taken) = place.and_then(|at| free.get_mut(at)) {
                *taken = false;
            }
        }
    }
    places
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use kvs_media::mkv::Info;
    use kvs_media::time::Utc;
    use kvs_wire::FragmentNumber;

    use super::*;
    use crate::connection::Surroundings;
    use crate::kvssrc::listener::Voice;
    use crate::kvssrc::settings::Settings;
    use crate::runtime;

    /// The beginning of a fragment with one track of this kind.
    fn begin(kind: TrackKind) -> Mark {
        let time = Utc::from_millis(1_795_145_031_916).unwrap();
        let codec = if kind == TrackKind::Video { "V_VP8" } else { "A_OPUS" };
        let header = Header {
            doc_type: "matroska".to_owned(),
            info: Info::default(),
            tracks: vec![Track::new(TrackNumber(1), kind, codec)],
            raw: bytes::Bytes::new(),
            segment: 0..0,
        };
        let fragment = Fragment {
            number: FragmentNumber::make(1, time, 1).unwrap(),
            producer: time,
            server: time,
            begins: time,
            tags: Vec::new(),
            header: Arc::new(header),
            gap: None,
            resumed: false,
        };
        Mark::Begin { fragment: Arc::new(fragment), position: 0, discont: true, silence: None }
    }

    #[test]
    fn what_a_seek_has_left_behind_is_not_taken() {
        gst::init().unwrap();
        let settings = Settings { stream_name: Some("door".to_owned()), ..Settings::default() };
        let time = Utc::from_millis(1_795_145_031_916).unwrap();
        let plan = settings.plan(Surroundings::default(), time).unwrap();
        let source: crate::kvssrc::KvsSrc = glib::Object::new();
        let run = Run::new(plan, runtime::handle().unwrap().clone(), |run| Voice::of(&source, run));
        let demux: KvsDemux = glib::Object::new();
        demux.imp().set_run(Some(Arc::clone(&run)));
        demux.set_state(gst::State::Paused).unwrap();
        let sink = demux.static_pad("sink").unwrap();
        let pads = || demux.src_pads().iter().map(|pad| pad.name().to_string()).collect::<Vec<_>>();
        sink.send_event(gst::event::StreamStart::new("door"));
        sink.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        // It waits for the buffer that it goes with, and the seek comes before.
        let behind = begin(TrackKind::Audio).event(run.stretch());
        run.go_elsewhere();
        assert!(sink.send_event(behind) && pads().is_empty());
        assert!(sink.send_event(begin(TrackKind::Video).event(run.stretch())));
        assert_eq!(pads(), ["video_0"]);
        demux.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn tracks_stay_on_their_pads_whatever_their_numbers_are() {
        let track = |number, kind| Track::new(TrackNumber(number), kind, "X");
        let (video, audio, data) = (TrackKind::Video, TrackKind::Audio, TrackKind::Metadata);
        let lane = |number: Option<u64>, kind| (number.map(TrackNumber), kind);
        let lanes = [lane(Some(1), video), lane(Some(2), audio), lane(None, video)];
        assert_eq!(assign(&lanes, &[track(1, video), track(2, audio)]), [Some(0), Some(1)]);
        assert_eq!(assign(&lanes, &[track(1, audio), track(2, video)]), [Some(1), Some(0)]);
        assert_eq!(assign(&lanes, &[track(7, video), track(1, video)]), [Some(2), Some(0)]);
        assert_eq!(assign(&lanes, &[track(1, data), track(2, audio)]), [None, Some(1)]);
        assert_eq!(assign(&[lane(None, data)], &[track(1, TrackKind::Other(17))]), [Some(0)]);
    }
}
