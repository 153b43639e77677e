//! Many sinks, many starts: what they share they share, and nothing is left of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_media::TrackKind;
use serde_json::json;

use common::stored::frames_of;
use common::{Ground, Line};

const SINKS: usize = 200;

/// Threads of this process, by their names.
fn threads() -> BTreeMap<String, usize> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        if let Ok(name) = std::fs::read_to_string(task.path().join("comm")) {
            *threads.entry(name.trim().to_owned()).or_default() += 1;
        }
    }
    threads
}

/// Open descriptors, by their kind: files, sockets.
fn descriptors() -> BTreeMap<String, usize> {
    let mut open = BTreeMap::new();
    for descriptor in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if let Ok(target) = std::fs::read_link(descriptor.path()) {
            let target = target.to_string_lossy();
            let kind = if target.starts_with('/') { "file" } else { target.split(':').next().unwrap() };
            *open.entry(kind.to_owned()).or_default() += 1;
        }
    }
    open
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// What this process holds.
#[derive(Debug)]
struct Held {
    threads: BTreeMap<String, usize>,
    descriptors: BTreeMap<String, usize>,
    resident: u64,
}

impl Held {
    fn now() -> Self {
        Self { threads: threads(), descriptors: descriptors(), resident: resident() }
    }

    fn open(&self, kind: &str) -> usize {
        self.descriptors.get(kind).copied().unwrap_or_default()
    }

    /// Pools give back what is idle in their own time, and connections are closed behind who has left them.
    fn is_no_more_than(&self, before: &Self, growth: u64) -> bool {
        self.threads.values().sum::<usize>() <= before.threads.values().sum::<usize>() + 2
            && self.open("file") <= before.open("file")
            && self.open("socket") <= before.open("socket") + 4
            && self.resident < before.resident + growth
    }

    /// Comes back to what was before, within a bound.
    fn assert_comes_back_to(before: &Self, growth: u64) {
        let begun = Instant::now();
        loop {
            let now = Self::now();
            if now.is_no_more_than(before, growth) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{now:#?} {before:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn two_hundred_sinks_share_two_threads_and_do_not_share_their_troubles() {
    let ground = Ground::new();
    ground.fault(json!({
        "stream": "many-7",
        "what": { "refuse": { "operation": "PutMedia", "status": 403 } },
    }));
    common::line::init();
    let before = resident();
    // One source, so that every thread beyond its own is one of the sinks'.
    let mut description =
        "audiotestsrc is-live=true samplesperbuffer=800 ! audio/x-raw,rate=8000,channels=1 \
                           ! mulawenc ! tee name=t"
            .to_owned();
    for number in 0..SINKS {
        let sink = ground.sink(&format!("many-{number}")).replace("name=k ", &format!("name=s{number} "));
        description += &format!(" {sink} fragment-duration=500 t. ! s{number}.audio_0");
    }
    let line = Line::new(&description.replace("name=s0 ", "name=k ").replace("s0.audio_0", "k.audio_0"));
    let sinks: Vec<_> = (0..SINKS)
        .map(|number| if number == 0 { line.sink.clone() } else { line.element(&format!("s{number}")) })
        .collect();
    let stat = |number: usize, name: &str| -> u64 {
        sinks[number].property::<gst::Structure>("stats").get(name).unwrap()
    };
    line.play();
    line.until("all to be stored", |_| {
        (0..SINKS).all(|number| number == 7 || stat(number, "num-fragments-persisted") >= 2)
    });
    let threads = threads();
    let own = threads.get("kvs-io").copied().unwrap_or_default();
    assert!((1..=4).contains(&own), "{threads:?}");
    // The service has its own, of which some may take a moment each.
    let others = threads.iter().filter(|(name, _)| name.as_str() != "ground");
    assert!(others.map(|(_, count)| count).sum::<usize>() < 20, "{threads:?}");
    let grown = resident().saturating_sub(before);
    assert!(grown < SINKS as u64 * (2 << 20), "{} MB for {SINKS} sinks and their service", grown >> 20);
    assert_eq!(stat(7, "num-fragments-persisted"), 0);
    assert!(stat(7, "num-frames-held") > 5);
    assert!(line.errors().is_empty(), "{:?}", line.errors());
    ground.clear_faults();
    line.end();
    for number in 0..SINKS {
        let frames = stat(number, "num-frames-in");
        assert_eq!(stat(number, "num-frames-persisted"), frames, "{number}");
        assert_eq!(stat(number, "num-errors"), 0, "{number}");
    }
    for number in [0, 7, SINKS - 1] {
        let stored = frames_of(&ground.stored(&format!("many-{number}")), TrackKind::Audio);
        assert_eq!(stored.len() as u64, stat(number, "num-frames-in"));
    }
}

#[test]
fn a_thousand_recordings_leave_nothing_behind() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "audiotestsrc num-buffers=2 samplesperbuffer=800 ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! {}",
        ground.sink("cycles")
    ));
    let mut before = None;
    let begun = Instant::now();
    for cycle in 0..1_000_u64 {
        line.play();
        line.wait("all to be stored", |line| (line.stat("num-frames-persisted") == 2).then_some(()));
        line.set(gst::State::Null);
        if cycle == 100 {
            before = Some(Held::now());
        }
    }
    let took = begun.elapsed();
    // The service's own index of what it stores is in this process too.
    Held::assert_comes_back_to(&before.unwrap(), 24 << 20);
    assert!(line.errors().is_empty() && line.warnings().is_empty());
    assert!(took < Duration::from_secs(55), "{took:?}");
    assert_eq!(ground.listed("cycles").len(), 1_000);
}

#[test]
fn sinks_that_come_and_go_with_their_pipelines_leave_nothing_behind() {
    let ground = Ground::new();
    let mut before = None;
    for cycle in 0..120 {
        let line = Line::new(&format!(
            "audiotestsrc num-buffers=4 samplesperbuffer=800 ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! {}",
            ground.sink("fresh")
        ));
        let (sink, pipeline) = (line.sink.downgrade(), line.pipeline.downgrade());
        // Some end well, some are torn down on the way.
        if cycle % 2 == 0 {
            line.play_to_the_end();
        } else {
            line.play();
        }
        drop(line);
        assert!(sink.upgrade().is_none() && pipeline.upgrade().is_none(), "{cycle}");
        if cycle == 20 {
            before = Some(Held::now());
        }
    }
    Held::assert_comes_back_to(&before.unwrap(), 8 << 20);
}
