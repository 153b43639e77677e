//! How the sink is set, and what follows from that.

use std::time::Duration;

use kvs_client::ClientSettings;
use kvs_client::upload::{Capacity, Settings as UploadSettings, StreamSetup, WhenFull};
use kvs_media::fragment::Rules;
use kvs_media::mkv::Info;
use kvs_media::time::{TimecodeScale, Utc};
use kvs_wire::{FragmentTimecodeType, StreamName, StreamNameError};

use super::{BufferPolicy, StreamingType, TimestampSource};
use crate::connection::{Connection, ConnectionError, Surroundings};
use crate::utc::Calendar;

/// How the sink is set. The names are those of the properties.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connection: Connection,
    pub(crate) stream_name: Option<String>,
    pub(crate) allow_create_stream: bool,
    pub(crate) retention_period: u32,
    pub(crate) stream_tags: Option<gst::Structure>,
    pub(crate) streaming_type: StreamingType,
    pub(crate) fragment_duration: u32,
    pub(crate) key_frame_fragmentation: bool,
    pub(crate) timecode_scale: u32,
    pub(crate) absolute_fragment_times: bool,
    pub(crate) fragment_acks: bool,
    pub(crate) buffer_policy: BufferPolicy,
    pub(crate) storage_size: u32,
    pub(crate) buffer_duration: u32,
    pub(crate) connection_staleness: u32,
    pub(crate) startup_timeout: u64,
    pub(crate) stop_stream_timeout: u32,
    pub(crate) timestamp_source: TimestampSource,
    pub(crate) frame_timecodes: bool,
    pub(crate) use_original_pts: bool,
    pub(crate) file_start_time: u64,
    pub(crate) start_time: Option<String>,
    pub(crate) track_name: Option<String>,
    pub(crate) codec_id: Option<String>,
    pub(crate) drop_corrupted: bool,
    pub(crate) send_force_keyunit: bool,
    pub(crate) get_kvs_metrics: bool,
    pub(crate) unused: Unused,
}

/// What has a meaning to the incumbent only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) content_type: Option<String>,
    pub(crate) max_latency: u32,
    pub(crate) restart_on_error: bool,
    pub(crate) recalculate_metrics: bool,
    pub(crate) framerate: u32,
    pub(crate) avg_bandwidth_bps: u32,
    pub(crate) replay_duration: u32,
    pub(crate) rotation_period: u32,
    pub(crate) log_config: Option<String>,
    pub(crate) disable_buffer_clipping: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connection: Connection::default(),
            stream_name: Some("DEFAULT_STREAM".to_owned()),
            allow_create_stream: true,
            retention_period: 2,
            stream_tags: None,
            streaming_type: StreamingType::Realtime,
            fragment_duration: 2_000,
            key_frame_fragmentation: true,
            timecode_scale: 1,
            absolute_fragment_times: true,
            fragment_acks: true,
            buffer_policy: BufferPolicy::Auto,
            storage_size: 128,
            buffer_duration: 120,
            connection_staleness: 60,
            startup_timeout: 0,
            stop_stream_timeout: 120,
            timestamp_source: TimestampSource::Auto,
            frame_timecodes: true,
            use_original_pts: false,
            file_start_time: 0,
            start_time: None,
            track_name: None,
            codec_id: None,
            drop_corrupted: false,
            send_force_keyunit: true,
            get_kvs_metrics: false,
            unused: Unused::default(),
        }
    }
}

impl Default for Unused {
    fn default() -> Self {
        Self {
            content_type: None,
            max_latency: 60,
            restart_on_error: true,
            recalculate_metrics: true,
            framerate: 25,
            avg_bandwidth_bps: 4_194_304,
            replay_duration: 40,
            rotation_period: 3_600,
            log_config: Some("../kvs_log_configuration".to_owned()),
            disable_buffer_clipping: false,
        }
    }
}

impl AsMut<Connection> for Settings {
    fn as_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Why the sink cannot run as it is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// There is no stream.
    #[error("`stream-name` is not set")]
    NoStream,
    /// No stream can be called so.
    #[error("`stream-name`: {0}")]
    StreamName(#[from] StreamNameError),
    /// A tag of the stream is no text, or empty.
    #[error("`stream-tags`: {0} must be a text that is not empty")]
    StreamTag(String),
    /// Nothing could be kept.
    #[error("`storage-size` must be at least 1 (MB)")]
    NoStorage,
    /// Not a time.
    #[error(
        "`start-time`: {0:?} is neither an RFC 3339 time, such as 2026-11-20T03:23:51.916Z, nor nanoseconds since 1970"
    )]
    StartTime(String),
    /// Beyond the range of UTC.
    #[error("`file-start-time`: {0} s after 1970 is too late; it is in seconds")]
    FileStartTime(u64),
    /// How to connect.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// What a run of the sink needs of its settings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) client: ClientSettings,
    pub(crate) upload: UploadSettings,
    pub(crate) calendar: Calendar,
    /// What happens when the buffer is full; `None` until it is known whether upstream is live.
    pub(crate) when_full: Option<WhenFull>,
}

