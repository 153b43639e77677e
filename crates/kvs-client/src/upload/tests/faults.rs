//! The network and the service fail in every way.

use std::time::Duration;

use kvs_wire::{AckEvent, ErrorId, Reaction, Recovery};
use proptest::prelude::*;

use super::super::report::{DropReason, FailureKind, Report};
use super::world::{Fault, SECOND, World, millis, settings};

fn failure(world: &World) -> Option<FailureKind> {
    world.reports.iter().find_map(|report| match report {
        Report::Failed(failure) => Some(failure.kind),
        _ => None,
    })
}

#[test]
fn a_connection_that_ends_is_made_again_at_once_from_the_oldest_that_is_not_persisted() {
    let mut world = World::new(settings());
    let video = world.video();
    world.at(millis(3_550), Fault::Close);
    world.film(video, SECOND * 6, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    assert_eq!(world.openings.len(), 2);
    let gap = world.openings[1].0.saturating_since(world.openings[0].0);
    assert!(gap < millis(3_600), "{gap:?}");
    // The one that was open when it happened was not stored.
    assert_eq!(world.duplicates(), 0);
}

#[test]
fn a_fragment_that_the_service_completes_before_its_end_goes_again_as_a_whole() {
    for keeps in [true, false] {
        let mut world = World::new(settings());
        world.keeps = keeps;
        let video = world.video();
        world.at(millis(3_450), Fault::Complete);
        world.film(video, SECOND * 6, 10, 500);
        world.drain(SECOND * 5);
        world.assert_all_stored_in_order();
        assert_eq!(world.core.stats(world.now).frames_dropped, 0);
        assert!((1..=10).contains(&world.duplicates()), "{}", world.duplicates());
    }
}

#[test]
fn a_stall_is_found_and_brings_no_more_than_two_fragments_twice() {
    for at in [3_000, 3_040, 3_500, 3_999] {
        let mut world = World::new(settings());
        let video = world.video();
        world.at(millis(at), Fault::Stall);
        world.film(video, SECOND * 30, 10, 5_000);
        world.drain(SECOND * 20);
        world.assert_all_stored_in_order();
        assert!(world.openings.len() >= 2);
        assert!(world.duplicates() <= 20, "{} at {at}", world.duplicates());
        let gap = world.openings[1].0.saturating_since(world.openings[0].0);
        assert!(gap < millis(at) + SECOND * 13, "{gap:?}");
    }
}

#[test]
fn every_error_id_is_met_as_the_table_says() {
    for error in ErrorId::known().chain([ErrorId(7_777)]) {
        let mut world = World::new(settings());
        let (video, sound) = (world.video(), world.sound());
        world.at(millis(2_500), Fault::ErrorAck(error.0));
        for index in 0..150 {
            let _ = world.push(video, index % 10 == 0, 500);
            // The sound is away for a while, so that there is a silent track to leave out.
            if !(20..40).contains(&index) {
                let _ = world.push(sound, true, 50);
            }
            world.pass(millis(100));
        }
        if error.reaction() == Reaction::Stop {
            assert!(failure(&world).is_some(), "{error}");
            continue;
        }
        world.pass(SECOND * 40);
        world.drain(SECOND);
        world.assert_all_stored_in_order();
        assert_eq!(failure(&world), None, "{error}");
        assert_eq!(world.core.stats(world.now).errors, 1, "{error}");
        assert!(world.longest_idle <= SECOND * 15, "{error}");
    }
}

#[test]
fn a_fragment_that_is_refused_three_times_for_its_own_fault_is_dropped_and_counted() {
    let mut world = World::new(settings());
    let video = world.video();
    for _ in 0..3 {
        world.at(millis(2_500), Fault::ErrorAck(4006));
    }
    world.film(video, SECOND * 8, 10, 500);
    world.drain(SECOND * 5);
    world.assert_accounted();
    let dropped: Vec<_> = world
        .reports
        .iter()
        .filter_map(|report| match report {
            Report::Dropped(dropped) => Some(dropped),
            _ => None,
        })
        .collect();
    assert_eq!(dropped.len(), 1);
    assert!(matches!(&dropped[0].reason, DropReason::Refused(why) if why.contains("4006")));
    assert_eq!((dropped[0].fragments, dropped[0].frames), (1, 10));
    assert_eq!(world.stored_frames().len(), 70);
}

#[test]
fn an_outage_is_not_blamed_on_a_fragment_however_long_it_is() {
    let mut world = World::new(settings());
    let video = world.video();
    for _ in 0..50 {
        world.at(millis(2_500), Fault::ErrorAck(5000));
    }
    world.film(video, SECOND * 5, 10, 500);
    world.drain(SECOND * 600);
    world.assert_all_stored_in_order();
}

#[test]
fn a_fragment_that_is_too_long_for_the_service_goes_out_in_pieces() {
    for key_frames in [10, 1_000] {
        let mut settings = settings();
        settings.rules.at_key_frames = false;
        settings.rules.target = SECOND * 8;
        let mut world = World::new(settings);
        let video = world.video();
        world.at(millis(2_500), Fault::ErrorAck(4002));
        world.film(video, SECOND * 30, key_frames, 500);
        world.drain(SECOND * 5);
        world.assert_all_stored_in_order();
        let first: Vec<_> = world.stored.iter().take(2).map(|fragment| fragment.frames.len()).collect();
        assert!(first.iter().all(|frames| *frames < 120), "{first:?}");
    }
}

#[test]
fn refused_credentials_are_renewed_and_a_wrong_endpoint_is_asked_for_again() {
    for (recovery, credentials, endpoint) in [
        (Recovery::NewCredentials, true, false),
        (Recovery::NewEndpoint, false, true),
        (Recovery::NoStream, false, true),
    ] {
        let mut world = World::new(settings());
        let video = world.video();
        world.at(millis(0), Fault::Refuse(recovery, 2));
        world.film(video, SECOND * 10, 10, 500);
        world.drain(SECOND * 5);
        world.assert_all_stored_in_order();
        let second = &world.openings[1].1;
        assert_eq!((second.renew_credentials, second.renew_endpoint), (credentials, endpoint));
        assert!(world.openings[1].0.saturating_since(world.openings[0].0) < SECOND);
    }
}

#[test]
fn a_refusal_that_stays_does_not_become_a_storm() {
    let mut world = World::new(settings());
    let video = world.video();
    world.at(millis(0), Fault::Refuse(Recovery::NewCredentials, 600));
    world.film(video, SECOND * 610, 10, 50);
    assert!(world.openings.len() < 120, "{} attempts in ten minutes", world.openings.len());
    let last = world.openings.last().unwrap().0;
    assert!(last.saturating_since(world.openings[0].0) >= SECOND * 600, "it comes back within the cap");
    world.drain(SECOND * 60);
    world.assert_all_stored_in_order();
}

#[test]
fn what_cannot_be_put_right_is_a_failure_once() {
    let mut without = settings();
    without.setup.create = false;
    let mut world = World::new(without);
    let video = world.video();
    world.at(millis(0), Fault::Refuse(Recovery::NoStream, 5));
    world.film(video, SECOND, 10, 500);
    assert_eq!(failure(&world), Some(FailureKind::NoStream));
    let mut world = World::new(settings());
    let video = world.video();
    world.at(millis(0), Fault::Refuse(Recovery::Fatal, 5));
    world.film(video, SECOND, 10, 500);
    assert_eq!(failure(&world), Some(FailureKind::Refused));
    assert_eq!(world.openings.len(), 1);
    assert_eq!(world.reports.iter().filter(|report| matches!(report, Report::Failed(_))).count(), 1);
}

#[test]
fn a_start_that_takes_too_long_is_a_failure_only_where_that_was_asked_for() {
    let mut limited = settings();
    limited.startup_timeout = Some(SECOND * 20);
    for (settings, expected) in [(limited, Some(FailureKind::StartupTimeout)), (settings(), None)] {
        let mut world = World::new(settings);
        let video = world.video();
        world.at(millis(0), Fault::Refuse(Recovery::BackOff, 30));
        world.film(video, SECOND * 25, 10, 500);
        assert_eq!(failure(&world), expected);
        let told = |report: &Report| matches!(report, Report::Failed(failure) if failure.message.contains("20 s") && failure.message.contains("BackOff"));
        assert_eq!(world.reports.iter().any(told), expected.is_some(), "{:#?}", world.reports);
    }
}

#[test]
fn an_ack_that_is_lost_keeps_nothing_for_ever() {
    for event in [AckEvent::Buffering, AckEvent::Received, AckEvent::Persisted] {
        let mut world = World::new(settings());
        let video = world.video();
        world.at(millis(3_500), Fault::LoseAck(event));
        world.film(video, SECOND * 200, 10, 500);
        world.drain(SECOND * 100);
        world.assert_all_stored_in_order();
        assert_eq!(world.core.stats(world.now).frames_dropped, 0);
    }
}

#[test]
fn a_black_hole_heals_and_everything_is_there() {
    for seconds in [5, 60, 100] {
        let mut world = World::new(settings());
        let video = world.video();
        world.at(millis(3_300), Fault::BlackHole(seconds));
        world.film(video, SECOND * u32::try_from(seconds + 20).unwrap(), 10, 500);
        world.drain(SECOND * 20);
        world.assert_all_stored_in_order();
    }
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let ids =
        ErrorId::known().filter(|id| id.reaction() != Reaction::Stop).map(|id| id.0).collect::<Vec<_>>();
    prop_oneof![
        Just(Fault::Close),
        Just(Fault::Complete),
        Just(Fault::Stall),
        prop::sample::select(ids).prop_map(Fault::ErrorAck),
        prop::sample::select(vec![AckEvent::Buffering, AckEvent::Received, AckEvent::Persisted])
            .prop_map(Fault::LoseAck),
        (
            prop::sample::select(vec![
                Recovery::BackOff,
                Recovery::NewCredentials,
                Recovery::NewEndpoint,
                Recovery::NoStream
            ]),
            1_u64..40
        )
            .prop_map(|(recovery, seconds)| Fault::Refuse(recovery, seconds)),
        (1_u64..40).prop_map(Fault::BlackHole),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(48), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_nothing_is_lost_that_is_not_counted(
        faults in prop::collection::vec((0_u64..300_000, any_fault()), 0..12),
        gop in 5_u64..60,
        with_sound in any::<bool>(),
        credentials in prop::option::of(30_u64..200),
    ) {
        let mut settings = settings();
        settings.capacity.span = SECOND * 100_000;
        let mut world = World::new(settings);
        let video = world.video();
        let sound = with_sound.then(|| world.sound());
        world.renew_in = credentials.map(Duration::from_secs);
        for (at, fault) in faults {
            world.at(millis(at), fault);
        }
        for index in 0..3_000 {
            let _ = world.push(video, index % gop == 0, 500);
            if let Some(sound) = sound {
                let _ = world.push(sound, true, 60);
            }
            world.pass(millis(100));
        }
        world.drain(SECOND * 1_200);
        world.assert_accounted();
        prop_assert!(failure(&world).is_none());
        let stats = world.core.stats(world.now);
        let stored = world.stored_frames().len() as u64;
        prop_assert!(stored + stats.frames_dropped >= stats.frames_in);
        // Data waits, the path is up, and nothing is in flight: for no longer than that.
        prop_assert!(world.longest_idle <= SECOND * 15, "{:?}", world.longest_idle);
    }
}
