//! Manifests of DASH (ISO 23009-1), in the shape that kvs-api 6.5 tells of.

use std::fmt::Write as _;
use std::time::Duration;

use kvs_media::TrackKind;
use kvs_media::time::Utc;

use super::hls::{Iso, MP4_INIT, MP4_MEDIA, bits, millis};
use super::program::{Played, Program};
use super::request::Mode;
use super::ticket::Ticket;
use super::timeline::{ORIGIN, Window};

pub(crate) const MANIFEST: &str = "getDASHManifest.mpd";

/// Players keep so far from the end of what is live, in fragments.
const DELAY: u32 = 3;

/// The manifest of a session.
pub(crate) fn manifest(
    ticket: &Ticket,
    program: &Program,
    window: &Window<'_>,
    token: &str,
    now: Utc,
) -> String {
    let wish = &ticket.wish;
    let mut text = String::with_capacity(2_048 + window.entries.len() * 2 * 90);
    text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"");
    if wish.shows_times || wish.shows_numbers {
        text.push_str(" xmlns:kvs=\"urn:kinesisvideo\"");
    }
    text.push_str(" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\"");
    let begins = window.entries.first().map_or(Duration::ZERO, |entry| entry.at);
    let ends = window.entries.last().map_or(Duration::ZERO, |entry| entry.at.saturating_add(entry.duration));
    let _ = write!(text, " minBufferTime=\"{}\"", Span(window.longest));
    if window.ended {
        let _ = write!(
            text,
            " type=\"static\" availabilityStartTime=\"{}\" mediaPresentationDuration=\"{}\"",
            Iso(available_from(ticket, window)),
            Span(ends.saturating_sub(zero(ticket, begins)))
        );
    } else {
        // A fragment can be had when it has ended: what is live ends now, by the clock that its times are of.
        let _ = write!(
            text,
            " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"{}\" \
             timeShiftBufferDepth=\"{}\" suggestedPresentationDelay=\"{}\"",
            Iso(available_from(ticket, window)),
            Iso(now),
            Span(window.longest.min(Duration::from_secs(2))),
            Span(ends.saturating_sub(begins)),
            Span(window.longest.saturating_mul(DELAY)),
        );
    }
    text.push_str(">\n<Period id=\"1\" start=\"PT0S\">\n");
    for played in program.tracks() {
        adaptation_set(&mut text, ticket, played, window, token);
    }
    text.push_str("</Period>\n");
    if !window.ended {
        let _ = writeln!(
            text,
            "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>",
            Iso(now)
        );
    }
    text.push_str("</MPD>\n");
    text
}

/// What presentation times count from. What is played as a whole begins with its beginning; what goes on keeps its zero,
/// also when it has ended.
fn zero(ticket: &Ticket, begins: Duration) -> Duration {
    if ticket.wish.mode == Mode::OnDemand { begins } else { ORIGIN }
}

/// The wall clock at that zero.
fn available_from(ticket: &Ticket, window: &Window<'_>) -> Utc {
    match ticket.wish.mode {
        // Whatever the producer's clock says.
        Mode::Live => ticket.first.server_time().unwrap_or(ticket.zero),
        // What a replay begins with is there at its beginning.
        Mode::LiveReplay => ticket.created.checked_sub(window.head).unwrap_or(ticket.created),
        Mode::OnDemand => ticket.created,
    }
}

fn adaptation_set(text: &mut String, ticket: &Ticket, played: &Played, window: &Window<'_>, token: &str) {
    let wish = &ticket.wish;
    let (track, description) = (played.track.number, &played.description);
    let (kind, mime) = match played.codec.kind() {
        TrackKind::Video => ("video", "video/mp4"),
        _ => ("audio", "audio/mp4"),
    };
    let codecs = description.rfc6381.as_deref().unwrap_or_default();
    let _ = writeln!(
        text,
        "<AdaptationSet id=\"{track}\" contentType=\"{kind}\" mimeType=\"{mime}\" segmentAlignment=\"true\" \
         startWithSAP=\"1\">"
    );
    // Only its own part of the bytes, but nobody chooses between tracks by it.
    let _ = write!(
        text,
        "<Representation id=\"{track}\" codecs=\"{codecs}\" bandwidth=\"{}\"",
        bits(window.entries)
    );
    if let Some(size) = description.size.filter(|_| kind == "video") {
        let _ = write!(text, " width=\"{}\" height=\"{}\"", size.width, size.height);
    }
    if let Some(rate) = description.frame_rate.filter(|_| kind == "video") {
        let _ = write!(text, " frameRate=\"{}\"", format_args!("{}/{}", rate.frames, rate.seconds));
    }
    if let Some(sound) = description.sound {
        let _ = write!(text, " audioSamplingRate=\"{}\"", sound.rate);
    }
    let query = format!("SessionToken={token}&amp;TrackNumber={track}");
    let zero = zero(ticket, window.entries.first().map_or(ORIGIN, |entry| entry.at));
    let _ = writeln!(
        text,
        ">\n<SegmentTemplate timescale=\"1000\" presentationTimeOffset=\"{}\" startNumber=\"{}\" \
         initialization=\"{MP4_INIT}?{query}\" media=\"{MP4_MEDIA}?{query}&amp;SequenceNumber=$Number$\">\n\
         <SegmentTimeline>",
        millis(zero),
        window.sequence.saturating_add(1),
    );
    for (index, entry) in window.entries.iter().enumerate() {
        let lasts = entry.lasts(window.entries.get(index + 1));
        let _ = write!(text, "<S t=\"{}\" d=\"{}\"", millis(entry.at), millis(lasts));
        if wish.shows_times {
            let _ = write!(text, " kvs:ts=\"{}\"", Iso(entry.start));
        }
        if wish.shows_numbers {
            let _ = write!(text, " kvs:fn=\"{}\"", entry.number);
        }
        text.push_str("/>\n");
    }
    text.push_str("</SegmentTimeline>\n</SegmentTemplate>\n</Representation>\n</AdaptationSet>\n");
}

/// A span as XML writes it.
struct Span(Duration);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = millis(self.0);
        write!(f, "PT{}.{:03}S", millis / 1_000, millis % 1_000)
    }
}
