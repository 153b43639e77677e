//! Buffers, events, queries and states.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use gst::prelude::*;
use kvs_client::upload::{FragmentTag, Report, WhenFull};
use kvs_media::TrackNumber;
use kvs_media::fragment::Pace;
use kvs_media::time::RunningTime;

use super::super::outlet::Upload;
use super::super::outlet::recorded::Done;
use super::{Line, PATIENCE, buffer, harness, upload_of, within};

const LAW: &str = "audio/x-alaw,rate=8000,channels=1";
const ACCESS_UNITS: &[u8] = include_bytes!("../../../crates/kvs-media/tests/data/codec/h264-baseline.h264");

/// A sink with a pad for sound, that plays.
fn sound() -> (gst_check::Harness, super::KvsSink, Upload) {
    let (mut harness, sink) = harness("audio_%u");
    harness.set_src_caps_str(LAW);
    let upload = upload_of(&sink);
    (harness, sink, upload)
}

fn payloads(upload: &Upload) -> Vec<Vec<u8>> {
    upload.frames().into_iter().map(|(_, frame)| frame.payload.to_vec()).collect()
}

fn finished(upload: &Upload) -> bool {
    upload.with(|inner| inner.done.iter().any(|done| matches!(done, Done::Finished)))
}

fn bus_of(sink: &super::KvsSink) -> gst::Bus {
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    bus
}

fn state(sink: &super::KvsSink, state: gst::State) -> gst::StateChangeSuccess {
    sink.set_state(state).unwrap()
}

/// Something of a pad on a thread of its own, and when it has begun.
fn aside<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> std::sync::mpsc::Receiver<T> {
    let (says, said) = channel();
    let (begins, begun) = channel();
    thread::spawn(move || {
        begins.send(()).unwrap();
        let _ = says.send(act());
    });
    begun.recv().unwrap();
    said
}

fn chain(
    pad: &gst::Pad,
    payload: &'static [u8],
    pts: u64,
) -> std::sync::mpsc::Receiver<Result<gst::FlowSuccess, gst::FlowError>> {
    let pad = pad.clone();
    aside(move || pad.chain(buffer(payload, pts)))
}

fn sink_pad(sink: &super::KvsSink) -> gst::Pad {
    sink.sink_pads().remove(0)
}

#[test]
fn a_state_change_waits_for_nothing() {
    super::init();
    let sink = gst::ElementFactory::make("kvssink").build().unwrap();
    for wanted in
        [gst::State::Ready, gst::State::Paused, gst::State::Playing, gst::State::Paused, gst::State::Null]
    {
        assert_eq!(sink.set_state(wanted), Ok(gst::StateChangeSuccess::Success), "{wanted:?}");
    }
}

#[test]
fn a_pause_holds_buffers_and_the_end_and_lets_them_go_on_after() {
    let (mut harness, sink, upload) = sound();
    let bus = bus_of(&sink);
    harness.push(buffer(b"a", 0)).unwrap();
    state(&sink, gst::State::Paused);
    let pad = sink_pad(&sink);
    let held = chain(&pad, b"b", 20);
    assert!(held.recv_timeout(Duration::from_millis(50)).is_err());
    assert_eq!(payloads(&upload), [b"a"]);
    state(&sink, gst::State::Playing);
    assert_eq!(held.recv_timeout(Duration::from_secs(10)).unwrap(), Ok(gst::FlowSuccess::Ok));
    assert_eq!(payloads(&upload), [b"a", b"b"]);
    state(&sink, gst::State::Paused);
    let end = aside(move || pad.send_event(gst::event::Eos::new()));
    assert!(end.recv_timeout(Duration::from_millis(50)).is_err());
    assert!(!finished(&upload));
    state(&sink, gst::State::Playing);
    assert!(end.recv_timeout(Duration::from_secs(10)).unwrap());
    assert!(finished(&upload));
    assert!(bus.pop_filtered(&[gst::MessageType::Eos]).is_none());
}

