//! A download from the real service, of what an upload sends, over a path that can be cut and stopped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Shared with tests that need more of them.
#![allow(dead_code)]

#[path = "../../../kvs-service/tests/service/client.rs"]
mod client;
#[path = "../../../kvs-service/tests/service/media.rs"]
mod media;
#[path = "../upload/path.rs"]
mod path;
#[path = "../../../kvs-service/tests/service/running.rs"]
mod running;
#[path = "../upload/scene.rs"]
mod scene;
mod seam;

mod archive;
mod live;
mod reader;
mod recording;
