//! What an access unit is to a reader who begins with it.

use super::vp::{self, FrameHead};
use super::{Codec, CodecError, Form, av1, h264, h265};

/// A place where decoding can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RandomAccess {
    /// IDR: nothing after it in decoding order refers to anything before it.
    Idr,
    /// H.265 BLA: its skipped leading pictures refer to what was cut away.
    BrokenLink,
    /// H.265 CRA: pictures may follow it in decoding and precede it on the screen that refer to the group before.
    Cra,
    /// H.264 recovery point: as CRA when `frames` is zero, else the picture is whole only after that many frames.
    Recovery {
        /// `recovery_frame_cnt` of the SEI message.
        frames: u32,
    },
}

impl RandomAccess {
    /// No picture after it, in decoding order, depends on one before it.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Idr)
    }

    /// Its own picture is whole when decoding begins here.
    pub const fn is_clean(self) -> bool {
        !matches!(self, Self::Recovery { frames: 1.. })
    }
}

/// What the NAL units of an access unit say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessUnit {
    /// Whether and how decoding can begin here.
    pub random_access: Option<RandomAccess>,
    /// It holds a slice of a picture.
    pub has_picture: bool,
    /// It holds parameter sets in band.
    pub has_parameter_sets: bool,
    /// Pictures that are shown before it may follow it: it begins an open group, or a closed one with leading pictures
    /// (H.265 IDR_W_RADL). What [`Timing::leading`](crate::fragment::Timing::leading) wants to know.
    pub leads: bool,
    /// H.265: it precedes its random access point on the screen. H.264 does not say; there the times tell.
    pub leading: bool,
    /// H.265: a leading picture that cannot be decoded when decoding began at its random access point (RASL).
    pub skipped_leading: bool,
    /// No other picture refers to it, so that a reader in a hurry may leave it out. H.264 says so; H.265 says it of a
    /// temporal sub-layer only, and a higher one may refer to it all the same.
    pub discardable: bool,
}

/// Whether and how decoding can begin with a frame of any codec; `form` matters to H.264 and H.265 only.
///
/// # Errors
/// When the frame cannot be read as far as it tells.
pub fn random_access(codec: Codec, frame: &[u8], form: Form) -> Result<Option<RandomAccess>, CodecError> {
    let key = |head| matches!(head, FrameHead::Key(_)).then_some(RandomAccess::Idr);
    match codec {
        Codec::H264 => h264::inspect(frame, form).map(|unit| unit.random_access),
        Codec::H265 => h265::inspect(frame, form).map(|unit| unit.random_access),
        Codec::Av1 => av1::inspect(frame).map(|unit| unit.random_access),
        Codec::Vp8 => vp::vp8(frame).map(key),
        Codec::Vp9 => vp::vp9(frame).map(key),
        // Each frame stands alone: a picture, a piece of sound, a sample of data.
        Codec::Mjpeg
        | Codec::Aac
        | Codec::Opus
        | Codec::Alaw
        | Codec::Mulaw
        | Codec::Pcm(_)
        | Codec::Data => Ok(Some(RandomAccess::Idr)),
    }
}
