//! An application in Python, through GObject introspection.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::Ground;
use common::child::{at, finish, plugin_folder, text, with_plugin};

/// Runs a test of the application.
fn run(ground: &Ground, name: &str) {
    let folder = plugin_folder();
    // Debian's own Python has gi; another one in the path may not.
    let mut command = with_plugin("/usr/bin/python3", folder.path());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gi/application.py");
    command.args(["-B", script, &format!("Application.{name}")]).env("G_DEBUG", "fatal_criticals");
    at(&mut command, ground);
    let output = finish(command, Duration::from_secs(55));
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("Ran 1 test"), "{}", text(&output));
}

#[test]
fn properties_have_the_types_that_python_expects() {
    run(&Ground::new(), "test_properties_have_the_types_that_python_expects");
}

#[test]
fn an_application_sees_acks_stats_and_connections() {
    run(&Ground::new(), "test_an_application_sees_acks_stats_and_connections");
}

#[test]
fn tags_that_python_adds_are_on_the_fragments() {
    let ground = Ground::new();
    run(&ground, "test_tags_are_added_by_signal_and_by_event");
    let fragments = ground.stored("gi-tags");
    let has = |name: &str, value: &str| {
        let tag = (name.to_owned(), value.to_owned());
        fragments.iter().map(|fragment| fragment.tags.contains(&tag)).collect::<Vec<_>>()
    };
    for (name, value) in [("plate", "ZH 1234"), ("by", "event")] {
        assert_eq!(has(name, value).iter().filter(|has| **has).count(), 1, "{name}");
    }
    // One that persists is on every fragment from its first on.
    let doors = has("door", "left");
    assert!(!doors[0] && doors.is_sorted() && doors[1], "{doors:?}");
    assert!(
        fragments.iter().all(|fragment| fragment.tags.iter().all(|(name, _)| !name.starts_with("AWS_m")))
    );
}

#[test]
fn an_error_has_a_domain_that_python_can_match() {
    run(&Ground::new(), "test_an_error_has_a_domain_that_python_can_match");
}

#[test]
fn recordings_leave_no_memory_behind() {
    run(&Ground::new(), "test_recordings_leave_no_memory_behind");
}

#[test]
fn a_process_that_ends_while_it_records_ends_well() {
    run(&Ground::new(), "test_a_process_that_ends_while_it_records_ends_well");
}
