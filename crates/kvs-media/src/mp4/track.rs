//! A track as MP4 describes it.

use bytes::{BufMut, Bytes};

use super::Mp4Error;
use super::boxes::{FourCc, put_box, put_full_box, put_zeros};
use crate::codec::aac::AudioSpecificConfig;
use crate::codec::h264::AvcConfig;
use crate::codec::h265::{self, HevcConfig};
use crate::codec::{Codec, CodecError, Description, FrameRate, Picture, Sound, aac_config, describe};
use crate::time::TimecodeScale;
use crate::timing::TrackClock;
use crate::{Track, TrackKind, TrackNumber, VideoShape};

/// A track of a document, as MP4 describes it. One that is equal needs no other init segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mp4Track {
    id: u32,
    codec: Codec,
    rfc6381: String,
    size: Option<VideoShape>,
    frame_rate: Option<FrameRate>,
    sound: Option<Sound>,
    clock: TrackClock,
    /// `language` of mdhd.
    language: u16,
    /// `width` and `height` of tkhd: how large to show it, in square pixels, 16.16.
    shown: (u32, u32),
    /// The box within stsd.
    entry: Bytes,
}

impl Mp4Track {
    /// The track of a document whose ticks are of this scale. Its id is its number.
    ///
    /// H.264, H.265, AAC and G.711 have a form. The record of a video codec is carried over as it is.
    ///
    /// # Errors
    /// When the codec has no form, its private data is missing or broken, or a value does not fit.
    pub fn new(track: &Track, scale: TimecodeScale) -> Result<Self, Mp4Error> {
        let number = track.number;
        let id = u32::try_from(number.0).ok().filter(|id| (1..u32::MAX).contains(id));
        let id = id.ok_or(Mp4Error::Number(number))?;
        if track.encoded {
            return Err(Mp4Error::Encoded(number));
        }
        let private = |error| match error {
            CodecError::Unknown(codec_id) => Mp4Error::Unsupported { track: number, codec_id },
            error => Mp4Error::Private { track: number, error },
        };
        let described = describe(track).map_err(private)?;
        let (entry, shown) = entry(track, &described)?;
        Ok(Self {
            id,
            codec: described.codec,
            rfc6381: described.rfc6381.unwrap_or_default(),
            size: described.size,
            frame_rate: described.frame_rate,
            sound: described.sound,
            clock: TrackClock::of(track, scale).map_err(private)?,
            language: language(&track.language),
            shown,
            entry,
        })
    }

    /// `track_ID`: the number that the document gives it.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What it carries.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Its codec string, such as `avc1.42c032`, `hvc1.1.6.L93.B0`, `mp4a.40.2`.
    pub fn rfc6381(&self) -> &str {
        &self.rfc6381
    }

    /// Columns and rows of its pictures, by their parameter sets.
    pub const fn size(&self) -> Option<VideoShape> {
        self.size
    }

    /// Pictures a second, where the parameter sets or the document say so.
    pub const fn frame_rate(&self) -> Option<FrameRate> {
        self.frame_rate
    }

    /// Rate and channels of its sound.
    pub const fn sound(&self) -> Option<Sound> {
        self.sound
    }

    /// Units a second of its times.
    pub const fn timescale(&self) -> u32 {
        self.clock.timescale().get()
    }

    /// Its clock.
    pub const fn clock(&self) -> &TrackClock {
        &self.clock
    }

    pub(super) fn is_video(&self) -> bool {
        self.codec.kind() == TrackKind::Video
    }

    pub(super) const fn language(&self) -> u16 {
        self.language
    }

    pub(super) const fn shown(&self) -> (u32, u32) {
        self.shown
    }

    pub(super) fn entry(&self) -> &[u8] {
        &self.entry
    }
}

/// The box of stsd, and width and height of tkhd.
fn entry(track: &Track, described: &Description) -> Result<(Bytes, (u32, u32)), Mp4Error> {
    let number = track.number;
    let private = |error| Mp4Error::Private { track: number, error };
    let needs = |held: bool, part, rule| {
        if held { Ok(()) } else { Err(private(CodecError::Broken { part, rule })) }
    };
    let mut out = Vec::with_capacity(track.codec_private.len().saturating_add(128));
    let mut shown = (0, 0);
    match described.codec {
        // What another wrapping holds is no record as it is.
        codec @ (Codec::H264 | Codec::H265) if track.codec_id == codec.codec_id() => {
            let Some(picture) = described.picture else { return Err(private(CodecError::MissingPrivate)) };
            let mut record = track.codec_private.to_vec();
            let kinds: [&FourCc; 2] = if codec == Codec::H264 {
                let config = AvcConfig::parse(&track.codec_private).map_err(private)?;
                needs(!config.pps.is_empty(), "avcC", "needs a PPS")?;
                [b"avc1", b"avcC"]
            } else {
                let config = HevcConfig::parse(&track.codec_private).map_err(private)?;
                needs(config.units(h265::VPS).next().is_some(), "hvcC", "needs a VPS")?;
                needs(config.units(h265::PPS).next().is_some(), "hvcC", "needs a PPS")?;
                // Version 0, of before the record was final, is the same but for its number.
                record.first_mut().into_iter().for_each(|version| *version = 1);
                [b"hvc1", b"hvcC"]
            };
            shown = shown_size(&picture);
            put_visual(&mut out, kinds, number, &picture, &record)?;
        }
        Codec::Aac => {
            let config = aac_config(track).map_err(private)?;
            let specific = if track.codec_private.is_empty() {
                config.write().map_err(private)?
            } else {
                track.codec_private.clone()
            };
            put_mp4a(&mut out, &config, &specific);
        }
        codec @ (Codec::Alaw | Codec::Mulaw) => {
            let Some(sound) = described.sound else { return Err(private(CodecError::MissingPrivate)) };
            // QuickTime's entries; the samples that come out are of 16 bits.
            let kind = if codec == Codec::Alaw { b"alaw" } else { b"ulaw" };
            put_box(&mut out, kind, |out| put_audio_fields(out, sound.channels, sound.rate));
        }
        _ => return Err(Mp4Error::Unsupported { track: number, codec_id: track.codec_id.clone() }),
    }
    Ok((out.into(), shown))
}