impl Settings {
    /// What a run needs of these settings.
    ///
    /// # Errors
    /// When it cannot run so.
    pub(crate) fn plan(&self, around: Surroundings<'_>) -> Result<Plan, SettingsError> {
        let name = self.stream_name.as_deref().ok_or(SettingsError::NoStream)?;
        let stream: StreamName = name.parse()?;
        if self.storage_size == 0 {
            return Err(SettingsError::NoStorage);
        }
        let scale = TimecodeScale::from_nanos(u64::from(self.timecode_scale) * 1_000_000).unwrap_or_default();
        let when_full = self.when_full();
        let upload = UploadSettings {
            setup: StreamSetup {
                create: self.allow_create_stream,
                retention_hours: self.retention_period,
                tags: self.tags()?,
            },
            rules: Rules {
                scale,
                at_key_frames: self.key_frame_fragmentation,
                target: Duration::from_millis(u64::from(self.fragment_duration)),
                ..Rules::default()
            },
            info: Info {
                scale,
                writing_app: concat!("gst-plugin-kvs ", env!("CARGO_PKG_VERSION")).to_owned(),
                muxing_app: concat!("gst-plugin-kvs ", env!("CARGO_PKG_VERSION")).to_owned(),
                ..Info::default()
            },
            capacity: Capacity {
                bytes: u64::from(self.storage_size) << 20,
                // As the incumbent: none is 20 s.
                span: seconds(if self.buffer_duration == 0 { 20 } else { self.buffer_duration }),
            },
            when_full: when_full.unwrap_or(WhenFull::Block),
            acks: self.fragment_acks,
            timecodes: if self.absolute_fragment_times {
                FragmentTimecodeType::Absolute
            } else {
                FragmentTimecodeType::Relative
            },
            staleness: seconds(self.connection_staleness),
            startup_timeout: (self.startup_timeout > 0).then(|| Duration::from_nanos(self.startup_timeout)),
            ..UploadSettings::new(stream)
        };
        Ok(Plan {
            client: self.connection.client_settings(name, around)?,
            upload,
            calendar: self.calendar()?,
            when_full,
        })
    }

    /// Names of what is set and means nothing here.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        let (own, fresh) = (&self.unused, &Unused::default());
        let rows = [
            ("content-type", own.content_type != fresh.content_type),
            ("max-latency", own.max_latency != fresh.max_latency),
            ("restart-on-error", own.restart_on_error != fresh.restart_on_error),
            ("recalculate-metrics", own.recalculate_metrics != fresh.recalculate_metrics),
            ("framerate", own.framerate != fresh.framerate),
            ("avg-bandwidth-bps", own.avg_bandwidth_bps != fresh.avg_bandwidth_bps),
            ("replay-duration", own.replay_duration != fresh.replay_duration),
            ("rotation-period", own.rotation_period != fresh.rotation_period),
            ("log-config", own.log_config != fresh.log_config),
            ("disable-buffer-clipping", own.disable_buffer_clipping != fresh.disable_buffer_clipping),
            ("streaming-type=near-realtime", self.streaming_type == StreamingType::NearRealtime),
        ];
        rows.into_iter().filter_map(|(name, set)| set.then_some(name)).collect()
    }

    /// Longest time that a stop and the end of the stream wait for acks.
    pub(crate) fn stop_timeout(&self) -> Duration {
        seconds(self.stop_stream_timeout)
    }

    fn when_full(&self) -> Option<WhenFull> {
        match self.buffer_policy {
            BufferPolicy::Auto if self.streaming_type == StreamingType::Offline => Some(WhenFull::Block),
            BufferPolicy::Auto => None,
            BufferPolicy::Block => Some(WhenFull::Block),
            BufferPolicy::DropOldest => Some(WhenFull::DropOldest),
            BufferPolicy::Error => Some(WhenFull::Fail),
        }
    }

    /// `start-time` says most, then the incumbent's properties, then ours.
    fn calendar(&self) -> Result<Calendar, SettingsError> {
        if let Some(text) = &self.start_time {
            let start = parse_time(text).ok_or_else(|| SettingsError::StartTime(text.clone()))?;
            return Ok(Calendar::From(start));
        }
        if self.use_original_pts {
            return Ok(Calendar::Buffer);
        }
        if self.streaming_type == StreamingType::Offline {
            let start = i64::try_from(self.file_start_time).ok().and_then(|s| s.checked_mul(1_000));
            return start
                .and_then(Utc::from_millis)
                .map(Calendar::From)
                .ok_or(SettingsError::FileStartTime(self.file_start_time));
        }
        Ok(match self.timestamp_source {
            _ if !self.frame_timecodes => Calendar::Arrival,
            TimestampSource::Auto => Calendar::Reference,
            TimestampSource::PipelineClock => Calendar::Clock,
            TimestampSource::Arrival => Calendar::Arrival,
            TimestampSource::Buffer => Calendar::Buffer,
        })
    }

    fn tags(&self) -> Result<Vec<(String, String)>, SettingsError> {
        let Some(structure) = &self.stream_tags else { return Ok(Vec::new()) };
        structure
            .iter()
            .map(|(name, value)| {
                let text = crate::property::text(value);
                let text = text.ok_or_else(|| SettingsError::StreamTag(name.to_string()))?;
                Ok((name.to_string(), text))
            })
            .collect()
    }
}

