//! One track on its way out: its pad, its caps, its decoding times.

use gst::prelude::*;
use kvs_media::{Track, TrackKind, TrackNumber};

use super::caps::Format;
use super::dts::DecodeTimes;
use super::run::Run;
use super::stats::Tally;

/// A track that has nothing to say is said to have nothing when it is so far behind the others.
const SILENT: u64 = 1_000_000_000;
/// And not what may still come, since tracks of a fragment are not exactly in order.
const UNSURE: u64 = 500_000_000;

/// One track on its way out.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) pad: gst::Pad,
    pub(super) kind: TrackKind,
    /// Its number in the fragment that comes; none while its producer sends no such track.
    pub(super) number: Option<TrackNumber>,
    pub(super) stream: gst::Stream,
    /// Its pad is there.
    pub(super) shown: bool,
    track: Track,
    format: Format,
    dts: DecodeTimes,
    /// Of the segment, and so of the seek that made it.
    seqnum: Option<gst::Seqnum>,
    /// What is before is said.
    position: Option<gst::ClockTime>,
    discont: bool,
    /// Pictures wait for one that needs no other.
    needs_key: bool,
    /// The next frame is the first of its fragment: there decoding can begin, whatever its producer has marked.
    begins: bool,
    /// It had a frame in the fragment that comes, and none in the one before.
    spoke: bool,
    quiet: bool,
    /// Nothing more is wanted of it before the next seek.
    done: bool,
    at_end: bool,
    /// Why its caps say less than they should was said.
    warned: bool,
}

/// Which kind of pad a track comes out of.
pub(super) const fn stem(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
        TrackKind::Metadata | TrackKind::Other(_) => "meta",
    }
}

impl Lane {
    /// That of a track, with a pad that is not on the element yet.
    pub(super) fn new(pad: gst::Pad, stream_id: &str, track: &Track, format: Format) -> Self {
        let kind = match track.kind {
            TrackKind::Video => gst::StreamType::VIDEO,
            TrackKind::Audio => gst::StreamType::AUDIO,
            TrackKind::Other(17) => gst::StreamType::TEXT,
            _ => gst::StreamType::UNKNOWN,
        };
        let flags = if kind == gst::StreamType::VIDEO || kind == gst::StreamType::AUDIO {
            gst::StreamFlags::SELECT
        } else {
            gst::StreamFlags::SPARSE
        };
        let stream = gst::Stream::new(Some(stream_id), Some(&format.caps), kind, flags);
        stream.set_tags(tags(track).as_ref());
        Self {
            pad,
            kind: track.kind,
            number: Some(track.number),
            stream,
            shown: false,
            dts: DecodeTimes::new(format.reorder_depth, format.lasts),
            track: track.clone(),
            format,
            seqnum: None,
            position: None,
            discont: true,
            needs_key: track.kind == TrackKind::Video,
            begins: true,
            spoke: true,
            quiet: false,
            done: false,
            at_end: false,
            warned: false,
        }
    }

    /// A fragment begins, or goes on that was cut.
    pub(super) const fn begin(&mut self, resumed: bool) {
        self.begins = true;
        if !resumed {
            self.quiet = !std::mem::replace(&mut self.spoke, false);
        }
    }

    /// What everybody downstream has to know before the first frame.
    pub(super) fn introduce(
        &mut self,
        run: &Run,
        segment: Option<&gst::Event>,
        collection: Option<&gst::StreamCollection>,
    ) {
        let id = self.stream.stream_id().unwrap_or_default();
        let start = gst::event::StreamStart::builder(&id)
            .group_id(run.group)
            .flags(self.stream.stream_flags())
            .stream(self.stream.clone());
        let seqnum = segment.map(|segment| segment.seqnum());
        self.seqnum = seqnum.or(self.seqnum);
        // Nobody is linked yet: they stay on the pad.
        let start = match seqnum {
            Some(seqnum) => start.seqnum(seqnum).build(),
            None => start.build(),
        };
        self.pad.push_event(start);
        self.pad.push_event(gst::event::Caps::new(&self.format.caps));
        if let Some(segment) = segment {
            self.pad.push_event(segment.clone());
        }
        if let Some(collection) = collection {
            self.pad.push_event(gst::event::StreamCollection::new(collection));
        }
        if let Some(tags) = self.stream.tags() {
            self.pad.push_event(gst::event::Tag::new(tags));
        }
    }

    /// Its frames are those of this track from now on. True when their caps are others.
    pub(super) fn follow(&mut self, track: &Track) -> bool {
        self.number = Some(track.number);
        if self.track == *track {
            return false;
        }
        let same = Track { number: self.track.number, uid: self.track.uid, ..track.clone() } == self.track;
        self.track = track.clone();
        if same {
            return false;
        }
        let format = Format::of(track);
        let other = format.caps != self.format.caps;
        self.dts.set_depth(format.reorder_depth, format.lasts);
        self.format = format;
        let tags = tags(track);
        if let Some(tags) = tags.as_ref().filter(|tags| self.stream.tags().as_ref() != Some(*tags)) {
            self.pad.push_event(gst::event::Tag::new(tags.clone()));
        }
        self.stream.set_tags(tags.as_ref());
        if !other {
            return false;
        }
        self.stream.set_caps(Some(&self.format.caps));
        self.pad.push_event(gst::event::Caps::new(&self.format.caps));
        self.needs_key = self.kind == TrackKind::Video;
        true
    }

    /// Why its caps say less than they should: said once, and counted each time.
    pub(super) fn warning(&mut self, tally: &Tally) -> Option<&str> {
        let warning = self.format.warning.as_deref()?;
        Tally::add(&tally.undescribed, 1);
        (!std::mem::replace(&mut self.warned, true)).then_some(warning)
    }