#[test]
fn the_end_is_said_when_all_is_acknowledged_and_while_it_plays_and_again_after_a_pause() {
    let (mut harness, sink, upload) = sound();
    let bus = bus_of(&sink);
    harness.push(buffer(b"a", 0)).unwrap();
    let eos = gst::event::Eos::new();
    let seqnum = eos.seqnum();
    assert!(harness.push_event(eos));
    assert_eq!(harness.push(buffer(b"b", 20)), Err(gst::FlowError::Eos));
    state(&sink, gst::State::Paused);
    upload.tell(Report::Drained);
    assert!(bus.pop_filtered(&[gst::MessageType::Eos]).is_none());
    state(&sink, gst::State::Playing);
    let message = bus.pop_filtered(&[gst::MessageType::Eos]).unwrap();
    assert_eq!(message.seqnum(), seqnum);
    upload.tell(Report::Drained);
    assert!(bus.pop_filtered(&[gst::MessageType::Eos]).is_none());
    state(&sink, gst::State::Paused);
    state(&sink, gst::State::Playing);
    assert!(bus.pop_filtered(&[gst::MessageType::Eos]).is_some());
}

#[test]
fn an_end_that_nobody_acknowledges_is_said_with_a_warning_in_the_end() {
    let (mut harness, sink, _) = sound();
    let bus = bus_of(&sink);
    sink.set_property("stop-stream-timeout", 0_u32);
    harness.push(buffer(b"a", 0)).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    let kinds = [gst::MessageType::Warning, gst::MessageType::Eos];
    let next = || bus.timed_pop_filtered(PATIENCE, &kinds).unwrap().type_();
    assert_eq!((next(), next()), (gst::MessageType::Warning, gst::MessageType::Eos));
}

#[test]
fn the_stream_ends_with_the_last_of_the_linked_pads() {
    let line = Line::new(
        "kvssink name=k audiotestsrc num-buffers=2 ! alawenc ! k.audio_0 audiotestsrc num-buffers=40 ! alawenc ! k.audio_7",
    );
    // Requested and never linked.
    let idle = line.sink.request_pad_simple("meta_3").unwrap();
    assert_eq!(idle.name(), "meta_3");
    let upload = line.play_to_the_end();
    let done = upload.with(|inner| inner.done.clone());
    let ended: Vec<_> = done.iter().filter(|done| matches!(done, Done::Ended | Done::Finished)).collect();
    assert!(matches!(ended[..], [Done::Ended, Done::Ended, Done::Finished]), "{ended:?}");
    assert_eq!(upload.frames().len(), 42);
}

#[test]
fn a_pad_that_goes_takes_its_open_end_along() {
    let (mut harness, sink, upload) = sound();
    harness.push(buffer(b"a", 0)).unwrap();
    let second = sink.request_pad_simple("audio_%u").unwrap();
    let source = gst::Pad::builder(gst::PadDirection::Src).build();
    source.set_active(true).unwrap();
    source.link(&second).unwrap();
    source.push_event(gst::event::StreamStart::new("s"));
    assert!(harness.push_event(gst::event::Eos::new()));
    assert!(!finished(&upload));
    sink.release_request_pad(&second);
    assert!(finished(&upload));
    let removed = |done: &Done| matches!(done, Done::Removed(TrackNumber(2)));
    assert!(upload.with(|inner| inner.done.iter().any(removed)));
}

