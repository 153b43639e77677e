//! Seeks, against what is known to be there.

use gst::prelude::*;

use super::START;
use super::common::reader::Got;
use super::common::{Ground, H264, Line, Reader, pictures};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Three recordings with silence between them: with reordered pictures, of another codec, of another size.
fn recorded() -> Ground {
    // A hundred seeks a second list more than the service allows.
    let ground = Ground::with(|config| {
        config.limits.fragment_metadata_points = 10_000_000;
        config.limits.fragment_media_points = 10_000_000;
        config.allow_faults = true;
    });
    let avc = "h264parse ! video/x-h264,stream-format=avc,alignment=au";
    let b_frames = "x264enc key-int-max=10 bframes=3 b-adapt=false speed-preset=ultrafast";
    let hevc = "x265enc key-int-max=10 speed-preset=ultrafast option-string=log-level=none:bframes=2:open-gop=0 \
                ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au";
    let plain = "x264enc key-int-max=15 bframes=0 speed-preset=ultrafast tune=zerolatency";
    let large = pictures(60).replace("width=160", "width=320");
    let second = 1_000_000_000_i64;
    ground.record("door", &format!("{} ! {b_frames} ! {avc} ! k.", pictures(60)), START);
    ground.record("door", &format!("{} ! {hevc} ! k.", pictures(45)), START + 60 * second);
    ground.record("door", &format!("{large} ! {plain} ! {avc} ! k."), START + 130 * second);
    ground.settle();
    ground
}

fn reader(ground: &Ground, properties: &str) -> (Reader, Vec<Got>) {
    let range = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";
    let reader = Reader::of(ground, "door", &format!("{range} {properties}"));
    reader.play_to_the_end();
    let all = reader.came("video_0").frames;
    (reader, all)
}

/// Seeks, and waits for the end; what came out between.
fn sought(reader: &Reader, flags: gst::SeekFlags, rate: f64, from: u64, to: Option<u64>) -> Vec<Got> {
    let flushes = reader.came("video_0").flushes;
    // Without a type, the stop of the seek before would stay.
    let stop_type = gst::SeekType::Set;
    let done = reader.line.pipeline.seek(
        rate,
        flags | gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        gst::ClockTime::from_nseconds(from),
        stop_type,
        to.map(gst::ClockTime::from_nseconds),
    );
    done.unwrap_or_else(|error| panic!("{error}: {from} to {to:?}"));
    reader.line.until("the end", |_| {
        let came = reader.came("video_0");
        came.flushes > flushes && came.has_ended()
    });
    assert_eq!(reader.came("video_0").flushes, flushes + 1);
    reader.came("video_0").frames
}

/// Numbers without any pattern that matters here.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn times(frames: &[Got]) -> Vec<u64> {
    frames.iter().map(|frame| frame.pts).collect()
}

/// What an accurate seek gives, by the whole of what there is, in decoding order.
fn expected(all: &[Got], from: u64, to: Option<u64>) -> Vec<u64> {
    // The group in which the last picture is that is shown by then.
    let key = all.iter().rposition(|frame| frame.key && frame.pts <= from).unwrap_or(0);
    let mut wanted: Vec<_> = all[key..].to_vec();
    if let Some(to) = to {
        let end = wanted.iter().rposition(|frame| frame.pts < to).map_or(0, |last| last + 1);
        wanted.truncate(end);
    }
    times(&wanted)
}

