//! From frames to pictures as they are decoded.

use bytes::Bytes;
use gst::prelude::*;
use kvs_wire::picture::Request;

use super::line::{Line, Output};
use super::reference::References;

/// A decoder of one codec and its private data, which is kept for what comes next.
#[derive(Debug)]
pub(crate) struct Decoder {
    codec: String,
    private: Vec<u8>,
    caps: gst::Caps,
    line: Line,
}

/// Why nothing is decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A codec that is not known here.
    #[error("the codec {0} is not known")]
    Codec(String),
    /// No element takes it.
    #[error("no decoder for {0} is installed")]
    Missing(gst::Caps),
    /// It stops.
    #[error("{0}")]
    Broken(String),
}

impl Decoder {
    /// The best that is installed.
    pub(crate) fn new(codec: &str, private: &[u8]) -> Result<Self, DecodeError> {
        let caps = caps(codec, private).ok_or_else(|| DecodeError::Codec(codec.to_owned()))?;
        let raw = gst::Caps::new_empty_simple("video/x-raw");
        let line = rows(&caps).find_map(|row| {
            let elements = row.iter().map(make).collect::<Result<_, _>>().ok()?;
            Line::new(elements, &raw).ok()
        });
        let line = line.ok_or_else(|| DecodeError::Missing(caps.clone()))?;
        Ok(Self { codec: codec.to_owned(), private: private.to_vec(), caps, line })
    }

    /// Whether it is one of these.
    pub(crate) fn is_of(&self, codec: &str, private: &[u8]) -> bool {
        self.codec == codec && self.private == private
    }

