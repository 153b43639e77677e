//! From caps to the header of a track.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::codec::av1::Av1Config;
use kvs_media::codec::opus::{ChannelMapping, OpusHead};
use kvs_media::codec::wave::WaveFormat;
use kvs_media::codec::{Codec, CodecError, Form, LengthSize, PcmFormat, data};
use kvs_media::{AudioShape, Track, TrackNumber, VideoShape};

/// Video that is taken. The caps of the incumbent, and wider.
pub(crate) static VIDEO: LazyLock<gst::Caps> = LazyLock::new(|| {
    parse(
        "video/x-h264, stream-format=(string){ avc, avc3, byte-stream }, alignment=(string)au; \
         video/x-h265, stream-format=(string){ hvc1, hev1, byte-stream }, alignment=(string)au; \
         video/x-h265, alignment=(string)au; \
         video/x-av1, stream-format=(string)obu-stream, alignment=(string){ tu, frame }; \
         video/x-vp8; video/x-vp9; image/jpeg",
    )
});

/// Sound that is taken.
pub(crate) static AUDIO: LazyLock<gst::Caps> = LazyLock::new(|| {
    parse(
        "audio/mpeg, mpegversion=(int){ 2, 4 }, stream-format=(string){ raw, adts }, channels=(int)[ 1, 8 ], \
         rate=(int)[ 1, 768000 ]; \
         audio/x-alaw, channels=(int)[ 1, 2 ], rate=(int)[ 8000, 192000 ]; \
         audio/x-mulaw, channels=(int)[ 1, 2 ], rate=(int)[ 8000, 192000 ]; \
         audio/x-opus; \
         audio/x-raw, format=(string){ S16LE, S16BE, U8, S24LE, S24BE, S32LE, S32BE, F32LE, F64LE }, \
         layout=(string)interleaved, channels=(int)[ 1, 64 ], rate=(int)[ 1, 768000 ]",
    )
});

fn parse(text: &str) -> gst::Caps {
    // A test reads both.
    text.parse().unwrap_or_else(|_| gst::Caps::new_empty())
}

/// How the payloads of a pad are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As the track has them.
    Plain,
    /// NAL units; without a form, the data tells.
    Nal(Option<Form>),
    /// Open bitstream units.
    Obu,
    /// Several AAC frames, each with a header.
    Adts,
}

/// What caps say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format {
    /// What it is.
    pub(crate) codec: Codec,
    /// How its payloads are framed.
    pub(crate) framing: Framing,
    /// The header as far as caps tell; its private data is not the last word where `framing` has something to take out.
    pub(crate) track: Track,
    /// The header is complete with what caps tell.
    pub(crate) complete: bool,
    /// How long a frame lasts; zero where that is not told.
    pub(crate) lasts: Duration,
}

/// Why caps cannot become a track.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CapsError {
    /// Not what a track for data carries: pads for media know more of it.
    #[error("{0} is no data: link it to a pad video_%u or audio_%u, by name or behind a queue")]
    Media(String),
    /// Not what any track carries.
    #[error("{0} is nothing that a stream can carry")]
    Unsupported(String),
    /// A field is missing or not what it should be.
    #[error("{media}: {field} is {problem}")]
    Field {
        /// The media type.
        media: String,
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// What the caps carry for the decoder cannot be read.
    #[error("{media}: {error}")]
    Codec {
        /// The media type.
        media: String,
        /// What is wrong.
        error: CodecError,
    },
}

impl Format {
    /// What caps of a video or audio pad say.
    ///
    /// # Errors
    /// When they cannot become a track.
    pub(crate) fn of_media(caps: &gst::CapsRef) -> Result<Self, CapsError> {
        let structure =
            caps.structure(0).ok_or_else(|| CapsError::Unsupported("a stream without caps".to_owned()))?;
        let fields = Fields(structure);
        match structure.name().as_str() {
            "video/x-h264" => fields.nal(Codec::H264),
            "video/x-h265" => fields.nal(Codec::H265),
            "video/x-av1" => fields.av1(),
            "video/x-vp8" => Ok(fields.video(Codec::Vp8, Framing::Plain)),
            "video/x-vp9" => Ok(fields.video(Codec::Vp9, Framing::Plain)),
            "image/jpeg" => Ok(fields.video(Codec::Mjpeg, Framing::Plain)),
            "audio/mpeg" => fields.aac(),
            "audio/x-opus" => fields.opus(),
            "audio/x-alaw" => fields.g711(Codec::Alaw),
            "audio/x-mulaw" => fields.g711(Codec::Mulaw),
            "audio/x-raw" => fields.pcm(),
            other => Err(CapsError::Unsupported(other.to_owned())),
        }
    }

