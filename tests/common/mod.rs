//! What the tests of whole pipelines share: the service and the way to it, a pipeline, what came out in the end.

// Every family of tests uses a part of it.
#![allow(dead_code, unused_imports)]

#[path = "../../crates/kvs-service/tests/service/client.rs"]
pub(crate) mod client;
#[path = "../../crates/kvs-service/tests/service/media.rs"]
pub(crate) mod media;
#[path = "../../crates/kvs-client/tests/upload/passing.rs"]
pub(crate) mod passing;
#[path = "../../crates/kvs-client/tests/upload/path.rs"]
pub(crate) mod path;
#[path = "../../crates/kvs-service/tests/service/running.rs"]
pub(crate) mod running;
#[path = "../../crates/kvs-client/tests/upload/scene.rs"]
pub(crate) mod scene;

pub(crate) mod child;
pub(crate) mod form;
pub(crate) mod ground;
pub(crate) mod line;
pub(crate) mod reader;
pub(crate) mod stored;
pub(crate) mod taken;

pub(crate) use ground::Ground;
pub(crate) use line::Line;
pub(crate) use passing::Passing;
pub(crate) use reader::Reader;
pub(crate) use stored::Fragment;
pub(crate) use taken::record;

use std::time::Duration;

/// Longer than anything takes that comes at all, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A small picture that moves, ten a second, for so many pictures.
pub(crate) fn pictures(count: u32) -> String {
    format!(
        "videotestsrc num-buffers={count} pattern=ball \
         ! video/x-raw,format=I420,width=160,height=120,framerate=10/1"
    )
}

/// The same as they happen, for as long as the pipeline plays.
pub(crate) fn live_pictures() -> &'static str {
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=10/1"
}

/// H.264 of them, with a key frame every second.
pub(crate) const H264: &str = "x264enc key-int-max=10 bframes=0 speed-preset=ultrafast tune=zerolatency ! h264parse \
     ! video/x-h264,stream-format=avc,alignment=au";
