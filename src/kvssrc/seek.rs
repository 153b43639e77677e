//! What a seek asks for, and what of that can be done.

use kvs_client::download::Snap;

/// More is too fast for any decoder to be worth it.
const FASTEST: f64 = 4.0;

/// What a seek says beyond its segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wish {
    /// Which key frame it means.
    pub(super) snap: Snap,
    /// What all that follows from it has in common.
    pub(super) number: gst::Seqnum,
}

/// Why a seek cannot be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Refused {
    /// There is nothing but what comes.
    #[error("a live stream cannot be sought in: set from")]
    Live,
    /// Nothing can be played so.
    #[error("rate {0} is not between 0 and {most}", most = FASTEST)]
    Rate(f64),
    /// There is no time in it.
    #[error("it cannot be sought by {0:?}")]
    Format(gst::Format),
    /// What is already on its way has the rate before.
    #[error("the rate cannot be changed without a seek")]
    Instant,
}

/// What a seek wishes.
///
/// # Errors
/// When it cannot be done.
pub(super) fn wish(seek: &gst::event::Seek, is_seekable: bool) -> Result<Wish, Refused> {
    let (rate, flags, _, start, ..) = seek.get();
    if !is_seekable {
        Err(Refused::Live)
    } else if !is_rate(rate) {
        Err(Refused::Rate(rate))
    } else if start.format() != gst::Format::Time {
        Err(Refused::Format(start.format()))
    } else if flags.contains(gst::SeekFlags::INSTANT_RATE_CHANGE) {
        Err(Refused::Instant)
    } else {
        Ok(Wish { snap: snap(flags), number: seek.seqnum() })
    }
}

/// Something can be played at this rate.
pub(super) fn is_rate(rate: f64) -> bool {
    rate > 0.0 && rate <= FASTEST
}

/// A seek that counts from the end, in nanoseconds, as one that counts from the start, since the end moves. `None` where it
/// need not be, or nobody knows the end.
pub(super) fn from_the_start(seek: &gst::event::Seek, end: Option<i64>) -> Option<gst::Event> {
    let (rate, flags, start_type, start, stop_type, stop) = seek.get();
    if start_type != gst::SeekType::End && stop_type != gst::SeekType::End {
        return None;
    }
    let end = end?;
    let count = |kind, value| {
        let gst::GenericFormattedValue::Time(value) = value else { return (kind, None) };
        if kind != gst::SeekType::End {
            return (kind, value);
        }
        // A distance from the end is negative, and travels as what it is not.
        let back = value.map_or(0, |value| value.nseconds().cast_signed());
        let at = end.saturating_add(back).max(0).unsigned_abs();
        (gst::SeekType::Set, Some(gst::ClockTime::from_nseconds(at)))
    };
    let ((start_type, start), (stop_type, stop)) = (count(start_type, start), count(stop_type, stop));
    let event = gst::event::Seek::builder(rate, flags, start_type, start, stop_type, stop);
    Some(event.seqnum(seek.seqnum()).build())
}

/// Which key frame the flags of a seek mean.
fn snap(flags: gst::SeekFlags) -> Snap {
    use gst::SeekFlags as Flags;
    if !flags.contains(Flags::KEY_UNIT) || flags.contains(Flags::ACCURATE) {
        Snap::Accurate
    } else if flags.contains(Flags::SNAP_BEFORE | Flags::SNAP_AFTER) {
        Snap::Nearest
    } else if flags.contains(Flags::SNAP_AFTER) {
        Snap::After
    } else {
        Snap::Before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::{ClockTime, SeekFlags as Flags, SeekType};

    fn seek(rate: f64, flags: Flags) -> gst::Event {
        gst::init().unwrap();
        gst::event::Seek::new(rate, flags, SeekType::Set, ClockTime::SECOND, SeekType::None, ClockTime::NONE)
    }

    fn read(event: &gst::Event) -> &gst::event::Seek {
        let gst::EventView::Seek(seek) = event.view() else { panic!("{event:?}") };
        seek
    }

    #[test]
    fn a_seek_wishes_what_its_flags_say_or_is_refused() {
        for (flags, snap) in [
            (Flags::empty(), Snap::Accurate),
            (Flags::KEY_UNIT, Snap::Before),
            (Flags::KEY_UNIT | Flags::SNAP_AFTER, Snap::After),
            (Flags::KEY_UNIT | Flags::SNAP_NEAREST, Snap::Nearest),
            (Flags::KEY_UNIT | Flags::ACCURATE, Snap::Accurate),
        ] {
            let event = seek(1.0, flags);
            assert_eq!(wish(read(&event), true), Ok(Wish { snap, number: event.seqnum() }), "{flags:?}");
        }
        let refused = |rate, flags, seekable| wish(read(&seek(rate, flags)), seekable).unwrap_err();
        assert_eq!(refused(1.0, Flags::empty(), false), Refused::Live);
        assert_eq!(refused(4.5, Flags::empty(), true).to_string(), "rate 4.5 is not between 0 and 4");
        assert_eq!(refused(-1.0, Flags::empty(), true), Refused::Rate(-1.0));
        let (none, kept) = (ClockTime::NONE, SeekType::None);
        let instant = gst::event::Seek::new(2.0, Flags::INSTANT_RATE_CHANGE, kept, none, kept, none);
        assert_eq!(wish(read(&instant), true), Err(Refused::Instant));
        let (start, stop) = (gst::format::Bytes::from_u64(1), gst::format::Bytes::NONE);
        let bytes = gst::event::Seek::new(1.0, Flags::empty(), SeekType::Set, start, SeekType::None, stop);
        assert_eq!(wish(read(&bytes), true), Err(Refused::Format(gst::Format::Bytes)));
    }

    #[test]
    fn what_counts_from_the_end_counts_from_the_start() {
        let event = seek(1.0, Flags::FLUSH);
        assert!(from_the_start(read(&event), Some(1)).is_none());
        let back = ClockTime::from_nseconds((-3_i64).cast_unsigned());
        let event =
            gst::event::Seek::new(1.0, Flags::FLUSH, SeekType::End, back, SeekType::End, ClockTime::ZERO);
        assert!(from_the_start(read(&event), None).is_none());
        for (end, start) in [(10, 7), (2, 0)] {
            let counted = from_the_start(read(&event), Some(end)).unwrap();
            let (_, _, start_type, from, stop_type, to) = read(&counted).get();
            let at = |at| gst::GenericFormattedValue::from(ClockTime::from_nseconds(at));
            assert_eq!((start_type, stop_type), (SeekType::Set, SeekType::Set));
            assert_eq!((from, to, counted.seqnum()), (at(start), at(end.unsigned_abs()), event.seqnum()));
        }
    }
}
