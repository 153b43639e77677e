//! Nothing goes wrong.

use super::super::report::{ConnectionState, Report};
use super::world::{SECOND, World, millis, settings};
use kvs_wire::FragmentTimecodeType;

#[test]
fn everything_is_stored_once_on_one_connection() {
    let mut world = World::new(settings());
    let (video, sound) = (world.video(), world.sound());
    for index in 0..300 {
        world.push(video, index % 10 == 0, 2_000).unwrap();
        world.push(sound, true, 200).unwrap();
        world.pass(millis(100));
    }
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    assert_eq!((world.duplicates(), world.openings.len(), world.stored.len()), (0, 1, 30));
    let stats = world.core.stats(world.now);
    assert_eq!((stats.frames_held, stats.bytes_held, stats.fragments_resent), (0, 0, 0));
    let states = world.reports.iter().filter_map(|report| match report {
        Report::Connection(report) => Some(report.state),
        _ => None,
    });
    assert!(states.eq([ConnectionState::Connecting, ConnectionState::Connected]));
    assert_eq!(world.reports.iter().filter(|report| matches!(report, Report::Drained)).count(), 1);
}

#[test]
fn a_frame_leaves_when_it_comes_and_not_when_its_fragment_is_whole() {
    let mut world = World::new(settings());
    let video = world.video();
    world.push(video, true, 1_000).unwrap();
    world.pass(SECOND);
    for _ in 0..5 {
        let before = world.core.stats(world.now).frames_sent;
        world.push(video, false, 1_000).unwrap();
        assert_eq!(world.core.stats(world.now).frames_sent, before + 1);
        world.pass(millis(100));
    }
}

#[test]
fn what_came_before_the_connection_goes_out_first() {
    let mut world = World::new(settings());
    let video = world.video();
    for index in 0..20 {
        world.push(video, index % 10 == 0, 100).unwrap();
    }
    assert_eq!(world.core.stats(world.now).frames_sent, 0);
    world.drain(SECOND);
    assert_eq!(world.stored_frames().len(), 20);
}

#[test]
fn a_stop_ends_the_connection_when_all_is_acknowledged() {
    let mut world = World::new(settings());
    let video = world.video();
    world.film(video, SECOND * 3, 10, 500);
    world.core.stop(world.now);
    world.pass(SECOND);
    assert!(world.core.is_at_rest());
    assert!(world.core.close().is_empty());
    world.assert_all_stored_in_order();
}

#[test]
fn silence_ends_the_fragment_and_the_next_frame_finds_its_way() {
    let mut world = World::new(settings());
    let video = world.video();
    world.film(video, SECOND * 2, 10, 500);
    world.pass(SECOND * 3_600);
    assert!(world.core.buffer.is_empty(), "the last fragment was ended and stored");
    world.film(video, SECOND * 2, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    assert_eq!(world.duplicates(), 0);
}

#[test]
fn a_change_of_the_header_begins_a_session_at_that_frame() {
    let mut world = World::new(settings());
    let video = world.video();
    world.film(video, SECOND * 2, 10, 500);
    let mut header = kvs_media::Track::new(video, kvs_media::TrackKind::Video, "V_VP9");
    header.name = "other".to_owned();
    world.core.intake.set_header(video, header);
    world.film(video, SECOND * 2, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    assert_eq!((world.openings.len(), world.duplicates()), (2, 0));
    let links: Vec<u64> = world.stored.iter().map(|fragment| fragment.link).collect();
    assert_eq!(links, [1, 1, 2, 2]);
}

#[test]
fn a_track_that_comes_later_is_in_a_new_session_and_one_that_goes_is_not() {
    let mut world = World::new(settings());
    let video = world.video();
    world.film(video, SECOND * 2, 10, 500);
    let sound = world.sound();
    for index in 0..40 {
        world.push(video, index % 10 == 0, 500).unwrap();
        world.push(sound, true, 100).unwrap();
        world.pass(millis(100));
    }
    world.core.intake.remove_track(sound, world.now, &mut world.core.buffer);
    world.film(video, SECOND * 3, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    let mut tracks: Vec<_> = world.stored.iter().map(|fragment| fragment.tracks.len()).collect();
    tracks.dedup();
    assert_eq!(tracks, [1, 2, 1]);
}

#[test]
fn relative_times_count_from_the_start_of_their_session() {
    let mut settings = settings();
    settings.timecodes = FragmentTimecodeType::Relative;
    let mut world = World::new(settings);
    let video = world.video();
    world.film(video, SECOND * 3, 10, 500);
    world.drain(SECOND);
    assert_eq!(world.stored.iter().map(|fragment| fragment.timecode).collect::<Vec<_>>(), [0, 1_000, 2_000]);
    let start = world.openings[0].1.start.unwrap();
    assert_eq!(start.millis(), super::world::START);
}

#[test]
fn without_acks_what_is_sent_is_done_with() {
    let mut settings = settings();
    settings.acks = false;
    let mut world = World::new(settings);
    let video = world.video();
    world.film(video, SECOND * 3, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
}

#[test]
fn where_nothing_is_kept_received_is_the_last_word() {
    let mut world = World::new(settings());
    world.keeps = false;
    let video = world.video();
    world.film(video, SECOND * 3, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
}

#[test]
fn a_stream_that_keeps_nothing_is_found_out_where_nobody_may_ask() {
    let mut world = World::new(settings());
    (world.keeps, world.says_what_it_keeps) = (false, false);
    let video = world.video();
    world.film(video, SECOND * 200, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    assert_eq!((world.duplicates(), world.openings.len()), (0, 1));
}

#[test]
fn tags_go_with_the_fragment_that_begins_behind_them() {
    let mut world = World::new(settings());
    let video = world.video();
    world.film(video, SECOND, 10, 500);
    world.core.intake.tag(Some(video), "plate", "ZH 1", false).unwrap();
    world.core.intake.tag(Some(video), "place", "door", true).unwrap();
    world.film(video, SECOND * 2, 10, 500);
    world.core.intake.tag(Some(video), "place", "", true).unwrap();
    world.film(video, SECOND, 10, 500);
    world.drain(SECOND);
    let tags: Vec<_> = world.stored.iter().map(|fragment| fragment.tags.join(" ")).collect();
    assert_eq!(tags, ["", "place plate", "place", ""]);
    for index in 0..10 {
        world.core.intake.tag(None, &format!("tag {index}"), "x", false).unwrap();
    }
    assert!(world.core.intake.tag(None, "one more", "x", false).is_err());
    assert!(world.core.intake.tag(None, "AWS_OURS", "x", false).is_err());
    let mut world = World::new(settings());
    let video = world.video();
    let pairs: Vec<_> = (0..6).map(|index| (format!("pair {index}"), "x".to_owned())).collect();
    world.core.intake.tag_event(Some(video), &pairs).unwrap();
    assert!(world.core.intake.tag_event(Some(video), &pairs).is_err(), "twelve in one fragment");
}