/// VisualSampleEntry (ISO 14496-12 12.1.3) with a record of ISO 14496-15.
fn put_visual(
    out: &mut Vec<u8>,
    [kind, record_kind]: [&FourCc; 2],
    track: TrackNumber,
    picture: &Picture,
    record: &[u8],
) -> Result<(), Mp4Error> {
    let Picture { width, height, .. } = *picture;
    let (Ok(columns), Ok(rows)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(Mp4Error::Size { track, width, height });
    };
    put_box(out, kind, |out| {
        put_zeros(out, 6);
        out.put_u16(1);
        put_zeros(out, 16);
        out.put_u16(columns);
        out.put_u16(rows);
        // 72 dots an inch, one frame a sample, no name of a compressor, 24 bits of colour.
        out.put_u32(0x0048_0000);
        out.put_u32(0x0048_0000);
        put_zeros(out, 4);
        out.put_u16(1);
        put_zeros(out, 32);
        out.put_u16(0x0018);
        out.put_i16(-1);
        put_box(out, record_kind, |out| out.put_slice(record));
        if let Some((horizontal, vertical)) = aspect(picture) {
            put_box(out, b"pasp", |out| {
                out.put_u32(horizontal);
                out.put_u32(vertical);
            });
        }
    });
    Ok(())
}

/// The shape of a pixel, where it is told and is one.
fn aspect(picture: &Picture) -> Option<(u32, u32)> {
    picture.pixel_aspect.filter(|(x, y)| *x > 0 && *y > 0)
}

/// The size in square pixels, 16.16: the width follows the shape of a pixel.
fn shown_size(picture: &Picture) -> (u32, u32) {
    let (x, y) = aspect(picture).unwrap_or((1, 1));
    let wide = u128::from(picture.width).saturating_mul(u128::from(x)) << 16;
    let width = wide.checked_div(u128::from(y)).unwrap_or_default();
    (u32::try_from(width).unwrap_or(u32::MAX), picture.height.saturating_mul(1 << 16))
}

/// The fields of an AudioSampleEntry (ISO 14496-12 12.2.3).
fn put_audio_fields(out: &mut Vec<u8>, channels: u32, rate: u32) {
    put_zeros(out, 6);
    out.put_u16(1);
    put_zeros(out, 8);
    out.put_u16(u16::try_from(channels).unwrap_or(u16::MAX));
    out.put_u16(16);
    put_zeros(out, 4);
    // 16.16; the rates that do not fit are told by the codec's configuration.
    out.put_u16(u16::try_from(rate).unwrap_or_default());
    out.put_u16(0);
}

/// MP4AudioSampleEntry (ISO 14496-14 6.7.2).
fn put_mp4a(out: &mut Vec<u8>, config: &AudioSpecificConfig, specific: &[u8]) {
    put_box(out, b"mp4a", |out| {
        put_audio_fields(out, u32::from(config.output_channels()), config.output_rate());
        put_full_box(out, b"esds", 0, 0, |out| {
            // ES_Descriptor (ISO 14496-1 7.2.6): id 0, no flags.
            put_descriptor(out, 0x03, |out| {
                put_zeros(out, 3);
                // DecoderConfigDescriptor: audio of ISO 14496-3, an audio stream; no buffer size and bit rates told.
                put_descriptor(out, 0x04, |out| {
                    out.put_slice(&[0x40, 0x15]);
                    put_zeros(out, 11);
                    put_descriptor(out, 0x05, |out| out.put_slice(specific));
                });
                // SLConfigDescriptor: as in MP4.
                put_descriptor(out, 0x06, |out| out.put_u8(2));
            });
        });
    });
}

/// A descriptor with a length of four bytes, seven bits each.
fn put_descriptor(out: &mut Vec<u8>, tag: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.put_u8(tag);
    let at = out.len();
    out.put_u32(0);
    content(out);
    let len = out.len().saturating_sub(at).saturating_sub(4);
    let bits = |shift: u32, more: u8| u8::try_from(len >> shift & 0x7f).unwrap_or_default() | more;
    if let Some(field) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = [bits(21, 0x80), bits(14, 0x80), bits(7, 0x80), bits(0, 0)];
    }
}

/// ISO 639-2 as mdhd packs it; `und` for anything else.
fn language(code: &str) -> u16 {
    let letters: [u8; 3] = match code.as_bytes().try_into() {
        Ok(letters) if code.bytes().all(|letter| letter.is_ascii_lowercase()) => letters,
        _ => *b"und",
    };
    letters.iter().fold(0, |packed, letter| packed << 5 | u16::from(letter.wrapping_sub(0x60) & 0x1f))
}
