//! What a call asks to be played. Unknown keys are passed over; null is as good as absent.

use std::fmt;
use std::time::Duration;

use kvs_media::playback::Api;
use kvs_media::time::Utc;
use kvs_wire::{EpochSeconds, FragmentSelectorType, limits};
use serde::Deserialize;
use thiserror::Error;

/// How a session moves through what is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Mode {
    /// With what comes in.
    Live,
    /// With what came in from some time on, as fast as it came.
    LiveReplay,
    /// A range, as it is.
    OnDemand,
}

/// What a player is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// HLS of fragmented MP4.
    HlsMp4,
    /// HLS of MPEG-TS.
    HlsTs,
    /// DASH.
    Dash,
}

impl Format {
    pub(crate) const fn api(self) -> Api {
        match self {
            Self::HlsMp4 => Api::HlsFmp4,
            Self::HlsTs => Api::HlsTs,
            Self::Dash => Api::Dash,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Container {
    #[serde(rename = "FRAGMENTED_MP4")]
    FragmentedMp4,
    #[serde(rename = "MPEG_TS")]
    MpegTs,
}

/// Where a playlist says that fragments do not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Discontinuities {
    /// Between any two.
    Always,
    /// Nowhere.
    Never,
    /// Where time jumps.
    OnDiscontinuity,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Display {
    Always,
    #[default]
    Never,
}

/// A range of time, in the order of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: Utc,
    /// Without one it goes on.
    pub(crate) end: Option<Utc>,
}

/// What a session plays, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) format: Format,
    pub(crate) mode: Mode,
    pub(crate) clock: FragmentSelectorType,
    pub(crate) range: Option<Range>,
    pub(crate) discontinuities: Discontinuities,
    pub(crate) shows_times: bool,
    pub(crate) shows_numbers: bool,
    /// Seconds.
    pub(crate) expires: u16,
    /// Fragments in a playlist.
    pub(crate) most: u16,
}

/// What a clip is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClipWish {
    pub(crate) clock: FragmentSelectorType,
    pub(crate) start: Utc,
    pub(crate) end: Utc,
}

