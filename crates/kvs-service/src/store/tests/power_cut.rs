//! Whatever a power cut does to what was not synced: what was completed is there, what is listed can be read.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::super::sim::Fault;
use super::*;

#[derive(Debug, Default)]
struct World {
    /// Completed fragments and the lengths of their payloads.
    kept: HashMap<(StreamId, Number), usize>,
    /// Everything up to here was expired, and that was answered.
    floors: HashMap<StreamId, Number>,
    /// Was deleted, and that was answered.
    deleted: HashSet<StreamId>,
    /// Asked to go, and cut off before the answer: either way.
    either: HashSet<(StreamId, Number)>,
    lengths: HashMap<(StreamId, Number), usize>,
}

/// Works until the power goes. Every operation may be the last.
fn work(store: &Store, dice: &Dice, world: &mut World, clock: &mut u64, disk: &SimDisk, cut: bool) {
    let answers = Answers::default();
    let mut uploads = Vec::new();
    let places = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..40 {
        *clock += 200;
        let streams = store.streams();
        match dice.below(14) {
            0..=5 if !streams.is_empty() => {
                let stream = streams[dice.below(streams.len() as u64) as usize].id;
                let Ok(numbering) = store.numbering(stream, Utc::EPOCH) else { continue };
                let number = numbering.next(utc(*clock), dice.below(1 << 28) as u32, dice.below(9) == 0);
                let upload = store.begin(stream, number).unwrap();
                let length = if dice.below(10) == 0 { 70_000 } else { dice.below(9_000) as usize };
                world.lengths.insert((stream, number), length);
                uploads.push((upload, payload(number, length), stream));
            }
            6..=8 => {
                if let Some((upload, rest, _)) = uploads.first_mut() {
                    let piece: Vec<u8> = rest.drain(..rest.len().min(4_000)).collect();
                    upload.write(piece.into(), |_| {});
                }
            }
            9 if !uploads.is_empty() => drop(uploads.swap_remove(dice.below(uploads.len() as u64) as usize)),
            10 if !streams.is_empty() && dice.below(4) == 0 => {
                let stream = streams[dice.below(streams.len() as u64) as usize].id;
                let rows = all_or_none(store, stream);
                if let Some(row) = rows.get(rows.len() / 2) {
                    let gone: Vec<_> =
                        rows.iter().filter(|other| other.number < row.number).map(|row| row.number).collect();
                    match store.expire(stream, row.number.server_time().unwrap()) {
                        Ok(_) => drop(gone.last().map(|last| world.floors.insert(stream, *last))),
                        Err(_) => world.either.extend(gone.into_iter().map(|number| (stream, number))),
                    }
                }
            }
            11 if streams.len() < 4 => drop(store.create_stream(&format!("s{clock}"), None, b"m")),
            12 if dice.below(8) == 0 && streams.len() > 2 => {
                let stream = streams[0].id;
                match store.delete_stream(stream) {
                    Ok(()) => drop(world.deleted.insert(stream)),
                    Err(_) => world.either.extend(
                        world.kept.keys().filter(|(of, _)| *of == stream).copied().collect::<Vec<_>>(),
                    ),
                }
            }
            // The space of what was deleted, sooner or later.
            13 => drop(store.write_index().and_then(|()| store.reclaim())),
            _ => {
                for (mut upload, rest, stream) in uploads.drain(..) {
                    let number = upload.number();
                    for piece in rest.chunks(5_000) {
                        let (piece, places) = (Bytes::copy_from_slice(piece), Arc::clone(&places));
                        upload.write(piece.clone(), move |result| {
                            places.lock().unwrap().extend(result.map(|written| (stream, written, piece)));
                        });
                    }
                    upload.commit(commit(number), answer(&answers, (stream, number)));
                }
                let faulty = !cut && dice.below(12) == 0;
                if faulty {
                    let faults = [Fault::Full, Fault::Broken, Fault::SyncFails];
                    disk.fail(Some(faults[dice.below(3) as usize]));
                }
                store.turn(Monotonic::from_nanos(*clock * 1_000_000));
                disk.fail(None);
                for (stream, written, piece) in places.lock().unwrap().drain(..) {
                    let mut out = Vec::new();
                    match store.written(stream, &written, &mut out) {
                        Ok(()) => assert_eq!(out, piece, "{written:?}"),
                        Err(StoreError::Gone { .. }) => {}
                        // A segment that failed, or could not be written to its end, is cut.
                        Err(error) => assert!(cut || faulty, "{written:?}: {error}"),
                    }
                }
            }
        }
        for (key, result) in answers.lock().unwrap().drain(..) {
            if result.is_ok() {
                world.kept.insert(key, world.lengths[&key]);
            }
        }
    }
}

