use super::super::sim::Fault;
use super::*;

fn filled() -> (Store, StreamId, StreamId, SimDisk, Arc<Dice>) {
    let (disk, dice) = (SimDisk::default(), Dice::new(2));
    let (store, _) = open(&disk, &dice, &small());
    let one = store.create_stream("one", None, b"").unwrap().id;
    let two = store.create_stream("two", None, b"").unwrap().id;
    for n in 0..30 {
        put(&store, one, 1_000_000 + n * 1000, 9_000).1.unwrap();
        put(&store, two, 1_000_500 + n * 1000, 9_000).1.unwrap();
    }
    (store, one, two, disk, dice)
}

#[test]
fn what_expired_is_gone_at_once_gives_its_space_back_and_never_returns() {
    let (store, one, two, disk, dice) = filled();
    let before = store.occupied().unwrap();
    let rows = all(&store, one);
    let held = store.fragment(&rows[3]).unwrap();
    assert_eq!(store.expire(one, utc(1_020_000)).unwrap(), 20);
    assert_eq!(numbers(&store, one), rows[20..].iter().map(|row| row.number).collect::<Vec<_>>());
    assert_eq!(all(&store, two).len(), 30);
    assert!(store.occupied().unwrap() + 20 * 8_000 < before);
    // A reader that held it learns that it is gone, not that it is damaged.
    let read = store.payload(&held, 0..held.payload, &mut Vec::new());
    assert!(matches!(read, Err(StoreError::Gone { .. })), "{read:?}");
    assert_eq!(store.expire(one, utc(1_020_000)).unwrap(), 0);
    assert!(store.verify().unwrap().is_sound());
    drop(store);
    let disk = disk.after_power_cut(|_| 0);
    let (store, _) = open(&disk, &dice, &Settings { rebuild_index: true, ..small() });
    assert_eq!(numbers(&store, one), rows[20..].iter().map(|row| row.number).collect::<Vec<_>>());
    assert_eq!(store.expire(one, utc(9_000_000)).unwrap(), 10);
    assert_eq!(store.first(one).unwrap(), None);
    assert_eq!(store.last(one).unwrap(), None);
    // Numbers go on behind what has gone.
    assert!(store.numbering(one, Utc::EPOCH).unwrap().next(utc(1), 0, false) > rows[29].number);
}

#[test]
fn an_expiry_that_takes_nothing_writes_nothing() {
    let (store, one, _, disk, _) = filled();
    assert_eq!(store.expire(one, utc(1_010_000)).unwrap(), 10);
    store.write_index().unwrap();
    disk.fail(Some(Fault::Broken));
    assert_eq!(store.expire(one, utc(1_010_000)).unwrap(), 0);
    assert_eq!(store.expire(one, utc(0)).unwrap(), 0);
    assert!(store.expire(one, utc(1_011_000)).is_err());
}

#[test]
fn streams_that_expire_together_keep_what_each_of_them_keeps() {
    let (store, one, two, disk, dice) = filled();
    let before = store.occupied().unwrap();
    let removed = store.expire_all(&[(one, utc(1_025_000)), (two, utc(1_010_000))]).unwrap();
    assert_eq!(removed, 35);
    let left = |store: &Store| [one, two].map(|stream| all(store, stream));
    assert_eq!(left(&store).map(|rows| rows.len()), [5, 20]);
    assert!(store.occupied().unwrap() + 35 * 8_000 < before);
    for row in left(&store).iter().flatten() {
        assert!(read(&store, row).is_ok());
    }
    assert!(store.verify().unwrap().is_sound());
    let rows = left(&store);
    drop(store);
    let (store, _) = open(&disk.after_power_cut(|_| 0), &dice, &Settings { rebuild_index: true, ..small() });
    assert_eq!(left(&store), rows);
}

#[test]
fn too_many_bytes_take_the_oldest_of_all_streams() {
    let (store, one, two, ..) = filled();
    let before = store.occupied().unwrap();
    let removed = store.shrink(before / 2).unwrap();
    assert!(store.occupied().unwrap() <= before / 2);
    let (left_one, left_two) = (all(&store, one), all(&store, two));
    assert_eq!(left_one.len() + left_two.len() + removed as usize, 60);
    assert!(!left_one.is_empty() && left_one.len().abs_diff(left_two.len()) <= 1);
    for row in left_one.iter().chain(&left_two) {
        assert!(read(&store, row).is_ok());
    }
    store.shrink(0).unwrap();
    assert_eq!(all(&store, one).len() + all(&store, two).len(), 0);
}

#[test]
fn a_deleted_stream_can_be_read_by_nobody_and_gives_its_space_back() {
    let (store, one, two, disk, dice) = filled();
    let rows = all(&store, one);
    let (before, held) = (store.occupied().unwrap(), store.numbering(one, Utc::EPOCH).unwrap());
    let in_flight = held.next(utc(2_000_000), 0, false);
    let upload = store.begin(one, in_flight).unwrap();
    store.delete_stream(one).unwrap();
    assert!(matches!(store.fragment(&rows[0]), Err(StoreError::Gone { .. })));
    assert!(matches!(store.delete_stream(one), Err(StoreError::NoStream(_))));
    assert_eq!(all(&store, one), []);
    store.reclaim().unwrap();
    assert!(store.occupied().unwrap() + 30 * 8_000 < before);
    // What was on its way when the stream went does not come.
    let answers = Answers::default();
    upload.commit(commit(in_flight), answer(&answers, ()));
    store.turn(Monotonic::default());
    assert_eq!(answers.lock().unwrap()[0].1, Err(AppendError::Expired));
    // A new stream of the same name is another stream.
    let again = store.create_stream("one", None, b"").unwrap().id;
    assert_ne!(again, one);
    // A session that still holds the old one's numbering goes on with it, and nobody is given it again.
    assert!(matches!(store.numbering(one, Utc::EPOCH), Err(StoreError::NoStream(_))));
    assert!(held.next(utc(1), 0, true) > in_flight);
    assert_eq!(store.numbering(again, Utc::EPOCH).unwrap().next(utc(1), 0, true).sequence, 1);
    drop(store);
    let (store, _) = open(&disk.after_power_cut(|_| 0), &dice, &Settings { rebuild_index: true, ..small() });
    assert_eq!(all(&store, one).len() + all(&store, again).len(), 0);
    assert_eq!(all(&store, two).len(), 30);
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn a_fragment_that_is_coming_in_is_not_expired_by_a_later_one_that_is_stored() {
    let (disk, dice) = (SimDisk::default(), Dice::new(3));
    let (store, _) = open(&disk, &dice, &small());
    let stream = store.create_stream("one", None, b"").unwrap().id;
    let numbering = store.numbering(stream, Utc::EPOCH).unwrap();
    // An older session has begun a fragment; a newer one has stored one.
    let number = numbering.next(utc(1_000_000), 0, true);
    let mut upload = store.begin(stream, number).unwrap();
    upload.write(Bytes::from_static(b"still coming"), |written| assert!(written.is_ok()));
    put(&store, stream, 1_001_000, 10).1.unwrap();
    // The hour before all of it is over.
    assert_eq!(store.expire(stream, utc(900_000)).unwrap(), 0);
    let answers = Answers::default();
    upload.commit(commit(number), answer(&answers, "commit"));
    store.turn(Monotonic::default());
    assert_eq!(answers.lock().unwrap()[..], [("commit", Ok(()))]);
    assert_eq!(numbers(&store, stream).len(), 2);
}