    /// What caps of a pad for timed data say.
    ///
    /// # Errors
    /// When they cannot become a track.
    pub(crate) fn of_data(caps: &gst::CapsRef) -> Result<Self, CapsError> {
        // `tee ! kvssink` is linked to the one pad that takes whatever a tee may have.
        if [&VIDEO, &AUDIO].iter().any(|media| media.can_intersect(caps)) {
            let name = caps.structure(0).map_or_else(String::new, |structure| structure.name().to_string());
            return Err(CapsError::Media(name));
        }
        let text = caps.to_string();
        let private = data::write(&text).map_err(|error| CapsError::Codec {
            media: caps.structure(0).map_or_else(String::new, |structure| structure.name().to_string()),
            error,
        })?;
        let mut track = track(Codec::Data);
        track.codec_private = private;
        Ok(Self { codec: Codec::Data, framing: Framing::Plain, track, complete: true, lasts: Duration::ZERO })
    }
}

fn track(codec: Codec) -> Track {
    Track::new(TrackNumber(0), codec.kind(), codec.codec_id())
}

struct Fields<'a>(&'a gst::StructureRef);

impl Fields<'_> {
    fn nal(&self, codec: Codec) -> Result<Format, CapsError> {
        let framing = match self.text("stream-format") {
            Some("byte-stream") => Some(Form::AnnexB),
            // The private data says how long a length is.
            Some("avc" | "avc3" | "hvc1" | "hev1") => Some(Form::LengthPrefixed(LengthSize::Four)),
            // The incumbent takes H.265 without a word about its form.
            None if codec == Codec::H265 => None,
            None => return Err(self.error("stream-format", "missing")),
            Some(_) => return Err(self.error("stream-format", "not one that is known")),
        };
        if self.text("alignment").is_some_and(|alignment| alignment != "au") {
            return Err(self.error("alignment", "not au"));
        }
        let mut format = self.video(codec, Framing::Nal(framing));
        if framing != Some(Form::AnnexB) {
            format.track.codec_private = self.codec_data();
        }
        if matches!(self.text("stream-format"), Some("avc" | "hvc1")) && format.track.codec_private.is_empty()
        {
            return Err(self.error("codec_data", "missing"));
        }
        format.complete = false;
        Ok(format)
    }

    fn av1(&self) -> Result<Format, CapsError> {
        if self.text("stream-format").is_some_and(|form| form != "obu-stream") {
            return Err(self.error("stream-format", "not obu-stream"));
        }
        let mut format = self.video(Codec::Av1, Framing::Obu);
        let private = self.codec_data();
        // Some send a record that leaves the sequence header to the stream.
        if Av1Config::parse(&private).is_ok_and(|config| !config.obus.is_empty()) {
            format.track.codec_private = private;
        }
        format.complete = false;
        Ok(format)
    }

    fn video(&self, codec: Codec, framing: Framing) -> Format {
        let mut track = track(codec);
        let size = |name| self.0.get::<i32>(name).ok().and_then(|size| u32::try_from(size).ok());
        if let (Some(width @ 1..), Some(height @ 1..)) = (size("width"), size("height")) {
            track.video = Some(VideoShape { width, height });
        }
        // Plain pictures tell their size themselves when the caps do not.
        let complete = track.video.is_some();
        Format { codec, framing, track, complete, lasts: self.frame_duration() }
    }

    fn aac(&self) -> Result<Format, CapsError> {
        let channels = || self.channels().map(|channels| u8::try_from(channels).unwrap_or(u8::MAX));
        let (framing, given) = match self.text("stream-format") {
            // Each frame has a header that says it all.
            Some("adts") => (Framing::Adts, Bytes::new()),
            Some("raw") | None => (Framing::Plain, self.codec_data()),
            Some(_) => return Err(self.error("stream-format", "neither raw nor adts")),
        };
        let config = if given.is_empty() {
            let made = AudioSpecificConfig::lc(self.rate()?, channels()?);
            made.ok_or_else(|| self.error("channels", "no number that AAC has a layout for"))?
        } else {
            AudioSpecificConfig::parse(&given).map_err(|error| self.codec_error(error))?
        };
        let private = match framing {
            Framing::Plain if given.is_empty() => config.write().map_err(|error| self.codec_error(error))?,
            _ => given,
        };
        Ok(Format {
            complete: framing == Framing::Plain,
            lasts: config.frame_duration(),
            ..self.sound(Codec::Aac, framing, private, config.rate, u32::from(config.channels), None)
        })
    }

    fn opus(&self) -> Result<Format, CapsError> {
        let head = match self.stream_header() {
            Some(header) => OpusHead::parse(&header).map_err(|error| self.codec_error(error))?,
            None => self.opus_head()?,
        };
        let private = head.write().map_err(|error| self.codec_error(error))?;
        // Decoded at this rate whatever was encoded (RFC 7845 5.1).
        let rate = 48_000;
        Ok(self.sound(Codec::Opus, Framing::Plain, private, rate, u32::from(head.channels), None))
    }

    /// Of caps that come without a header, as after an RTP depayloader.
    fn opus_head(&self) -> Result<OpusHead, CapsError> {
        let number = |name| self.0.get::<i32>(name).ok().and_then(|value| u8::try_from(value).ok());
        let rate = self.rate().unwrap_or(48_000);
        let channels = number("channels").unwrap_or(2);
        let simple = OpusHead::simple(channels, rate);
        let family = match number("channel-mapping-family") {
            None | Some(0) => return Ok(simple),
            Some(family) => family,
        };
        let missing = |field| self.error(field, "missing");
        let table = self.0.get::<gst::Array>("channel-mapping").map_err(|_| missing("channel-mapping"))?;
        let table =
            table.iter().map(|index| index.get::<i32>().ok().and_then(|index| u8::try_from(index).ok()));
        Ok(OpusHead {
            mapping: Some(ChannelMapping {
                family,
                streams: number("stream-count").ok_or_else(|| missing("stream-count"))?,
                coupled: number("coupled-count").ok_or_else(|| missing("coupled-count"))?,
                table: table
                    .collect::<Option<Vec<u8>>>()
                    .ok_or_else(|| self.error("channel-mapping", "no list of channels"))?
                    .into(),
            }),
            ..simple
        })
    }

    fn g711(&self, codec: Codec) -> Result<Format, CapsError> {
        let (rate, channels) = (self.rate()?, self.channels()?);
        let narrow = u16::try_from(channels).map_err(|_| self.error("channels", "too many"))?;
        let private = WaveFormat::g711(codec, narrow, rate).map(|wave| wave.write()).unwrap_or_default();
        Ok(self.sound(codec, Framing::Plain, private, rate, channels, Some(8)))
    }

    fn pcm(&self) -> Result<Format, CapsError> {
        if self.text("layout").is_some_and(|layout| layout != "interleaved") {
            return Err(self.error("layout", "not interleaved"));
        }
        let format = match self.text("format") {
            Some("U8") => PcmFormat::integer(8, false),
            Some("S16LE") => PcmFormat::integer(16, false),
            Some("S16BE") => PcmFormat::integer(16, true),
            Some("S24LE") => PcmFormat::integer(24, false),
            Some("S24BE") => PcmFormat::integer(24, true),
            Some("S32LE") => PcmFormat::integer(32, false),
            Some("S32BE") => PcmFormat::integer(32, true),
            Some("F32LE") => PcmFormat::float(32),
            Some("F64LE") => PcmFormat::float(64),
            _ => None,
        };
        let format = format.ok_or_else(|| self.error("format", "not one that Matroska has"))?;
        let (rate, channels) = (self.rate()?, self.channels()?);
        Ok(self.sound(Codec::Pcm(format), Framing::Plain, Bytes::new(), rate, channels, Some(format.bits())))
    }

    fn sound(
        &self,
        codec: Codec,
        framing: Framing,
        private: Bytes,
        rate: u32,
        channels: u32,
        bit_depth: Option<u32>,
    ) -> Format {
        let mut track = track(codec);
        track.codec_private = private;
        track.audio = Some(AudioShape { rate: f64::from(rate), channels, bit_depth });
        Format { codec, framing, track, complete: true, lasts: Duration::ZERO }
    }

    fn frame_duration(&self) -> Duration {
        let rate = self.0.get::<gst::Fraction>("framerate").ok();
        let nanos = rate.filter(|rate| rate.numer() > 0).and_then(|rate| {
            let (frames, seconds) = (u64::try_from(rate.numer()).ok()?, u64::try_from(rate.denom()).ok()?);
            seconds.checked_mul(1_000_000_000)?.checked_div(frames)
        });
        Duration::from_nanos(nanos.unwrap_or_default())
    }

    fn rate(&self) -> Result<u32, CapsError> {
        self.positive("rate")
    }

    fn channels(&self) -> Result<u32, CapsError> {
        self.positive("channels")
    }

    fn positive(&self, field: &'static str) -> Result<u32, CapsError> {
        match self.0.get::<i32>(field).map(u32::try_from) {
            Ok(Ok(number @ 1..)) => Ok(number),
            Ok(_) => Err(self.error(field, "not positive")),
            Err(_) => Err(self.error(field, "missing")),
        }
    }

    fn codec_data(&self) -> Bytes {
        self.0.get::<&gst::BufferRef>("codec_data").ok().and_then(copy).unwrap_or_default()
    }

    fn stream_header(&self) -> Option<Bytes> {
        let headers = self.0.get::<gst::Array>("streamheader").ok()?;
        copy(headers.first()?.get::<&gst::BufferRef>().ok()?)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).ok()
    }

    fn error(&self, field: &'static str, problem: &'static str) -> CapsError {
        CapsError::Field { media: self.0.name().to_string(), field, problem }
    }

    fn codec_error(&self, error: CodecError) -> CapsError {
        CapsError::Codec { media: self.0.name().to_string(), error }
    }
}