#[test]
fn all_comes_out_with_its_caps_and_its_silences() {
    let ground = recorded();
    let (reader, all) = reader(&ground, "");
    assert_eq!(all.len(), 165);
    let kinds: Vec<_> = all
        .chunk_by(|one, other| one.caps == other.caps)
        .map(|frames| {
            let structure = frames[0].caps.structure(0).unwrap();
            (
                structure.name().to_string(),
                structure.get::<i32>("width").unwrap(),
                frames.len(),
                frames[0].key,
            )
        })
        .collect();
    let avc = |width, count| ("video/x-h264".to_owned(), width, count, true);
    assert_eq!(kinds, [avc(160, 60), ("video/x-h265".to_owned(), 160, 45, true), avc(320, 60)]);
    let mut sorted = times(&all);
    assert!(!sorted.is_sorted(), "nothing is reordered");
    sorted.sort_unstable();
    let mut last = 0;
    for frame in &all {
        let dts = frame.dts.expect("no DTS");
        assert!(dts >= last && dts <= frame.pts);
        last = dts;
        assert_eq!(i64::try_from(frame.pts).unwrap(), frame.utc - all[0].utc);
    }
    let gaps = reader.line.said("kvs-gap");
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert_eq!(gaps[1].get::<u64>("position").unwrap(), sorted[105]);
    let silence = sorted[60] - sorted[59] + sorted[105] - sorted[104];
    assert_eq!((reader.line.stat("num-gaps"), reader.line.stat("gap-time")), (2, silence));
    let events = reader.came("video_0").events;
    assert_eq!(events.iter().filter(|event| event.type_() == gst::EventType::Gap).count(), 2);
}

#[test]
fn a_hundred_seeks_lead_to_what_is_there() {
    let ground = recorded();
    let (reader, all) = reader(&ground, "");
    let shown = {
        let mut times = times(&all);
        times.sort_unstable();
        times
    };
    let mut numbers = Numbers(2_026);
    for round in 0..100 {
        let place = shown[usize::try_from(numbers.below(165)).unwrap()];
        // On a frame, between two, or in the silence behind it.
        let from = place + [0, 1, 50 * MS, 20 * SECOND][usize::try_from(numbers.below(4)).unwrap()];
        let from = from.min(*shown.last().unwrap());
        let to = (numbers.below(2) == 0).then(|| from + numbers.below(30) * 173 * MS + 1);
        let came = sought(&reader, gst::SeekFlags::ACCURATE, 1.0, from, to);
        let what = format!("round {round}: {from} to {to:?}");
        let start = gst::ClockTime::from_nseconds(from);
        assert!(came.iter().all(|frame| frame.segment.start() == Some(start)), "{what}");
        assert!(came.first().is_none_or(|first| first.key && first.discont), "{what}");
        let wanted = expected(&all, from, to);
        let inside = |times: &[u64]| -> Vec<u64> {
            times.iter().copied().filter(|time| *time >= from && to.is_none_or(|to| *time < to)).collect()
        };
        // All that is to be shown, and what is needed for that, and no more than was needed to know that it is all.
        assert_eq!(inside(&times(&came)), inside(&wanted), "{what}");
        // In a long silence nothing has to be decoded before.
        let shown_at = shown.iter().rfind(|time| **time <= from).unwrap();
        if !inside(&wanted).is_empty() && from - shown_at < 10 * SECOND {
            assert!(times(&came).starts_with(&wanted), "{what}: {:?} is not {wanted:?}", times(&came));
            assert!(came.len() <= wanted.len() + 4, "{what}: {} of {}", came.len(), wanted.len());
        }
        for frame in &came {
            let truth = all.iter().find(|own| own.pts == frame.pts).unwrap();
            assert!(
                truth.payload == frame.payload && truth.caps == frame.caps && truth.utc == frame.utc,
                "{what}"
            );
            assert_eq!(truth.number(), frame.number(), "{what}");
            assert!(frame.dts.is_none_or(|dts| dts <= frame.pts), "{what}");
        }
    }
}

