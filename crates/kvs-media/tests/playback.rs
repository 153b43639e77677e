//! The table of "Video playback track requirements", row by row.
#![cfg(test)]

use bytes::Bytes;
use kvs_media::codec::opus::OpusHead;
use kvs_media::codec::wave::WaveFormat;
use kvs_media::codec::{Codec, CodecError};
use kvs_media::playback::{Api, Reason, check};
use kvs_media::{Track, TrackNumber};

fn track(number: u64, codec: Codec) -> Track {
    let mut track = Track::new(TrackNumber(number), codec.kind(), codec.codec_id());
    track.codec_private = match codec {
        Codec::H264 => Bytes::from_static(include_bytes!("data/codec/h264-high.avcC")),
        Codec::H265 => Bytes::from_static(include_bytes!("data/codec/h265-main.hvcC")),
        Codec::Av1 => Bytes::from_static(include_bytes!("data/codec/av1.av1C")),
        Codec::Aac => Bytes::from_static(&[0x12, 0x10]),
        Codec::Opus => OpusHead::simple(2, 48_000).write().unwrap(),
        Codec::Alaw | Codec::Mulaw => WaveFormat::g711(codec, 1, 8_000).unwrap().write(),
        _ => Bytes::new(),
    };
    track
}

fn pair(first: Codec, second: Codec) -> [Track; 2] {
    [track(1, first), track(2, second)]
}

/// The calls that play the tracks: clip, DASH, HLS fMP4, HLS TS, images.
fn played(tracks: &[Track]) -> [bool; 5] {
    let report = check(tracks);
    Api::ALL.map(|api| report.of(api).is_ok())
}