#[test]
fn a_pad_that_is_unlinked_takes_its_open_end_along_and_waits_for_nobody() {
    let (mut harness, sink, upload) = sound();
    let bus = bus_of(&sink);
    harness.push(buffer(b"a", 0)).unwrap();
    let second = sink.request_pad_simple("audio_%u").unwrap();
    let source = gst::Pad::builder(gst::PadDirection::Src).build();
    source.set_active(true).unwrap();
    source.link(&second).unwrap();
    source.push_event(gst::event::StreamStart::new("s"));
    source.push_event(gst::event::Caps::new(&LAW.parse().unwrap()));
    source.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    assert!(harness.push_event(gst::event::Eos::new()));
    upload.with(|inner| inner.full = true);
    let waiting = chain(&second, b"b", 20);
    upload.until(|inner| inner.waiting == 1);
    let ends = |upload: &Upload| {
        upload.with(|inner| inner.done.iter().filter(|done| matches!(done, Done::Ended)).count())
    };
    assert!(!finished(&upload));
    let unlinked = second.clone();
    within("unlink", move || source.unlink(&unlinked).unwrap());
    assert!(finished(&upload));
    assert_eq!(ends(&upload), 2);
    // What was on its way comes in, and ends anew.
    upload.with(|inner| inner.full = false);
    assert_eq!(waiting.recv_timeout(Duration::from_secs(10)).unwrap(), Ok(gst::FlowSuccess::Ok));
    let last = upload.with(|inner| inner.done.split_off(inner.done.len() - 3));
    assert!(matches!(last[..], [Done::Pushed(..), Done::Ended, Done::Finished]), "{last:?}");
    upload.tell(Report::Drained);
    assert!(bus.pop_filtered(&[gst::MessageType::Eos]).is_some());
}

#[test]
fn the_only_pad_may_be_unlinked_and_linked_again() {
    let (mut harness, sink, upload) = sound();
    harness.push(buffer(b"a", 0)).unwrap();
    let (pad, source) = (sink_pad(&sink), harness.srcpad().unwrap());
    source.unlink(&pad).unwrap();
    assert!(!finished(&upload));
    source.link(&pad).unwrap();
    harness.push(buffer(b"b", 20)).unwrap();
    assert_eq!(payloads(&upload), [b"a", b"b"]);
}

