//! JPEG: the size of the picture.

use super::{Chroma, CodecError, Picture};

const PART: &str = "JPEG";

/// Reads the frame header (ITU-T T.81 B.2.2) of a JPEG image.
///
/// # Errors
/// When it is no JPEG, has no frame header, or ends early.
pub fn parse(image: &[u8]) -> Result<Picture, CodecError> {
    let cut = |field| CodecError::Truncated { part: PART, field };
    let mut rest =
        image.strip_prefix(&[0xff, 0xd8]).ok_or(CodecError::Broken { part: PART, rule: "has no SOI" })?;
    loop {
        let (head, after) = rest.split_first_chunk::<2>().ok_or(cut("marker"))?;
        let marker = match *head {
            // Any marker may be preceded by fill bytes.
            [0xff, 0xff] => {
                rest = rest.get(1..).unwrap_or(&[]);
                continue;
            }
            [0xff, marker] => marker,
            [byte, _] => return Err(CodecError::value(PART, "marker", byte)),
        };
        rest = match marker {
            // TEM and the restart markers stand alone.
            0x01 | 0xd0..=0xd7 => after,
            0xd9 | 0xda => {
                return Err(CodecError::Broken { part: PART, rule: "has no frame header before its scan" });
            }
            _ => {
                let (len, _) = after.split_first_chunk::<2>().ok_or(cut("length"))?;
                let len = usize::from(u16::from_be_bytes(*len)).max(2);
                let (segment, after) = after.split_at_checked(len).ok_or(cut("segment"))?;
                if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                    return frame_header(segment);
                }
                after
            }
        };
    }
}

fn frame_header(segment: &[u8]) -> Result<Picture, CodecError> {
    let Some(&[_, _, bit_depth, h1, h0, w1, w0, components]) = segment.first_chunk::<8>() else {
        return Err(CodecError::Truncated { part: PART, field: "frame header" });
    };
    let width = u32::from(u16::from_be_bytes([w1, w0]));
    let height = u32::from(u16::from_be_bytes([h1, h0]));
    if width == 0 || height == 0 {
        // A height of zero is legal when a DNL marker follows the scan; no camera does so.
        return Err(CodecError::Broken { part: PART, rule: "has a picture without pixels" });
    }
    // The sampling factors of the first component; the others are 1x1 in every camera's JPEG.
    let chroma = match (components, segment.get(9)) {
        (1, _) => Chroma::Monochrome,
        (_, Some(0x22)) => Chroma::Yuv420,
        (_, Some(0x21)) => Chroma::Yuv422,
        _ => Chroma::Yuv444,
    };
    Ok(Picture {
        width,
        height,
        pixel_aspect: None,
        frame_rate: None,
        reorder_depth: Some(0),
        bit_depth,
        chroma,
        profile: 0,
        level: 0,
    })
}
