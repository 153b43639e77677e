//! Each frame comes once and in order, whatever goes wrong, and something is due as long as something is to come.

use std::time::Duration;

use kvs_wire::{FragmentSelectorType, StartSelector};

use super::super::item::Item;
use super::super::order::GAP;
use super::super::queue::End;
use super::super::report::Report;
use super::super::settings::{Begin, Place, Range, Settings, Snap};
use super::service::{Chance, LENGTH, SECOND, Service, utc};
use super::world::{Weather, World};

const STORM: Weather = Weather {
    refusals: 100,
    breaks: 3,
    stalls: 1,
    ends: 30,
    one_each: false,
    slow: 900,
    damage: 10,
    pauses: 5,
};

fn settings(place: Place) -> Settings {
    Settings::new("front-door".parse().unwrap(), place)
}

/// A world in which 200 s were recorded and 100 s are to come; in the last of those nothing goes wrong.
fn world(place: Place, seed: u64, breaks: u64, weather: Weather) -> World {
    let mut chance = Chance(seed);
    let service = Service::new(&mut chance, -200 * SECOND, 100 * SECOND, breaks);
    let mut world = World::new(&settings(place), service, seed);
    world.weather = weather;
    world
}

/// So many worlds, and ten times as many where there is time.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let long = std::env::var_os("KVS_LONG").is_some();
    0..count * if long { 10 } else { 1 }
}

fn storm_and_calm(mut world: World) -> World {
    world.play(100 * SECOND);
    world.weather = Weather::default();
    world.play(180 * SECOND);
    world
}

#[test]
fn a_stream_is_followed_from_its_beginning_through_any_weather() {
    for seed in seeds(60) {
        let world = storm_and_calm(world(Place::Follow(StartSelector::Earliest), seed, 60, STORM));
        world.assert_all(0, world.service.frames());
        assert_eq!(world.items.iter().filter(|item| matches!(item, Item::Tip)).count(), 1, "{seed}");
    }
}

#[test]
fn a_range_goes_over_into_what_comes_through_any_weather() {
    for seed in seeds(60) {
        for timeline in [FragmentSelectorType::ProducerTimestamp, FragmentSelectorType::ServerTimestamp] {
            let range = Range { timeline, ..Range::since(utc(-1_000 * SECOND)) };
            let world = storm_and_calm(world(Place::Range(range), seed, 60, STORM));
            world.assert_all(0, world.service.frames());
            assert!(matches!(world.items.first(), Some(Item::Range(_))), "{seed}");
            assert_eq!(world.items.iter().filter(|item| matches!(item, Item::Tip)).count(), 1, "{seed}");
        }
    }
}

#[test]
fn by_the_services_clock_a_fragment_lies_where_it_does_wherever_reading_begins() {
    use std::collections::HashMap;
    let timeline = FragmentSelectorType::ServerTimestamp;
    let range = Range { timeline, ..Range::since(utc(-1_000 * SECOND)) };
    let mut laid = 0;
    for seed in seeds(30) {
        // With a producer that catches up, what is listed; with another, also what is followed and then listed.
        let (breaks, until) = if seed % 3 == 0 { (0, i64::MAX) } else { (60, -20 * SECOND) };
        let lie = |world: &World| -> Vec<_> {
            let fragments = world.items.iter().filter_map(|item| match item {
                Item::Fragment(fragment) if fragment.server < utc(until.min(200 * SECOND)) => Some(fragment),
                _ => None,
            });
            fragments.map(|fragment| (fragment.number.clone(), fragment.begins, fragment.server)).collect()
        };
        let mut whole = world(Place::Range(range), seed, breaks, Weather::default());
        whole.play(120 * SECOND);
        let all = lie(&whole);
        laid += all.iter().filter(|(_, begins, server)| begins > server).count();
        assert!(all.is_sorted_by_key(|(_, begins, _)| *begins));
        let known: HashMap<_, _> = all.iter().map(|(number, begins, _)| (number.clone(), *begins)).collect();
        for place in [all.len() / 4, all.len() / 2, all.len() * 3 / 4] {
            let (_, begins, _) = all[place];
            let at = begins.checked_add(Duration::from_millis(100)).unwrap();
            let begin = Some(Begin { at, snap: Snap::Accurate });
            let mut part = world(Place::Range(Range { begin, ..range }), seed, breaks, Weather::default());
            part.now = 130 * SECOND;
            part.play(180 * SECOND);
            let part = lie(&part);
            assert_eq!(part[0].1, begins, "{seed}");
            for (number, begins, _) in part {
                assert_eq!(known.get(&number), Some(&begins), "{seed}: {number}");
            }
        }
    }
    assert!(laid > 50, "{laid}");
}

#[test]
fn a_range_begins_and_ends_where_it_should_through_any_weather() {
    for seed in seeds(40) {
        // From the middle of the 25th fragment to the middle of the 60th.
        let (from, to) = (-200 * SECOND + 25 * LENGTH + SECOND, -200 * SECOND + 60 * LENGTH + SECOND);
        let range = Range { to: Some(utc(to)), ..Range::since(utc(from)) };
        let world = storm_and_calm(world(Place::Range(range), seed, 0, STORM));
        world.assert_all(250, 610);
        assert!(matches!(world.session.end(), Some(End::Range)), "{seed}");
        let Some(Item::Range(bounds)) = world.items.first() else { panic!("{seed}") };
        assert_eq!((bounds.first, bounds.end), (utc(from), utc(to)), "{seed}");
    }
}

