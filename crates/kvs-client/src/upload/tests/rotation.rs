//! Sessions take over from each other.

use std::time::Duration;

use super::world::{SECOND, World, settings};

#[test]
fn a_session_is_replaced_before_forty_minutes_without_a_gap_or_a_duplicate() {
    let mut world = World::new(settings());
    let video = world.video();
    world.film(video, SECOND * 3 * 3_600, 20, 100);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    assert_eq!((world.duplicates(), world.core.stats(world.now).reconnects), (0, 0));
    let gaps: Vec<Duration> =
        world.openings.windows(2).map(|pair| pair[1].0.saturating_since(pair[0].0)).collect();
    assert!(gaps.len() >= 4 && gaps.iter().all(|gap| *gap < SECOND * 2_400), "{gaps:?}");
    assert!(world.openings.iter().all(|(_, opening)| !opening.renew_credentials));
}

#[test]
fn credentials_of_a_minute_last_for_ten() {
    let mut world = World::new(settings());
    world.renew_in = Some(SECOND * 45);
    let video = world.video();
    world.film(video, SECOND * 600, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    let stats = world.core.stats(world.now);
    assert_eq!((world.duplicates(), stats.reconnects, stats.errors), (0, 0, 0));
    for pair in world.openings.windows(2) {
        assert!(pair[1].0.saturating_since(pair[0].0) < SECOND * 50);
    }
}

#[test]
fn a_stream_that_is_silent_when_its_session_is_old_goes_on_in_a_new_one() {
    let mut world = World::new(settings());
    world.renew_in = Some(SECOND * 45);
    let video = world.video();
    world.film(video, SECOND * 10, 10, 500);
    world.pass(SECOND * 100);
    world.film(video, SECOND * 10, 10, 500);
    world.drain(SECOND);
    world.assert_all_stored_in_order();
    assert_eq!(world.duplicates(), 0);
}
