//! The C structures that the incumbent's signals point to (kvssink-compat A4).

use std::ptr::from_mut;

use kvs_client::upload::Stats;
use kvs_media::time::Utc;
use kvs_wire::{Ack, AckEvent};

use crate::message::nanos;

/// `FragmentAck` of the incumbent's C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct FragmentAck {
    version: u32,
    kind: u32,
    timecode: u64,
    sequence_number: [u8; 129],
    result: u32,
}

impl FragmentAck {
    /// What it says of an ack.
    pub(crate) fn of(ack: &Ack) -> Self {
        let mut sequence_number = [0; 129];
        if let Some(number) = &ack.fragment_number {
            // The last byte stays zero: it ends the text.
            let text = number.to_string();
            for (place, byte) in sequence_number.iter_mut().take(128).zip(text.bytes()) {
                *place = byte;
            }
        }
        Self {
            version: 0,
            kind: match ack.event {
                AckEvent::Buffering => 1,
                AckEvent::Received => 2,
                AckEvent::Persisted => 3,
                AckEvent::Error => 4,
                AckEvent::Idle => 5,
            },
            timecode: ack
                .fragment_timecode
                .and_then(|timecode| u64::try_from(timecode).ok())
                .unwrap_or_default(),
            sequence_number,
            result: if ack.event == AckEvent::Error { ack.error().map_or(0, |id| id.0) } else { 200 },
        }
    }

    /// What the signal's handlers get; good for as long as they run.
    pub(crate) const fn pointer(&mut self) -> glib::Pointer {
        from_mut(self).cast()
    }
}

/// `KvsSinkMetric` of the incumbent: `StreamMetrics`, `ClientMetrics`, and the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Metric {
    stream: StreamMetrics,
    client: ClientMetrics,
    frame_pts: u64,
    on_first_frame: bool,
}

/// Times are in 100 ns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
struct StreamMetrics {
    version: u32,
    current_view_duration: u64,
    overall_view_duration: u64,
    current_view_size: u64,
    overall_view_size: u64,
    current_frame_rate: f64,
    current_transfer_rate: u64,
    uptime: u64,
    transferred_bytes: u64,
    total_sessions: u64,
    total_active_sessions: u64,
    avg_session_duration: u64,
    buffered_acks: u64,
    received_acks: u64,
    persisted_acks: u64,
    error_acks: u64,
    dropped_frames: u64,
    dropped_fragments: u64,
    skipped_frames: u64,
    storage_pressures: u64,
    latency_pressures: u64,
    buffer_pressures: u64,
    stale_events: u64,
    put_frame_errors: u64,
    control_call_latency: u64,
    data_call_latency: u64,
    elementary_frame_rate: f64,
    call_retry_count: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
struct ClientMetrics {
    version: u32,
    average_call_retry_count: f64,
    content_store_size: u64,
    content_store_available_size: u64,
    content_store_allocated_size: u64,
    total_content_views_size: u64,
    total_frame_rate: u64,
    total_transfer_rate: u64,
    total_elementary_frame_rate: f64,
}

impl Metric {
    /// What is known of it: what is not measured here is zero.
    pub(crate) fn of(stats: &Stats, capacity: u64, frame: Utc, first: bool) -> Self {
        let stream = StreamMetrics {
            version: 3,
            current_view_duration: nanos(stats.span_held) / 100,
            overall_view_duration: nanos(stats.span_held) / 100,
            current_view_size: stats.bytes_held,
            overall_view_size: stats.bytes_held,
            transferred_bytes: stats.bytes_sent,
            total_sessions: stats.connections,
            total_active_sessions: u64::from(stats.connected),
            received_acks: stats.fragments_received,
            persisted_acks: stats.fragments_persisted,
            error_acks: stats.errors,
            dropped_frames: stats.frames_dropped,
            dropped_fragments: stats.fragments_dropped,
            ..StreamMetrics::default()
        };
        let client = ClientMetrics {
            version: 2,
            content_store_size: capacity,
            content_store_available_size: capacity.saturating_sub(stats.bytes_held),
            content_store_allocated_size: stats.bytes_held,
            ..ClientMetrics::default()
        };
        Self { stream, client, frame_pts: crate::message::time(frame) / 100, on_first_frame: first }
    }

    /// What the signal's handlers get; good for as long as they run.
    pub(crate) const fn pointer(&mut self) -> glib::Pointer {
        from_mut(self).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvs_wire::ErrorId;
    use std::mem::{offset_of, size_of};

    #[test]
    fn the_ack_lies_in_memory_as_handlers_in_c_read_it() {
        let offsets = [
            offset_of!(FragmentAck, version),
            offset_of!(FragmentAck, kind),
            offset_of!(FragmentAck, timecode),
            offset_of!(FragmentAck, sequence_number),
            offset_of!(FragmentAck, result),
        ];
        assert_eq!((offsets, size_of::<FragmentAck>()), ([0, 4, 8, 16, 148], 152));
        assert_eq!(offset_of!(StreamMetrics, current_view_duration), 8);
        assert_eq!((size_of::<StreamMetrics>(), size_of::<ClientMetrics>()), (28 * 8, 9 * 8));
        assert_eq!(offset_of!(Metric, frame_pts), 37 * 8);
    }

    #[test]
    fn an_ack_says_the_same_as_the_services() {
        let number = "91343852333182006801812051225829315333083406205".parse().unwrap();
        let ack = FragmentAck::of(&Ack::of(AckEvent::Persisted, 1_000, number));
        assert_eq!((ack.kind, ack.timecode, ack.result), (3, 1_000, 200));
        let text: Vec<u8> = ack.sequence_number.iter().copied().take_while(|byte| *byte != 0).collect();
        assert_eq!(text, b"91343852333182006801812051225829315333083406205");
        let error = FragmentAck::of(&Ack::refusal(ErrorId(4006), None));
        assert_eq!((error.kind, error.timecode, error.result), (4, 0, 4006));
    }
}
