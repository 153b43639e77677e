//! Any lines as faults: what makes no sense is refused and strikes nobody, what is set strikes whom it names and as
//! often as it says.
//!
//! Input: lines, each a fault in JSON.
#![no_main]

use std::time::Duration;

use kvs_service::faults::{ConnectionFaults, Fault, Faults, What};
use kvs_wire::{Operation, StreamName};
use libfuzzer_sys::fuzz_target;

/// More often is as good as for ever.
const MANY: u32 = 20;

fn strikes(faults: &Faults, name: &StreamName) -> bool {
    let none = ConnectionFaults::default();
    let refuses = |operation: &Operation| faults.refusal(*operation, Some(name)).is_some();
    // All are asked: each that strikes has struck.
    let struck = [
        faults.put_media(name) != none,
        faults.get_media(name) != none,
        faults.clock_skew() != 0,
        faults.shuffles_lists(name),
        faults.list_delay(name) != Duration::ZERO,
        Operation::ALL.iter().filter(|operation| refuses(operation)).count() > 0,
    ];
    struck.contains(&true)
}

fn alone(json: &str, fault: &Fault) {
    let faults = Faults::default();
    faults.set(json.as_bytes()).unwrap();
    let name = fault.stream.clone().unwrap_or_else(|| "cam1".parse().unwrap());
    let other: StreamName = format!("other{}", name.as_str().len()).parse().unwrap();
    if fault.stream.as_ref().is_some_and(|stream| *stream != other) {
        assert!(!strikes(&faults, &other), "{json} strikes another stream");
    }
    let times = fault.times.unwrap_or(u32::MAX);
    if let What::Refuse { operation, status } = &fault.what {
        let operation = Operation::ALL.iter().find(|known| known.name() == operation).unwrap();
        for strike in 0..MANY {
            let expected = (strike < times).then_some(*status);
            assert_eq!(faults.refusal(*operation, Some(&name)), expected, "{json}");
            assert!(
                Operation::ALL
                    .iter()
                    .filter(|known| *known != operation)
                    .all(|operation| faults.refusal(*operation, Some(&name)).is_none())
            );
        }
    }
    for _ in 0..MANY {
        strikes(&faults, &name);
    }
    assert!(times > MANY || !strikes(&faults, &name), "{json} has no end");
    faults.clear();
    assert!(!strikes(&faults, &name));
}

fuzz_target!(|input: &str| {
    let together = Faults::default();
    for json in input.lines().take(20) {
        let read = serde_json::from_str::<Fault>(json);
        match Faults::default().set(json.as_bytes()) {
            Ok(()) => alone(json, &read.unwrap()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let _ = together.set(json.as_bytes());
    }
    let name = "cam1".parse().unwrap();
    for _ in 0..3 {
        strikes(&together, &name);
    }
    together.clear();
    assert!(!strikes(&together, &name));
});