#[test]
fn each_row_of_the_table_is_played_and_nothing_else() {
    use Codec::{Aac, Alaw, Av1, Data, H264, H265, Mulaw, Opus, Vp8};
    let (y, n) = (true, false);
    let alone = [
        (H264, [y; 5]),
        (H265, [y, y, y, n, y]),
        (Aac, [n, y, y, y, n]),
        (Alaw, [n; 5]),
        (Av1, [n, n, n, n, y]),
        (Data, [n; 5]),
    ];
    for (codec, expected) in alone {
        assert_eq!(played(&[track(1, codec)]), expected, "{codec:?}");
    }
    let rows = [
        (H264, Aac, [y; 5]),
        (H264, Alaw, [y, y, n, n, y]),
        (H264, Mulaw, [n, y, n, n, y]),
        (H264, Opus, [n, n, n, n, y]),
        (H264, Data, [n, n, n, n, y]),
        (H264, H264, [n, n, n, n, y]),
        (H265, Aac, [y, y, y, n, y]),
        (H265, Alaw, [n, n, n, n, y]),
        (H265, Mulaw, [n, n, n, n, y]),
        (Aac, Aac, [n; 5]),
        (Vp8, Aac, [n, n, n, n, y]),
        (Aac, H264, [n; 5]),
    ];
    for (first, second, expected) in rows {
        assert_eq!(played(&pair(first, second)), expected, "{first:?} and {second:?}");
    }
    assert!(check(&pair(H264, Aac)).is_playable_everywhere());
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_the_service() {
    let mut tracks = pair(Codec::H264, Codec::Aac);
    tracks[1].codec_private = Bytes::new();
    let report = check(&tracks);
    let reasons = report.of(Api::HlsFmp4).unwrap_err();
    assert_eq!(reasons, [Reason::MissingPrivate { track: TrackNumber(2) }]);
    assert_eq!(reasons[0].to_string(), "Missing codec private data in fragment for track 2.");
    assert!(report.of(Api::GetImages).is_ok(), "track 2 does not matter to images");
    // The same for sound whose codec only the private data could name.
    tracks[1] = track(2, Codec::Alaw);
    tracks[1].codec_private = Bytes::new();
    assert_eq!(check(&tracks).of(Api::Dash).unwrap_err(), [Reason::MissingPrivate { track: TrackNumber(2) }]);
}

#[test]
fn private_data_that_cannot_be_read_is_named() {
    let mut annex_b = track(1, Codec::H264);
    annex_b.codec_private = Bytes::from_static(&[0, 0, 0, 1, 0x67]);
    let error = CodecError::Value { part: "avcC", field: "configurationVersion", value: 0 };
    assert_eq!(
        check(&[annex_b]).of(Api::GetClip).unwrap_err(),
        [Reason::InvalidPrivate { track: TrackNumber(1), error: error.clone() }]
    );
    let said = Reason::InvalidPrivate { track: TrackNumber(1), error }.to_string();
    assert_eq!(
        said,
        "Invalid codec private data in fragment for track 1: avcC: configurationVersion must not be 0."
    );
    // An avcC without a PPS cannot be played either.
    let mut cut = track(1, Codec::H264);
    let mut private = cut.codec_private.to_vec();
    private.truncate(8 + 26);
    private.push(0);
    cut.codec_private = private.into();
    let error = CodecError::Broken { part: "avcC", rule: "needs a PPS" };
    assert_eq!(
        check(&[cut]).of(Api::Dash).unwrap_err(),
        [Reason::InvalidPrivate { track: TrackNumber(1), error }]
    );
}

#[test]
fn order_number_and_count_are_told_apart() {
    let swapped = pair(Codec::Aac, Codec::H264);
    assert_eq!(check(&swapped).of(Api::HlsTs).unwrap_err(), [Reason::Order { video: TrackNumber(2) }]);
    let third = [track(1, Codec::H264), track(2, Codec::Aac), track(3, Codec::Data)];
    assert_eq!(check(&third).of(Api::GetClip).unwrap_err(), [Reason::TooManyTracks { count: 3 }]);
    let (expected, found) = (TrackNumber(1), TrackNumber(7));
    assert_eq!(
        check(&[track(7, Codec::H264)]).of(Api::Dash).unwrap_err(),
        [Reason::Numbering { expected, found }]
    );
    assert_eq!(check(&[]).of(Api::Dash).unwrap_err(), [Reason::NoTracks]);
    // The order of a list is not the order of its numbers.
    let [first, second] = pair(Codec::H264, Codec::Aac);
    assert!(check(&[second, first]).is_playable_everywhere());
}

#[test]
fn another_wrapping_or_encoding_is_not_played() {
    let mut wrapped = track(1, Codec::H264);
    let mut header = vec![0_u8; 40];
    header[16..20].copy_from_slice(b"H264");
    wrapped.codec_id = "V_MS/VFW/FOURCC".to_owned();
    wrapped.codec_private = header.into();
    let report = check(&[wrapped]);
    assert_eq!(
        report.of(Api::HlsFmp4).unwrap_err()[0].to_string(),
        "The codec V_MS/VFW/FOURCC is not supported in track 1."
    );
    let mut encoded = track(1, Codec::H264);
    encoded.encoded = true;
    assert_eq!(check(&[encoded]).of(Api::Dash).unwrap_err(), [Reason::Encoded { track: TrackNumber(1) }]);
    assert!(played(&[track(1, Codec::H264)]).iter().all(|yes| *yes));
}

#[test]
fn a_report_reads_line_by_line() {
    let text = check(&pair(Codec::H265, Codec::Alaw)).to_string();
    let refused = "The codec A_MS/ACM is not supported in track 2 beside V_MPEGH/ISO/HEVC.";
    let hls = "The codec V_MPEGH/ISO/HEVC is not supported in track 1.";
    assert_eq!(
        text,
        format!(
            "GetClip: no. {refused}\nDASH: no. {refused}\nHLS (fragmented MP4): no. {refused}\nHLS (MPEG-TS): no. {hls}\nGetImages: yes"
        )
    );
}
