use super::*;

fn filled(disk: &SimDisk, dice: &Arc<Dice>) -> (Store, StreamId) {
    let (store, _) = open(disk, dice, &Settings { shards: 1, segment_bytes: 1 << 20, rebuild_index: false });
    let stream = store.create_stream("one", None, b"").unwrap().id;
    for n in 0..10 {
        put(&store, stream, 1_000_000 + n * 1000, 20_000).1.unwrap();
    }
    (store, stream)
}

#[test]
fn a_flipped_bit_anywhere_costs_the_fragment_it_belongs_to_and_is_found() {
    for at in 0..60_u64 {
        let (disk, dice) = (SimDisk::default(), Dice::new(3));
        let (store, stream) = filled(&disk, &dice);
        let rows = all(&store, stream);
        let victim = store.fragment(&rows[4]).unwrap();
        let (from, to) = (victim.blocks[0].offset, victim.row.place.offset + 40);
        let offset = from + (to - from) * at / 60;
        drop(store);
        let disk = disk.after_power_cut(|_| 0);
        disk.damage(&victim.row.segment.file_name(), offset);
        let (store, recovery) = open(&disk, &dice, &small());
        let left: Vec<_> = all(&store, stream);
        // A flipped bit of padding costs nothing.
        let expected = if left.len() == 10 { rows.clone() } else { [&rows[..4], &rows[5..]].concat() };
        assert_eq!(left, expected, "byte {offset}");
        for row in &left {
            assert_eq!(read(&store, row).unwrap(), payload(row.number, 20_000));
        }
        let verification = store.verify().unwrap();
        if left.len() < 10 {
            assert!(!recovery.damage.is_empty(), "byte {offset}");
            assert!(!verification.damage.is_empty(), "byte {offset}");
            assert!(verification.damage.iter().all(|damage| damage.segment == victim.row.segment));
        }
        assert!(verification.is_sound(), "{verification:?}");
    }
}

#[test]
fn bits_that_flip_while_all_is_known_are_found_with_segment_offset_and_fragment() {
    let (disk, dice) = (SimDisk::default(), Dice::new(4));
    let (store, stream) = filled(&disk, &dice);
    let rows = all(&store, stream);
    assert!(store.verify().unwrap().damage.is_empty());
    let victim = store.fragment(&rows[2]).unwrap();
    let block = victim.blocks[1];
    disk.damage(&victim.row.segment.file_name(), block.offset + 100);
    assert!(
        matches!(read(&store, &rows[2]), Err(StoreError::Damaged { offset, .. }) if offset == block.offset)
    );
    let verification = store.verify().unwrap();
    assert_eq!(verification.damage.len(), 1);
    assert_eq!(verification.damage[0].offset, block.offset);
    assert_eq!(verification.damage[0].fragments, [(stream, rows[2].number)]);
    assert_eq!(verification.unreadable, [(stream, rows[2].number)]);
    assert_eq!(verification.fragments, 9);
}

#[test]
fn a_damaged_or_missing_index_is_made_again() {
    let (disk, dice) = (SimDisk::default(), Dice::new(5));
    let (store, stream) = filled(&disk, &dice);
    let rows = all(&store, stream);
    store.write_index().unwrap();
    drop(store);
    disk.damage(RedbIndex::FILE, 3);
    let (store, recovery) = open(&disk, &dice, &small());
    assert_eq!((all(&store, stream), recovery.fragments), (rows.clone(), 10));
    drop(store);
    disk.remove(RedbIndex::FILE).unwrap();
    let (store, recovery) = open(&disk, &dice, &small());
    assert_eq!((all(&store, stream), recovery.fragments, recovery.sealed), (rows, 10, 0));
}

#[test]
fn a_page_of_zeros_in_a_database_is_an_error_and_no_panic() {
    for name in [RedbIndex::FILE, "catalog.redb"] {
        for page in 0..40 {
            let (disk, dice) = (SimDisk::default(), Dice::new(9));
            let (store, stream) = filled(&disk, &dice);
            let rows = all(&store, stream);
            store.write_index().unwrap();
            drop(store);
            let file = disk.open(name).unwrap();
            if file.len().unwrap() < (page + 1) * 4096 {
                break;
            }
            file.write_at(&[0; 4096], page * 4096).unwrap();
            let opened = Store::open_on(Arc::new(disk.clone()), keyring(), Arc::clone(&dice) as _, &small());
            if let Ok((store, _)) = opened
                && let Ok(listed) =
                    store.list(stream, Between::Numbers(Number::FIRST, Number::LAST), None, 99)
            {
                assert!(listed.iter().all(|row| rows.contains(row)), "{name}, page {page}");
            }
        }
    }
}

#[test]
fn a_segment_that_lost_its_header_or_its_file_is_reported_and_not_listed() {
    for whole_file in [false, true] {
        let (disk, dice) = (SimDisk::default(), Dice::new(6));
        let (store, stream) = filled(&disk, &dice);
        store.write_index().unwrap();
        let segment = all(&store, stream)[0].segment;
        drop(store);
        if whole_file {
            disk.remove(&segment.file_name()).unwrap();
        } else {
            disk.damage(&segment.file_name(), 20);
        }
        let (store, recovery) = open(&disk, &dice, &small());
        assert_eq!(recovery.lost, [segment]);
        assert_eq!(all(&store, stream), []);
        put(&store, stream, 2_000_000, 10).1.unwrap();
        assert_eq!(all(&store, stream).len(), 1);
    }
}

#[test]
fn a_damaged_footer_or_trailer_costs_a_scan_and_nothing_else() {
    for from_the_end in [10, 64 + 100, 64 + 300] {
        let (disk, dice) = (SimDisk::default(), Dice::new(7));
        let (store, stream) = filled(&disk, &dice);
        let rows = all(&store, stream);
        drop(store);
        // Seals what was open.
        let (store, recovery) = open(&disk, &dice, &small());
        assert_eq!(recovery.sealed, 1);
        drop(store);
        let name = rows[0].segment.file_name();
        let length = disk.open(&name).unwrap().len().unwrap();
        disk.damage(&name, length - from_the_end);
        disk.remove(RedbIndex::FILE).unwrap();
        let (store, recovery) = open(&disk, &dice, &small());
        assert_eq!((all(&store, stream), recovery.sealed), (rows, 1), "{from_the_end} bytes from the end");
        assert!(store.verify().unwrap().is_sound());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 60, ..Default::default() })]

    #[test]
    fn whatever_bytes_come_into_a_segment_what_is_listed_can_be_read(
        places in proptest::collection::vec((0_u64..300_000, proptest::collection::vec(proptest::prelude::any::<u8>(), 1..300)), 1..6),
        cut in proptest::option::of(0_u64..300_000),
    ) {
        let (disk, dice) = (SimDisk::default(), Dice::new(8));
        let (store, stream) = filled(&disk, &dice);
        let rows = all(&store, stream);
        drop(store);
        let file = disk.open(&rows[0].segment.file_name()).unwrap();
        for (offset, bytes) in places {
            file.write_at(&bytes, offset).unwrap();
        }
        if let Some(cut) = cut {
            file.set_len(cut).unwrap();
        }
        let (store, _) = open(&disk, &dice, &Settings { rebuild_index: true, ..small() });
        for row in all(&store, stream) {
            proptest::prop_assert_eq!(read(&store, &row).unwrap(), payload(row.number, 20_000));
        }
        proptest::prop_assert!(store.verify().unwrap().unreadable.is_empty());
    }
}
