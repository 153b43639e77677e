use std::sync::mpsc;

use super::*;

fn store() -> (Store, StreamId, SimDisk, Arc<Dice>) {
    let (disk, dice) = (SimDisk::default(), Dice::new(1));
    let (store, _) = open(&disk, &dice, &small());
    let stream = store.create_stream("camera", None, b"meta").unwrap().id;
    (store, stream, disk, dice)
}

#[test]
fn a_fragment_reads_back_whole_and_in_any_part() {
    let (store, stream, ..) = store();
    let (number, result) = put(&store, stream, 1_000_000, 150_000);
    result.unwrap();
    let row = store.get(stream, number).unwrap().unwrap();
    let fragment = store.fragment(&row).unwrap();
    assert_eq!(fragment.commit, commit(number));
    assert_eq!(fragment.row, row);
    let whole = payload(number, 150_000);
    for range in [0..150_000, 0..0, 9_999..10_001, 65_530..65_540, 149_999..150_000, 12_345..140_000] {
        let mut out = b"before".to_vec();
        store.payload(&fragment, range.start..range.end, &mut out).unwrap();
        assert_eq!(&out[6..], &whole[range.start as usize..range.end as usize], "{range:?}");
    }
    let beyond = store.payload(&fragment, 0..150_001, &mut Vec::new());
    assert!(matches!(beyond, Err(StoreError::Range { length: 150_000, .. })));
}

#[test]
fn what_is_completed_is_listed_at_once_and_after_a_clean_end_nothing_is_looked_for() {
    let (store, stream, disk, dice) = store();
    let put: Vec<_> = (0..20).map(|n| put(&store, stream, 1_000_000 + n * 1000, 5_000).0).collect();
    assert_eq!(numbers(&store, stream), put);
    // Without threads there is nobody who closes: power goes instead, everything synced is there.
    drop(store);
    let (store, recovery) = open(&disk.after_power_cut(|_| 0), &dice, &small());
    assert!(recovery.sealed >= 1, "{recovery:?}");
    assert_eq!(recovery.fragments, 20);
    assert_eq!(numbers(&store, stream), put);
    assert_eq!(store.metadata(stream).unwrap(), b"meta");
    assert_eq!(store.stream_named("camera").unwrap().id, stream);
}

#[test]
fn lists_go_by_number_by_producer_time_and_by_server_time_and_in_pages() {
    let (store, stream, ..) = store();
    let mut put_numbers = Vec::new();
    for n in 0..50_u64 {
        put_numbers.push(put(&store, stream, 1_000_000 + n * 1000, 50).0);
        // Half of them in redb, half in memory.
        if n == 25 {
            store.write_index().unwrap();
        }
    }
    let times = |between| -> Vec<_> {
        let rows = store.list(stream, between, None, 100).unwrap();
        rows.iter().map(|row| row.number.server_ms / 1000 - 1000).collect()
    };
    assert_eq!(times(Between::ServerTimes(utc(1_003_000), utc(1_006_000))), [3, 4, 5, 6]);
    assert_eq!(times(Between::ServerTimes(utc(1_002_001), utc(1_005_999))), [3, 4, 5]);
    assert_eq!(times(Between::ServerTimes(utc(1_024_000), utc(1_027_000))), [24, 25, 26, 27]);
    assert_eq!(times(Between::ServerTimes(utc(1_049_000), utc(2_000_000))), [49]);
    assert_eq!(times(Between::ServerTimes(utc(1_049_001), utc(2_000_000))), [0; 0]);
    // Producer times are half a second earlier.
    assert_eq!(times(Between::ProducerTimes(utc(1_023_500), utc(1_027_499))), [24, 25, 26, 27]);
    assert_eq!(times(Between::Numbers(put_numbers[24], put_numbers[27])), [24, 25, 26, 27]);
    for between in [
        Between::Numbers(Number::FIRST, Number::LAST),
        Between::ProducerTimes(Utc::EPOCH, utc(9_000_000)),
        Between::ServerTimes(Utc::EPOCH, utc(9_000_000)),
    ] {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let rows = store.list(stream, between, after, 7).unwrap();
            let Some(last) = rows.last() else { break };
            after = Some(After::from(last));
            found.extend(rows.iter().map(|row| row.number));
        }
        assert_eq!(found, put_numbers, "{between:?}");
    }
    assert_eq!(store.first(stream).unwrap().unwrap().number, put_numbers[0]);
    assert_eq!(store.last(stream).unwrap().unwrap().number, put_numbers[49]);
}

