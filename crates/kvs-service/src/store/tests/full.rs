use super::super::sim::Fault;
use super::*;

#[test]
fn a_disk_that_fails_refuses_what_comes_keeps_what_was_there_and_recovers_by_itself() {
    let expected = [(Fault::Full, Some(AppendError::Full)), (Fault::Broken, None), (Fault::SyncFails, None)];
    for (fault, error) in expected {
        let (disk, dice) = (SimDisk::default(), Dice::new(7));
        let (store, _) = open(&disk, &dice, &small());
        let stream = store.create_stream("one", None, b"").unwrap().id;
        let mut kept = vec![put(&store, stream, 1_000_000, 30_000).0];
        disk.fail(Some(fault));
        let mut refused = 0;
        for n in 1..30 {
            match put(&store, stream, 1_000_000 + n * 10, 30_000) {
                (number, Ok(())) => kept.push(number),
                (_, Err(said)) => {
                    assert!(error.as_ref().is_none_or(|error| said == *error), "{fault:?}: {said}");
                    refused += 1;
                }
            }
            assert_eq!(read(&store, &all(&store, stream)[0]).unwrap(), payload(kept[0], 30_000));
        }
        assert!(refused > 20, "{fault:?}: {refused} refused");
        disk.fail(None);
        // Behind the longest back-off.
        let (number, result) = put(&store, stream, 1_020_000, 30_000);
        result.unwrap();
        kept.push(number);
        assert_eq!(numbers(&store, stream), kept);
        drop(store);
        let (store, _) = open(&disk.after_power_cut(|_| 0), &dice, &small());
        assert_eq!(numbers(&store, stream), kept, "{fault:?}");
        assert!(store.verify().unwrap().is_sound());
    }
}

#[test]
fn an_upload_whose_segment_failed_does_not_go_on_in_another() {
    let (disk, dice) = (SimDisk::default(), Dice::new(8));
    let (store, _) = open(&disk, &dice, &small());
    let stream = store.create_stream("one", None, b"").unwrap().id;
    let number = store.numbering(stream, Utc::EPOCH).unwrap().next(utc(1_000), 0, false);
    let mut upload = store.begin(stream, number).unwrap();
    upload.write(Bytes::from_static(b"first half"), |result| assert!(result.is_ok()));
    store.turn(Monotonic::default());
    disk.fail(Some(Fault::Broken));
    assert!(put(&store, stream, 2_000, 10).1.is_err());
    disk.fail(None);
    let answers = Answers::default();
    let block = answer(&answers, "block");
    upload.write(Bytes::from_static(b"second half"), |result| block(result.map(drop)));
    upload.commit(commit(number), answer(&answers, "commit"));
    store.turn(Monotonic::from_nanos(u64::MAX));
    let answers = answers.lock().unwrap();
    let of_the_disk = |(_, result): &(_, _)| matches!(result, Err(AppendError::Disk(_)));
    assert!(answers.len() == 2 && answers.iter().all(of_the_disk), "{answers:?}");
    assert_eq!(numbers(&store, stream), []);
}
