//! `kvs verify`.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use kvs_media::time::Utc;
use serde_json::Value;

use crate::child::{Running, Scratch, answer, refusal, run};
use crate::record::record;

const PAYLOAD: usize = 150_000;

/// Three fragments of a stream.
fn three(folder: &Scratch) {
    let times = (0..3).map(|step| Utc::from_millis(1_800_000_000_000 + 2_000 * step).unwrap());
    record(&folder.data(), times, PAYLOAD);
}

fn verify(folder: &Scratch, json: bool) -> std::process::Output {
    let data = folder.data();
    let json = if json { &["--json"][..] } else { &[] };
    run(folder, &[&["verify", "--data", data.to_str().unwrap()], json].concat())
}

#[test]
fn a_sound_folder_is_sound_and_a_flipped_bit_is_found() {
    let folder = Scratch::new("verify");
    three(&folder);
    let said = answer(&verify(&folder, false));
    assert_eq!(said, "3 fragments (450.0 kB) in 1 segments read whole\n");
    let report: Value = serde_json::from_str(&answer(&verify(&folder, true))).unwrap();
    assert_eq!((&report["Sound"], &report["Fragments"]), (&true.into(), &3.into()));

    let segments: Vec<_> = std::fs::read_dir(folder.data().join("segments")).unwrap().collect();
    let segment = segments.into_iter().next().unwrap().unwrap().path();
    let id = segment.file_stem().unwrap().to_str().unwrap().to_owned();
    let file = OpenOptions::new().read(true).write(true).open(segment).unwrap();
    let middle = 4096 + u64::try_from(PAYLOAD).unwrap() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();

    let output = verify(&folder, false);
    let said = refusal(&output, 1);
    assert_eq!(said, format!("kvs: {} is damaged in 1 place\n", folder.data().display()));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("bytes from") && report.contains("of cam1"), "{report}");
    assert!(report.contains("2 fragments (300.0 kB)"), "{report}");
    let output = verify(&folder, true);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["Sound"], &report["Fragments"]), (&false.into(), &2.into()));
    let damage = &report["Damage"][0];
    assert_eq!(damage["Segment"], *id);
    assert_eq!(damage["Fragments"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(damage["Fragments"][0]["Stream"], "cam1");
    let number = damage["Fragments"][0]["FragmentNumber"].as_str().unwrap();
    assert!(number.len() == 47 && number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
    let said = String::from_utf8(verify(&folder, false).stdout).unwrap();
    assert!(said.contains(&format!("lost: fragment {number} of cam1")), "{said}");
    assert_eq!(report["Unreadable"], serde_json::json!([]));
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    for json in [false, true] {
        let folder = Scratch::new(&format!("verify-gone-{json}"));
        three(&folder);
        let mut ids = Vec::new();
        for segment in std::fs::read_dir(folder.data().join("segments")).unwrap() {
            let path = segment.unwrap().path();
            ids.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
            std::fs::remove_file(path).unwrap();
        }
        let output = verify(&folder, json);
        refusal(&output, 1);
        let report = String::from_utf8(output.stdout).unwrap();
        if json {
            let report: Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["LostSegments"], serde_json::json!(ids));
        } else {
            assert!(
                report.contains(&format!("segment {}: missing, or its header is damaged\n", ids[0])),
                "{report}"
            );
        }
    }
}

#[test]
fn only_a_data_folder_that_nobody_uses_is_verified() {
    let folder = Scratch::new("verify-used");
    let said = refusal(&verify(&folder, false), 1);
    assert!(said.contains("is no data folder"), "{said}");
    assert!(!folder.data().exists());
    let _service = Running::serve::<&str>(&folder, &[]);
    assert!(refusal(&verify(&folder, false), 1).contains("in use by the service at http://127.0.0.1:"));
}
