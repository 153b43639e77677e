//! The real thing: a process that writes is killed, and what it said was completed is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use super::*;

const FOLDER: &str = "KVS_STORE_KILL_FOLDER";
const THIS_TEST: &str = "store::tests::kill::what_a_killed_process_had_completed_is_there_byte_for_byte";
const STREAMS: u64 = 20;

/// The child: writes until it is killed, and says a line for every completion.
fn write_until_killed(folder: &Path) {
    let settings = Settings { segment_bytes: 1 << 20, ..Settings::default() };
    let (store, _) = Store::open(folder, None, &settings).unwrap();
    let (sender, answers) = mpsc::channel();
    for n in 0..STREAMS {
        let name = format!("stream {n}");
        let stream =
            store.stream_named(&name).unwrap_or_else(|| store.create_stream(&name, None, b"").unwrap());
        write_next(&store, stream.id, &sender);
    }
    for (stream, number, result) in answers {
        if result.is_ok() {
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nkept {} {}", stream.0, number).unwrap();
            out.flush().unwrap();
        }
        write_next(&store, stream, &sender);
    }
}

type Answer = (StreamId, Number, Result<(), AppendError>);

fn write_next(store: &Store, stream: StreamId, answers: &mpsc::Sender<Answer>) {
    let number = store.numbering(stream, Utc::EPOCH).unwrap().next(utc(1_800_000_000_000), 9, false);
    let mut upload = store.begin(stream, number).unwrap();
    let bytes = payload(number, 20_000 + number.sequence as usize % 90_000);
    for piece in bytes.chunks(30_000) {
        upload.write(Bytes::copy_from_slice(piece), |_| {});
    }
    let answers = answers.clone();
    upload.commit(commit(number), move |result| drop(answers.send((stream, number, result))));
}

#[test]
fn what_a_killed_process_had_completed_is_there_byte_for_byte() {
    // This test is its own child: the program is the same, so is what it writes.
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    let folder = TempFolder::new();
    let data = folder.path().join("data");
    let dice = Dice::new(9);
    let mut kept = Vec::new();
    let mut read_before = std::collections::HashSet::new();
    let rounds = if std::env::var_os("KVS_LONG").is_some() { 200 } else { 10 };
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS_TEST, "--nocapture"])
            .env(FOLDER, &data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // At a moment that the child's own progress decides: no sleep, and never at the same place.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 1 + dice.below(200);
        for line in lines {
            let line = line.unwrap();
            if let Some((stream, number)) = line.strip_prefix("kept ").and_then(|rest| rest.split_once(' ')) {
                kept.push((
                    StreamId(stream.parse().unwrap()),
                    number.parse::<kvs_wire::FragmentNumber>().unwrap(),
                ));
                left = left.saturating_sub(1);
                if left == 0 {
                    child.kill().unwrap();
                }
            }
        }
        assert!(!child.wait().unwrap().success());
        let settings = Settings { rebuild_index: round % 3 == 2, ..Settings::default() };
        let (store, recovery) = Store::open(&data, None, &settings).unwrap();
        for (stream, number) in &kept {
            let row = store.get(*stream, Number::from_wire(number).unwrap()).unwrap();
            assert!(row.is_some(), "{stream} lost {number} in round {round}: {recovery:?}");
        }
        let last = round + 1 == rounds;
        for stream in store.streams() {
            for row in all(&store, stream.id) {
                // What was read after an earlier round is read once more in the end.
                if !read_before.insert((stream.id, row.number)) && !last {
                    continue;
                }
                let length = 20_000 + row.number.sequence as usize % 90_000;
                assert_eq!(read(&store, &row).unwrap(), payload(row.number, length), "{}", row.number);
            }
        }
        if last || round % 10 == 0 {
            assert!(store.verify().unwrap().is_sound());
        }
    }
    assert!(!kept.is_empty());
}