/// What is wrong with a request. Each is an `InvalidArgumentException`.
#[derive(Debug, Error)]
pub(crate) enum WishError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{field} must be given when PlaybackMode is {mode}.")]
    Missing { field: &'static str, mode: Mode },
    #[error("TimestampRange must not be given when PlaybackMode is LIVE.")]
    RangeOfLive,
    #[error("EndTimestamp must be later than StartTimestamp.")]
    Backwards,
    #[error("EndTimestamp must be within 24 hours of StartTimestamp.")]
    TooLong,
    #[error("EndTimestamp must be in the past when FragmentSelectorType is SERVER_TIMESTAMP.")]
    Future,
    #[error("{field} must be from {least} to {most}.")]
    Beyond { field: &'static str, least: i64, most: i64 },
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "LIVE",
            Self::LiveReplay => "LIVE_REPLAY",
            Self::OnDemand => "ON_DEMAND",
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskSession {
    playback_mode: Option<Mode>,
    #[serde(rename = "HLSFragmentSelector")]
    of_hls: Option<AskSelector>,
    #[serde(rename = "DASHFragmentSelector")]
    of_dash: Option<AskSelector>,
    container_format: Option<Container>,
    discontinuity_mode: Option<Discontinuities>,
    display_fragment_timestamp: Option<Display>,
    display_fragment_number: Option<Display>,
    expires: Option<i64>,
    max_media_playlist_fragment_results: Option<i64>,
    max_manifest_fragment_results: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskSelector {
    fragment_selector_type: Option<FragmentSelectorType>,
    timestamp_range: Option<AskRange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskRange {
    start_timestamp: Option<EpochSeconds>,
    end_timestamp: Option<EpochSeconds>,
}

/// Both ends, checked against each other and the time.
fn checked(clock: FragmentSelectorType, range: Range, now: Utc) -> Result<Range, WishError> {
    let Some(end) = range.end else { return Ok(range) };
    match end.since(range.start) {
        None | Some(Duration::ZERO) => return Err(WishError::Backwards),
        Some(length) if length > limits::PLAYBACK_RANGE => return Err(WishError::TooLong),
        Some(_) => {}
    }
    if clock == FragmentSelectorType::ServerTimestamp && end > now {
        return Err(WishError::Future);
    }
    Ok(range)
}

impl Wish {
    /// Of the body of GetHLSStreamingSessionURL or, for DASH, of GetDASHStreamingSessionURL.
    pub(crate) fn of_session(dash: bool, body: &[u8], now: Utc) -> Result<Self, WishError> {
        let ask: AskSession = serde_json::from_slice(body)?;
        let mode = ask.playback_mode.unwrap_or(Mode::Live);
        let missing = |field| WishError::Missing { field, mode };
        let (of, selector, field, most) = if dash {
            let most = ask.max_manifest_fragment_results;
            ("DASHFragmentSelector", ask.of_dash, "MaxManifestFragmentResults", most)
        } else {
            let most = ask.max_media_playlist_fragment_results;
            ("HLSFragmentSelector", ask.of_hls, "MaxMediaPlaylistFragmentResults", most)
        };
        if selector.is_none() && mode != Mode::Live {
            return Err(missing(of));
        }
        let (clock, asked) = match selector {
            Some(selector) => (selector.fragment_selector_type, selector.timestamp_range),
            None => (None, None),
        };
        let clock = clock.unwrap_or(FragmentSelectorType::ServerTimestamp);
        let range = match (mode, asked) {
            (Mode::Live, None) => None,
            (Mode::Live, Some(_)) => return Err(WishError::RangeOfLive),
            (_, None) => return Err(missing("TimestampRange")),
            (_, Some(AskRange { start_timestamp, end_timestamp })) => {
                let start = start_timestamp.ok_or_else(|| missing("StartTimestamp"))?.0;
                let end = end_timestamp.map(Utc::from);
                if end.is_none() && mode == Mode::OnDemand {
                    return Err(missing("EndTimestamp"));
                }
                Some(checked(clock, Range { start, end }, now)?)
            }
        };
        let format = match (dash, ask.container_format) {
            (true, _) => Format::Dash,
            (false, Some(Container::MpegTs)) => Format::HlsTs,
            (false, Some(Container::FragmentedMp4) | None) => Format::HlsMp4,
        };
        let discontinuities = ask.discontinuity_mode.unwrap_or(match clock {
            FragmentSelectorType::ServerTimestamp => Discontinuities::Always,
            FragmentSelectorType::ProducerTimestamp => Discontinuities::Never,
        });
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let expires = within(
            "Expires",
            ask.expires.unwrap_or(seconds(limits::PLAYBACK_EXPIRES)),
            seconds(limits::PLAYBACK_EXPIRES)..=seconds(limits::PLAYBACK_MAX_EXPIRES),
        )?;
        let usual = match mode {
            Mode::Live | Mode::LiveReplay => limits::PLAYBACK_LIVE_FRAGMENTS,
            Mode::OnDemand => limits::PLAYBACK_ON_DEMAND_FRAGMENTS,
        };
        Ok(Self {
            format,
            mode,
            clock,
            range,
            discontinuities,
            shows_times: ask.display_fragment_timestamp == Some(Display::Always),
            shows_numbers: ask.display_fragment_number == Some(Display::Always),
            expires,
            most: within(field, most.unwrap_or(usual.into()), 1..=limits::PLAYBACK_FRAGMENTS.into())?,
        })
    }
}

fn within(field: &'static str, value: i64, range: std::ops::RangeInclusive<i64>) -> Result<u16, WishError> {
    let beyond = WishError::Beyond { field, least: *range.start(), most: *range.end() };
    u16::try_from(value).ok().filter(|_| range.contains(&value)).ok_or(beyond)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskClip {
    clip_fragment_selector: AskClipSelector,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskClipSelector {
    fragment_selector_type: FragmentSelectorType,
    timestamp_range: AskClipRange,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskClipRange {
    start_timestamp: EpochSeconds,
    end_timestamp: EpochSeconds,
}

impl ClipWish {
    /// Of the body of GetClip.
    pub(crate) fn of_clip(body: &[u8], now: Utc) -> Result<Self, WishError> {
        let AskClip { clip_fragment_selector: selector } = serde_json::from_slice(body)?;
        let (clock, range) = (selector.fragment_selector_type, selector.timestamp_range);
        let (start, end) = (range.start_timestamp.0, range.end_timestamp.0);
        checked(clock, Range { start, end: Some(end) }, now)?;
        Ok(Self { clock, start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Utc = Utc::from_nanos(1_700_000_000_000_000_000);

    fn hls(body: &Value) -> Result<Wish, WishError> {
        Wish::of_session(false, body.to_string().as_bytes(), NOW)
    }

    fn range(kind: &str, start: f64, end: impl Into<Option<f64>>) -> Value {
        let mut range = json!({ "StartTimestamp": start });
        if let Some(end) = end.into() {
            range["EndTimestamp"] = json!(end);
        }
        json!({ "FragmentSelectorType": kind, "TimestampRange": range })
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let wish = hls(&json!({ "StreamName": "s", "PlaybackMode": null })).unwrap();
        let expected = Wish {
            format: Format::HlsMp4,
            mode: Mode::Live,
            clock: FragmentSelectorType::ServerTimestamp,
            range: None,
            discontinuities: Discontinuities::Always,
            shows_times: false,
            shows_numbers: false,
            expires: 300,
            most: 5,
        };
        assert_eq!(wish, expected);
        let replay = hls(&json!({ "PlaybackMode": "LIVE_REPLAY",
            "HLSFragmentSelector": range("PRODUCER_TIMESTAMP", 1.5, None) }))
        .unwrap();
        let start = Utc::from_nanos(1_500_000_000);
        assert_eq!((replay.most, replay.range), (5, Some(Range { start, end: None })));
        assert_eq!(replay.discontinuities, Discontinuities::Never);
        let all = json!({ "PlaybackMode": "ON_DEMAND", "DASHFragmentSelector": range("SERVER_TIMESTAMP", 1.0, 2.0),
            "Expires": 43_200, "MaxManifestFragmentResults": 5_000,
            "DisplayFragmentTimestamp": "ALWAYS", "DisplayFragmentNumber": "ALWAYS" });
        let dash = Wish::of_session(true, all.to_string().as_bytes(), NOW).unwrap();
        assert_eq!((dash.format, dash.expires, dash.most), (Format::Dash, 43_200, 5_000));
        assert!(dash.shows_times && dash.shows_numbers);
        let demand = json!({ "PlaybackMode": "ON_DEMAND", "ContainerFormat": "MPEG_TS",
            "HLSFragmentSelector": range("SERVER_TIMESTAMP", 1.0, 2.0), "DiscontinuityMode": "ON_DISCONTINUITY" });
        let demand = hls(&demand).unwrap();
        assert_eq!((demand.format, demand.most), (Format::HlsTs, 1_000));
        assert_eq!(demand.discontinuities, Discontinuities::OnDiscontinuity);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let server = |start, end: Option<f64>| range("SERVER_TIMESTAMP", start, end);
        let demand =
            |selector: Value| json!({ "PlaybackMode": "ON_DEMAND", "HLSFragmentSelector": selector });
        let now = 1_700_000_000.0;
        for (body, said) in [
            (json!({ "PlaybackMode": "ON_DEMAND" }), "HLSFragmentSelector must be given"),
            (
                json!({ "PlaybackMode": "LIVE_REPLAY", "HLSFragmentSelector": {} }),
                "TimestampRange must be given",
            ),
            (json!({ "HLSFragmentSelector": server(1.0, None) }), "TimestampRange must not be given"),
            (demand(server(1.0, None)), "EndTimestamp must be given when PlaybackMode is ON_DEMAND"),
            (demand(json!({ "TimestampRange": { "EndTimestamp": 1 } })), "StartTimestamp must be given"),
            (demand(server(2.0, Some(2.0))), "later than"),
            (demand(server(2.0, Some(1.0))), "later than"),
            (demand(server(1.0, Some(86_402.0))), "within 24 hours"),
            (demand(server(now, Some(now + 1.0))), "in the past"),
            (json!({ "Expires": 299 }), "Expires must be from 300 to 43200"),
            (json!({ "Expires": 43_201 }), "Expires must be from 300 to 43200"),
            (json!({ "MaxMediaPlaylistFragmentResults": 0 }), "must be from 1 to 5000"),
            (json!({ "MaxMediaPlaylistFragmentResults": 5_001 }), "must be from 1 to 5000"),
            (json!({ "MaxMediaPlaylistFragmentResults": -1 }), "must be from 1 to 5000"),
            (json!({ "PlaybackMode": "BACKWARDS" }), "unknown variant `BACKWARDS`"),
            (json!({ "ContainerFormat": "AVI" }), "unknown variant `AVI`"),
            (json!([1]), "expected value"),
        ] {
            let error = hls(&body).unwrap_err().to_string();
            assert!(error.contains(said), "{body}: {error}");
        }
        // The producer's clock may be ahead, and 24 hours are not too long.
        assert!(hls(&demand(range("PRODUCER_TIMESTAMP", now, now + 1.0))).is_ok());
        assert!(hls(&demand(server(1.0, Some(86_401.0)))).is_ok());
    }

    #[test]
    fn a_clip_needs_everything() {
        let clip = |body: Value| ClipWish::of_clip(body.to_string().as_bytes(), NOW);
        let wish = clip(json!({ "ClipFragmentSelector": range("SERVER_TIMESTAMP", 1.0, 2.5) })).unwrap();
        assert_eq!((wish.start.millis(), wish.end.millis()), (1_000, 2_500));
        for body in [
            json!({}),
            json!({ "ClipFragmentSelector": { "FragmentSelectorType": "SERVER_TIMESTAMP" } }),
            json!({ "ClipFragmentSelector": range("SERVER_TIMESTAMP", 1.0, None) }),
            json!({ "ClipFragmentSelector": range("SERVER_TIMESTAMP", 2.0, 1.0) }),
            json!({ "ClipFragmentSelector": range("NOW", 1.0, 2.0) }),
        ] {
            assert!(clip(body.clone()).is_err(), "{body}");
        }
    }
}
