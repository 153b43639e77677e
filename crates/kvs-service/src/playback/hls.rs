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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playback::facts::Facts;
    use crate::playback::program::tests::{program, program_of};
    use crate::playback::request::Range;
    use crate::playback::ticket::Ticket;
    use crate::playback::timeline::Timeline;
    use crate::store::{Number, StreamId};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ZERO: Utc = Utc::from_nanos(1_700_000_000_000_000_000);
    const TOKEN: &str = "Ci~";

    fn after(millis: u64) -> Utc {
        ZERO.checked_add(Duration::from_millis(millis)).unwrap()
    }

    /// What stands for a segment: its tags, in order, and its URI.
    #[derive(Debug, Default, PartialEq)]
    struct Segment {
        discontinuity: bool,
        map: Option<String>,
        date: Option<String>,
        seconds: f64,
        uri: String,
    }

    /// A media playlist by the rules of RFC 8216; what breaks one of them is a panic.
    #[derive(Debug, Default)]
    struct Read {
        target: u64,
        sequence: u64,
        discontinuities: Option<u64>,
        vod: bool,
        ended: bool,
        segments: Vec<Segment>,
    }

    impl Read {
        fn of(text: &str) -> Self {
            let (mut read, mut next, mut version) = (Self::default(), Segment::default(), 1);
            let (mut map, mut seen): (Option<String>, BTreeMap<&str, usize>) = Default::default();
            assert!(text.ends_with('\n') && !text.contains('\r') && !text.contains("\n\n"));
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("#EXTM3U"), "4.3.1.1");
            for line in lines {
                assert!(!read.ended, "4.3.3.4 may be anywhere, and ours is the last");
                let (tag, value) = line.split_once(':').unwrap_or((line, ""));
                let header = matches!(
                    tag,
                    "#EXT-X-VERSION"
                        | "#EXT-X-TARGETDURATION"
                        | "#EXT-X-MEDIA-SEQUENCE"
                        | "#EXT-X-DISCONTINUITY-SEQUENCE"
                        | "#EXT-X-PLAYLIST-TYPE"
                        | "#EXT-X-INDEPENDENT-SEGMENTS"
                );
                if header {
                    *seen.entry(tag).or_default() += 1;
                    assert_eq!(seen[tag], 1, "{tag} is there twice");
                    assert!(read.segments.is_empty() && next == Segment::default(), "{tag} behind a segment");
                }
                match tag {
                    "#EXT-X-VERSION" => version = value.parse().unwrap(),
                    "#EXT-X-TARGETDURATION" => read.target = value.parse().unwrap(),
                    "#EXT-X-MEDIA-SEQUENCE" => read.sequence = value.parse().unwrap(),
                    "#EXT-X-DISCONTINUITY-SEQUENCE" => read.discontinuities = Some(value.parse().unwrap()),
                    "#EXT-X-PLAYLIST-TYPE" => read.vod = value == "VOD",
                    "#EXT-X-INDEPENDENT-SEGMENTS" => assert!(version >= 6, "section 7"),
                    "#EXT-X-DISCONTINUITY" => next.discontinuity = true,
                    "#EXT-X-MAP" => {
                        assert!(version >= 6, "section 7");
                        map = Some(value.to_owned());
                    }
                    "#EXT-X-PROGRAM-DATE-TIME" => next.date = Some(value.to_owned()),
                    "#EXTINF" => {
                        let seconds = value.strip_suffix(',').expect("a comma");
                        assert!(version >= 3 || !seconds.contains('.'), "section 7");
                        next.seconds = seconds.parse().unwrap();
                    }
                    "#EXT-X-ENDLIST" => read.ended = true,
                    _ if tag.starts_with('#') => panic!("{line} is not known"),
                    _ => {
                        next.uri = line.to_owned();
                        next.map = map.clone();
                        read.segments.push(std::mem::take(&mut next));
                    }
                }
            }
            assert!(read.target > 0 && next == Segment::default());
            for segment in &read.segments {
                assert!(segment.seconds.round() <= read.target as f64, "4.3.3.1: {segment:?}");
            }
            assert!(!read.vod || (read.ended && read.sequence == 0), "4.3.3.5");
            read
        }

        /// What may have become of a playlist (6.2.1, 6.2.2).
        fn assert_follows(&self, before: &Self) {
            assert!(self.target >= before.target && self.sequence >= before.sequence);
            assert!(!before.ended || self.segments == before.segments, "it had ended");
            let gone = usize::try_from(self.sequence - before.sequence).unwrap();
            let kept = before.segments.get(gone..).unwrap_or_default();
            assert!(self.segments.starts_with(kept), "{:#?} {:#?}", self.segments, before.segments);
            let left = before.segments.iter().take(gone).filter(|segment| segment.discontinuity).count();
            if let (Some(now), Some(then)) = (self.discontinuities, before.discontinuities)
                && gone <= before.segments.len()
            {
                assert_eq!(now, then + left as u64, "4.3.3.3");
            }
        }
    }

    fn any_wish() -> impl Strategy<Value = Wish> {
        let choices = (0..3_usize, 0..2_usize, 0..3_usize, any::<bool>(), 1_u16..12);
        choices.prop_map(|(mode, format, discontinuities, shows_times, most)| Wish {
            format: [Format::HlsMp4, Format::HlsTs][format],
            mode: [Mode::Live, Mode::LiveReplay, Mode::OnDemand][mode],
            range: (mode > 0).then_some(Range { start: ZERO, end: Some(after(10_000_000)) }),
            discontinuities: [
                Discontinuities::Always,
                Discontinuities::Never,
                Discontinuities::OnDiscontinuity,
            ][discontinuities],
            shows_times,
            most,
            ..Wish::of_session(false, b"{}", ZERO).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_playlist_follows_the_one_before(
            wish in any_wish(),
            steps in prop::collection::vec((0_u64..3_000, 1_u64..20_000, any::<bool>(), 0_u64..4_000), 1..60),
        ) {
            let first = Number { sequence: 0, server_ms: 0, tail: 0 };
            let ticket = Ticket { stream: StreamId(1), wish, created: ZERO, first, zero: ZERO };
            let programs = [program(), program_of("h264-baseline")];
            let (mut timeline, mut start, mut now) = (Timeline::new(ticket), 0, 0);
            let mut before: Option<Read> = None;
            let all: Vec<_> = steps.into_iter().enumerate().collect();
            let last = all.len() - 1;
            for (sequence, (gap, duration, changes, wait)) in all {
                start += gap;
                now += wait;
                let facts = Facts {
                    number: Number { sequence: sequence as u64, ..first },
                    producer_time: after(start),
                    server_time: after(start),
                    duration: Duration::from_millis(duration),
                    begins_with_key: true,
                    bytes: 1_000,
                    program: programs[usize::from(changes)].clone(),
                };
                start += duration;
                if wish.mode == Mode::OnDemand || !timeline.has_enough(after(now)) {
                    timeline.push(facts, after(now));
                }
                if sequence == last {
                    timeline.complete();
                }
                if wish.mode == Mode::OnDemand && sequence < last {
                    continue;
                }
                let window = timeline.window(after(now)).unwrap();
                let read = Read::of(&media(&wish, &window, TOKEN, TrackNumber(1)));
                prop_assert!(read.segments.len() <= usize::from(wish.most));
                prop_assert_eq!(read.vod, wish.mode == Mode::OnDemand);
                if let Some(before) = &before {
                    read.assert_follows(before);
                }
                let maps = read.segments.iter().all(|segment| segment.map.is_some());
                let dates = read.segments.iter().all(|segment| segment.date.is_some() == wish.shows_times);
                prop_assert!(maps == (wish.format == Format::HlsMp4 || read.segments.is_empty()) && dates);
                before = Some(read);
            }
        }
    }

    #[test]
    fn seconds_have_no_needless_zeros() {
        for (millis, text) in
            [(1_857, "1.857"), (1_010, "1.01"), (998, "0.998"), (2_680, "2.68"), (2_000, "2"), (5, "0.005")]
        {
            assert_eq!(Decimal(millis).to_string(), text);
        }
    }

    #[test]
    fn instants_are_written_to_the_millisecond() {
        assert_eq!(Iso(Utc::from_millis(1_684_331_315_994).unwrap()).to_string(), "2023-05-17T13:48:35.994Z");
        assert_eq!(Iso(Utc::from_millis(-1).unwrap()).to_string(), "1969-12-31T23:59:59.999Z");
    }
}