/// RFC 3339, or nanoseconds since 1970.
fn parse_time(text: &str) -> Option<Utc> {
    text.parse().map(Utc::from_nanos).ok().or_else(|| text.parse().ok())
}

const fn seconds(number: u32) -> Duration {
    Duration::from_secs(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: impl FnOnce(&mut Settings)) -> Result<Plan, SettingsError> {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.plan(Surroundings::default())
    }

    #[test]
    fn a_start_time_is_rfc_3339_or_nanoseconds() {
        let rows = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-20T03:23:51.916Z", Some(1_795_145_031_916_000_000)),
            ("2026-11-20T04:23:51.916000001+01:00", Some(1_795_145_031_916_000_001)),
            ("1795145031916000000", Some(1_795_145_031_916_000_000)),
            ("yesterday", None),
            ("2026-11-20", None),
            ("2026-11-20T03:23:51", None),
            ("", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(parse_time(text).map(Utc::nanos), nanos, "{text}");
        }
    }

    #[test]
    fn the_calendar_follows_from_what_is_set() {
        let calendar = |change: fn(&mut Settings)| plan(change).unwrap().calendar;
        assert_eq!(calendar(|_| {}), Calendar::Reference);
        assert_eq!(calendar(|s| s.timestamp_source = TimestampSource::PipelineClock), Calendar::Clock);
        assert_eq!(calendar(|s| s.timestamp_source = TimestampSource::Arrival), Calendar::Arrival);
        assert_eq!(calendar(|s| s.timestamp_source = TimestampSource::Buffer), Calendar::Buffer);
        assert_eq!(calendar(|s| s.frame_timecodes = false), Calendar::Arrival);
        assert_eq!(calendar(|s| s.use_original_pts = true), Calendar::Buffer);
        let offline = |s: &mut Settings| {
            s.streaming_type = StreamingType::Offline;
            s.file_start_time = 1_700_000_000;
        };
        assert_eq!(
            plan(offline).unwrap().calendar,
            Calendar::From(Utc::from_millis(1_700_000_000_000).unwrap())
        );
        assert_eq!(calendar(|s| s.start_time = Some("5".to_owned())), Calendar::From(Utc::from_nanos(5)));
        let late = plan(|s| {
            s.streaming_type = StreamingType::Offline;
            s.file_start_time = 1_700_000_000_000;
        });
        assert_eq!(late.unwrap_err(), SettingsError::FileStartTime(1_700_000_000_000));
    }

    #[test]
    fn a_full_buffer_does_what_the_policy_says() {
        let policy = |change: fn(&mut Settings)| plan(change).unwrap().when_full;
        assert_eq!(policy(|_| {}), None);
        assert_eq!(policy(|s| s.streaming_type = StreamingType::Offline), Some(WhenFull::Block));
        assert_eq!(policy(|s| s.buffer_policy = BufferPolicy::Block), Some(WhenFull::Block));
        assert_eq!(policy(|s| s.buffer_policy = BufferPolicy::DropOldest), Some(WhenFull::DropOldest));
        assert_eq!(policy(|s| s.buffer_policy = BufferPolicy::Error), Some(WhenFull::Fail));
    }

    #[test]
    fn what_cannot_run_is_refused_with_the_name_of_the_property() {
        gst::init().unwrap();
        let said = |change: fn(&mut Settings)| plan(change).unwrap_err().to_string();
        assert_eq!(said(|s| s.stream_name = None), "`stream-name` is not set");
        assert!(said(|s| s.stream_name = Some("no spaces".to_owned())).starts_with("`stream-name`: "));
        assert_eq!(said(|s| s.storage_size = 0), "`storage-size` must be at least 1 (MB)");
        assert!(said(|s| s.start_time = Some("soon".to_owned())).starts_with("`start-time`: \"soon\""));
        let tags =
            |s: &mut Settings| s.stream_tags = Some(gst::Structure::builder("t").field("n", "").build());
        assert_eq!(said(tags), "`stream-tags`: n must be a text that is not empty");
    }
}