#[test]
fn seeks_to_key_frames_move_the_segment_there() {
    let ground = recorded();
    let (reader, all) = reader(&ground, "");
    let keys: Vec<_> = all.iter().filter(|frame| frame.key).map(|frame| frame.pts).collect();
    let mut numbers = Numbers(7);
    use gst::SeekFlags as Flags;
    for round in 0..60 {
        let from = numbers.below(*keys.last().unwrap());
        let (flags, key) = match round % 3 {
            0 => (Flags::SNAP_BEFORE, keys.iter().rfind(|key| **key <= from)),
            1 => (Flags::SNAP_AFTER, keys.iter().find(|key| **key >= from)),
            _ => (Flags::SNAP_NEAREST, keys.iter().min_by_key(|key| key.abs_diff(from))),
        };
        let came = sought(&reader, Flags::KEY_UNIT | flags, 1.0, from, None);
        let first = &came[0];
        let what = format!("round {round}: {from}, {flags:?}");
        assert_eq!((Some(&first.pts), first.key), (key, true), "{what}");
        assert_eq!(first.segment.start().map(gst::ClockTime::nseconds), key.copied(), "{what}");
        assert_eq!(first.segment.time().map(gst::ClockTime::nseconds), key.copied(), "{what}");
    }
}

#[test]
fn fast_is_fast_and_backwards_is_refused() {
    let ground = recorded();
    let (reader, all) = reader(&ground, "");
    let keys: Vec<_> = all.iter().filter(|frame| frame.key).map(|frame| frame.pts).collect();
    let came = sought(&reader, gst::SeekFlags::TRICKMODE_KEY_UNITS, 4.0, 0, None);
    assert_eq!(times(&came), keys);
    assert!(came.iter().all(|frame| frame.segment.rate() == 4.0 && frame.discont));
    let came = sought(&reader, gst::SeekFlags::ACCURATE, 2.0, 0, None);
    assert_eq!(came.len(), all.len());
    let pipeline = &reader.line.pipeline;
    let flushes = reader.came("video_0").flushes;
    for rate in [-1.0, 4.5] {
        let none = gst::ClockTime::NONE;
        let flags = gst::SeekFlags::FLUSH;
        let start = gst::ClockTime::ZERO;
        assert!(pipeline.seek(rate, flags, gst::SeekType::Set, start, gst::SeekType::None, none).is_err());
    }
    // Nothing was flushed for nothing, and it goes on.
    assert_eq!(reader.came("video_0").flushes, flushes);
    assert_eq!(sought(&reader, gst::SeekFlags::ACCURATE, 1.0, 0, None).len(), all.len());
}

#[test]
fn silences_can_be_closed() {
    let ground = recorded();
    let (reader, all) = reader(&ground, "gap-policy=skip");
    let mut shown = times(&all);
    shown.sort_unstable();
    let steps: Vec<_> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps.iter().filter(|step| **step == 40 * MS).count(), 2, "{steps:?}");
    assert_eq!(steps.iter().filter(|step| **step == 100 * MS).count(), 162, "{steps:?}");
    assert_eq!(reader.line.said("kvs-gap").len(), 2);
    let mut numbers = Numbers(1);
    for _ in 0..20 {
        let from = numbers.below(*shown.last().unwrap());
        let came = sought(&reader, gst::SeekFlags::ACCURATE, 1.0, from, None);
        assert_eq!(times(&came), expected(&all, from, None), "{from}");
    }
}