fn all_or_none(store: &Store, stream: StreamId) -> Vec<FragmentRow> {
    store.list(stream, Between::Numbers(Number::FIRST, Number::LAST), None, usize::MAX).unwrap_or_default()
}

fn check(store: &Store, world: &World) -> Result<(), TestCaseError> {
    let mut listed = HashSet::new();
    for stream in store.streams() {
        prop_assert!(!world.deleted.contains(&stream.id), "{} came back", stream.id);
        let rows = all(store, stream.id);
        prop_assert!(rows.is_sorted_by_key(|row| row.number));
        for row in &rows {
            let key = (stream.id, row.number);
            let bytes = read(store, row);
            prop_assert!(bytes.is_ok(), "listed and unreadable: {:?} {:?}", key, bytes);
            prop_assert_eq!(bytes.unwrap(), payload(row.number, world.lengths[&key]));
            prop_assert!(
                world.floors.get(&stream.id).is_none_or(|floor| row.number > *floor),
                "{:?} came back",
                key
            );
            listed.insert(key);
        }
        let by_time = Between::ProducerTimes(Utc::EPOCH, Utc::from_nanos(i64::MAX));
        prop_assert_eq!(store.list(stream.id, by_time, None, usize::MAX).unwrap().len(), rows.len());
    }
    for key in world.kept.keys() {
        let gone = world.deleted.contains(&key.0)
            || world.either.contains(key)
            || world.floors.get(&key.0).is_some_and(|floor| key.1 <= *floor);
        prop_assert!(gone || listed.contains(key), "lost {:?}", key);
    }
    let verification = store.verify().unwrap();
    prop_assert!(verification.is_sound(), "{:?}", verification);
    Ok(())
}

fn rounds(seed: u64) -> Result<(), TestCaseError> {
    let dice = Dice::new(seed);
    let mut disk = SimDisk::default();
    let mut world = World::default();
    let mut clock = 1_800_000_000_000;
    for round in 0..4 {
        let settings = Settings { rebuild_index: round > 0 && dice.below(3) == 0, ..small() };
        // The power may go while the store opens, too.
        let cut = round < 3;
        if cut {
            disk.cut_after(dice.below(400));
        }
        let opened = Store::open_on(Arc::new(disk.clone()), keyring(), Arc::clone(&dice) as _, &settings);
        if let Ok((store, _)) = opened {
            if store.streams().is_empty() {
                let _ = store.create_stream("one", None, b"");
                let _ = store.create_stream("two", None, b"");
            }
            if !cut || dice.below(2) == 0 {
                check_unless_cut(&store, &world, cut)?;
            }
            work(&store, &dice, &mut world, &mut clock, &disk, cut);
        } else {
            prop_assert!(cut, "{:?}", opened.err());
        }
        disk = disk.after_power_cut(|bound| dice.below(bound));
        let (store, _) = open(&disk, &dice, &small());
        check(&store, &world)?;
        drop(store);
        disk = disk.after_power_cut(|bound| dice.below(bound));
    }
    let (store, _) = open(&disk, &dice, &Settings { rebuild_index: true, ..small() });
    check(&store, &world)
}

/// While the power may still go, only a read that fails says something.
fn check_unless_cut(store: &Store, world: &World, cut: bool) -> Result<(), TestCaseError> {
    if cut { Ok(()) } else { check(store, world) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("KVS_LONG").is_some() { 5_000 } else { 80 }, ..ProptestConfig::default() })]

    #[test]
    fn what_was_completed_survives_power_cuts_and_what_is_listed_can_be_read(seed: u64) {
        rounds(seed)?;
    }
}
