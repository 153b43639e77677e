//! The example in Python, as it is.

use std::time::Duration;

use super::START;
use super::common::child::{at, finish, plugin_folder, text, with_plugin};
use super::common::{Ground, H264, pictures};

#[test]
fn a_program_in_python_gets_pictures_with_their_time_and_their_fragment() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(25)), START);
    // Debian's own Python has gi; another one in the path may not.
    let mut command = with_plugin("/usr/bin/python3", folder.path());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/frames.py");
    command.args(["-B", script, "door", "--from", "2026-11-20T03:00:00Z", "--to", "2026-11-20T04:00:00Z"]);
    at(&mut command, &ground).env("G_DEBUG", "fatal_criticals");
    let output = finish(command, Duration::from_secs(55));
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let listed = ground.listed("door");
    let mut seen = 0_i64;
    for line in said.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let utc: i64 = words[0].parse().unwrap();
        assert_eq!(utc, (START + seen * 100_000_000) / 1_000_000 * 1_000_000, "{line}");
        let row = listed.iter().find(|row| row["FragmentNumber"] == words[1]).expect(line);
        let producer = (row["ProducerTimestamp"].as_f64().unwrap() * 1e3).round();
        let offset: f64 = words[2].parse().unwrap();
        assert!((producer + offset / 1e6 - utc as f64 / 1e6).abs() < 0.01, "{line}");
        assert_eq!(words[3], "160x120");
        // It is a picture, and no grey.
        assert!(words[4].parse::<f64>().unwrap() > 1.0, "{line}");
        seen += 1;
    }
    assert_eq!(seen, 25, "{said}");
}
