//! Playlists of HLS (RFC 8216), as kvs-api 6.4 has them.

use std::fmt::{self, Write as _};
use std::time::Duration;

use kvs_media::TrackNumber;
use kvs_media::time::Utc;

use super::program::{Played, Program};
use super::request::{Discontinuities, Format, Mode, Wish};
use super::timeline::{Entry, Window};

pub(crate) const MEDIA_PLAYLIST: &str = "getHLSMediaPlaylist.m3u8";
pub(crate) const MASTER_PLAYLIST: &str = "getHLSMasterPlaylist.m3u8";
pub(crate) const MP4_INIT: &str = "getMP4InitFragment.mp4";
pub(crate) const MP4_MEDIA: &str = "getMP4MediaFragment.mp4";
pub(crate) const TS_MEDIA: &str = "getTSFragment.ts";

/// The playlist of playlists. `bits` is the highest rate of any fragment, in bits a second.
pub(crate) fn master(wish: &Wish, program: &Program, bits: u64, token: &str) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:1\n".to_owned();
    let [first, rest @ ..] = program.tracks() else { return text };
    let beside = rest.first().filter(|_| wish.format == Format::HlsMp4);
    if let Some(sound) = beside {
        let uri = playlist_uri(token, sound.track.number);
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:AUTOSELECT=YES,FORCED=NO,TYPE=AUDIO,URI=\"{uri}\",GROUP-ID=\"audio\",DEFAULT=NO,NAME=\"audio\"",
        );
    }
    let _ = write!(text, "#EXT-X-STREAM-INF:CODECS=\"{}\"{}", program.codecs(), Shape(first));
    let _ = write!(text, ",BANDWIDTH={}", bits.max(1));
    if beside.is_some() {
        text.push_str(",AUDIO=\"audio\"");
    }
    let _ = writeln!(text, "\n{}", playlist_uri(token, first.track.number));
    text
}

fn playlist_uri(token: &str, track: TrackNumber) -> String {
    format!("{MEDIA_PLAYLIST}?SessionToken={token}&TrackNumber={track}")
}

/// How large the pictures are, and how many come in a second, where that is known.
struct Shape<'a>(&'a Played);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = &self.0.description;
        if let Some(size) = description.size {
            write!(f, ",RESOLUTION={}x{}", size.width, size.height)?;
        }
        if let Some(rate) = description.frame_rate {
            write!(
                f,
                ",FRAME-RATE={}",
                Decimal(u64::from(rate.frames) * 1_000 / u64::from(rate.seconds.max(1)))
            )?;
        }
        Ok(())
    }
}

/// The playlist of a track, or, with MPEG-TS, of all.
pub(crate) fn media(wish: &Wish, window: &Window<'_>, token: &str, track: TrackNumber) -> String {
    let mp4 = wish.format == Format::HlsMp4;
    let mut text = String::with_capacity(256 + window.entries.len() * (token.len() + 160));
    let _ = writeln!(text, "#EXTM3U\n#EXT-X-VERSION:{}", if mp4 { 7 } else { 6 });
    if wish.mode == Mode::OnDemand {
        text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n");
    }
    let _ = writeln!(text, "#EXT-X-TARGETDURATION:{}", whole_seconds(window.longest));
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", window.sequence);
    if wish.discontinuities != Discontinuities::Never && wish.mode != Mode::OnDemand {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", window.discontinuities);
    }
    text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    let mut header = None;
    for entry in window.entries {
        segment(&mut text, wish, entry, &mut header, token, track);
    }
    if window.ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

fn segment(
    text: &mut String,
    wish: &Wish,
    entry: &Entry,
    header: &mut Option<usize>,
    token: &str,
    track: TrackNumber,
) {
    if entry.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let mp4 = wish.format == Format::HlsMp4;
    if mp4 && *header != Some(entry.header) {
        *header = Some(entry.header);
        let place = entry.header;
        let _ = writeln!(
            text,
            "#EXT-X-MAP:URI=\"{MP4_INIT}?SessionToken={token}&TrackNumber={track}&SequenceNumber={place}\"",
        );
    }
    if wish.shows_times {
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", Iso(entry.start));
    }
    let _ = writeln!(text, "#EXTINF:{},", Decimal(millis(entry.duration)));
    let number = entry.number;
    let _ = if mp4 {
        writeln!(text, "{MP4_MEDIA}?FragmentNumber={number}&SessionToken={token}&TrackNumber={track}")
    } else {
        writeln!(text, "{TS_MEDIA}?FragmentNumber={number}&SessionToken={token}")
    };
}

/// The highest rate of a fragment, in bits a second.
pub(crate) fn bits(entries: &[Entry]) -> u64 {
    let rate = |entry: &Entry| entry.bytes.saturating_mul(8_000) / millis(entry.duration).max(1);
    entries.iter().map(rate).max().unwrap_or(0)
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn whole_seconds(span: Duration) -> u64 {
    millis(span).div_ceil(1_000).max(1)
}

/// Thousandths as a decimal without needless zeros.
struct Decimal(u64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000, self.0 % 1_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// An instant to the millisecond: `2023-05-17T13:48:35.994Z`.
pub(crate) struct Iso(pub(crate) Utc);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.millis().div_euclid(1_000).checked_mul(1_000).and_then(Utc::from_millis);
        let text = whole.unwrap_or(Utc::EPOCH).to_string();
        let seconds = text.get(..19).unwrap_or_default();
        write!(f, "{seconds}.{:03}Z", self.0.millis().rem_euclid(1_000))
    }
}
