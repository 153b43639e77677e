//! Any calls of the writer: what it takes reads back the same, and what it refuses leaves no trace.
#![no_main]

use bytes::Bytes;
use kvs_media::mkv::{Block, Event, Info, Reader, Tag, Writer};
use kvs_media::time::{Timecode, TimecodeScale};
use kvs_media::{Track, TrackKind, TrackNumber};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Document<'a> {
    scale: u64,
    title: &'a str,
    tracks: Vec<(u64, u64, &'a str, &'a [u8])>,
    calls: Vec<Call<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    Cluster(i64),
    Frame { track: u64, timecode: i64, key: bool, discardable: bool, invisible: bool, payload: &'a [u8] },
    Tags(&'a str, &'a str),
    EndOfFragment,
}

fuzz_target!(|document: Document<'_>| {
    let Some(scale) = TimecodeScale::from_nanos(document.scale) else { return };
    // Trailing NULs are padding to a reader.
    let text = |text: &str| text.trim_end_matches('\0').to_owned();
    let info = Info { scale, title: text(document.title), ..Info::default() };
    let track = |&(number, kind, codec, private): &(u64, u64, &str, &[u8])| Track {
        codec_private: Bytes::copy_from_slice(private),
        ..Track::new(TrackNumber(number), TrackKind::from_number(kind), text(codec))
    };
    let tracks: Vec<Track> = document.tracks.iter().take(16).map(track).collect();
    let Ok((mut writer, header)) = Writer::new(&info, &tracks) else { return };
    let (mut out, mut wanted) = (header.to_vec(), Vec::new());
    for call in document.calls {
        match call {
            Call::Cluster(ticks) => {
                let timecode = Timecode::from_ticks(ticks);
                if let Ok(head) = writer.cluster(timecode) {
                    out.extend_from_slice(&head);
                    wanted.push(format!("{timecode}"));
                }
            }
            Call::Frame { track, timecode, key, discardable, invisible, payload } => {
                let timecode = Timecode::from_ticks(timecode);
                let block = Block { track: TrackNumber(track), timecode, key, discardable, invisible };
                if let Ok(head) = writer.frame(block, payload.len()) {
                    out.extend_from_slice(&head);
                    out.extend_from_slice(payload);
                    wanted.push(format!("{block:?} {payload:?}"));
                }
            }
            Call::Tags(name, value) => {
                let tags = [Tag::text(text(name), text(value))];
                out.extend_from_slice(&writer.tags(&tags));
                wanted.push(format!("{tags:?}"));
            }
            Call::EndOfFragment => {
                out.extend_from_slice(&writer.end_of_fragment());
                wanted.push(format!("{:?}", [Tag::text(kvs_media::mkv::END_OF_FRAGMENT, "")]));
            }
        }
    }
    let (mut reader, mut found, mut rest) = (Reader::default(), Vec::new(), Bytes::from(out));
    let mut take = |event: Event| match event {
        Event::Document(header) => assert_eq!((&header.info, &header.tracks), (&info, &tracks)),
        Event::Cluster(cluster) => found.push(format!("{}", cluster.timecode)),
        Event::Tags(tags) => found.push(format!("{:?}", tags.tags)),
        Event::Frame(frame) => {
            let head = frame.head;
            let block = Block {
                track: head.track,
                timecode: head.timecode,
                key: head.key,
                discardable: head.discardable,
                invisible: head.invisible,
            };
            found.push(format!("{block:?} {:?}", &frame.payload[..]));
        }
        _ => {}
    };
    while let Some(event) = reader.read(&mut rest).unwrap() {
        take(event);
    }
    while let Some(event) = reader.finish().unwrap() {
        take(event);
    }
    assert_eq!(found, wanted);
});
