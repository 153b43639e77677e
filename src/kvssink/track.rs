//! One pad's way from buffers to frames.

use std::sync::Arc;
use std::time::Duration;

use kvs_client::clock;
use kvs_client::upload::Frame;
use kvs_media::codec::adts;
use kvs_media::fragment::Timing;
use kvs_media::time::{RunningTime, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};

use super::caps::{CapsError, Format, Framing};
use super::payload::{Arena, Conversion, Said};
use super::run::Run;
use super::stats::Tally;
use crate::utc::{Calendar, Mended, Now, Placed, Times, Timetable};

/// What a pad's streaming thread works on, and nobody else while it streams.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The run that it is part of, and the track's number in it.
    part: Option<(Arc<Run>, TrackNumber)>,
    conversion: Option<Conversion>,
    /// The header that was handed on last.
    header: Option<Track>,
    arena: Arena,
    timetable: Timetable,
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// The segment counts time.
    timed: bool,
}

/// What happened to a buffer beside that it went, to be said when nothing is locked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Its time was mended.
    Mended(Mended),
    /// It did not go: no header is known yet.
    WithoutHeader,
    /// It did not go: it cannot be converted.
    Unreadable(String),
    /// It did not go: upstream has marked it.
    Corrupted,
    /// A frame went at which metrics are due.
    Metrics(Utc),
}

/// How the header of a pad's track is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    /// The name of the track.
    pub(crate) name: Option<String>,
    /// Another codec id than that of the caps.
    pub(crate) codec_id: Option<String>,
}

impl Lane {
    /// Becomes part of a run.
    pub(crate) fn join(&mut self, run: &Arc<Run>, number: TrackNumber) {
        self.part = Some((Arc::clone(run), number));
        self.header = None;
        self.offer_header();
    }

    /// The run that it is part of, and the track's number in it.
    pub(crate) fn part(&self) -> Option<(&Arc<Run>, TrackNumber)> {
        self.part.as_ref().map(|(run, number)| (run, *number))
    }

    /// Is part of no run, and begins anew.
    pub(crate) fn leave(&mut self) -> Option<(Arc<Run>, TrackNumber)> {
        std::mem::take(self).part
    }

    /// Time begins anew.
    pub(crate) fn flush(&mut self) {
        self.timetable.restart();
        self.segment.reset();
        self.timed = false;
    }

    /// What positions mean from now on.
    pub(crate) fn set_segment(&mut self, segment: &gst::Segment) {
        match segment.downcast_ref::<gst::ClockTime>() {
            Some(segment) => {
                self.segment = segment.clone();
                self.timed = true;
            }
            None => self.timed = false,
        }
    }

    /// What buffers are from now on.
    ///
    /// # Errors
    /// When they cannot become a track.
    pub(crate) fn set_caps(
        &mut self,
        caps: &gst::CapsRef,
        kind: TrackKind,
        naming: &Naming,
    ) -> Result<(), CapsError> {
        let mut format =
            if kind == TrackKind::Metadata { Format::of_data(caps)? } else { Format::of_media(caps)? };
        if format.codec.kind() != kind {
            return Err(CapsError::Unsupported(format!("{caps} on a pad of another kind")));
        }
        format.track.name = naming.name.clone().unwrap_or_default();
        if let Some(codec_id) = &naming.codec_id {
            format.track.codec_id.clone_from(codec_id);
        }
        let conversion = Conversion::new(format, self.conversion.take());
        self.conversion = Some(conversion.map_err(|error| CapsError::Codec {
            media: caps.structure(0).map_or_else(String::new, |structure| structure.name().to_string()),
            error,
        })?);
        self.offer_header();
        Ok(())
    }

    /// The running time at the end of a gap.
    pub(crate) fn running(&self, position: Option<gst::ClockTime>) -> Option<RunningTime> {
        let position = position.filter(|_| self.timed)?;
        signed(self.segment.to_running_time_full(position))
    }

    /// The stream time of a buffer.
    pub(crate) fn stream_time(&self, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        self.segment.to_stream_time(buffer.pts().or(buffer.dts())?)
    }