#[test]
fn a_flush_sends_away_who_is_held_and_what_comes_after_goes() {
    let (mut harness, sink, upload) = sound();
    harness.push(buffer(b"a", 0)).unwrap();
    state(&sink, gst::State::Paused);
    let pad = sink_pad(&sink);
    let held = chain(&pad, b"b", 20);
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert_eq!(held.recv_timeout(Duration::from_secs(10)).unwrap(), Err(gst::FlowError::Flushing));
    state(&sink, gst::State::Playing);
    let bus = bus_of(&sink);
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    assert!(bus.pop_filtered(&[gst::MessageType::ResetTime]).is_some());
    assert!(upload.with(|inner| inner.done.iter().any(|done| matches!(done, Done::Flushed))));
    assert!(harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    harness.push(buffer(b"c", 0)).unwrap();
    assert_eq!(payloads(&upload), [b"a", b"c"]);
}

#[test]
fn a_flush_undoes_an_end() {
    let (mut harness, sink, upload) = sound();
    let bus = bus_of(&sink);
    assert!(harness.push_event(gst::event::Eos::new()));
    assert!(finished(&upload));
    assert!(
        harness.push_event(gst::event::FlushStart::new())
            && harness.push_event(gst::event::FlushStop::new(true))
    );
    upload.tell(Report::Drained);
    assert!(bus.pop_filtered(&[gst::MessageType::Eos]).is_none());
    assert!(harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    harness.push(buffer(b"a", 0)).unwrap();
}

#[test]
fn upstream_waits_for_room_until_there_is_some_or_it_is_over() {
    for (ends, expected) in [
        ("room", Ok(gst::FlowSuccess::Ok)),
        ("flush", Err(gst::FlowError::Flushing)),
        ("ready", Err(gst::FlowError::Flushing)),
        ("release", Err(gst::FlowError::Flushing)),
        ("failure", Err(gst::FlowError::Error)),
    ] {
        let (mut harness, sink, upload) = sound();
        upload.with(|inner| inner.full = true);
        let pad = sink_pad(&sink);
        let waiting = chain(&pad, b"a", 0);
        upload.until(|inner| inner.waiting == 1);
        // Nobody who asks has to wait as well.
        let (asked, stats) = (sink.clone(), "stats");
        within("stats", move || asked.property::<gst::Structure>(stats));
        match ends {
            "room" => upload.with(|inner| inner.full = false),
            "flush" => assert!(harness.push_event(gst::event::FlushStart::new())),
            "ready" => _ = state(&sink, gst::State::Ready),
            "release" => sink.release_request_pad(&pad),
            _ => upload.with(|inner| inner.failed = true),
        }
        assert_eq!(waiting.recv_timeout(Duration::from_secs(10)).unwrap(), expected, "{ends}");
    }
}

#[test]
fn a_full_buffer_drops_when_upstream_is_live_and_nothing_else_was_said() {
    for (policy, live, expected) in
        [("auto", true, Some(WhenFull::DropOldest)), ("auto", false, None), ("block", true, None)]
    {
        let line = Line::new(&format!(
            "audiotestsrc is-live={live} num-buffers=1 ! alawenc ! queue ! kvssink name=k buffer-policy={policy}"
        ));
        let upload = line.play_to_the_end();
        assert_eq!(upload.with(|inner| inner.settings.as_ref().unwrap().when_full), WhenFull::Block);
        assert_eq!(upload.with(|inner| inner.when_full), expected, "{policy} {live}");
    }
}

#[test]
fn a_stop_waits_as_long_as_it_is_told_and_the_sink_runs_again() {
    let (mut harness, sink, first) = sound();
    sink.set_property("stop-stream-timeout", 7_u32);
    harness.push(buffer(b"a", 0)).unwrap();
    state(&sink, gst::State::Ready);
    let stopped = Duration::from_secs(7);
    let as_told = |done: &Done| matches!(done, Done::Stopped(bound, patience) if *bound == stopped && *patience == Duration::from_secs(5));
    assert!(first.with(|inner| inner.done.iter().any(as_told)));
    state(&sink, gst::State::Playing);
    let second = upload_of(&sink);
    harness.push_event(gst::event::StreamStart::new("again"));
    harness.set_src_caps_str(LAW);
    harness.push(buffer(b"b", 0)).unwrap();
    assert_eq!((payloads(&first), payloads(&second)), (vec![b"a".to_vec()], vec![b"b".to_vec()]));
    assert_eq!(second.headers().len(), 1);
}

#[test]
fn pads_have_the_names_that_are_asked_for_and_no_more_than_three_are_given() {
    super::init();
    let sink = gst::ElementFactory::make("kvssink").build().unwrap();
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    let names: Vec<_> = ["video_5", "audio_%u", "audio_%u"]
        .map(|name| sink.request_pad_simple(name).unwrap().name().to_string())
        .into();
    assert_eq!(names, ["video_5", "audio_0", "audio_1"]);
    assert!(sink.request_pad_simple("meta_%u").is_none());
    let message = bus.pop().unwrap();
    let gst::MessageView::Warning(warning) = message.view() else { panic!() };
    assert!(warning.error().to_string().contains("at most 3 tracks"));
    let proxy = sink.dynamic_cast_ref::<gst::ChildProxy>().unwrap();
    proxy.set_child_property("video_5::track-name", "door");
    assert_eq!(proxy.child_property::<String>("video_5::track-name"), "door");
    assert_eq!(proxy.children_count(), 3);
    sink.release_request_pad(&sink.static_pad("audio_0").unwrap());
    assert_eq!(sink.request_pad_simple("audio_%u").unwrap().name(), "audio_0");
}

#[test]
fn names_of_a_pad_and_of_the_element_reach_the_header() {
    let line = Line::new(
        "kvssink name=k track-name=gate codec-id=V_OTHER \
         videotestsrc num-buffers=1 ! x264enc ! k.video_0 \
         audiotestsrc num-buffers=1 ! alawenc ! k.audio_0 \
         audiotestsrc num-buffers=1 ! mulawenc ! k.audio_1",
    );
    line.sink.set_child_property("audio_1::track-name", "yard");
    line.sink.set_child_property("audio_1::codec-id", "A_OTHER");
    let mut headers: Vec<_> =
        line.play_to_the_end().headers().into_iter().map(|track| (track.name, track.codec_id)).collect();
    headers.sort();
    let expected = [("audio", "A_MS/ACM"), ("gate", "V_OTHER"), ("yard", "A_OTHER")];
    assert_eq!(headers, expected.map(|(name, id)| (name.to_owned(), id.to_owned())));
}

#[test]
fn a_pad_that_comes_while_it_plays_is_a_track_more() {
    let (mut harness, sink, upload) = sound();
    harness.push(buffer(b"a", 0)).unwrap();
    let data = sink.request_pad_simple("meta_%u").unwrap();
    let source = gst::Pad::builder(gst::PadDirection::Src).build();
    source.set_active(true).unwrap();
    source.link(&data).unwrap();
    source.push_event(gst::event::StreamStart::new("s"));
    let caps = gst::Caps::builder("application/x-json").build();
    source.push_event(gst::event::Caps::new(&caps));
    source.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    source.push(buffer(b"{}", 5)).unwrap();
    let frames = upload.frames();
    assert_eq!((frames[1].0, &frames[1].1.payload[..]), (TrackNumber(2), &b"{}"[..]));
    assert_eq!(&upload.headers()[1].codec_private[..], b"application/x-json");
    let added = |done: &Done| matches!(done, Done::Added(TrackNumber(2), Pace::Sparse));
    assert!(upload.with(|inner| inner.done.iter().any(added)));
}

#[test]
fn caps_that_cannot_be_carried_are_an_error_that_names_the_field() {
    let (mut harness, sink) = harness("video_%u");
    let bus = bus_of(&sink);
    harness.set_src_caps_str("video/x-h264,stream-format=avc,alignment=au");
    assert_eq!(harness.push(buffer(b"a", 0)), Err(gst::FlowError::NotNegotiated));
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = message.view() else { panic!() };
    assert!(error.error().matches(gst::StreamError::Format));
    assert_eq!(error.error().to_string(), "video_0: video/x-h264: codec_data is missing");
}

#[test]
fn an_encoder_is_asked_for_a_key_frame_when_the_upload_wants_one_and_it_may_be() {
    for (asks, expected) in [(true, 1), (false, 0)] {
        let (mut harness, sink) = harness("audio_%u");
        state(&sink, gst::State::Ready);
        sink.set_property("send-force-keyunit", asks);
        state(&sink, gst::State::Playing);
        harness.set_src_caps_str(LAW);
        upload_of(&sink).with(|inner| inner.wish = Some(TrackNumber(1)));
        for at in [0, 20] {
            harness.push(buffer(b"a", at)).unwrap();
        }
        let mut wishes = 0;
        while let Some(event) = harness.try_pull_upstream_event() {
            wishes += usize::from(gst_video::UpstreamForceKeyUnitEvent::parse(&event).is_ok());
        }
        assert_eq!(wishes, expected);
    }
}

#[test]
fn a_gap_tells_that_nothing_will_come_before_its_end() {
    let (mut harness, _sink, upload) = sound();
    harness.push(buffer(b"a", 0)).unwrap();
    let gap = gst::event::Gap::builder(gst::ClockTime::from_seconds(1))
        .duration(gst::ClockTime::from_seconds(2))
        .build();
    assert!(harness.push_event(gap));
    let to = RunningTime::from_nanos(3_000_000_000);
    let told = |done: &Done| matches!(done, Done::Advanced(TrackNumber(1), at) if *at == to);
    assert!(upload.with(|inner| inner.done.iter().any(told)));
}

#[test]
fn a_gap_that_ends_beyond_all_time_breaks_nothing() {
    let (mut harness, sink, upload) = sound();
    let bus = bus_of(&sink);
    let gap = gst::event::Gap::builder(gst::ClockTime::from_seconds(1)).duration(gst::ClockTime::MAX).build();
    assert!(harness.push_event(gap));
    harness.push(buffer(b"a", 0)).unwrap();
    assert_eq!(payloads(&upload), [b"a"]);
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
}

#[test]
fn tags_come_by_events_and_by_the_action_signal_and_what_is_refused_is_said() {
    let (mut harness, sink, upload) = sound();
    let bus = bus_of(&sink);
    let event = |text: &str| gst::event::CustomDownstream::new(text.parse::<gst::Structure>().unwrap());
    assert!(harness.push_event(event("kvs-add-metadata, name=a, value=b, persist=true")));
    assert!(sink.send_event(event("kvs-image-generation, prefix=p")));
    assert!(sink.emit_by_name::<bool>("add-metadata", &[&"c", &"d", &false]));
    let tags = upload.with(|inner| {
        let tag = |done: &Done| match done {
            Done::Tagged(track, FragmentTag { name, value, persist }) => {
                Some((*track, format!("{name}={value} {persist}")))
            }
            Done::TaggedEvent(track, pairs) => Some((*track, format!("{pairs:?}"))),
            _ => None,
        };
        inner.done.iter().filter_map(tag).collect::<Vec<_>>()
    });
    let image = r#"[("AWS_KINESISVIDEO_IMAGE_GENERATION", ""), ("AWS_KINESISVIDEO_IMAGE_PREFIX", "p")]"#;
    let expected = [(Some(TrackNumber(1)), "a=b true"), (None, image), (None, "c=d false")];
    assert_eq!(tags, expected.map(|(track, text)| (track, text.to_owned())));
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
    // The service's own.
    assert!(!harness.push_event(event("kvs-add-metadata, name=AWS_X, value=b, persist=true")));
    let said = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(said) = said.view() else { panic!() };
    assert!(said.error().to_string().contains("names that begin with AWS"), "{:?}", said.error());
    assert!(!sink.emit_by_name::<bool>("add-metadata", &[&"x".repeat(129), &"d", &false]));
    state(&sink, gst::State::Ready);
    assert!(!sink.emit_by_name::<bool>("add-metadata", &[&"c", &"d", &false]));
}

#[test]
fn queries_are_answered_for_a_sink_that_waits_for_no_clock() {
    let (mut harness, sink, _) = sound();
    harness.set_upstream_latency(gst::ClockTime::from_seconds(3));
    let mut latency = gst::query::Latency::new();
    assert!(sink.query(&mut latency));
    assert_eq!(latency.result(), (true, gst::ClockTime::ZERO, None));
    assert_eq!(sink.query_position::<gst::ClockTime>(), None);
    harness.push(buffer(b"a", 40)).unwrap();
    assert_eq!(sink.query_position(), Some(gst::ClockTime::from_mseconds(40)));
    let mut drain = gst::query::Drain::new();
    assert!(harness.srcpad().unwrap().peer_query(&mut drain));
    let mut accept = gst::query::AcceptCaps::new(&gst::Caps::builder("video/x-raw").build());
    assert!(harness.srcpad().unwrap().peer_query(&mut accept));
    assert!(!accept.result());
    assert!(sink.send_event(gst::event::Latency::new(gst::ClockTime::from_seconds(1))));
}

#[test]
fn a_seek_goes_upstream() {
    let (mut harness, sink, _) = sound();
    let seek = gst::event::Seek::new(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        gst::ClockTime::ZERO,
        gst::SeekType::None,
        gst::ClockTime::NONE,
    );
    sink.send_event(seek);
    let mut seen = false;
    while let Some(event) = harness.try_pull_upstream_event() {
        seen |= event.type_() == gst::EventType::Seek;
    }
    assert!(seen);
}

#[test]
fn what_a_sink_says_of_streams_is_said() {
    let (mut harness, sink, _) = sound();
    let bus = bus_of(&sink);
    let group = gst::GroupId::next();
    for id in ["a", "b"] {
        harness.push_event(gst::event::StreamStart::builder(id).group_id(group).build());
    }
    let mut tags = gst::TagList::new();
    tags.make_mut().add::<gst::tags::Title>(&"t", gst::TagMergeMode::Replace);
    harness.push_event(gst::event::Tag::new(tags));
    harness.push_event(gst::event::SegmentDone::new(gst::ClockTime::from_seconds(1)));
    let kinds: Vec<_> = std::iter::from_fn(|| bus.pop()).map(|message| message.type_()).collect();
    assert_eq!(kinds, [gst::MessageType::StreamStart, gst::MessageType::Tag, gst::MessageType::SegmentDone]);
}

fn h264(harness: &mut gst_check::Harness, more: &str) {
    harness.set_src_caps_str(&format!("video/x-h264,stream-format=byte-stream,alignment=au{more}"));
}

/// The access units of the sample, each beginning with its own units.
fn access_units() -> Vec<&'static [u8]> {
    use kvs_media::codec::h264::{IDR, SLICE, unit_type};
    let mut units = Vec::new();
    let (mut begin, mut pictures) = (0, 0);
    for unit in kvs_media::codec::nal::annex_b(ACCESS_UNITS).unwrap() {
        let at = unit.as_ptr() as usize - ACCESS_UNITS.as_ptr() as usize;
        let start = if ACCESS_UNITS[..at].ends_with(&[0, 0, 0, 1]) { at - 4 } else { at - 3 };
        let picture = matches!(unit_type(unit), SLICE | IDR);
        if pictures > 0 && (picture || !matches!(unit_type(unit), SLICE | IDR)) {
            units.push(&ACCESS_UNITS[begin..start]);
            (begin, pictures) = (start, 0);
        }
        pictures += usize::from(picture);
    }
    units.push(&ACCESS_UNITS[begin..]);
    units
}

#[test]
fn no_frame_is_left_out_for_its_flags() {
    use gst::BufferFlags as Flags;
    let units = access_units();
    for flags in [
        Flags::HEADER | Flags::MARKER,
        Flags::DISCONT,
        Flags::DISCONT | Flags::DELTA_UNIT,
        Flags::CORRUPTED,
        Flags::DECODE_ONLY,
        Flags::DELTA_UNIT,
        Flags::empty(),
    ] {
        let (mut harness, sink) = harness("video_%u");
        h264(&mut harness, "");
        let upload = upload_of(&sink);
        for (at, unit) in units.iter().take(3).enumerate() {
            let mut buffer = buffer(unit, at as u64 * 100);
            buffer.get_mut().unwrap().set_flags(flags);
            harness.push(buffer).unwrap();
        }
        let keys: Vec<_> = upload.frames().iter().map(|(_, frame)| frame.timing.key).collect();
        // Who marks all or none does not know; the pictures themselves do.
        assert_eq!(keys, [true, false, false], "{flags:?}");
    }
}

#[test]
fn what_is_corrupted_is_left_out_where_that_is_wanted_and_said() {
    super::init();
    let (mut harness, sink) = harness("audio_%u");
    state(&sink, gst::State::Ready);
    sink.set_property("drop-corrupted", true);
    let bus = bus_of(&sink);
    state(&sink, gst::State::Playing);
    harness.set_src_caps_str(LAW);
    let mut corrupted = buffer(b"a", 0);
    corrupted.get_mut().unwrap().set_flags(gst::BufferFlags::CORRUPTED);
    harness.push(corrupted).unwrap();
    harness.push(buffer(b"b", 20)).unwrap();
    assert_eq!(payloads(&upload_of(&sink)), [b"b"]);
    let said = bus.pop_filtered(&[gst::MessageType::Element]).unwrap();
    assert_eq!(said.structure().unwrap().get::<&str>("reason").unwrap(), "corrupted");
    assert_eq!(sink.property::<gst::Structure>("stats").get::<u64>("num-corrupted").unwrap(), 1);
}

#[test]
fn frames_before_the_header_is_known_are_counted_and_said_and_sets_alone_are_no_frame() {
    let (mut harness, sink) = harness("video_%u");
    let bus = bus_of(&sink);
    h264(&mut harness, "");
    let (upload, units) = (upload_of(&sink), access_units());
    harness.push(buffer(units[1], 0)).unwrap();
    assert!(upload.headers().is_empty() && upload.frames().is_empty());
    let said = bus.pop_filtered(&[gst::MessageType::Element]).unwrap();
    assert_eq!(said.structure().unwrap().get::<&str>("reason").unwrap(), "without-header");
    let picture = kvs_media::codec::nal::annex_b(units[0])
        .unwrap()
        .find(|unit| kvs_media::codec::h264::unit_type(unit) == kvs_media::codec::h264::IDR)
        .unwrap();
    let sets = &units[0][..picture.as_ptr() as usize - units[0].as_ptr() as usize - 4];
    harness.push(buffer(sets, 100)).unwrap();
    assert_eq!((upload.headers().len(), upload.frames().len()), (1, 0));
    harness.push(buffer(units[0], 100)).unwrap();
    assert_eq!((upload.headers().len(), upload.frames().len()), (1, 1));
    assert_eq!(sink.property::<gst::Structure>("stats").get::<u64>("num-without-header").unwrap(), 1);
}

#[test]
fn other_caps_are_another_header_and_another_bit_rate_is_none() {
    let (mut harness, sink) = harness("video_%u");
    let (upload, units) = (upload_of(&sink), access_units());
    h264(&mut harness, "");
    harness.push(buffer(units[0], 0)).unwrap();
    h264(&mut harness, ",framerate=10/1,bitrate=7");
    harness.push(buffer(units[1], 100)).unwrap();
    assert_eq!((upload.headers().len(), upload.frames().len()), (1, 2));
    harness.set_src_caps_str("image/jpeg,width=8,height=8");
    harness.push(buffer(b"\xff\xd8", 200)).unwrap();
    let headers = upload.headers();
    assert_eq!((headers[1].codec_id.as_str(), upload.frames().len()), ("V_MJPEG", 3));
}

#[test]
fn what_cannot_be_converted_is_said_and_the_next_frame_goes() {
    let (mut harness, sink) = harness("video_%u");
    let bus = bus_of(&sink);
    h264(&mut harness, "");
    let (upload, units) = (upload_of(&sink), access_units());
    harness.push(buffer(b"no start code", 0)).unwrap();
    harness.push(buffer(units[0], 100)).unwrap();
    assert_eq!(upload.frames().len(), 1);
    let said = bus.pop_filtered(&[gst::MessageType::Element]).unwrap();
    assert_eq!(said.structure().unwrap().get::<&str>("reason").unwrap(), "unreadable");
}

#[test]
fn buffers_that_others_hold_too_are_left_as_they_are() {
    let line = Line::new(
        "audiotestsrc num-buffers=20 ! alawenc ! tee name=t ! queue ! kvssink name=k t. ! queue ! fakesink name=f sync=false async=false signal-handoffs=true",
    );
    let (says, said) = channel();
    line.pipeline.by_name("f").unwrap().connect("handoff", false, move |values| {
        let buffer = values[1].get::<gst::Buffer>().unwrap();
        let payload = buffer.map_readable().unwrap().to_vec();
        says.send((buffer.pts().unwrap().nseconds(), payload)).unwrap();
        None
    });
    let upload = line.play_to_the_end();
    line.set(gst::State::Null);
    let other: Vec<_> = said.try_iter().collect();
    let own: Vec<_> = upload
        .frames()
        .into_iter()
        .map(|(_, frame)| (u64::try_from(frame.timing.pts.nanos()).unwrap(), frame.payload.to_vec()))
        .collect();
    assert_eq!(own, other);
}

#[test]
fn a_thousand_starts_and_stops_leave_nothing() {
    let (harness, sink, _) = sound();
    drop(harness);
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let mut before = 0;
    for cycle in 0..1_000 {
        state(&sink, gst::State::Playing);
        state(&sink, gst::State::Null);
        if cycle == 10 {
            before = threads();
        }
    }
    assert!(threads() <= before);
    let weak = sink.downgrade();
    drop(sink);
    assert!(weak.upgrade().is_none());
}