    /// What comes does not follow what was.
    pub(super) fn interrupt(&mut self) {
        self.dts.restart();
        self.discont = true;
    }

    /// What comes may be anywhere: behind a flush, or in another segment.
    pub(super) fn restart(&mut self, segment: Option<&gst::Event>) {
        self.dts.forget();
        self.spoke = true;
        (self.position, self.discont, self.done, self.at_end) = (None, true, false, false);
        self.needs_key = self.kind == TrackKind::Video;
        if let Some(segment) = segment {
            self.seqnum = Some(segment.seqnum());
            self.pad.push_event(segment.clone());
        }
    }

    /// A frame of it comes out.
    ///
    /// # Errors
    /// Those of the pad, and that nothing more is wanted.
    pub(super) fn push(
        &mut self,
        mut buffer: gst::Buffer,
        segment: &gst::FormattedSegment<gst::ClockTime>,
        tally: &Tally,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.spoke = true;
        if self.done {
            return Err(gst::FlowError::Eos);
        }
        let Some(pts) = buffer.pts() else { return Ok(gst::FlowSuccess::Ok) };
        let delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let flags = segment.flags();
        let keys_only = flags.contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS);
        let video = self.kind == TrackKind::Video;
        let begins = std::mem::take(&mut self.begins);
        if self.needs_key && delta && !begins && !self.format.all_key {
            Tally::add(&tally.before_key, 1);
            return Ok(gst::FlowSuccess::Ok);
        }
        self.needs_key = false;
        if (keys_only && video && delta)
            || (flags.contains(gst::SegmentFlags::TRICKMODE_NO_AUDIO) && self.kind == TrackKind::Audio)
        {
            self.discont = true;
            return Ok(gst::FlowSuccess::Ok);
        }
        let dts = match i64::try_from(pts.nseconds()) {
            Ok(pts) if video && !keys_only => self.dts.next(pts).and_then(|time| u64::try_from(time).ok()),
            _ => Some(pts.nseconds()),
        };
        let dts = dts.map(gst::ClockTime::from_nseconds);
        if dts.is_none() {
            Tally::add(&tally.dts_missing, 1);
        }
        if segment.stop().is_some_and(|stop| dts.unwrap_or(pts) >= stop && pts >= stop) {
            self.done = true;
            // A segment that is played again ends in SEGMENT_DONE.
            if !flags.contains(gst::SegmentFlags::SEGMENT) {
                self.end();
            }
            return Err(gst::FlowError::Eos);
        }
        let over = pts.saturating_add(buffer.duration().unwrap_or(gst::ClockTime::from_nseconds(1)));
        // Nobody needs it to decode what is in the segment.
        if self.format.all_key && segment.start().is_some_and(|start| over <= start) {
            return Ok(gst::FlowSuccess::Ok);
        }
        self.position = Some(self.position.map_or(over, |position| position.max(over)));
        if let Some(own) = buffer.get_mut() {
            own.set_offset(u64::MAX);
            if video {
                own.set_dts(dts);
            }
            if std::mem::take(&mut self.discont) || keys_only {
                own.set_flags(gst::BufferFlags::DISCONT);
            } else {
                own.unset_flags(gst::BufferFlags::DISCONT);
            }
        }
        self.pad.push(buffer)
    }

    /// Nothing of it comes before `to`.
    pub(super) fn advance(&mut self, to: gst::ClockTime, segment: &gst::FormattedSegment<gst::ClockTime>) {
        let begin = self.position.or(segment.start()).unwrap_or(gst::ClockTime::ZERO);
        if self.done || self.at_end || to <= begin {
            return;
        }
        self.position = Some(to);
        let gap = gst::event::Gap::builder(begin).duration(to.saturating_sub(begin));
        self.pad.push_event(match self.seqnum {
            Some(seqnum) => gap.seqnum(seqnum).build(),
            None => gap.build(),
        });
    }

    /// Another track is at `now`, in a fragment that has begun at `begun`: when this one is far behind, it has nothing to
    /// say. Tracks may follow one another in a fragment: what had something to say in the one before may have in this.
    pub(super) fn keep_up(
        &mut self,
        now: gst::ClockTime,
        begun: gst::ClockTime,
        segment: &gst::FormattedSegment<gst::ClockTime>,
    ) {
        let begin = self.position.or(segment.start()).unwrap_or(gst::ClockTime::ZERO);
        let least = now.saturating_sub(gst::ClockTime::from_nseconds(UNSURE));
        if now.saturating_sub(begin) > gst::ClockTime::from_nseconds(SILENT) {
            self.advance(if self.quiet { least } else { least.min(begun) }, segment);
        }
    }

    /// It is at its end.
    pub(super) fn end(&mut self) {
        if !std::mem::replace(&mut self.at_end, true) {
            let end = gst::event::Eos::builder();
            self.pad.push_event(match self.seqnum {
                Some(seqnum) => end.seqnum(seqnum).build(),
                None => end.build(),
            });
        }
    }
}

fn tags(track: &Track) -> Option<gst::TagList> {
    let mut tags = gst::TagList::new();
    {
        let own = tags.make_mut();
        let name = track.name.replace('\0', "");
        if !name.is_empty() {
            own.add::<gst::tags::Title>(&name.as_str(), gst::TagMergeMode::Replace);
        }
        let language = track.language.replace('\0', "");
        // What Matroska says where nobody has said anything, and what says nothing.
        if !language.is_empty() && language != "und" {
            own.add::<gst::tags::LanguageCode>(&language.as_str(), gst::TagMergeMode::Replace);
        }
        own.set_scope(gst::TagScope::Stream);
    }
    (tags.n_tags() > 0).then_some(tags)
}
