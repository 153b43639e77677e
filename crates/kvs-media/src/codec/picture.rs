//! What a sequence header says of its pictures.

/// How colour is sampled beside brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chroma {
    /// No colour.
    Monochrome,
    /// Half in both directions.
    Yuv420,
    /// Half across.
    Yuv422,
    /// Full.
    Yuv444,
}

impl Chroma {
    /// From `chroma_format_idc`.
    pub const fn from_idc(idc: u32) -> Option<Self> {
        match idc {
            0 => Some(Self::Monochrome),
            1 => Some(Self::Yuv420),
            2 => Some(Self::Yuv422),
            3 => Some(Self::Yuv444),
            _ => None,
        }
    }

    /// `chroma_format_idc`.
    pub const fn idc(self) -> u8 {
        match self {
            Self::Monochrome => 0,
            Self::Yuv420 => 1,
            Self::Yuv422 => 2,
            Self::Yuv444 => 3,
        }
    }

    /// Columns and rows of brightness for each sample of colour.
    pub(crate) const fn subsampling(self) -> (u32, u32) {
        match self {
            Self::Yuv420 => (2, 2),
            Self::Yuv422 => (2, 1),
            Self::Monochrome | Self::Yuv444 => (1, 1),
        }
    }
}

/// Frames a second as a fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate {
    /// The numerator, never zero.
    pub frames: u32,
    /// The denominator, never zero.
    pub seconds: u32,
}

impl FrameRate {
    /// `None` when either is zero or the reduced fraction does not fit.
    pub fn new(frames: u64, seconds: u64) -> Option<Self> {
        if frames == 0 || seconds == 0 {
            return None;
        }
        let (mut divisor, mut rest) = (frames, seconds);
        while rest != 0 {
            (divisor, rest) = (rest, divisor.checked_rem(rest)?);
        }
        let part = |value: u64| u32::try_from(value.checked_div(divisor)?).ok();
        Some(Self { frames: part(frames)?, seconds: part(seconds)? })
    }

    /// As a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.frames) / f64::from(self.seconds)
    }
}

/// The pictures of a video, as the sequence header of any codec describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns to show, after cropping.
    pub width: u32,
    /// Rows to show, after cropping.
    pub height: u32,
    /// Width to height of a pixel, when told.
    pub pixel_aspect: Option<(u32, u32)>,
    /// Frames a second, when told.
    pub frame_rate: Option<FrameRate>,
    /// How many pictures may precede one in decoding and follow it on the screen; `None` where the header cannot tell.
    pub reorder_depth: Option<u32>,
    /// Bits a sample of brightness.
    pub bit_depth: u8,
    /// How colour is sampled.
    pub chroma: Chroma,
    /// The profile, by the number of the codec's own specification.
    pub profile: u8,
    /// The level, by the number of the codec's own specification.
    pub level: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_rate_is_in_lowest_terms() {
        assert_eq!(FrameRate::new(180_000, 6_006), Some(FrameRate { frames: 30_000, seconds: 1_001 }));
        assert_eq!(FrameRate::new(0, 1), None);
        assert_eq!(FrameRate::new(1, 0), None);
        assert_eq!(FrameRate::new(u64::MAX, 1), None);
    }
}
