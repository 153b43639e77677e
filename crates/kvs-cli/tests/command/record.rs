//! Fragments, as a service would leave them.

use std::path::Path;
use std::sync::mpsc;

use bytes::Bytes;
use kvs_media::time::Utc;
use kvs_service::store::{Commit, FrameIndexWriter, Settings, Store};

/// Fragments of `cam1` that came in and began at these times, of two seconds and so many bytes.
pub(crate) fn record(data: &Path, times: impl Iterator<Item = Utc>, payload: usize) {
    let (store, _) = Store::open(data, None, &Settings { shards: 1, ..Settings::default() }).unwrap();
    let stream = match store.stream_named("cam1") {
        Some(stream) => stream,
        None => store.create_stream("cam1", None, b"").unwrap(),
    };
    let numbering = store.numbering(stream.id, Utc::EPOCH).unwrap();
    let (sender, done) = mpsc::channel();
    let mut count = 0;
    for time in times {
        let mut upload = store.begin(stream.id, numbering.next(time, 1, false)).unwrap();
        upload.write(Bytes::from(vec![7; payload]), |_| {});
        let commit = Commit {
            producer_time: time,
            length_ms: 1_960,
            timecode: 0,
            timecode_scale: 1_000_000,
            header: Bytes::from_static(b"header"),
            tags: Bytes::new(),
            frames: FrameIndexWriter::new().finish(),
        };
        let sender = sender.clone();
        upload.commit(commit, move |result| sender.send(result).unwrap());
        count += 1;
    }
    for result in done.iter().take(count) {
        result.unwrap();
    }
    store.close();
}
