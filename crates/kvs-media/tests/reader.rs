//! The reader, against what other people's readers find in other people's files.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;

use bytes::Bytes;
use kvs_media::mkv::{Event, ReadErrorKind, Reader};
use samples::{adler32, events, frames, join_parts, names, parts_reader, read_in_pieces, sample, truth};

#[test]
fn what_others_find_in_a_file_we_find_too() {
    for name in names() {
        let truth = truth(&name);
        let mut documents = truth.documents.iter();
        let (mut document, mut scale) = (documents.next(), 1);
        let (mut clusters, mut blocks) = ([].iter(), [].iter());
        // The frames of the block that is being compared, with its time and flags.
        let mut rest: Vec<(usize, u32)> = Vec::new();
        let mut ended = 0;
        for event in events(sample(&name)) {
            match event {
                Event::Document(header) => {
                    let wanted = document.take().unwrap_or_else(|| panic!("{name}: one document too many"));
                    assert_eq!(header.info.scale.nanos(), wanted.scale, "{name}");
                    let tracks: Vec<_> = header
                        .tracks
                        .iter()
                        .map(|track| (track.number, track.codec_id.clone(), track.codec_private.to_vec()))
                        .collect();
                    assert_eq!(tracks, wanted.tracks, "{name}");
                    scale = i64::try_from(wanted.scale).unwrap();
                    (clusters, blocks) = (wanted.clusters.iter(), wanted.blocks.iter());
                }
                Event::Cluster(cluster) => {
                    assert_eq!(Some(&(cluster.timecode.ticks() * scale)), clusters.next(), "{name}");
                }
                Event::Frame(frame) => {
                    let found = (frame.payload.len(), adler32(&frame.payload));
                    if rest.is_empty() {
                        let block = blocks.next().unwrap_or_else(|| panic!("{name}: one frame too many"));
                        let head = frame.head;
                        assert_eq!(head.timecode.ticks() * scale, block.nanos, "{name}");
                        assert_eq!(
                            (head.track, head.key),
                            (block.track, block.key),
                            "{name} {}",
                            block.nanos
                        );
                        assert_eq!(head.discardable, block.discardable, "{name} {}", block.nanos);
                        rest.clone_from(&block.frames);
                    }
                    assert_eq!(found, rest.remove(0), "{name}");
                }
                Event::DocumentEnd { .. } => {
                    assert_eq!(
                        (clusters.len(), blocks.len(), rest.len()),
                        (0, 0, 0),
                        "{name}: something is missing"
                    );
                    document = documents.next();
                    ended += 1;
                }
                Event::ClusterEnd { complete, .. } => assert!(complete, "{name}"),
                _ => {}
            }
        }
        assert_eq!(ended, truth.documents.len(), "{name}");
    }
}

#[test]
fn ffmpeg_finds_the_same_payloads_in_the_same_order() {
    for name in names().into_iter().filter(|name| name != "documents") {
        let truth = truth(&name);
        let header = events(sample(&name)).into_iter().find_map(|event| match event {
            Event::Document(header) => Some(header),
            _ => None,
        });
        let header = header.unwrap();
        for (stream, track) in header.tracks.iter().enumerate() {
            let ours: Vec<_> = frames(&events(sample(&name)))
                .iter()
                .filter(|frame| frame.head.track == track.number)
                .map(|frame| (frame.payload.len(), adler32(&frame.payload)))
                .collect();
            let theirs = truth.packets.iter().filter(|packet| packet.stream == stream as u64);
            let theirs: Vec<_> = theirs.map(|packet| (packet.size, packet.hash)).collect();
            assert_eq!(ours, theirs, "{name}, track {}", track.number);
        }
    }
}

#[test]
fn the_pieces_in_which_bytes_come_change_nothing() {
    for name in names() {
        let bytes = sample(&name);
        let whole = events(bytes.clone());
        for length in [1, 2, 3, 7, 100, 4_096] {
            let pieces = std::iter::repeat(length);
            let (split, result) = read_in_pieces(&mut Reader::default(), bytes.clone(), pieces.clone());
            assert_eq!((result, &split), (Ok(()), &whole), "{name} by {length}");
            let (parts, result) = read_in_pieces(&mut parts_reader(), bytes.clone(), pieces);
            assert_eq!((result, &join_parts(parts)), (Ok(()), &whole), "{name} by {length}, in parts");
        }
    }
}

