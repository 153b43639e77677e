//! More comes than goes.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_wire::Recovery;

use super::super::PushError;
use super::super::report::{FailureKind, Report};
use super::super::session::{LinkId, Pull};
use super::super::settings::WhenFull;
use super::world::{Fault, SECOND, World, millis, settings};

const FRAME: usize = 2_000;

#[test]
fn who_is_to_wait_waits_and_nothing_is_lost() {
    let mut settings = settings();
    settings.capacity.bytes = 200_000;
    let mut world = World::new(settings);
    let video = world.video();
    world.at(millis(2_000), Fault::Refuse(Recovery::BackOff, 30));
    let mut index = 0;
    while index < 600 {
        match world.push(video, index % 10 == 0, FRAME) {
            Ok(_) => index += 1,
            Err(error) => assert!(matches!(error, PushError::Full(_))),
        }
        assert!(world.core.stats(world.now).bytes_held <= 210_000);
        world.pass(millis(100));
    }
    assert!(world.refused_pushes > 100);
    world.drain(SECOND * 20);
    world.assert_all_stored_in_order();
}

#[test]
fn who_can_wait_is_held_while_the_path_is_up_and_fills_the_buffer_while_it_is_not() {
    let mut settings = settings();
    settings.capacity.bytes = 40 << 20;
    let mut world = World::new(settings);
    world.rate = Some(100_000);
    let video = world.video();
    world.film(video, SECOND, 10, FRAME);
    let fill = |world: &mut World| loop {
        if world.push(video, true, 500_000).is_err() {
            return world.core.stats(world.now).bytes_held;
        }
        // Fragments begin no more often.
        world.pass(millis(200));
    };
    let held = fill(&mut world);
    assert!((16 << 20..21 << 20).contains(&held), "{held}");
    world.at(world.since_start(), Fault::Refuse(Recovery::BackOff, 20));
    world.pass(millis(10));
    let held = fill(&mut world);
    assert!(held > 39 << 20, "{held}");
    world.rate = None;
    world.drain(SECOND * 100);
    world.assert_all_stored_in_order();
}

#[test]
fn the_oldest_whole_fragments_go_and_what_is_stored_can_be_decoded() {
    for (capacity, rate) in
        [(200_000, None), (200_000, Some(5_000)), (100_000, Some(4_000)), (100_000, Some(1_000))]
    {
        let mut settings = settings();
        settings.capacity.bytes = capacity;
        settings.when_full = WhenFull::DropOldest;
        let mut world = World::new(settings);
        world.rate = rate;
        let video = world.video();
        if rate.is_none() {
            world.at(millis(2_000), Fault::Refuse(Recovery::BackOff, 60));
        }
        let mut keys = BTreeMap::new();
        let mut most = 0;
        for index in 0..1_200 {
            let key = index % 10 == 0;
            keys.insert(world.push(video, key, FRAME).unwrap(), key);
            world.pass(millis(100));
            most = most.max(world.core.stats(world.now).bytes_held);
        }
        world.rate = None;
        world.drain(SECOND * 100);
        world.assert_accounted();
        // One fragment that is partly on the wire may be above it.
        assert!(most <= capacity + 30_000, "{most}");
        let stats = world.core.stats(world.now);
        assert!(stats.frames_dropped > 100, "{stats:#?}");
        let told: u64 = world
            .reports
            .iter()
            .filter_map(|report| match report {
                Report::Dropped(dropped) => Some(dropped.frames),
                _ => None,
            })
            .sum();
        assert_eq!(told, stats.frames_dropped);
        // A fragment begins with its key frame and has no hole.
        for fragment in &world.stored {
            assert!(keys[&fragment.frames[0]], "{fragment:?}");
            assert!(fragment.frames.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{fragment:?}");
        }
    }
}

#[test]
fn no_room_is_a_failure_where_that_was_asked_for() {
    let mut settings = settings();
    settings.capacity.bytes = 100_000;
    settings.when_full = WhenFull::Fail;
    let mut world = World::new(settings);
    let video = world.video();
    world.at(millis(0), Fault::Refuse(Recovery::BackOff, 600));
    world.film(video, SECOND * 60, 10, FRAME);
    let failures = world
        .reports
        .iter()
        .filter(|report| matches!(report, Report::Failed(failure) if failure.kind == FailureKind::Full));
    assert_eq!(failures.count(), 1);
    assert_eq!(world.push(video, true, 10), Err(PushError::Ended));
}

#[test]
fn a_slow_path_is_waited_for_and_not_given_up() {
    let mut world = World::new(settings());
    // A quarter of what comes.
    world.rate = Some(5_000);
    let video = world.video();
    world.film(video, SECOND * 60, 10, FRAME);
    world.drain(SECOND * 400);
    world.assert_all_stored_in_order();
    assert_eq!((world.openings.len(), world.duplicates()), (1, 0));
}

#[test]
fn a_path_lives_while_it_carries_what_is_worth_waiting_for() {
    let since_life = |world: &World| world.now.saturating_since(world.core.session.last_life().unwrap());
    for (rate, lives) in [(20_000, true), (9_000, false)] {
        let mut world = World::new(settings());
        let video = world.video();
        // Its acks come every minute, at best.
        world.rate = Some(rate);
        world.film(video, SECOND * 30, 1_000, 10 * FRAME);
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            world.pass(millis(100));
            longest = longest.max(since_life(&world));
        }
        assert_eq!(longest < SECOND * 5, lives, "{rate} bytes a second: {longest:?}");
    }
}