#[test]
fn a_segment_that_is_played_again_ends_in_its_own_way() {
    let ground = recorded();
    let (reader, all) = reader(&ground, "");
    let pipeline = &reader.line.pipeline;
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE;
    let (start, stop) = (gst::ClockTime::ZERO, gst::ClockTime::from_seconds(2));
    pipeline.seek(1.0, flags, gst::SeekType::Set, start, gst::SeekType::Set, stop).unwrap();
    reader.line.until("the end of the segment", |line| line.has(gst::MessageType::SegmentDone));
    let came = reader.came("video_0");
    assert!(!came.has_ended());
    assert_eq!(came.frames.iter().filter(|frame| frame.pts < 2 * SECOND).count(), 20);
    // Round again, as a loop is played: decoding times go back with it.
    let again = gst::event::Seek::new(
        1.0,
        gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE,
        gst::SeekType::Set,
        start,
        gst::SeekType::Set,
        stop,
    );
    let seqnum = again.seqnum();
    let rounds = came.frames.len();
    assert!(pipeline.send_event(again));
    let done =
        |line: &Line| line.last(gst::MessageType::SegmentDone).is_some_and(|done| done.seqnum() == seqnum);
    reader.line.until("the end of the second round", done);
    let came = reader.came("video_0");
    assert_eq!(came.frames.len(), 2 * rounds);
    assert!(came.frames.iter().all(|frame| frame.dts.is_some_and(|dts| dts <= frame.pts)));
    assert_eq!(reader.line.stat("num-without-dts"), 0);
    // Without a flush, it goes on in running time.
    let flags = gst::SeekFlags::ACCURATE;
    pipeline
        .seek(1.0, flags, gst::SeekType::Set, stop, gst::SeekType::Set, gst::ClockTime::from_seconds(4))
        .unwrap();
    reader.line.until("the end", |_| reader.came("video_0").has_ended());
    let came = reader.came("video_0");
    let last = came.frames.last().unwrap();
    // No frame is shown later than where the first one ends.
    assert!(
        last.segment
            .base()
            .is_some_and(|base| base > gst::ClockTime::from_mseconds(3_000) && base <= stop * 2)
    );
    let shown =
        |from, to| all.iter().filter(|frame| frame.pts >= from * SECOND && frame.pts < to * SECOND).count();
    let second: Vec<_> = came.frames.iter().filter(|frame| frame.segment.start() == Some(stop)).collect();
    assert_eq!(
        second.iter().filter(|frame| frame.pts >= 2 * SECOND && frame.pts < 4 * SECOND).count(),
        shown(2, 4)
    );
}

#[test]
fn a_seek_that_comes_up_every_branch_is_one_seek() {
    let ground = Ground::new();
    let sound = "audiotestsrc num-buffers=94 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse";
    let source = format!("{} ! {H264} ! queue ! k.video_0 {sound} ! queue ! k.audio_0", pictures(20));
    ground.record("door", &source, START);
    let (reader, _) = reader(&ground, "");
    let lists = reader.line.stat("num-connections");
    let came = sought(&reader, gst::SeekFlags::ACCURATE, 1.0, SECOND, None);
    assert_eq!(came.iter().filter(|frame| frame.pts >= SECOND).count(), 10);
    reader.until_end();
    for pad in ["video_0", "audio_0"] {
        assert_eq!(reader.came(pad).flushes, 1, "{pad}");
    }
    // Sound that is over before is not sent.
    assert!(reader.came("audio_0").frames.iter().all(|frame| frame.pts + 30 * MS > SECOND));
    assert!(reader.line.stat("num-connections") <= lists + 2);
}

/// A source that is READY, and has not read anything.
fn ready(ground: &Ground, properties: &str) -> Reader {
    let reader = Reader::of(ground, "door", properties);
    reader.line.set(gst::State::Ready);
    reader
}

fn seek(rate: f64, flags: gst::SeekFlags, start: u64, stop: Option<u64>) -> gst::Event {
    let start = gst::ClockTime::from_nseconds(start);
    let (set, stop) = (gst::SeekType::Set, stop.map(gst::ClockTime::from_nseconds));
    gst::event::Seek::new(rate, flags | gst::SeekFlags::FLUSH, set, start, set, stop)
}

const RANGE: &str = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";

