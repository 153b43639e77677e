//! From pictures as they are decoded to JPEG and PNG.

use gst::prelude::*;
use kvs_wire::picture::Format;

use super::line::{Line, Output};

/// What writes pictures in a format, and is kept for the next.
#[derive(Debug)]
pub(crate) struct Encoder {
    line: Line,
    colours: gst::Element,
    shape: gst::Element,
    encoder: gst::Element,
    begun: Option<gst::Caps>,
}

/// How a picture is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) format: Format,
    pub(crate) width: Option<u16>,
    pub(crate) height: Option<u16>,
}

/// Why a picture is not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// An element is not there, or does not start.
    #[error("{0}")]
    Missing(#[from] gst::glib::BoolError),
    /// It has no size that makes sense.
    #[error("a picture of {0} cannot be shaped")]
    Shape(gst::Caps),
    /// It is refused.
    #[error("{0}")]
    Refused(String),
}

impl Encoder {
    /// For one of the formats.
    pub(crate) fn new(format: Format) -> Result<Self, EncodeError> {
        let make = |name| gst::ElementFactory::make(name).build();
        let (colours, shape) = (make("capsfilter")?, make("capsfilter")?);
        let (convert, scale) = (make("videoconvertscale")?, make("videoconvertscale")?);
        let encoder = make(match format {
            Format::Jpeg(_) => "jpegenc",
            Format::Png => "pngenc",
        })?;
        // Both sides given is what it is, whatever shape that makes. Either of the two may be the one that scales.
        for element in [&convert, &scale] {
            element.set_property("add-borders", false);
        }
        let gives = match format {
            Format::Jpeg(_) => "image/jpeg",
            Format::Png => "image/png",
        };
        let elements = vec![convert, colours.clone(), scale, shape.clone(), encoder.clone()];
        let line = Line::new(elements, &gst::Caps::new_empty_simple(gives))?;
        Ok(Self { line, colours, shape, encoder, begun: None })
    }

    /// Writes a picture.
    pub(crate) fn encode(&mut self, (caps, buffer): Output, form: Form) -> Result<gst::Buffer, EncodeError> {
        let info = gst_video::VideoInfo::from_caps(&caps).map_err(|_| EncodeError::Shape(caps.clone()))?;
        let (width, height) = size(&info, form).ok_or_else(|| EncodeError::Shape(caps.clone()))?;
        let shape = gst::Caps::builder("video/x-raw")
            .field("width", width)
            .field("height", height)
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
        let mut colours = gst::Caps::new_any();
        let shape = match form.format {
            Format::Jpeg(quality) => {
                self.encoder.set_property("quality", i32::from(quality));
                if only_range_differs(&info) {
                    colours = gst::Caps::builder("video/x-raw").field("format", "BGRx").build();
                }
                // JFIF: the whole range, by the matrix of BT.601. Readers of JPEG know no other.
                shape.field("format", "I420").field("colorimetry", "1:4:0:0").build()
            }
            Format::Png => shape.build(),
        };
        for (filter, caps) in [(&self.colours, colours), (&self.shape, shape)] {
            if filter.property::<gst::Caps>("caps") != caps {
                filter.set_property("caps", &caps);
                self.begun = None;
            }
        }
        if self.begun.as_ref() != Some(&caps) {
            if !self.line.begin(&caps) {
                return Err(self.refused("the picture is not taken"));
            }
            self.begun = Some(caps);
        }
        let pushed = self.line.push(buffer);
        match (self.line.take(), pushed) {
            (Some((_, picture)), _) => Ok(picture),
            (None, Err(error)) => Err(self.refused(&error.to_string())),
            (None, Ok(_)) => Err(self.refused("no picture is written")),
        }
    }

    fn refused(&self, what: &str) -> EncodeError {
        EncodeError::Refused(self.line.complaint().unwrap_or_else(|| what.to_owned()))
    }
}

/// GStreamer's converter changes the range together with the matrix, and not alone (1.22).
fn only_range_differs(info: &gst_video::VideoInfo) -> bool {
    let colorimetry = info.colorimetry();
    info.is_yuv()
        && colorimetry.range() != gst_video::VideoColorRange::Range0_255
        && colorimetry.matrix() == gst_video::VideoColorMatrix::Bt601
}

/// The size that a picture is given: square pixels, and what is not said follows from the shape.
fn size(info: &gst_video::VideoInfo, form: Form) -> Option<(i32, i32)> {
    let (across, down) = (u64::from(info.width()), u64::from(info.height()));
    let (numer, denom) = (info.par().numer(), info.par().denom());
    let (numer, denom) = (u64::try_from(numer).ok()?.max(1), u64::try_from(denom).ok()?.max(1));
    // The picture's shape is `wide` by `high`.
    let (wide, high) = (across.checked_mul(numer)?, down.checked_mul(denom)?);
    let part = |of: u64, by: u64, whole: u64| {
        Some(of.checked_mul(by)?.checked_add(whole / 2)?.checked_div(whole)?.max(1))
    };
    let (width, height) = match (form.width.map(u64::from), form.height.map(u64::from)) {
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, part(width, high, wide)?),
        (None, Some(height)) => (part(height, wide, high)?, height),
        (None, None) => (part(across, numer, denom)?, down),
    };
    let within = |pixels: u64| i32::try_from(pixels).ok().filter(|pixels| (1..=MOST_PIXELS).contains(pixels));
    Some((within(width)?, within(height)?))
}

/// What a JPEG has at most, in either direction.
const MOST_PIXELS: i32 = 65_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_follows_from_the_shape() {
        gst::init().unwrap();
        let info = |par| {
            gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, 720, 576).par(par).build().unwrap()
        };
        let (square, wide) = (info(gst::Fraction::new(1, 1)), info(gst::Fraction::new(64, 45)));
        let form = |width, height| Form { format: Format::Png, width, height };
        for (info, form, expected) in [
            (&square, form(None, None), Some((720, 576))),
            (&square, form(Some(360), None), Some((360, 288))),
            (&square, form(None, Some(288)), Some((360, 288))),
            (&square, form(Some(100), Some(700)), Some((100, 700))),
            (&wide, form(None, None), Some((1024, 576))),
            (&wide, form(Some(512), None), Some((512, 288))),
            (&wide, form(None, Some(288)), Some((512, 288))),
            (&square, form(None, Some(1)), Some((1, 1))),
            (&square, form(None, Some(65_535)), None),
        ] {
            assert_eq!(size(info, form), expected, "{form:?}");
        }
    }
}