fn copy(buffer: &gst::BufferRef) -> Option<Bytes> {
    buffer.map_readable().ok().map(|map| Bytes::copy_from_slice(&map))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(caps: &str) -> Result<Format, CapsError> {
        gst::init().unwrap();
        Format::of_media(&caps.parse::<gst::Caps>().unwrap())
    }

    #[test]
    fn the_caps_of_the_pads_can_be_read() {
        gst::init().unwrap();
        assert_eq!((VIDEO.size(), AUDIO.size()), (7, 5));
        for incumbents in [
            "video/x-h264, stream-format=avc, alignment=au, width=16, height=16",
            "video/x-h265, alignment=au, width=16, height=16",
            "audio/mpeg, mpegversion=2, stream-format=raw, channels=1, rate=8000",
            "audio/x-alaw, channels=2, rate=192000",
            "audio/x-mulaw, channels=1, rate=8000",
        ] {
            let caps = incumbents.parse::<gst::Caps>().unwrap();
            assert!(caps.is_subset(&VIDEO) || caps.is_subset(&AUDIO), "{incumbents}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn caps_become_the_header_that_matroska_wants() {
        let rows = [
            ("video/x-vp8, width=320, height=240", "V_VP8", Framing::Plain, "", true),
            ("video/x-vp9", "V_VP9", Framing::Plain, "", false),
            ("image/jpeg, width=320, height=240, framerate=5/1", "V_MJPEG", Framing::Plain, "", true),
            ("video/x-h264, stream-format=byte-stream, alignment=au", "V_MPEG4/ISO/AVC", Framing::Nal(Some(Form::AnnexB)), "", false),
            ("video/x-h264, stream-format=avc3, alignment=au", "V_MPEG4/ISO/AVC", Framing::Nal(Some(Form::LengthPrefixed(LengthSize::Four))), "", false),
            ("video/x-h265, alignment=au", "V_MPEGH/ISO/HEVC", Framing::Nal(None), "", false),
            ("video/x-av1, stream-format=obu-stream, alignment=tu", "V_AV1", Framing::Obu, "", false),
            ("audio/mpeg, mpegversion=4, stream-format=raw, rate=44100, channels=2, codec_data=(buffer)1210", "A_AAC", Framing::Plain, "1210", true),
            ("audio/mpeg, mpegversion=4, stream-format=raw, rate=16000, channels=1", "A_AAC", Framing::Plain, "1408", true),
            ("audio/mpeg, mpegversion=4, stream-format=adts, rate=16000, channels=1", "A_AAC", Framing::Adts, "", false),
            ("audio/x-alaw, rate=8000, channels=1", "A_MS/ACM", Framing::Plain, "06000100401f0000401f0000010008000000", true),
            ("audio/x-mulaw, rate=16000, channels=2", "A_MS/ACM", Framing::Plain, "07000200803e0000007d0000020008000000", true),
            ("audio/x-raw, format=S16LE, layout=interleaved, rate=48000, channels=2", "A_PCM/INT/LIT", Framing::Plain, "", true),
            ("audio/x-raw, format=S24BE, layout=interleaved, rate=48000, channels=2", "A_PCM/INT/BIG", Framing::Plain, "", true),
            ("audio/x-raw, format=F32LE, layout=interleaved, rate=48000, channels=2", "A_PCM/FLOAT/IEEE", Framing::Plain, "", true),
            ("audio/x-opus, channel-mapping-family=0, channels=2, rate=48000", "A_OPUS", Framing::Plain, "4f707573486561640102380180bb0000000000", true),
            ("audio/x-opus, channel-mapping-family=1, channels=3, rate=48000, stream-count=2, coupled-count=1, channel-mapping=(int)<0, 2, 1>", "A_OPUS", Framing::Plain, "4f707573486561640103380180bb000000000102010002 01", true),
        ];
        for (caps, codec_id, framing, private, complete) in rows {
            let format = of(caps).unwrap();
            let hex: String = format.track.codec_private.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(
                (format.track.codec_id.as_str(), format.framing, hex.as_str(), format.complete),
                (codec_id, framing, private.replace(' ', "").as_str(), complete),
                "{caps}"
            );
        }
    }

    #[test]
    fn what_caps_tell_of_shape_and_pace_is_kept() {
        let video = of("video/x-vp8, width=320, height=240, framerate=30000/1001").unwrap();
        assert_eq!(video.track.video, Some(VideoShape { width: 320, height: 240 }));
        assert_eq!(video.lasts, Duration::from_nanos(33_366_666));
        let sound = of("audio/x-raw, format=S16LE, layout=interleaved, rate=22050, channels=1").unwrap();
        assert_eq!(sound.track.audio, Some(AudioShape { rate: 22_050.0, channels: 1, bit_depth: Some(16) }));
        let aac = of("audio/mpeg, mpegversion=4, stream-format=raw, rate=16000, channels=1").unwrap();
        assert_eq!(aac.lasts, Duration::from_millis(64));
    }

    #[test]
    fn caps_that_cannot_be_carried_are_refused_with_the_field() {
        let rows = [
            ("video/x-raw", "video/x-raw is nothing that a stream can carry"),
            ("video/x-h264, alignment=au", "video/x-h264: stream-format is missing"),
            ("video/x-h264, stream-format=avc, alignment=au", "video/x-h264: codec_data is missing"),
            ("video/x-h264, stream-format=byte-stream, alignment=nal", "video/x-h264: alignment is not au"),
            (
                "video/x-h265, stream-format=odd, alignment=au",
                "video/x-h265: stream-format is not one that is known",
            ),
            ("video/x-av1, stream-format=annexb", "video/x-av1: stream-format is not obu-stream"),
            (
                "audio/mpeg, stream-format=latm-mcp1, rate=8000, channels=1",
                "audio/mpeg: stream-format is neither raw nor adts",
            ),
            ("audio/mpeg, stream-format=raw, channels=1", "audio/mpeg: rate is missing"),
            (
                "audio/mpeg, stream-format=raw, rate=8000, channels=7",
                "audio/mpeg: channels is no number that AAC has a layout for",
            ),
            (
                "audio/mpeg, stream-format=raw, rate=8000, channels=1, codec_data=(buffer)00",
                "audio/mpeg: AudioSpecificConfig: audioObjectType must not be 0",
            ),
            ("audio/x-alaw, rate=0, channels=1", "audio/x-alaw: rate is not positive"),
            (
                "audio/x-raw, format=S18LE, rate=8000, channels=1",
                "audio/x-raw: format is not one that Matroska has",
            ),
            (
                "audio/x-raw, format=S16LE, layout=non-interleaved, rate=8000, channels=1",
                "audio/x-raw: layout is not interleaved",
            ),
            (
                "audio/x-opus, channel-mapping-family=1, channels=3",
                "audio/x-opus: channel-mapping is missing",
            ),
        ];
        for (caps, said) in rows {
            assert_eq!(of(caps).unwrap_err().to_string(), said, "{caps}");
        }
    }

    #[test]
    fn timed_data_carries_its_caps() {
        gst::init().unwrap();
        let format = Format::of_data(&"meta/x-klv, parsed=true".parse::<gst::Caps>().unwrap()).unwrap();
        assert_eq!(format.track.codec_id, "D_KVS/CAPS");
        assert_eq!(data::parse(&format.track.codec_private).unwrap(), "meta/x-klv, parsed=(boolean)true");
        assert!(format.complete);
    }
}
