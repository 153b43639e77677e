//! Frames that say which they are: their number is in them, as eight blocks that are dark or bright.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

/// From one frame to the next.
pub(crate) const STEP: i64 = 40_000_000;

/// Bright and dark, apart even after a codec.
const LEVELS: [u8; 2] = [60, 190];

/// A track of encoded frames.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// By Matroska's id.
    pub(crate) codec: &'static str,
    pub(crate) private: Vec<u8>,
    /// In the order of decoding: number, whether decoding can begin here, payload.
    pub(crate) frames: Vec<(u8, bool, Vec<u8>)>,
}

/// How media is made, by the elements of GStreamer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) codec: &'static str,
    pub(crate) elements: &'static str,
}

#[rustfmt::skip]
pub(crate) const RECIPES: [Recipe; 7] = [
    H264,
    Recipe { codec: "V_MPEG4/ISO/AVC", elements: "x264enc bframes=0 key-int-max=10 option-string=scenecut=0 ! video/x-h264,profile=baseline ! h264parse ! video/x-h264,stream-format=avc,alignment=au" },
    Recipe { codec: "V_MPEGH/ISO/HEVC", elements: "x265enc key-int-max=10 option-string=open-gop=0:scenecut=0:log-level=none ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au" },
    VP8,
    Recipe { codec: "V_VP9", elements: "vp9enc deadline=1 keyframe-max-dist=10" },
    Recipe { codec: "V_AV1", elements: "av1enc cpu-used=8 keyframe-max-dist=10 ! av1parse ! video/x-av1,stream-format=obu-stream,alignment=tu" },
    Recipe { codec: "V_MJPEG", elements: "jpegenc" },
];

/// With pictures that are decoded before others and shown after them.
pub(crate) const H264: Recipe = Recipe {
    codec: "V_MPEG4/ISO/AVC",
    elements: "x264enc bframes=3 b-adapt=false key-int-max=10 option-string=open-gop=0:scenecut=0 ! video/x-h264,profile=main ! h264parse ! video/x-h264,stream-format=avc,alignment=au",
};

pub(crate) const VP8: Recipe = Recipe { codec: "V_VP8", elements: "vp8enc deadline=1 keyframe-max-dist=10" };

/// A picture of a number, in I420.
fn raw(number: u8, width: usize, height: usize) -> Vec<u8> {
    let mut picture = vec![128; width * height * 3 / 2];
    for (at, luma) in picture[..width * height].iter_mut().enumerate() {
        let block = at % width * 8 / width;
        *luma = LEVELS[usize::from(number >> block & 1)];
        // Something to be lost by a codec, in the last rows.
        if at >= width * (height - 8) {
            *luma = LEVELS[at * at / 7 % 2];
        }
    }
    picture
}

/// So many frames, from number 0.
pub(crate) fn encoded(recipe: Recipe, frames: u8, (width, height): (usize, usize)) -> Encoded {
    gst::init().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for number in 0..frames {
        file.write_all(&raw(number, width, height)).unwrap();
    }
    let description = format!(
        "filesrc location={} ! rawvideoparse format=i420 width={width} height={height} framerate=25/1 ! {} ! \
         fakesink name=sink sync=false signal-handoffs=true",
        file.path().display(),
        recipe.elements
    );
    let (buffers, caps) = outcome(&description);
    let first = buffers.iter().filter_map(|buffer| buffer.pts()).min().unwrap();
    let structure = caps.structure(0).unwrap();
    let private = structure.get::<gst::Buffer>("codec_data").map(|data| bytes(&data)).unwrap_or_default();
    let frames = buffers.iter().map(|buffer| {
        let since = i64::try_from((buffer.pts().unwrap() - first).nseconds()).unwrap();
        let number = u8::try_from((since + STEP / 2) / STEP).unwrap();
        (number, !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT), bytes(buffer))
    });
    Encoded { codec: recipe.codec, private, frames: frames.collect() }
}

/// What a picture in a file of the service shows: its size and its number.
pub(crate) fn seen(picture: &[u8]) -> ((i32, i32), u8) {
    gst::init().unwrap();
    let decoder = if picture.starts_with(b"\x89PNG") { "pngdec" } else { "jpegdec" };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(picture).unwrap();
    let description = format!(
        "filesrc location={} blocksize=100000000 ! {decoder} ! videoconvert ! video/x-raw,format=GRAY8 ! \
         fakesink name=sink sync=false signal-handoffs=true",
        file.path().display()
    );
    let (buffers, caps) = outcome(&description);
    let structure = caps.structure(0).unwrap();
    let (width, height) = (structure.get::<i32>("width").unwrap(), structure.get::<i32>("height").unwrap());
    let luma = bytes(&buffers[0]);
    let (across, stride) = (usize::try_from(width).unwrap(), luma.len() / usize::try_from(height).unwrap());
    let row = &luma[luma.len() / 2 / stride * stride..];
    let number = (0..8).map(|block| u8::from(row[(2 * block + 1) * across / 16] > 125) << block).sum();
    ((width, height), number)
}

/// The same of its brightness: of a dark block and a bright one.
pub(crate) fn brightness(picture: &[u8]) -> (u8, u8) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(picture).unwrap();
    let decoder = if picture.starts_with(b"\x89PNG") { "pngdec" } else { "jpegdec" };
    let description = format!(
        "filesrc location={} blocksize=100000000 ! {decoder} ! videoconvert ! video/x-raw,format=RGB ! \
         fakesink name=sink sync=false signal-handoffs=true",
        file.path().display()
    );
    let (buffers, _) = outcome(&description);
    let mut pixels = bytes(&buffers[0]);
    pixels.truncate(pixels.len() / 2);
    (*pixels.iter().min().unwrap(), *pixels.iter().max().unwrap())
}

fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// Runs a pipeline to its end: what came into its sink.
fn outcome(description: &str) -> (Vec<gst::Buffer>, gst::Caps) {
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let took = Arc::clone(&taken);
    sink.connect("handoff", false, move |values| {
        took.lock().unwrap().push(values[1].get::<gst::Buffer>().unwrap());
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(50),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .unwrap_or_else(|| panic!("no end of {description}"));
    assert_eq!(message.type_(), gst::MessageType::Eos, "{description}: {message:?}");
    let caps = sink.static_pad("sink").unwrap().current_caps().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    let buffers = std::mem::take(&mut *taken.lock().unwrap());
    (buffers, caps)
}
