//! Progressive files, read back.

use std::time::Duration;

use kvs_media::TrackNumber;
use kvs_media::mp4::{Clip, ClipHead, Mp4Error, Mp4Track};
use kvs_media::time::TimecodeScale;
use kvs_media::timing::{Place, Sample};
use mp4_atom::Any;
use proptest::prelude::*;

use crate::parsed::{boxes, moov, samples_of_track};
use crate::stored::{Stored, aac, video};

const MS: TimecodeScale = TimecodeScale::MILLISECOND;

fn at(millis: u64) -> Place {
    Place { start: Duration::from_millis(millis), scale: MS, next: None }
}

fn sample(time: i32, size: u32, key: bool) -> Sample {
    Sample { time, size, key }
}

/// The clip of a recording, as a file.
pub(crate) fn file(stored: &Stored) -> Vec<u8> {
    let tracks = stored.mp4_tracks();
    let mut clip = Clip::new(&tracks.iter().collect::<Vec<_>>()).unwrap();
    let mut payload = Vec::new();
    for fragment in &stored.fragments {
        let place = Place { start: fragment.start, scale: stored.scale, next: None };
        clip.push(place, fragment.frames.iter().map(|(track, sample, _)| (*track, *sample))).unwrap();
        payload.extend(fragment.frames.iter().flat_map(|(.., payload)| payload.to_vec()));
    }
    assert_eq!(clip.payload(), payload.len() as u64);
    let head = clip.finish().unwrap();
    let bytes = [&head.head[..], &payload].concat();
    assert_eq!(head.len(), bytes.len() as u64);
    bytes
}

#[test]
fn a_file_is_ftyp_moov_and_mdat_and_holds_every_frame() {
    for name in [
        "x264-closed-gop",
        "x264-open-gop",
        "alaw",
        "aac-stereo-44100",
        "ffmpeg-short-clusters",
        "ffmpeg-epoch",
    ] {
        let stored = Stored::sample(name);
        if Mp4Track::new(&stored.tracks[0], stored.scale).is_err() {
            continue;
        }
        let bytes = file(&stored);
        let found = boxes(&bytes);
        assert!(matches!(found[..], [(0, Any::Ftyp(_)), (_, Any::Moov(_)), (_, Any::Mdat(_))]), "{name}");
        let moov = moov(&bytes);
        for (index, trak) in moov.trak.iter().enumerate() {
            let samples = samples_of_track(trak);
            let frames: Vec<_> =
                stored.fragments.iter().flat_map(|f| &f.frames).filter(|(of, ..)| *of == index).collect();
            assert_eq!(samples.len(), frames.len(), "{name}");
            for (found, (_, sample, payload)) in samples.iter().zip(&frames) {
                let at = usize::try_from(found.offset).unwrap();
                assert!(bytes[at..at + payload.len()] == payload[..], "{name}");
                assert_eq!(found.key, sample.key, "{name}");
            }
            let total: u64 = samples.iter().map(|sample| u64::from(sample.duration)).sum();
            assert_eq!(trak.mdia.mdhd.duration, total, "{name}");
            assert!(trak.tkhd.duration <= moov.mvhd.duration);
        }
        assert_eq!(moov.mvhd.duration, moov.trak.iter().map(|trak| trak.tkhd.duration).max().unwrap());
        assert_eq!(moov.mvex, None);
    }
}

#[test]
fn a_frame_lasts_over_a_gap_and_tables_are_short() {
    let track = Mp4Track::new(&video(), MS).unwrap();
    let mut clip = Clip::new(&[&track]).unwrap();
    for start in [0, 1_000, 9_000] {
        clip.push(at(start), (0..10).map(|index| (0, sample(index * 100, 7, index == 0)))).unwrap();
    }
    let moov = moov_of(&clip.finish().unwrap());
    let stbl = &moov.trak[0].mdia.minf.stbl;
    let rows: Vec<_> = stbl.stts.entries.iter().map(|row| (row.sample_count, row.sample_delta)).collect();
    assert_eq!(rows, [(19, 9_000), (1, 90 * 7_100), (10, 9_000)]);
    assert_eq!(stbl.stss.as_ref().unwrap().entries, [1, 11, 21]);
    assert_eq!(stbl.stco.as_ref().unwrap().entries.len(), 1, "nothing lies between them");
    assert_eq!(moov.trak[0].edts, None);
    assert_eq!(stbl.ctts, None);
    assert_eq!((moov.mvhd.timescale, moov.mvhd.duration), (90_000, 900_000));
}

fn moov_of(head: &ClipHead) -> mp4_atom::Moov {
    let mut bytes = head.head.to_vec();
    bytes.resize(usize::try_from(head.len()).unwrap(), 0);
    moov(&bytes)
}

