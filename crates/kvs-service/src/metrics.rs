//! What happened, counted by stream, under the names that CloudWatch has for it (kvs-api 11.1), in the text form of
//! Prometheus. A dot of CloudWatch is an underscore here: `PutMedia.IncomingBytes` is `kvs_PutMedia_IncomingBytes`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kvs_wire::StreamName;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that is what it is at the moment.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// It is so much now.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// One more, until the guard is dropped.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(self))
    }

    /// How much it is.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of a [`Gauge`], for as long as it lives.
#[derive(Debug)]
pub struct Held(Arc<Gauge>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The upper ends of the buckets of a latency, in milliseconds: around the goals, and up to what nobody waits for.
const BUCKETS: [u64; 10] = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000];

/// How long something took.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [Counter; BUCKETS.len()],
    micros: Counter,
    count: Counter,
}

impl Latency {
    /// It took so long.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some((_, bucket)) = BUCKETS.iter().zip(&self.buckets).find(|(end, _)| micros <= **end * 1_000)
        {
            bucket.one();
        }
        self.micros.add(micros);
        self.count.one();
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $name:literal,)*) => {
        /// What happened to a stream.
        #[derive(Debug, Default)]
        pub struct StreamMetrics { $($(#[$doc])* pub $field: $kind,)* }

        impl StreamMetrics {
            fn each(&self, mut visit: impl FnMut(&'static str, &dyn Metric)) {
                $(visit($name, &self.$field);)*
            }
        }
    };
}

metrics! {
    /// Calls of PutMedia.
    put_requests: Counter = "PutMedia_Requests",
    /// Bytes that came in.
    put_bytes: Counter = "PutMedia_IncomingBytes",
    /// Complete fragments that came in.
    put_fragments: Counter = "PutMedia_IncomingFragments",
    /// Complete frames that came in.
    put_frames: Counter = "PutMedia_IncomingFrames",
    /// Producers that are connected.
    put_connections: Arc<Gauge> = "PutMedia_ActiveConnections",
    /// Producers that could not connect.
    put_connection_errors: Counter = "PutMedia_ConnectionErrors",
    /// From the head of a call to that of its response.
    put_latency: Latency = "PutMedia_Latency",
    /// Fragments that were stored, or taken where nothing is stored.
    put_success: Counter = "PutMedia_Success",
    /// From the first to the last byte of a fragment.
    put_ingestion: Latency = "PutMedia_FragmentIngestionLatency",
    /// From the first byte of a fragment to its BUFFERING ack.
    put_buffering: Latency = "PutMedia_BufferingAckLatency",
    /// From the last byte of a fragment to its RECEIVED ack.
    put_received: Latency = "PutMedia_ReceivedAckLatency",
    /// From the last byte of a fragment until it is stored.
    put_persist: Latency = "PutMedia_FragmentPersistLatency",
    /// From the last byte of a fragment to its PERSISTED ack.
    put_persisted: Latency = "PutMedia_PersistedAckLatency",
    /// Error acks.
    put_error_acks: Counter = "PutMedia_ErrorAckCount",
    /// Calls of GetMedia.
    get_requests: Counter = "GetMedia_Requests",
    /// Bytes that went out live.
    get_bytes: Counter = "GetMedia_OutgoingBytes",
    /// Fragments that went out live.
    get_fragments: Counter = "GetMedia_OutgoingFragments",
    /// Frames of them.
    get_frames: Counter = "GetMedia_OutgoingFrames",
    /// Fragments that went out whole.
    get_success: Counter = "GetMedia_Success",
    /// How far the last reader was behind, in milliseconds.
    get_behind: Gauge = "GetMedia_MillisBehindNow",
    /// Readers that could not connect.
    get_connection_errors: Counter = "GetMedia_ConnectionErrors",
    /// Calls of GetMediaForFragmentList.
    list_media_requests: Counter = "GetMediaForFragmentList_Requests",
    /// Bytes that went out of the archive.
    list_media_bytes: Counter = "GetMediaForFragmentList_OutgoingBytes",
    /// Fragments that went out of the archive.
    list_media_fragments: Counter = "GetMediaForFragmentList_OutgoingFragments",
    /// Frames of them.
    list_media_frames: Counter = "GetMediaForFragmentList_OutgoingFrames",
    /// Fragments that went out whole.
    list_media_success: Counter = "GetMediaForFragmentList_Success",
    /// Calls of ListFragments.
    list_requests: Counter = "ListFragments_Requests",
    /// Those that were answered.
    list_success: Counter = "ListFragments_Success",
    /// How long they took.
    list_latency: Latency = "ListFragments_Latency",
    /// HLS sessions that were asked for.
    hls_requests: Counter = "GetHLSStreamingSessionURL_Requests",
    /// Those that were begun.
    hls_success: Counter = "GetHLSStreamingSessionURL_Success",
    /// How long that took.
    hls_latency: Latency = "GetHLSStreamingSessionURL_Latency",
    /// DASH sessions that were asked for.
    dash_requests: Counter = "GetDASHStreamingSessionURL_Requests",
    /// Those that were begun.
    dash_success: Counter = "GetDASHStreamingSessionURL_Success",
    /// How long that took.
    dash_latency: Latency = "GetDASHStreamingSessionURL_Latency",
    /// Master playlists that were asked for.
    master_requests: Counter = "GetHLSMasterPlaylist_Requests",
    /// Those that were given.
    master_success: Counter = "GetHLSMasterPlaylist_Success",
    /// How long that took.
    master_latency: Latency = "GetHLSMasterPlaylist_Latency",
    /// Media playlists that were asked for.
    playlist_requests: Counter = "GetHLSMediaPlaylist_Requests",
    /// Those that were given.
    playlist_success: Counter = "GetHLSMediaPlaylist_Success",
    /// How long that took.
    playlist_latency: Latency = "GetHLSMediaPlaylist_Latency",
    /// Manifests that were asked for.
    manifest_requests: Counter = "GetDASHManifest_Requests",
    /// Those that were given.
    manifest_success: Counter = "GetDASHManifest_Success",
    /// How long that took.
    manifest_latency: Latency = "GetDASHManifest_Latency",
    /// Initialization segments that were asked for.
    init_requests: Counter = "GetMP4InitFragment_Requests",
    /// Those that were given.
    init_success: Counter = "GetMP4InitFragment_Success",
    /// How long that took.
    init_latency: Latency = "GetMP4InitFragment_Latency",
    /// Segments of MP4 that were asked for.
    media_requests: Counter = "GetMP4MediaFragment_Requests",
    /// Those that were given.
    media_success: Counter = "GetMP4MediaFragment_Success",
    /// How long it took until they began.
    media_latency: Latency = "GetMP4MediaFragment_Latency",
    /// Their bytes.
    media_bytes: Counter = "GetMP4MediaFragment_OutgoingBytes",
    /// Segments of MPEG-TS that were asked for.
    ts_requests: Counter = "GetTSFragment_Requests",
    /// Those that were given.
    ts_success: Counter = "GetTSFragment_Success",
    /// How long it took until they began.
    ts_latency: Latency = "GetTSFragment_Latency",
    /// Their bytes.
    ts_bytes: Counter = "GetTSFragment_OutgoingBytes",
    /// Clips that were asked for.
    clip_requests: Counter = "GetClip_Requests",
    /// Those that were given.
    clip_success: Counter = "GetClip_Success",
    /// How long it took until they began.
    clip_latency: Latency = "GetClip_Latency",
    /// Their bytes.
    clip_bytes: Counter = "GetClip_OutgoingBytes",
    /// Calls of GetImages.
    images_requests: Counter = "GetImages_Requests",
    /// Those that were answered to the end.
    images_success: Counter = "GetImages_Success",
    /// How long they took.
    images_latency: Latency = "GetImages_Latency",
    /// Bytes of pictures that went out.
    images_bytes: Counter = "GetImages_OutgoingBytes",
    /// Quota points that were used on rows of the archive.
    metadata_points: Counter = "ArchivedFragmentsConsumed_Metadata",
    /// Quota points that were used on its media.
    media_points: Counter = "ArchivedFragmentsConsumed_Media",
}

trait Metric {
    /// Its type, as Prometheus calls it.
    fn kind(&self) -> &'static str;

    /// Writes the lines of this metric, for a stream.
    fn write(&self, name: &str, stream: &StreamName, out: &mut String);
}

impl Metric for Counter {
    fn kind(&self) -> &'static str {
        "counter"
    }

    fn write(&self, name: &str, stream: &StreamName, out: &mut String) {
        line(out, format_args!("kvs_{name}{{stream=\"{stream}\"}} {}", self.get()));
    }
}

impl Metric for Gauge {
    fn kind(&self) -> &'static str {
        "gauge"
    }

    fn write(&self, name: &str, stream: &StreamName, out: &mut String) {
        line(out, format_args!("kvs_{name}{{stream=\"{stream}\"}} {}", self.get()));
    }
}

impl Metric for Arc<Gauge> {
    fn kind(&self) -> &'static str {
        "gauge"
    }

    fn write(&self, name: &str, stream: &StreamName, out: &mut String) {
        self.as_ref().write(name, stream, out);
    }
}