#[test]
fn what_a_path_asks_for_as_it_breaks_is_no_sign_of_life() {
    let mut world = World::new(settings());
    let video = world.video();
    world.rate = Some(40_000);
    world.film(video, SECOND * 10, 1_000, 40 * FRAME);
    let before = world.core.session.last_life().unwrap();
    let (id, now) = (LinkId(1), world.now.saturating_add(millis(500)));
    let core = &mut world.core;
    assert!(matches!(core.session.pull(id, &mut core.buffer, now), Pull::Data(_)));
    assert_eq!(core.session.last_life(), Some(now));
    core.session.closed(id, Some("broken pipe".to_owned()), now);
    assert!(core.session.last_life().unwrap() <= before);
}

#[test]
fn what_is_on_the_wire_and_not_received_is_bounded() {
    let mut world = World::new(settings());
    let video = world.video();
    world.film(video, millis(500), 100, 100_000);
    world.at(world.since_start(), Fault::Stall);
    world.film(video, SECOND * 8, 10, 100_000);
    let stats = world.core.stats(world.now);
    assert!(stats.bytes_sent < 500_000 + 100_000 * 12, "{}", stats.bytes_sent);
}

#[test]
fn a_frame_that_is_larger_than_the_room_does_not_wait_for_ever() {
    let mut settings = settings();
    settings.capacity.bytes = 10_000;
    let mut world = World::new(settings);
    let video = world.video();
    assert!(world.push(video, true, 50_000).is_ok());
    world.pass(SECOND);
    world.assert_accounted();
}

#[test]
fn a_track_that_waits_for_another_takes_no_more_than_its_part() {
    for when_full in [WhenFull::Block, WhenFull::DropOldest] {
        let mut settings = settings();
        settings.capacity.bytes = 300_000;
        settings.when_full = when_full;
        let mut world = World::new(settings);
        let (video, sound) = (world.video(), world.sound());
        let mut index = 0;
        for _ in 0..3_000 {
            // As fast as it goes, beside sound that comes in its time.
            while index < 20_000 && world.push(video, index % 10 == 0, FRAME).is_ok() {
                index += 1;
                assert!(world.core.stats(world.now).bytes_held <= 420_000);
                if world.refused_pushes == 0 && when_full == WhenFull::DropOldest && index % 100 == 0 {
                    break;
                }
            }
            let _ = world.push(sound, true, 100);
            world.pass(millis(20));
        }
        world.assert_accounted();
        world.drain(SECOND * 20);
        if when_full == WhenFull::Block {
            world.assert_all_stored_in_order();
        }
    }
}

#[test]
fn a_calendar_that_jumps_empties_nothing() {
    let mut settings = settings();
    settings.when_full = WhenFull::DropOldest;
    let mut world = World::new(settings);
    let video = world.video();
    world.at(millis(0), Fault::Refuse(Recovery::BackOff, 30));
    world.film(video, SECOND * 20, 10, FRAME);
    world.jump(SECOND * 3_600);
    world.film(video, SECOND * 20, 10, FRAME);
    world.drain(SECOND * 20);
    world.assert_all_stored_in_order();
}
