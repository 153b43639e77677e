//! Which frames no other frame is decoded from: those that are not wanted themselves need not be decoded.

/// What tells it of the frames of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum References {
    /// Every frame may be needed.
    Unknown,
    /// H.264 with lengths of so many bytes in front of its NAL units.
    Avc(usize),
}

impl References {
    /// By a codec's id and private data.
    pub(crate) fn of(codec: &str, private: &[u8]) -> Self {
        match (codec, private) {
            // ISO 14496-15 5.3.3.1.2: lengthSizeMinusOne.
            ("V_MPEG4/ISO/AVC", [1, _, _, _, sizes, ..]) => Self::Avc(usize::from(sizes & 3) + 1),
            _ => Self::Unknown,
        }
    }

    /// Whether other frames may be decoded from this one. What is not understood may be.
    pub(crate) fn needs(self, frame: &[u8]) -> bool {
        let Self::Avc(prefix) = self else { return true };
        let (mut rest, mut slices) = (frame, 0);
        while !rest.is_empty() {
            let Some((length, behind)) = rest.split_at_checked(prefix) else { return true };
            let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            let Some((unit, behind)) = behind.split_at_checked(length) else { return true };
            rest = behind;
            // H.264 7.3.1: nal_ref_idc and nal_unit_type.
            match unit.first().map(|head| (head >> 5 & 3, head & 31)) {
                Some((0, 1)) => slices += 1,
                // What describes the picture, separates it, or fills.
                Some((_, 6 | 9 | 12)) | None => {}
                Some(_) => return true,
            }
        }
        slices == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_slices_that_nothing_refers_to_is_not_needed() {
        let avc = References::of("V_MPEG4/ISO/AVC", b"\x01\x64\x00\x28\xff\xe1");
        assert_eq!(avc, References::Avc(4));
        for (frame, needed) in [
            (&b"\0\0\0\x03\x01ab"[..], false),
            (b"\0\0\0\x02\x06s\0\0\0\x02\x09\x10\0\0\0\x03\x01ab\0\0\0\x03\x01cd", false),
            // A slice that is referred to, a key frame, parameter sets, partitions.
            (b"\0\0\0\x03\x41ab", true),
            (b"\0\0\0\x03\x01ab\0\0\0\x03\x21ab", true),
            (b"\0\0\0\x03\x65ab", true),
            (b"\0\0\0\x02\x67s\0\0\0\x03\x01ab", true),
            (b"\0\0\0\x03\x02ab", true),
            // Nothing to be seen, or nothing that is understood.
            (b"", true),
            (b"\0\0\0\x02\x06s", true),
            (b"\0\0\0\x09\x01ab", true),
            (b"\0\0", true),
            (b"\xff\xff\xff\xff\x01", true),
        ] {
            assert_eq!(avc.needs(frame), needed, "{frame:?}");
        }
        let short = References::of("V_MPEG4/ISO/AVC", b"\x01\x64\x00\x28\xfc");
        assert!(!short.needs(b"\x03\x01ab"));
        for (codec, private) in [("V_MPEG4/ISO/AVC", &b""[..]), ("V_MPEGH/ISO/HEVC", b"\x01\x64\x00\x28\xff")]
        {
            assert!(References::of(codec, private).needs(b"\0\0\0\x03\x01ab"));
        }
    }
}