impl Metric for Latency {
    fn kind(&self) -> &'static str {
        "histogram"
    }

    /// In milliseconds, as CloudWatch has them.
    fn write(&self, name: &str, stream: &StreamName, out: &mut String) {
        // Read last, the count would be ahead of the buckets; a histogram may be behind, not inconsistent.
        let (count, micros) = (self.count.get(), self.micros.get());
        let mut below = 0;
        for (end, bucket) in BUCKETS.iter().zip(&self.buckets) {
            below = (below + bucket.get()).min(count);
            line(out, format_args!("kvs_{name}_bucket{{stream=\"{stream}\",le=\"{end}\"}} {below}"));
        }
        line(out, format_args!("kvs_{name}_bucket{{stream=\"{stream}\",le=\"+Inf\"}} {count}"));
        let (millis, rest) = (micros / 1_000, micros % 1_000);
        line(out, format_args!("kvs_{name}_sum{{stream=\"{stream}\"}} {millis}.{rest:03}"));
        line(out, format_args!("kvs_{name}_count{{stream=\"{stream}\"}} {count}"));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes every write.
    let _ = writeln!(out, "{text}");
}

/// The metrics of all streams.
#[derive(Debug, Default)]
pub struct Metrics {
    streams: RwLock<BTreeMap<StreamName, Arc<StreamMetrics>>>,
}

