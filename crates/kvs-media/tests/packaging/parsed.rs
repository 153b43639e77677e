//! What `mp4_atom` reads, which shares nothing with our writer.

use std::io::Cursor;

use mp4_atom::{Any, Moof, Moov, ReadFrom, StszSamples, Trak};

/// The top boxes of a file that must be whole, with where each begins.
pub(crate) fn boxes(bytes: &[u8]) -> Vec<(usize, Any)> {
    let (mut cursor, mut found) = (Cursor::new(bytes), Vec::new());
    loop {
        let at = usize::try_from(cursor.position()).unwrap();
        if at == bytes.len() {
            return found;
        }
        let parsed = Any::read_from(&mut cursor).unwrap();
        assert!(!matches!(parsed, Any::Unknown(..)), "{parsed:?}");
        found.push((at, parsed));
    }
}

pub(crate) fn moov(bytes: &[u8]) -> Moov {
    let moov = boxes(bytes)
        .into_iter()
        .find_map(|(_, found)| if let Any::Moov(moov) = found { Some(moov) } else { None });
    moov.expect("a moov")
}

/// Where the moof begins, and what is in it.
pub(crate) fn moof(bytes: &[u8]) -> (usize, Moof) {
    let moof = boxes(bytes)
        .into_iter()
        .find_map(|(at, found)| if let Any::Moof(moof) = found { Some((at, moof)) } else { None });
    moof.expect("a moof")
}

/// A sample as a player would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) decode: i64,
    pub(crate) shown: i64,
    pub(crate) duration: u32,
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) key: bool,
}

/// The samples of a media segment's one track.
pub(crate) fn samples_of_segment(bytes: &[u8]) -> Vec<Found> {
    let (start, moof) = moof(bytes);
    let [traf] = &moof.traf[..] else { panic!("{} trafs", moof.traf.len()) };
    assert!(traf.tfhd.default_base_is_moof && traf.tfhd.base_data_offset.is_none());
    let mut decode = i64::try_from(traf.tfdt.as_ref().unwrap().base_media_decode_time).unwrap();
    let [trun] = &traf.trun[..] else { panic!("{} truns", traf.trun.len()) };
    let mut offset = (start as i64 + i64::from(trun.data_offset.unwrap())) as u64;
    let mut found = Vec::new();
    for entry in &trun.samples {
        let (duration, size) = (entry.duration.unwrap(), entry.size.unwrap());
        let shown = decode + entry.cts.unwrap_or_default();
        // sample_is_non_sync_sample; sound has none.
        let key = entry.flags.is_none_or(|flags| flags & 0x1_0000 == 0);
        found.push(Found { decode, shown, duration, offset, size, key });
        decode += i64::from(duration);
        offset += u64::from(size);
    }
    found
}

/// The samples of a track of a progressive file.
pub(crate) fn samples_of_track(trak: &Trak) -> Vec<Found> {
    let stbl = &trak.mdia.minf.stbl;
    let StszSamples::Different { sizes } = &stbl.stsz.samples else { panic!("one size") };
    let repeat = |count: u32| std::iter::repeat_n((), usize::try_from(count).unwrap());
    let durations: Vec<u32> = stbl
        .stts
        .entries
        .iter()
        .flat_map(|entry| repeat(entry.sample_count).map(|()| entry.sample_delta))
        .collect();
    let offsets: Vec<i64> = match &stbl.ctts {
        Some(ctts) => {
            ctts.entries.iter().flat_map(|e| repeat(e.sample_count).map(|()| e.sample_offset)).collect()
        }
        None => vec![0; sizes.len()],
    };
    assert_eq!((durations.len(), offsets.len()), (sizes.len(), sizes.len()));
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(stco), None) => stco.entries.iter().map(|at| u64::from(*at)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        _ => panic!("stco or co64"),
    };
    let (mut found, mut decode) = (Vec::new(), 0_i64);
    for (index, start) in chunks.iter().enumerate() {
        let number = u32::try_from(index).unwrap() + 1;
        let entry = stbl.stsc.entries.iter().rev().find(|entry| entry.first_chunk <= number).unwrap();
        assert_eq!(entry.sample_description_index, 1);
        let mut offset = *start;
        for () in repeat(entry.samples_per_chunk) {
            let at = found.len();
            let key = stbl
                .stss
                .as_ref()
                .is_none_or(|stss| stss.entries.contains(&(u32::try_from(at).unwrap() + 1)));
            let shown = decode + offsets[at];
            found.push(Found { decode, shown, duration: durations[at], offset, size: sizes[at], key });
            decode += i64::from(durations[at]);
            offset += u64::from(sizes[at]);
        }
    }
    assert_eq!(found.len(), sizes.len());
    found
}