#[test]
fn a_range_whose_end_is_to_come_ends_there_through_any_weather() {
    for seed in seeds(40) {
        let to = -200 * SECOND + 120 * LENGTH + SECOND;
        let range = Range { to: Some(utc(to)), ..Range::since(utc(-1_000 * SECOND)) };
        let world = storm_and_calm(world(Place::Range(range), seed, 0, STORM));
        world.assert_all(0, 1_210);
        assert!(matches!(world.session.end(), Some(End::Range)), "{seed}");
    }
}

#[test]
fn a_range_that_is_still_to_come_begins_where_it_should() {
    let from = 50 * SECOND;
    let mut world = world(Place::Range(Range::since(utc(from))), 1, 0, Weather::default());
    world.play(120 * SECOND);
    // The fragments that may cover it: no longer than twenty seconds, as far as anybody knows before they end.
    let first = u64::try_from((from + 200 * SECOND - 20 * SECOND) / LENGTH).unwrap() * 10;
    world.assert_all(first, world.service.frames());
}

#[test]
fn in_fine_weather_nothing_is_asked_for_twice() {
    let mut world = world(Place::Range(Range::since(utc(-1_000 * SECOND))), 1, 0, Weather::default());
    world.play(60 * SECOND);
    let stats = world.session.stats;
    // A hundred fragments: batches of 4, 8, 16, 32 and the rest, and one answer that is followed.
    assert!(stats.connections <= 7 && stats.lists <= 20, "{stats:#?}");
    assert_eq!((stats.duplicates, stats.duplicate_frames, stats.reconnects), (0, 0, 0), "{stats:#?}");
}

#[test]
fn a_stream_that_pauses_costs_a_call_every_three_seconds_and_goes_on_within_two() {
    let mut chance = Chance(3);
    // Nothing comes from 0 to 600 s.
    let mut service = Service::new(&mut chance, -20 * SECOND, 0, 0);
    let mut later = Service::new(&mut chance, 600 * SECOND, 620 * SECOND, 0);
    for (place, recorded) in later.recorded.iter_mut().enumerate() {
        let sequence = 50_000 + u64::try_from(place).unwrap();
        recorded.number = kvs_wire::FragmentNumber::make(sequence, utc(recorded.server), 1).unwrap();
    }
    service.recorded.append(&mut later.recorded);
    let mut world = World::new(&settings(Place::Follow(StartSelector::Earliest)), service, 3);
    world.play(600 * SECOND);
    let calls = world.opened.len();
    assert!((100..=220).contains(&calls), "{calls}");
    let no_data =
        |report: &&Report| matches!(report, Report::NoData { since } if *since > Duration::from_secs(590));
    assert!(world.reports.iter().any(|report| no_data(&report)));
    let before = world.given().len();
    world.play(602 * SECOND);
    assert!(world.given().len() > before, "nothing came within two seconds");
    let gap = world.items.iter().find_map(|item| match item {
        Item::Fragment(fragment) => fragment.gap,
        _ => None,
    });
    assert!(gap.unwrap().to.since(gap.unwrap().from).unwrap() > GAP);
}

#[test]
fn calls_keep_their_distance_when_every_answer_ends_soon() {
    let soon = Weather { one_each: true, ..Weather::default() };
    let at_once = Weather { ends: 1_000, ..Weather::default() };
    for weather in [soon, at_once] {
        let mut world = world(Place::Follow(StartSelector::Earliest), 5, 0, weather);
        world.play(30 * SECOND);
        assert!(world.opened.len() > 30);
        for window in world.opened.windows(6) {
            assert!(window[5] - window[0] >= SECOND, "{window:?}");
        }
    }
}

#[test]
fn an_answer_that_ends_at_once_does_not_say_that_nothing_is_there() {
    let weather = Weather { ends: 1_000, ..Weather::default() };
    let mut world = world(Place::Follow(StartSelector::Earliest), 5, 0, weather);
    world.play(SECOND);
    assert!(world.opened.len() >= 2);
    assert!(world.items.is_empty(), "{:?}", world.items);
    assert!(!world.reports.iter().any(|report| matches!(report, Report::NoData { .. })));
    world.weather = Weather::default();
    world.play(100 * SECOND);
    world.assert_all(0, world.service.frames());
}

#[test]
fn who_is_denied_in_the_middle_goes_on_when_that_passes_and_fails_when_it_does_not() {
    let soon = Weather { one_each: true, ..Weather::default() };
    for place in [Place::Follow(StartSelector::Earliest), Place::Range(Range::since(utc(-1_000 * SECOND)))] {
        for (until, passes) in [(50 * SECOND, true), (1_000 * SECOND, false)] {
            let mut world = world(place.clone(), 7, 0, soon);
            world.denied = 20 * SECOND..until;
            world.play(180 * SECOND);
            let failed = world.reports.iter().filter(|report| matches!(report, Report::Failed(_))).count();
            if passes {
                world.assert_all(0, world.service.frames());
                assert_eq!(failed, 0);
            } else {
                assert_eq!(failed, 1);
                assert!((80 * SECOND..100 * SECOND).contains(&world.now), "{}", world.now / SECOND);
                // It has made no storm.
                assert!(world.session.stats.failures < 12, "{:#?}", world.session.stats);
            }
        }
        // Who never could is told at once.
        let mut world = world(place, 7, 0, soon);
        world.denied = 0..SECOND * 1_000;
        world.play(180 * SECOND);
        assert!(world.session.end().is_some() && world.now < SECOND, "{}", world.now / SECOND);
    }
}
