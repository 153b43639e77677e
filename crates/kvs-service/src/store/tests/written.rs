use super::super::sim::Fault;
use super::*;

type Places = Arc<Mutex<Vec<Result<Written, AppendError>>>>;

/// Writes pieces of these lengths, which can be read as soon as it is told where they are.
fn write(
    store: &Arc<Store>,
    upload: &mut Upload,
    bytes: &[u8],
    lengths: &[usize],
) -> Vec<(Written, Vec<u8>)> {
    let places = Places::default();
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for length in lengths {
        let (piece, behind) = rest.split_at(*length);
        rest = behind;
        pieces.push(piece.to_vec());
        let (places, store, stream) = (Arc::clone(&places), Arc::clone(store), upload.stream.id);
        let piece = Bytes::copy_from_slice(piece);
        upload.write(piece.clone(), move |result| {
            assert_eq!(back(&store, stream, result.as_ref().unwrap()).unwrap(), piece);
            places.lock().unwrap().push(result);
        });
    }
    store.turn(Monotonic::default());
    let places = places.lock().unwrap();
    places.iter().map(|place| place.clone().unwrap()).zip(pieces).collect()
}

fn back(store: &Store, stream: StreamId, written: &Written) -> Result<Vec<u8>, StoreError> {
    let mut out = b"before".to_vec();
    let read = store.written(stream, written, &mut out);
    assert!(out.starts_with(b"before") && (read.is_ok() || out.len() == 6));
    read.map(|()| out.split_off(6))
}

fn store() -> (Arc<Store>, StreamId, SimDisk, Arc<Dice>) {
    let (disk, dice) = (SimDisk::default(), Dice::new(11));
    let (store, _) = open(&disk, &dice, &small());
    let stream = store.create_stream("camera", None, b"").unwrap().id;
    (Arc::new(store), stream, disk, dice)
}

fn begin(store: &Store, stream: StreamId, now: u64) -> Upload {
    store.begin(stream, store.numbering(stream, Utc::EPOCH).unwrap().next(utc(now), 5, false)).unwrap()
}

/// Lengths around the border of a block, among others' pieces, and more than is staged at once.
const LENGTHS: [usize; 8] =
    [1, 0, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 17, 1_500_000];

#[test]
fn what_was_written_reads_back_before_its_fragment_exists_and_after() {
    let (store, stream, ..) = store();
    let other = store.create_stream("other", None, b"").unwrap().id;
    let mut beside = begin(&store, other, 1_000);
    let mut upload = begin(&store, stream, 1_000);
    let number = upload.number();
    let whole = payload(number, LENGTHS.iter().sum());
    beside.write(Bytes::from_static(b"before"), |result| assert!(result.is_ok()));
    let pieces = write(&store, &mut upload, &whole, &LENGTHS);
    for (written, piece) in &pieces {
        assert_eq!((written.len(), written.is_empty()), (piece.len() as u64, piece.is_empty()));
        assert_eq!(&back(&store, stream, written).unwrap(), piece);
    }
    assert_eq!(numbers(&store, stream), []);
    let answers = Answers::default();
    upload.commit(commit(number), answer(&answers, ()));
    store.turn(Monotonic::default());
    answers.lock().unwrap().pop().unwrap().1.unwrap();
    let row = store.get(stream, number).unwrap().unwrap();
    assert_eq!(read(&store, &row).unwrap(), whole);
    for (written, piece) in &pieces {
        assert_eq!(&back(&store, stream, written).unwrap(), piece);
        let elsewhere = back(&store, other, written);
        assert!(written.is_empty() || matches!(elsewhere, Err(StoreError::Damaged { .. })), "{elsewhere:?}");
    }
    store.expire(stream, utc(2_000)).unwrap();
    for (written, _) in &pieces {
        assert!(matches!(back(&store, stream, written), Err(StoreError::Gone { .. })));
    }
}

#[test]
fn what_is_under_way_is_gone_when_its_stream_is_deleted_or_retention_passes_it() {
    for delete in [true, false] {
        let (store, stream, ..) = store();
        let mut upload = begin(&store, stream, 1_000);
        let pieces = write(&store, &mut upload, &[7; 70_000], &[70_000]);
        put(&store, stream, 2_000, 10).1.unwrap();
        match delete {
            true => store.delete_stream(stream).unwrap(),
            false => drop(store.expire(stream, utc(3_000)).unwrap()),
        }
        let read = back(&store, stream, &pieces[0].0);
        assert!(matches!(read, Err(StoreError::Gone { .. })), "{read:?}");
    }
}

#[test]
fn what_an_aborted_upload_left_reads_until_its_segment_goes() {
    let (store, stream, ..) = store();
    let mut upload = begin(&store, stream, 1_000);
    let whole = payload(upload.number(), 60_000);
    let pieces = write(&store, &mut upload, &whole, &[10_000, 50_000]);
    drop(upload);
    let read_back = || {
        for (written, piece) in &pieces {
            assert!(back(&store, stream, written).is_ok_and(|read| read == *piece));
        }
    };
    store.turn(Monotonic::default());
    read_back();
    // Its segment was full, is sealed, and goes: nothing lives in it.
    let (number, _) = put(&store, stream, 2_000, 10);
    read_back();
    store.expire(stream, number.server_time().unwrap()).unwrap();
    store.shrink(0).unwrap();
    for (written, _) in &pieces {
        assert!(back(&store, stream, written).is_err());
    }
}

#[test]
fn what_a_failed_sync_took_back_does_not_read() {
    let (store, stream, disk, _) = store();
    let mut upload = begin(&store, stream, 1_000);
    let pieces = write(&store, &mut upload, &[7; 9_000], &[4_000, 5_000]);
    disk.fail(Some(Fault::SyncFails));
    put(&store, stream, 2_000, 10).1.unwrap_err();
    disk.fail(None);
    for (written, _) in &pieces {
        let read = back(&store, stream, written);
        assert!(matches!(read, Err(StoreError::Damaged { .. } | StoreError::Disk { .. })), "{read:?}");
    }
    let answers = Places::default();
    let told = Arc::clone(&answers);
    upload.write(Bytes::from_static(b"more"), move |result| told.lock().unwrap().push(result));
    store.turn(Monotonic::default());
    assert!(answers.lock().unwrap().pop().unwrap().is_err());
}