impl Metrics {
    /// Those of a stream, which are zero when it is new.
    pub fn of(&self, stream: &StreamName) -> Arc<StreamMetrics> {
        let known = self.streams.read().unwrap_or_else(PoisonError::into_inner).get(stream).cloned();
        known.unwrap_or_else(|| {
            let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(streams.entry(stream.clone()).or_default())
        })
    }

    /// Forgets those of a stream that is gone.
    pub fn forget(&self, stream: &StreamName) {
        self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(stream);
    }

    /// The text of `/metrics`.
    pub fn text(&self) -> String {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for (stream, metrics) in &streams {
            metrics.each(|name, metric| {
                let text =
                    texts.entry(name).or_insert_with(|| format!("# TYPE kvs_{name} {}\n", metric.kind()));
                metric.write(name, stream, text);
            });
        }
        texts.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_a_type_for_each_metric_and_a_line_for_each_stream() {
        let metrics = Metrics::default();
        assert_eq!(metrics.text(), "");
        let (a, b): (StreamName, StreamName) = ("cam-a".parse().unwrap(), "cam-b".parse().unwrap());
        metrics.of(&a).put_bytes.add(7);
        metrics.of(&a).put_bytes.one();
        metrics.of(&b).get_behind.set(910);
        let text = metrics.text();
        assert!(text.contains(concat!(
            "# TYPE kvs_PutMedia_IncomingBytes counter\n",
            "kvs_PutMedia_IncomingBytes{stream=\"cam-a\"} 8\n",
            "kvs_PutMedia_IncomingBytes{stream=\"cam-b\"} 0\n",
        )));
        assert!(text.contains("# TYPE kvs_GetMedia_MillisBehindNow gauge\n"));
        assert!(text.contains("kvs_GetMedia_MillisBehindNow{stream=\"cam-b\"} 910\n"));
        let mut names = 0;
        StreamMetrics::default().each(|_, _| names += 1);
        assert_eq!(text.matches("# TYPE").count(), names);
        metrics.forget(&a);
        assert!(!metrics.text().contains("cam-a"));
    }

    #[test]
    fn a_latency_counts_what_is_below_each_bound() {
        let metrics = Metrics::default();
        let name: StreamName = "cam".parse().unwrap();
        let latency = &metrics.of(&name).put_persisted;
        for micros in [500, 1_000, 1_001, 2_000_000, 60_000_000] {
            latency.record(Duration::from_micros(micros));
        }
        let text = metrics.text();
        let value = |rest: &str| {
            let start = format!("kvs_PutMedia_PersistedAckLatency{rest} ");
            text.lines()
                .find_map(|line| line.strip_prefix(&start))
                .unwrap_or_else(|| panic!("{start}"))
                .to_owned()
        };
        let below = |end: &str| value(&format!("_bucket{{stream=\"cam\",le=\"{end}\"}}"));
        assert_eq!((below("1"), below("3"), below("1000")), ("2".into(), "3".into(), "3".into()));
        assert_eq!((below("3000"), below("30000"), below("+Inf")), ("4".into(), "4".into(), "5".into()));
        assert_eq!(value("_sum{stream=\"cam\"}"), "62002.501");
        assert_eq!(value("_count{stream=\"cam\"}"), "5");
    }

    #[test]
    fn a_connection_counts_for_as_long_as_it_lasts() {
        let metrics = StreamMetrics::default();
        let (one, two) = (metrics.put_connections.hold(), metrics.put_connections.hold());
        assert_eq!(metrics.put_connections.get(), 2);
        drop(one);
        assert_eq!(metrics.put_connections.get(), 1);
        drop(two);
        assert_eq!(metrics.put_connections.get(), 0);
    }
}