#[test]
fn a_seek_before_anything_is_read_is_as_good_as_one_later() {
    use gst::SeekFlags as Flags;
    let ground = recorded();
    let (_, all) = reader(&ground, "");
    let keys: Vec<_> = all.iter().filter(|frame| frame.key).map(|frame| frame.pts).collect();
    let (start, stop) = (SECOND / 2, Some(2 * SECOND));
    for (flags, start, stop) in [
        (Flags::ACCURATE, 0, stop),
        (Flags::ACCURATE, start, stop),
        (Flags::KEY_UNIT | Flags::SNAP_AFTER, start, stop),
    ] {
        let early = ready(&ground, RANGE);
        assert!(early.line.sink.send_event(seek(1.0, flags, start, stop)));
        early.play_to_the_end();
        let came = early.came("video_0").frames;
        let from = match flags {
            Flags::ACCURATE => start,
            _ => *keys.iter().find(|key| **key >= start).unwrap(),
        };
        let what = format!("{flags:?} from {start}");
        let segment = &came[0].segment;
        assert_eq!(segment.start().map(gst::ClockTime::nseconds), Some(from), "{what}");
        assert_eq!(segment.stop().map(gst::ClockTime::nseconds), stop, "{what}");
        let wanted = expected(&all, from, stop);
        assert!(
            times(&came).starts_with(&wanted) && came.len() <= wanted.len() + 4,
            "{what}: {}",
            came.len()
        );
    }
}

#[test]
fn a_seek_before_anything_is_read_is_refused_as_one_later() {
    let ground = recorded();
    let none = gst::SeekFlags::empty();
    for (properties, rate) in [(RANGE, -1.0), (RANGE, 8.0), ("", 1.0), ("start-selector=earliest", 1.0)] {
        let early = ready(&ground, properties);
        assert!(!early.line.sink.send_event(seek(rate, none, 0, None)), "{properties} at {rate}");
    }
    // One that was refused leaves nothing behind.
    let early = ready(&ground, RANGE);
    assert!(!early.line.sink.send_event(seek(8.0, gst::SeekFlags::KEY_UNIT, SECOND, None)));
    early.play_to_the_end();
    assert_eq!(early.came("video_0").frames.len(), 165);
}

#[test]
fn a_seek_that_leaves_the_start_goes_on_from_where_it_is() {
    let ground = recorded();
    let (reader, all) = reader(&ground, "");
    let came = sought(&reader, gst::SeekFlags::ACCURATE, 1.0, SECOND, Some(3 * SECOND));
    // The end of the last frame that came.
    let reached = came.iter().map(|frame| frame.pts).max().unwrap() + 100 * MS;
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    let (none, end) = (gst::ClockTime::NONE, gst::ClockTime::from_seconds(140));
    reader.line.pipeline.seek(2.0, flags, gst::SeekType::None, none, gst::SeekType::Set, end).unwrap();
    reader.line.until("the end", |_| {
        let came = reader.came("video_0");
        came.flushes == 2 && came.has_ended()
    });
    let came = reader.came("video_0").frames;
    assert_eq!(times(&came), expected(&all, reached, Some(140 * SECOND)));
    // Running time begins anew where it goes on.
    let running = came[0].segment.to_running_time(gst::ClockTime::from_nseconds(reached)).unwrap();
    assert!(running < gst::ClockTime::from_mseconds(100), "{running}");
}

#[test]
fn every_failure_is_said_not_only_the_first() {
    let ground = recorded();
    let empty = Reader::of(&ground, "door", "from=2026-11-20T03:00:00Z to=2026-11-20T03:01:00Z");
    empty.line.play();
    for count in 1..=3 {
        let errors = empty.line.wait("an error", |line| Some(line.errors()).filter(|all| all.len() >= count));
        // One for each, and nothing of the thread that stopped for it.
        assert_eq!(errors.len(), count, "{errors:?}");
        assert_eq!(errors.last(), errors.first());
        assert!(empty.line.sink.send_event(seek(1.0, gst::SeekFlags::ACCURATE, 0, None)));
    }
}