#[test]
fn a_track_that_starts_late_has_an_edit() {
    let (video, sound) = (Mp4Track::new(&video(), MS).unwrap(), Mp4Track::new(&aac(44_100, 1), MS).unwrap());
    let mut clip = Clip::new(&[&video, &sound]).unwrap();
    clip.push(at(5_000), [(0, sample(0, 9, true)), (0, sample(40, 9, false)), (1, sample(17, 3, true))])
        .unwrap();
    let moov = moov_of(&clip.finish().unwrap());
    assert_eq!(moov.trak[0].edts, None);
    let edits = &moov.trak[1].edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    let rows: Vec<_> = edits.iter().map(|edit| (edit.segment_duration, edit.media_time)).collect();
    assert_eq!(rows, [(17 * 90, None), (2_090, Some(0))]);
    assert_eq!(
        (moov.trak[0].tkhd.duration, moov.trak[1].tkhd.duration, moov.mvhd.duration),
        (7_200, 3_620, 7_200)
    );
    assert_eq!(moov.trak[1].mdia.mdhd.duration, 10_240);
}

#[test]
fn a_file_that_begins_with_an_open_group_shows_its_key_frame_first() {
    let track = Mp4Track::new(&video(), MS).unwrap();
    let mut clip = Clip::new(&[&track]).unwrap();
    let times = [(0, true), (-80, false), (-40, false), (40, false)];
    clip.push(at(1_000), times.map(|(time, key)| (0, sample(time, 9, key)))).unwrap();
    let moov = moov_of(&clip.finish().unwrap());
    let edits = &moov.trak[0].edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    let rows: Vec<_> = edits.iter().map(|edit| (edit.segment_duration, edit.media_time)).collect();
    // The two that are shown before it, and the lead of one that the others need.
    assert_eq!(rows, [(7_200, Some(10_800))]);
    assert_eq!(moov.mvhd.duration, 7_200);
    let found: Vec<_> =
        samples_of_track(&moov.trak[0]).iter().map(|s| (s.decode / 90, s.shown / 90)).collect();
    assert_eq!(found, [(0, 120), (40, 40), (80, 80), (120, 160)]);
}

#[test]
fn sound_goes_on_on_its_grid_from_fragment_to_fragment() {
    let track = Mp4Track::new(&aac(44_100, 2), MS).unwrap();
    let mut clip = Clip::new(&[&track]).unwrap();
    // An hour; fragments of 86 frames, each with the time of its first frame, cut off to a millisecond.
    let exact = |index: u64| index * 1_024_000 / 44_100;
    for fragment in 0..1_800_u64 {
        let start = exact(fragment * 86);
        let frames = (0..86)
            .map(|index| sample(i32::try_from(exact(fragment * 86 + index) - start).unwrap(), 300, true));
        clip.push(at(start), frames.map(|sample| (0, sample))).unwrap();
    }
    let moov = moov_of(&clip.finish().unwrap());
    let rows = &moov.trak[0].mdia.minf.stbl.stts.entries;
    assert_eq!((rows.len(), rows[0].sample_delta), (1, 10_240), "not one frame is longer than another");
}

#[test]
fn fragments_that_overlap_are_shown_when_they_say_and_decoded_in_order() {
    let track = Mp4Track::new(&video(), MS).unwrap();
    let mut clip = Clip::new(&[&track]).unwrap();
    clip.push(at(0), [0, 40, 80].map(|time| (0, sample(time, 1, time == 0)))).unwrap();
    clip.push(at(60), [0, 40].map(|time| (0, sample(time, 1, time == 0)))).unwrap();
    let moov = moov_of(&clip.finish().unwrap());
    let found: Vec<_> =
        samples_of_track(&moov.trak[0]).iter().map(|s| (s.decode / 90, s.shown / 90)).collect();
    assert_eq!(found, [(0, 20), (40, 60), (80, 100), (80, 80), (100, 120)]);
    let edits = &moov.trak[0].edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    assert_eq!(edits[0].media_time, Some(20 * 90));
}

#[test]
fn places_beyond_4_gib_have_64_bits() {
    let (track, sound) = (Mp4Track::new(&video(), MS).unwrap(), Mp4Track::new(&aac(8_000, 1), MS).unwrap());
    for (size, wide) in [(1_000_000, false), (u32::MAX, true)] {
        let mut clip = Clip::new(&[&track, &sound]).unwrap();
        clip.push(at(0), [(0, sample(0, size, true)), (1, sample(0, 10, true)), (0, sample(40, size, true))])
            .unwrap();
        let head = clip.finish().unwrap();
        let bytes = &head.head[..];
        let len = usize::try_from(u32::from_be_bytes(*bytes.first_chunk().unwrap())).unwrap();
        let moov_len = usize::try_from(u32::from_be_bytes(*bytes[len..].first_chunk().unwrap())).unwrap();
        let moov = moov(&bytes[..len + moov_len]);
        let stbl = &moov.trak[0].mdia.minf.stbl;
        assert_eq!(stbl.co64.is_some(), wide);
        let found = samples_of_track(&moov.trak[0]);
        let base = bytes.len() as u64;
        assert_eq!((found[0].offset, found[1].offset), (base, base + u64::from(size) + 10));
        assert_eq!(samples_of_track(&moov.trak[1])[0].offset, base + u64::from(size));
        assert_eq!(head.len(), base + 2 * u64::from(size) + 10);
    }
}