#[test]
fn an_offset_says_where_the_payload_is() {
    for name in names() {
        let bytes = sample(&name);
        for frame in frames(&events(bytes.clone())) {
            let at = usize::try_from(frame.head.offset).unwrap();
            assert_eq!(bytes[at..at + frame.payload.len()], frame.payload, "{name}");
        }
        for event in events(bytes.clone()) {
            match event {
                Event::Cluster(cluster) => {
                    let at = usize::try_from(cluster.offset).unwrap();
                    assert_eq!(bytes[at..at + 4], [0x1F, 0x43, 0xB6, 0x75], "{name}");
                }
                Event::Tags(tags) => {
                    let at = usize::try_from(tags.offset).unwrap();
                    assert_eq!(bytes[at..at + tags.raw.len()], tags.raw, "{name}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn the_raw_header_is_what_was_sent() {
    for name in names() {
        let bytes = sample(&name);
        let first = events(bytes.clone()).into_iter().next();
        let Some(Event::Document(header)) = first else { panic!("{name} begins with {first:?}") };
        let segment = header.segment.clone();
        assert_eq!(header.raw[segment.start..segment.start + 4], [0x18, 0x53, 0x80, 0x67], "{name}");
        // Up to the first Tags, nothing is left out.
        let mut length = header.raw.len();
        if let Some(Event::Tags(tags)) = events(bytes.clone()).into_iter().nth(1) {
            length = length.min(usize::try_from(tags.offset).unwrap());
        }
        assert_eq!(header.raw[..length], bytes[..length], "{name}");
    }
}

#[test]
fn a_frame_in_one_piece_of_the_input_is_not_copied() {
    let bytes = sample("x264-closed-gop");
    let range = bytes.as_ptr_range();
    for frame in frames(&events(bytes.clone())) {
        assert!(range.contains(&frame.payload.as_ptr()));
    }
}

#[test]
fn a_file_cut_at_any_byte_gives_what_is_before_the_cut_and_says_where_it_ends() {
    for name in names() {
        let bytes = sample(&name);
        let whole = frames(&events(bytes.clone()));
        let (mut reader, mut found) = (Reader::default(), 0);
        for length in 1..bytes.len() {
            let mut piece = bytes.slice(length - 1..length);
            while let Some(event) = reader.read(&mut piece).unwrap() {
                if let Event::Frame(frame) = event {
                    assert_eq!(frame, whole[found], "{name} at {length}");
                    found += 1;
                }
            }
            // Here the file ends.
            let mut cut = reader.clone();
            let error = loop {
                match cut.finish() {
                    Ok(Some(event)) => assert!(!matches!(event, Event::Frame(_)), "{name} at {length}"),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            if let Some(error) = error {
                assert_eq!((error.kind, error.offset), (ReadErrorKind::Truncated, length as u64), "{name}");
            }
        }
    }
}

#[test]
fn what_is_settled_cuts_the_bytes_of_clusters_as_they_were_sent() {
    for name in names() {
        let bytes = sample(&name);
        let mut clusters = Vec::new();
        for event in events(bytes.clone()) {
            match event {
                Event::Cluster(cluster) => clusters.push(cluster.offset..0),
                Event::ClusterEnd { offset, .. } => clusters.last_mut().unwrap().end = offset,
                _ => {}
            }
        }
        for length in [1, 3, 50, 4_096] {
            // As a service does it: what is settled of the open cluster goes on, the rest is held.
            let (mut reader, mut open, mut sent) = (Reader::default(), None, Vec::new());
            for start in (0..bytes.len()).step_by(length) {
                let mut piece = bytes.slice(start..bytes.len().min(start + length));
                while let Some(event) = reader.read(&mut piece).unwrap() {
                    match event {
                        Event::Cluster(cluster) => open = Some(cluster.offset..cluster.offset),
                        Event::ClusterEnd { offset, .. } => {
                            let cluster = open.take().unwrap();
                            assert!(cluster.end <= offset, "{name} by {length}: too much was let go");
                            sent.push(cluster.start..offset);
                        }
                        _ => {}
                    }
                }
                let (settled, offset) = (reader.settled(), reader.offset());
                assert!(
                    settled <= offset && offset - settled <= 32,
                    "{name} by {length}: {settled} of {offset}"
                );
                if let Some(cluster) = &mut open {
                    assert!(cluster.end <= settled, "{name} by {length}: it goes back");
                    cluster.end = settled;
                }
            }
            sent.extend(open.map(|cluster| cluster.start..bytes.len() as u64));
            let whole: Vec<_> = clusters.iter().map(|cluster| cluster.start..cluster.end).collect();
            assert_eq!(sent, whole, "{name} by {length}");
        }
    }
}

#[test]
fn an_error_is_the_answer_from_then_on() {
    let mut reader = Reader::default();
    let (_, result) = read_in_pieces(&mut reader, Bytes::from_static(b"GIF89a"), std::iter::empty());
    let error = result.unwrap_err();
    assert_eq!((error.offset, error.kind), (0, ReadErrorKind::NotEbml));
    assert_eq!(reader.read(&mut sample("alaw")), Err(error.clone()));
    assert_eq!(reader.finish(), Err(error));
}