#[test]
fn who_hears_of_the_duration_may_seek_at_once() {
    let ground = recorded();
    let (_, all) = reader(&ground, "");
    let eager = Reader::of(&ground, "door", RANGE);
    let (source, bus) = (eager.line.sink.clone(), eager.line.pipeline.bus().unwrap());
    let sought = std::sync::atomic::AtomicBool::new(false);
    // By the thread that says it.
    bus.set_sync_handler(move |_, message| {
        let is_first = || !sought.swap(true, std::sync::atomic::Ordering::Relaxed);
        if message.type_() == gst::MessageType::DurationChanged && is_first() {
            assert!(source.send_event(seek(1.0, gst::SeekFlags::ACCURATE, 4 * SECOND, None)));
        }
        gst::BusSyncReply::Pass
    });
    eager.play_to_the_end();
    bus.unset_sync_handler();
    assert_eq!(times(&eager.came("video_0").frames), expected(&all, 4 * SECOND, None));
}

#[test]
fn all_that_follows_from_a_seek_has_its_number() {
    let ground = recorded();
    let (reader, _) = reader(&ground, "");
    let numbers = |begin: usize| -> Vec<_> {
        use gst::EventType as Kind;
        let kinds = [Kind::FlushStart, Kind::FlushStop, Kind::Segment, Kind::Eos];
        let events = reader.came("video_0").events.split_off(begin);
        let told = events.iter().filter(|event| kinds.contains(&event.type_()));
        told.map(|event| (event.type_(), event.seqnum())).collect()
    };
    // Without a seek, beginning and end are of one thing.
    let first = numbers(0);
    assert!(first.len() >= 2 && first.iter().all(|(_, number)| *number == first[0].1), "{first:?}");
    use gst::SeekFlags as Flags;
    for (round, flags) in [Flags::ACCURATE, Flags::KEY_UNIT | Flags::SNAP_AFTER].into_iter().enumerate() {
        let begin = reader.came("video_0").events.len();
        let event = seek(1.0, flags, SECOND + 1, None);
        let number = event.seqnum();
        assert!(reader.line.sink.send_event(event));
        reader.line.until("the end", |_| {
            let came = reader.came("video_0");
            came.flushes > round && came.has_ended()
        });
        let came = numbers(begin);
        assert!(came.iter().all(|(_, own)| *own == number), "{flags:?}, {number:?}: {came:?}");
        assert!(came.len() >= 4, "{came:?}");
    }
}

#[test]
fn by_the_services_clock_seeks_lead_to_what_plays_there() {
    let ground = Ground::with(|config| {
        config.limits.fragment_metadata_points = 10_000_000;
        config.limits.fragment_media_points = 10_000_000;
        config.allow_faults = true;
    });
    // Both were sent in one go: they came in much faster than they last.
    for begin in [START, START + 3_600_000_000_000] {
        ground.record("door", &format!("{} ! {H264} ! k.", pictures(95)), begin);
    }
    ground.settle();
    let reader = Reader::of(&ground, "door", "timeline=server from=-10min to=now");
    reader.play_to_the_end();
    let all = reader.came("video_0").frames;
    assert_eq!(all.len(), 190);
    assert!(times(&all).is_sorted_by(|one, other| one < other));
    assert!(reader.line.stat("num-server-time-moved") >= 4);
    let mut numbers = Numbers(4);
    for round in 0..30 {
        let from = numbers.below(all[189].pts);
        let came = sought(&reader, gst::SeekFlags::ACCURATE, 1.0, from, None);
        let what = format!("round {round}: {from}");
        assert_eq!(times(&came), expected(&all, from, None), "{what}");
        let shown = |frames: &[Got]| frames.iter().find(|frame| frame.pts >= from).map(|frame| frame.utc);
        assert_eq!(shown(&came), shown(&all), "{what}");
    }
    let keys: Vec<_> = all.iter().filter(|frame| frame.key).map(|frame| frame.pts).collect();
    let flags = gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_AFTER;
    for key in &keys[1..] {
        assert_eq!(sought(&reader, flags, 1.0, key - 20 * MS, None)[0].pts, *key);
    }
}