#[test]
fn numbers_and_their_times_never_go_back() {
    let (store, stream, disk, dice) = store();
    let next = |store: &Store, now, new| store.numbering(stream, Utc::EPOCH).unwrap().next(utc(now), 1, new);
    assert_eq!(next(&store, 5_000, false), Number { sequence: 1, server_ms: 5_000, tail: 1 });
    assert_eq!(next(&store, 6_000, true).sequence, 1001);
    // The older session goes on, and the clock was set back.
    assert_eq!(next(&store, 4_000, false), Number { sequence: 1002, server_ms: 6_000, tail: 1 });
    // Whoever asked earlier gives out of the same.
    let held = store.numbering(stream, Utc::EPOCH).unwrap();
    assert_eq!((next(&store, 0, false).sequence, held.next(utc(0), 1, false).sequence), (1003, 1004));
    let (stored, _) = put(&store, stream, 7_000, 10);
    drop(store);
    let (store, _) = open(&disk.after_power_cut(|_| 0), &dice, &small());
    let again = next(&store, 1_000, false);
    assert!(again > stored && again.sequence == 20_001 && again.server_ms == 7_000, "{again:?}");
    assert_eq!(Number::from_wire(&again.to_wire().unwrap()), Some(again));
}

#[test]
fn an_upload_that_is_dropped_never_was_and_its_segment_is_sealed_all_the_same() {
    let (store, stream, ..) = store();
    let number = store.numbering(stream, Utc::EPOCH).unwrap().next(utc(1_000), 0, false);
    let mut upload = store.begin(stream, number).unwrap();
    upload.write(Bytes::from(vec![1; 60_000]), |result| assert!(result.is_ok()));
    store.turn(Monotonic::default());
    drop(upload);
    store.turn(Monotonic::default());
    assert_eq!(numbers(&store, stream), []);
    let (number, result) = put(&store, stream, 2_000, 10);
    result.unwrap();
    // The first segment was over its size: nothing lives in it, and it goes.
    assert_eq!(store.expire(stream, utc(0)).unwrap(), 0);
    assert_eq!(numbers(&store, stream), [number]);
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn names_are_taken_once_and_streams_come_back_with_their_keys() {
    let (store, stream, disk, dice) = store();
    assert!(matches!(store.create_stream("camera", None, b""), Err(StoreError::NameTaken(_))));
    assert!(matches!(
        store.create_stream("x", Some("gone"), b""),
        Err(StoreError::Crypt(CryptError::UnknownKey(_)))
    ));
    store.set_metadata(stream, b"new").unwrap();
    drop(store);
    let wrong = Keyring::of("test", Key::new([6; 32]));
    let refused = Store::open_on(Arc::new(disk.clone()), wrong, Arc::clone(&dice) as _, &small());
    assert!(matches!(refused.err(), Some(StoreError::Crypt(CryptError::Open))));
    let (store, _) = open(&disk, &dice, &small());
    assert_eq!(store.metadata(stream).unwrap(), b"new");
    assert_eq!(store.streams().len(), 1);
}

#[test]
fn a_real_folder_is_claimed_once_written_by_threads_and_found_again() {
    let folder = TempFolder::new();
    let data = folder.path().join("data");
    let (store, _) =
        Store::open(&data, None, &Settings { segment_bytes: 1 << 20, ..Settings::default() }).unwrap();
    let refused = Store::open(&data, None, &Settings::default()).err().unwrap();
    assert!(matches!(refused, StoreError::InUse(_)), "{refused}");
    let stream = store.create_stream("camera", None, b"").unwrap().id;
    let (sender, answers) = mpsc::channel();
    let mut put = Vec::new();
    for n in 0..30 {
        let number = store.numbering(stream, Utc::EPOCH).unwrap().next(utc(1_000_000 + n * 1000), 3, false);
        let mut upload = store.begin(stream, number).unwrap();
        upload.write(payload(number, 100_000).into(), |_| {});
        let sender = sender.clone();
        upload.commit(commit(number), move |result| sender.send(result).unwrap());
        put.push(number);
    }
    for _ in 0..30 {
        answers.recv().unwrap().unwrap();
    }
    assert_eq!(numbers(&store, stream), put);
    drop(store);
    let mode = |name: &str| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(data.join(name)).unwrap().permissions())
    };
    assert_eq!(mode("master.key") & 0o777, 0o600);
    let (store, recovery) = Store::open(&data, None, &Settings::default()).unwrap();
    assert_eq!(recovery, Recovery::default(), "after a clean end there is nothing to look for");
    for row in all(&store, stream) {
        assert_eq!(read(&store, &row).unwrap(), payload(row.number, 100_000));
    }
    assert_eq!(all(&store, stream).len(), 30);
    drop(store);
    std::fs::remove_file(data.join("master.key")).unwrap();
    let refused = Store::open(&data, None, &Settings::default()).err().unwrap();
    assert!(refused.to_string().contains("master.key"), "{refused}");
}