    /// Decodes the frames of a request, whose media this is, and shows what comes out with its time until that is
    /// enough.
    pub(crate) fn decode<E>(
        &self,
        request: &Request<'_>,
        media: &Bytes,
        mut show: impl FnMut(i64, Output) -> Result<bool, E>,
    ) -> Result<Result<(), DecodeError>, E> {
        let broken = |what: &dyn std::fmt::Display| {
            DecodeError::Broken(self.line.complaint().unwrap_or_else(|| what.to_string()))
        };
        if !self.line.begin(&self.caps) {
            return Ok(Err(broken(&"the decoder does not begin")));
        }
        let earliest = request.frames.iter().map(|frame| frame.time).min().unwrap_or_default();
        let mut take = || {
            while let Some(output) = self.line.take() {
                let time = output.1.pts().and_then(|pts| earliest.checked_add_unsigned(pts.nseconds()));
                if let Some(time) = time
                    && show(time, output)?
                {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let references = References::of(request.codec, request.private);
        for (at, frame) in request.frames.iter().enumerate() {
            let Some(payload) = request.payload(frame) else { continue };
            if request.wanted.binary_search(&frame.time).is_err() && !references.needs(payload) {
                continue;
            }
            // Nothing is shown so much later that this does not hold it.
            let since = frame.time.checked_sub(earliest).and_then(|since| u64::try_from(since).ok());
            let mut buffer = gst::Buffer::from_slice(media.slice_ref(payload));
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(since.map(gst::ClockTime::from_nseconds));
                buffer.set_flags(match at {
                    0 => gst::BufferFlags::DISCONT,
                    _ => gst::BufferFlags::DELTA_UNIT,
                });
            }
            let pushed = self.line.push(buffer);
            if take()? {
                return Ok(Ok(()));
            }
            if let Err(error) = pushed {
                return Ok(Err(broken(&error)));
            }
        }
        self.line.finish();
        if take()? {
            return Ok(Ok(()));
        }
        Ok(Err(broken(&"the frames do not decode to it")))
    }

    /// For other frames.
    pub(crate) fn clear(&self) {
        self.line.clear();
    }
}

/// The caps of a codec by Matroska's id; none of one that is no video or not known.
fn caps(codec: &str, private: &[u8]) -> Option<gst::Caps> {
    let record = || gst::Buffer::from_slice(Bytes::copy_from_slice(private));
    // Records begin with their version; without one the parameter sets are in band.
    let nal_units = |name: &str, format: &str| {
        let builder = gst::Caps::builder(name).field("alignment", "au");
        match private.first() {
            Some(1) => builder.field("stream-format", format).field("codec_data", record()).build(),
            _ => builder.field("stream-format", "byte-stream").build(),
        }
    };
    Some(match codec {
        "V_MPEG4/ISO/AVC" => nal_units("video/x-h264", "avc"),
        "V_MPEGH/ISO/HEVC" => nal_units("video/x-h265", "hvc1"),
        "V_AV1" => gst::Caps::builder("video/x-av1")
            .field("stream-format", "obu-stream")
            .field("alignment", "tu")
            .field_if_some("codec_data", (!private.is_empty()).then(record))
            .build(),
        "V_VP8" => gst::Caps::new_empty_simple("video/x-vp8"),
        "V_VP9" => gst::Caps::new_empty_simple("video/x-vp9"),
        "V_MJPEG" => gst::Caps::builder("image/jpeg").field("parsed", true).build(),
        _ => return None,
    })
}

/// The rows of elements that decode these caps, the best first: a decoder alone, or one behind a parser.
fn rows(caps: &gst::Caps) -> impl Iterator<Item = Vec<gst::ElementFactory>> {
    let of = |kind| {
        let factories = gst::ElementFactory::factories_with_type(kind, gst::Rank::MARGINAL);
        let mut factories: Vec<_> = factories.into_iter().collect();
        factories.sort_by_key(|factory| std::cmp::Reverse(factory.rank()));
        factories
    };
    let decoders = of(gst::ElementFactoryType::DECODER
        | gst::ElementFactoryType::MEDIA_VIDEO
        | gst::ElementFactoryType::MEDIA_IMAGE);
    // What is in hardware is not there in every process, and may wait for others.
    let decoders: Vec<_> = decoders
        .into_iter()
        .filter(|decoder| !decoder.has_type(gst::ElementFactoryType::HARDWARE))
        .filter(gives_raw)
        .collect();
    let alone = decoders
        .iter()
        .filter(|decoder| decoder.can_sink_all_caps(caps))
        .map(|decoder| vec![decoder.clone()]);
    let mut rows: Vec<_> = alone.collect();
    let parsers = of(gst::ElementFactoryType::PARSER | gst::ElementFactoryType::MEDIA_VIDEO);
    for parser in parsers.iter().filter(|parser| parser.can_sink_all_caps(caps)) {
        let gives = pads(parser, gst::PadDirection::Src);
        let behind =
            decoders.iter().filter(|decoder| gives.iter().any(|caps| decoder.can_sink_any_caps(caps)));
        rows.extend(behind.map(|decoder| vec![parser.clone(), decoder.clone()]));
    }
    rows.into_iter()
}

fn gives_raw(decoder: &gst::ElementFactory) -> bool {
    let raw = gst::Caps::new_empty_simple("video/x-raw");
    pads(decoder, gst::PadDirection::Src).iter().any(|caps| caps.can_intersect(&raw))
}

fn pads(factory: &gst::ElementFactory, direction: gst::PadDirection) -> Vec<gst::Caps> {
    let of = factory.static_pad_templates();
    of.iter()
        .filter(|pad| pad.direction() == direction && pad.presence() == gst::PadPresence::Always)
        .map(gst::StaticPadTemplate::caps)
        .collect()
}

fn make(factory: &gst::ElementFactory) -> Result<gst::Element, gst::glib::BoolError> {
    let element = factory.create().build()?;
    // Each worker has one thread: the pool is as large as the machine.
    for name in ["max-threads", "threads", "n-threads"] {
        if element.has_property(name) {
            element.set_property_from_str(name, "1");
        }
    }
    // Half a picture is none.
    if element.has_property("output-corrupt") {
        element.set_property_from_str("output-corrupt", "false");
    }
    Ok(element)
}