#[test]
fn a_clip_of_nothing_is_a_file() {
    let track = Mp4Track::new(&video(), MS).unwrap();
    let head = Clip::new(&[&track]).unwrap().finish().unwrap();
    assert_eq!(moov_of(&head).mvhd.duration, 0);
    assert_eq!(Clip::new(&[]).unwrap().finish().unwrap().payload, 0);
}

#[test]
fn samples_of_no_track_and_gaps_that_cannot_be_said_are_refused() {
    let track = Mp4Track::new(&video(), MS).unwrap();
    assert_eq!(Clip::new(&[&track, &track]).unwrap_err(), Mp4Error::Twice(TrackNumber(1)));
    let mut clip = Clip::new(&[&track]).unwrap();
    assert_eq!(clip.push(at(0), [(1, Sample::default())]), Err(Mp4Error::NoSuchTrack { index: 1, count: 1 }));
    clip.push(at(0), [(0, Sample::default())]).unwrap();
    assert!(matches!(clip.push(at(14 * 3_600_000), [(0, Sample::default())]), Err(Mp4Error::TooFarApart(_))));
}

proptest! {
    #[test]
    fn what_is_read_back_is_what_was_put_in(
        fragments in prop::collection::vec((0_u64..30_000, prop::collection::vec((0_usize..2, 0_i32..30_000, 0_u16..300, any::<bool>()), 0..20)), 0..6),
    ) {
        let tracks = [Mp4Track::new(&video(), MS).unwrap(), Mp4Track::new(&aac(48_000, 1), MS).unwrap()];
        let mut clip = Clip::new(&[&tracks[0], &tracks[1]]).unwrap();
        let (mut start, mut all) = (0, Vec::new());
        for (gap, frames) in &fragments {
            start += gap;
            clip.push(at(start), frames.iter().map(|(track, time, size, key)| (*track, sample(*time, u32::from(*size), *key)))).unwrap();
            all.extend(frames.iter().map(|frame| (start, *frame)));
        }
        let head = clip.finish().unwrap();
        let moov = moov_of(&head);
        for (index, trak) in moov.trak.iter().enumerate() {
            let found = samples_of_track(trak);
            let put: Vec<_> = all.iter().filter(|(_, (track, ..))| *track == index).collect();
            prop_assert_eq!(found.len(), put.len());
            let mut begins = None;
            for (found, (start, (_, time, size, key))) in found.iter().zip(&put) {
                prop_assert_eq!(found.size, u32::from(*size));
                if index == 0 {
                    // All times of a track are shifted alike.
                    let shift = found.shown - (*start as i64 + i64::from(*time)) * 90;
                    prop_assert_eq!(*begins.get_or_insert(shift), shift);
                    prop_assert_eq!(found.key, *key);
                }
            }
        }
        let mut offset = head.head.len() as u64;
        let mut found: Vec<_> = moov.trak.iter().map(|trak| samples_of_track(trak).into_iter()).collect();
        for (_, (track, _, size, _)) in &all {
            prop_assert_eq!(found[*track].next().unwrap().offset, offset);
            offset += u64::from(*size);
        }
        prop_assert_eq!(head.len(), offset);
    }

    #[test]
    fn any_index_and_any_place_are_borne(
        scale in 1_u64.., fragments in prop::collection::vec((any::<u64>(), prop::collection::vec((0_usize..2, any::<i32>(), any::<u32>(), any::<bool>()), 0..20)), 0..4),
    ) {
        let scale = TimecodeScale::from_nanos(scale).unwrap();
        let tracks = [Mp4Track::new(&video(), scale).unwrap(), Mp4Track::new(&aac(44_100, 1), scale).unwrap()];
        let mut clip = Clip::new(&[&tracks[0], &tracks[1]]).unwrap();
        let mut whole = true;
        for (start, frames) in fragments {
            let place = Place { start: Duration::from_secs(start), scale, next: None };
            whole &= clip.push(place, frames.into_iter().map(|(track, time, size, key)| (track, sample(time, size, key)))).is_ok();
        }
        let _ = clip.finish().map(|head| whole && head.head.is_empty());
    }
}
