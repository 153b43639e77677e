//! The half that fetches: a source in time, which can be live and can be sought in.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use kvs_client::clock;
use kvs_client::download::{Begin, Download, Failure, Item, Next, Snap};
use kvs_media::time::Monotonic;

use super::mark::Mark;
use super::reading::{Output, Reading, Target};
use super::run::Run;
use super::seek::{self, Wish};
use crate::log::SRC;

/// So long is waited for the reader before looking around.
const LOOK: Duration = Duration::from_secs(1);
/// A duration is said again when it has grown by this.
const GROWTH: i64 = 1_000_000_000;

glib::wrapper! {
    /// The half that fetches.
    pub(crate) struct KvsFetch(ObjectSubclass<Fetch>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

#[derive(Debug, Default)]
pub(crate) struct Fetch {
    run: Mutex<Option<Arc<Run>>>,
    /// What `unlock` needs, which waits for nothing.
    hand: Mutex<Hand>,
    /// The streaming thread's, and of who seeks while it does not stream.
    work: Mutex<Option<Work>>,
    /// What the seek that is to be done says.
    wish: Mutex<Option<Wish>>,
    /// What all events have in common that follow from the last seek.
    number: Mutex<Option<gst::Seqnum>>,
    extent: Mutex<Extent>,
}

/// The reader that may be waited for.
#[derive(Debug, Default)]
struct Hand {
    download: Option<Arc<Download>>,
    halted: bool,
}

#[derive(Debug)]
struct Work {
    reading: Reading,
    download: Option<Arc<Download>>,
    target: Option<Target>,
    /// Since when it waits for media.
    waits: Option<Monotonic>,
    /// The fragment that is read begins behind the stop.
    behind: bool,
}

/// What the streaming thread has to do next.
#[derive(Debug)]
enum Step {
    /// It goes out.
    Buffer(gst::Buffer),
    /// The duration is to be said again.
    Grown,
    /// Nothing more comes of this run.
    Failed(Arc<Run>, Failure),
    /// Nothing has come for so long.
    Silent(Arc<Run>, Duration),
    /// To look again.
    Nothing,
}

/// What is known of the time line, for queries.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    /// How long it is, when that is known.
    duration: Option<i64>,
    /// What was said of it.
    said: i64,
}

#[glib::object_subclass]
impl ObjectSubclass for Fetch {
    const NAME: &'static str = "GstRsKvsSrcFetch";
    type Type = KvsFetch;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for Fetch {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_format(gst::Format::Time);
        // A stop position is reached when the decoding times are behind it, which the other half knows.
        element.set_automatic_eos(false);
        let weak = self.downgrade();
        let Some(pad) = element.static_pad("src") else { return };
        // A segment that is changed on the way is numbered anew by the base class.
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let (Some(fetch), Some(event)) = (weak.upgrade(), info.event_mut()) {
                fetch.number(event);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

impl GstObjectImpl for Fetch {}

impl ElementImpl for Fetch {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Kinesis Video Streams fetcher",
                "Source/Network",
                "A part of kvssrc",
                "the gst-plugin-kvs authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let (direction, presence) = (gst::PadDirection::Src, gst::PadPresence::Always);
            gst::PadTemplate::new("src", direction, presence, &gst::Caps::new_any()).into_iter().collect()
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for Fetch {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let run = lock(&self.run).clone();
        let run = run.ok_or_else(|| gst::error_msg!(gst::CoreError::StateChange, ("there is no run")))?;
        *lock(&self.extent) = Extent::default();
        *lock(&self.hand) = Hand::default();
        *lock(&self.work) = Some(Work {
            reading: Reading::new(run),
            download: None,
            target: None,
            waits: None,
            behind: false,
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        lock(&self.hand).download = None;
        if let Some(work) = lock(&self.work).take() {
            work.reading.run().close();
        }
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.halt(true);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.halt(false);
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        lock(&self.run).as_ref().is_some_and(|run| run.is_seekable())
    }

    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        let Some(segment) = segment.downcast_mut::<gst::ClockTime>() else { return false };
        // Whatever becomes of it, it is not that of the next one.
        let wish = lock(&self.wish).take();
        let mut work = lock(&self.work);
        let Some(work) = work.as_mut() else { return false };
        *lock(&self.number) = Some(wish.map_or_else(gst::Seqnum::next, |wish| wish.number));
        // Where it goes on from, when the start stays as it is: that is not where it was.
        let position = segment.position().map_or(0, nanos);
        if !seek::is_rate(segment.rate()) {
            return false;
        }
        // That of the beginning, which every source is told to do.
        if work.download.is_none() && position == 0 && work.target.is_none() {
            return true;
        }
        if !work.reading.run().is_seekable() {
            return false;
        }
        bound(segment, &work.reading);
        let snap = wish.map_or(Snap::Accurate, |wish| wish.snap);
        let moves = snap != Snap::Accurate;
        gst::debug!(SRC, imp = self, "to {position} ({snap:?})");
        work.target = Some(Target { position, snap, moves });
        work.download = None;
        work.behind = false;
        lock(&self.hand).download = None;
        // What came before is not wanted any more, and its connection is free.
        work.reading.run().close();
        work.reading.go_elsewhere(moves);
        true
    }

    fn event(&self, event: &gst::Event) -> bool {
        match event.view() {
            gst::EventView::Seek(seek) => {
                let end = lock(&self.extent).duration;
                self.admit(seek, self.is_seekable())
                    && seek::from_the_start(seek, end)
                        .map_or_else(|| self.parent_event(event), |event| self.parent_event(&event))
            }
            _ => self.parent_event(event),
        }
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let Some(run) = lock(&self.run).clone() else { return false };
                let live = !run.is_seekable();
                let least = if live { run.plan.latency } else { Duration::ZERO };
                let least = gst::ClockTime::try_from(least).unwrap_or(gst::ClockTime::ZERO);
                // Nothing is lost when it is late: the service waits.
                latency.set(live, least, gst::ClockTime::NONE);
                true
            }
            gst::QueryViewMut::Duration(duration) if duration.format() == gst::Format::Time => {
                let known = lock(&self.extent).duration.and_then(clock_time);
                known.is_some_and(|known| {
                    duration.set(known);
                    true
                })
            }
            gst::QueryViewMut::Seeking(seeking) if seeking.format() == gst::Format::Time => {
                let end = lock(&self.extent).duration.and_then(clock_time);
                seeking.set(self.is_seekable(), gst::ClockTime::ZERO, end);
                true
            }
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }
}

impl PushSrcImpl for Fetch {
    fn create(&self, _buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        loop {
            match self.step()? {
                Step::Buffer(buffer) => return Ok(CreateSuccess::NewBuffer(buffer)),
                Step::Grown => {
                    let element = self.obj();
                    let _ =
                        element.post_message(gst::message::DurationChanged::builder().src(&*element).build());
                }
                Step::Failed(run, failure) => {
                    run.voice().fail(&run, &failure);
                    // Who heard of it may have sought.
                    let is_over = |work: &Work| work.download.is_some();
                    if lock(&self.work).as_ref().is_none_or(is_over) {
                        return Err(gst::FlowError::Error);
                    }
                }
                Step::Silent(run, since) => run.voice().no_data(&run, since),
                Step::Nothing => {}
            }
        }
    }
}

impl Fetch {
    /// What it will read when it starts.
    pub(super) fn set_run(&self, run: Option<Arc<Run>>) {
        if let Some(run) = &run {
            self.obj().set_live(!run.is_seekable());
        }
        *lock(&self.run) = run;
    }

    /// A seek can be done, and what it wishes is known then: all of them come through here.
    fn admit(&self, seek: &gst::event::Seek, is_seekable: bool) -> bool {
        match seek::wish(seek, is_seekable) {
            Ok(wish) => {
                *lock(&self.wish) = Some(wish);
                true
            }
            Err(refused) => {
                gst::warning!(SRC, imp = self, "a seek is refused: {refused}");
                false
            }
        }
    }

    /// A seek before anything is read, which is done when that begins.
    pub(super) fn seek_later(&self, event: &gst::Event, is_seekable: bool) -> bool {
        let gst::EventView::Seek(seek) = event.view() else { return false };
        self.admit(seek, is_seekable) && self.obj().send_event(event.clone())
    }

    /// One thing at a time. Nothing is posted in here: who hears of it may seek, and that needs what is locked.
    fn step(&self) -> Result<Step, gst::FlowError> {
        let mut work = lock(&self.work);
        let work = work.as_mut().ok_or(gst::FlowError::Flushing)?;
        while let Some(output) = work.reading.ready.pop_front() {
            if let Some(buffer) = self.put_out(work, output)? {
                return Ok(Step::Buffer(buffer));
            }
        }
        let download = match &work.download {
            Some(download) => Arc::clone(download),
            None => self.open(work),
        };
        let since = *work.waits.get_or_insert_with(clock::monotonic);
        match download.next(LOOK) {
            Next::Item(item) => {
                if matches!(item, Item::Fragment(_) | Item::Frame(_)) {
                    work.waits = None;
                }
                work.reading.take(item, || self.running());
                Ok(if self.extend(&work.reading) { Step::Grown } else { Step::Nothing })
            }
            Next::Nothing => {
                let span = clock::monotonic().saturating_since(since);
                Ok(Step::Silent(Arc::clone(work.reading.run()), span))
            }
            Next::Interrupted => {
                work.waits = None;
                Err(gst::FlowError::Flushing)
            }
            Next::End if self.settle() => Ok(Step::Grown),
            Next::End => Err(gst::FlowError::Eos),
            Next::Failed(failure) => Ok(Step::Failed(Arc::clone(work.reading.run()), failure)),
        }
    }

    /// Numbers what says where the media begin and end as the seek that led there.
    fn number(&self, event: &mut gst::Event) {
        let (true, Some(number)) =
            (matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos), *lock(&self.number))
        else {
            return;
        };
        if event.seqnum() != number {
            event.make_mut().set_seqnum(number);
        }
    }

    fn halt(&self, halted: bool) {
        let mut hand = lock(&self.hand);
        hand.halted = halted;
        if let Some(download) = &hand.download {
            download.interrupt(halted);
        }
    }

    /// Begins to read where it is to.
    fn open(&self, work: &mut Work) -> Arc<Download> {
        let begin = work.target.and_then(|target| {
            let at = work.reading.utc(target.position)?;
            Some(Begin { at, snap: target.snap })
        });
        // Before it is known where stream time begins, nobody knows where the target is.
        if work.reading.has_origin() {
            work.target = None;
        }
        let download = work.reading.run().read(begin);
        let mut hand = lock(&self.hand);
        if hand.halted {
            download.interrupt(true);
        }
        hand.download = Some(Arc::clone(&download));
        work.download = Some(Arc::clone(&download));
        download
    }

    /// What goes out for it, if anything does now.
    fn put_out(&self, work: &mut Work, output: Output) -> Result<Option<gst::Buffer>, gst::FlowError> {
        match output {
            Output::Buffer(buffer) if work.behind && !self.is_before_the_stop(&buffer) => {}
            Output::Buffer(buffer) => return Ok(Some(buffer)),
            Output::Mark(Mark::End { .. }) if work.behind => return Err(gst::FlowError::Eos),
            Output::Mark(_) if work.behind => {}
            Output::Mark(mark) => {
                // It goes with the next buffer, behind a segment that is due: an empty one, so that it goes now.
                self.obj().send_event(mark.event(work.reading.run().stretch()));
                return Ok(Some(gst::Buffer::new()));
            }
            Output::Origin => {
                self.segment(|segment| bound(segment, &work.reading))?;
                match work.target {
                    Some(target) if target.position > 0 => {
                        work.download = None;
                        lock(&self.hand).download = None;
                        work.reading.go_elsewhere(target.moves);
                    }
                    _ => work.target = None,
                }
            }
            Output::Landed(position) => {
                let at = clock_time(position);
                self.segment(|segment| {
                    segment.set_start(at);
                    segment.set_time(at);
                    segment.set_position(at);
                    segment.set_offset(gst::ClockTime::ZERO);
                    if segment.stop().is_some_and(|stop| Some(stop) < at) {
                        segment.set_stop(at);
                    }
                })?;
            }
            Output::Reached(position) if self.stop_position().is_some_and(|stop| position >= nanos(stop)) => {
                if std::mem::replace(&mut work.behind, true) {
                    return Err(gst::FlowError::Eos);
                }
            }
            Output::Reached(_) => {}
        }
        Ok(None)
    }

    fn stop_position(&self) -> Option<gst::ClockTime> {
        self.obj().segment().downcast_ref::<gst::ClockTime>().and_then(gst::FormattedSegment::stop)
    }

    /// What other tracks say before the pictures that a fragment begins with is in that fragment. Nothing else of it is
    /// wanted when those are behind the stop.
    fn is_before_the_stop(&self, buffer: &gst::Buffer) -> bool {
        let alone = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        alone && buffer.pts().zip(self.stop_position()).is_some_and(|(pts, stop)| pts < stop)
    }

    /// Changes the segment, which goes out before the next buffer does.
    fn segment(
        &self,
        change: impl FnOnce(&mut gst::FormattedSegment<gst::ClockTime>),
    ) -> Result<(), gst::FlowError> {
        let Ok(mut segment) = self.obj().segment().downcast::<gst::ClockTime>() else {
            return Err(gst::FlowError::Error);
        };
        change(&mut segment);
        self.obj().new_segment(segment.upcast_ref()).map_err(|error| {
            gst::error!(SRC, imp = self, "{error}");
            gst::FlowError::Error
        })
    }

    /// The running time that it is now.
    fn running(&self) -> i64 {
        self.obj().current_running_time().map_or(0, nanos)
    }

    /// What is known of a range grows while it is being recorded. True when that is worth saying.
    fn extend(&self, reading: &Reading) -> bool {
        if !reading.run().is_seekable() || !reading.has_origin() {
            return false;
        }
        let duration = reading.duration();
        let mut extent = lock(&self.extent);
        let grown = extent.duration.is_none() || duration.saturating_sub(extent.said) >= GROWTH;
        extent.duration = Some(duration);
        if grown {
            extent.said = duration;
        }
        grown
    }

    /// All of a range is read, and how long it is, known. True when that was not said.
    fn settle(&self) -> bool {
        let mut extent = lock(&self.extent);
        extent.duration.is_some_and(|duration| std::mem::replace(&mut extent.said, duration) != duration)
    }
}

/// It stops where the range does, when not before.
fn bound(segment: &mut gst::FormattedSegment<gst::ClockTime>, reading: &Reading) {
    segment.set_stop(reading.stop(segment.stop().map(nanos)).and_then(clock_time));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(time: gst::ClockTime) -> i64 {
    i64::try_from(time.nseconds()).unwrap_or(i64::MAX)
}

fn clock_time(position: i64) -> Option<gst::ClockTime> {
    u64::try_from(position).ok().map(gst::ClockTime::from_nseconds)
}