    /// Makes frames of a buffer and pushes them. What else happened goes to `notices`.
    ///
    /// # Errors
    /// Those of `push`, and when no caps have come.
    pub(crate) fn take(
        &mut self,
        buffer: &gst::BufferRef,
        base: i64,
        notices: &mut Vec<Notice>,
        mut push: impl FnMut(&Run, TrackNumber, Frame) -> Result<(), gst::FlowError>,
    ) -> Result<(), gst::FlowError> {
        let (run, number) = self.part.clone().ok_or(gst::FlowError::Flushing)?;
        let conversion = self.conversion.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        if buffer.size() == 0 {
            return Ok(());
        }
        if run.drop_corrupted && buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            Tally::count(&run.tally.corrupted);
            notices.push(Notice::Corrupted);
            return Ok(());
        }
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let said = Said {
            delta: buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            in_order: buffer.dts().is_some() && buffer.dts() == buffer.pts(),
        };
        let unreadable = |error: kvs_media::codec::CodecError| {
            Tally::count(&run.tally.unreadable);
            Notice::Unreadable(error.to_string())
        };
        let unit = match conversion.look(&map, said) {
            Ok(unit) => unit,
            Err(error) => {
                notices.push(unreadable(error));
                return Ok(());
            }
        };
        if unit.header {
            self.offer_header();
        }
        if unit.empty {
            return Ok(());
        }
        if self.header.is_none() {
            Tally::count(&run.tally.without_header);
            notices.push(Notice::WithoutHeader);
            return Ok(());
        }
        let placed = self.place(&run, buffer, base);
        match placed.mended {
            Some(Mended::Moved(_)) => _ = Tally::count(&run.tally.moved),
            Some(_) => _ = Tally::count(&run.tally.interpolated),
            None => {}
        }
        notices.extend(placed.mended.map(Notice::Mended));
        if run.metrics && (unit.key || !run.has_begun()) {
            notices.push(Notice::Metrics(placed.utc));
        }
        let duration = span(buffer.duration());
        let timing = Timing { pts: placed.running, key: unit.key, leading: unit.leads, duration };
        let Some(conversion) = &self.conversion else { return Err(gst::FlowError::NotNegotiated) };
        if conversion.format().framing != Framing::Adts {
            return match conversion.payload(&map, &mut self.arena) {
                Ok(payload) => push(&run, number, Frame { payload, utc: placed.utc, timing }),
                Err(error) => {
                    notices.push(unreadable(error));
                    Ok(())
                }
            };
        }
        // Each raw block is a frame.
        let lasts = conversion.format().lasts;
        let mut at = Duration::ZERO;
        for block in adts::blocks(&map) {
            let payload = match block.and_then(|(_, block)| self.arena.copy(block)) {
                Ok(payload) => payload,
                Err(error) => {
                    notices.push(unreadable(error));
                    return Ok(());
                }
            };
            let utc = placed.utc.checked_add(at).unwrap_or(placed.utc);
            let timing = Timing { pts: placed.running.saturating_add(at), duration: lasts, ..timing };
            push(&run, number, Frame { payload, utc, timing })?;
            at = at.saturating_add(lasts);
        }
        Ok(())
    }

    /// Clocks are read here, and no more of them than the calendar needs.
    fn place(&mut self, run: &Run, buffer: &gst::BufferRef, base: i64) -> Placed {
        let running = |time: Option<gst::ClockTime>| self.running(time);
        let times = Times {
            pts: running(buffer.pts()),
            dts: running(buffer.dts()),
            raw: buffer.pts().or(buffer.dts()).and_then(|time| i64::try_from(time.nseconds()).ok()),
            duration: span(buffer.duration()),
            reference: if run.calendar == Calendar::Reference { reference(buffer) } else { None },
        };
        let timed = times.pts.or(times.dts);
        let now = Now {
            utc: match run.calendar {
                Calendar::Arrival => clock::utc(),
                Calendar::Buffer if times.raw.is_none() => clock::utc(),
                _ => Utc::EPOCH,
            },
            running: if timed.is_none() { run.timeline.running() } else { RunningTime::ZERO },
            offset: match run.calendar {
                Calendar::Reference | Calendar::Clock => run.timeline.offset(base, timed),
                Calendar::Arrival | Calendar::Buffer | Calendar::From(_) => 0,
            },
        };
        let lasts = self.conversion.as_ref().map_or(Duration::ZERO, |conversion| conversion.format().lasts);
        self.timetable.place(run.calendar, &times, lasts, now)
    }

    /// Hands the header on when it is known and another than before.
    fn offer_header(&mut self) {
        let header = self.conversion.as_ref().and_then(Conversion::header);
        if let (Some((run, number)), Some(header)) = (&self.part, header)
            && self.header.as_ref() != Some(header)
        {
            run.upload.set_header(*number, header.clone());
            self.header = Some(header.clone());
        }
    }
}

/// What upstream says when a buffer was made: Unix, else NTP.
fn reference(buffer: &gst::BufferRef) -> Option<Utc> {
    let mut ntp = None;
    for meta in buffer.iter_meta::<gst::ReferenceTimestampMeta>() {
        let nanos = meta.timestamp().nseconds();
        match meta.reference().structure(0).map(|structure| structure.name().as_str()) {
            Some("timestamp/x-unix") => return i64::try_from(nanos).ok().map(Utc::from_nanos),
            Some("timestamp/x-ntp") => ntp = Utc::from_ntp_nanos(nanos),
            _ => {}
        }
    }
    ntp
}

fn signed(time: Option<gst::Signed<gst::ClockTime>>) -> Option<RunningTime> {
    let nanos = |time: gst::ClockTime| i64::try_from(time.nseconds()).ok();
    Some(RunningTime::from_nanos(match time? {
        gst::Signed::Positive(time) => nanos(time)?,
        gst::Signed::Negative(time) => nanos(time)?.checked_neg()?,
    }))
}

fn span(time: Option<gst::ClockTime>) -> Duration {
    time.map_or(Duration::ZERO, Duration::from)
}
