//! `kvssink` as applications and users see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Shared with tests that need more of them.
#![allow(dead_code)]

#[path = "../../crates/kvs-service/tests/service/client.rs"]
mod client;
#[path = "../../crates/kvs-service/tests/service/media.rs"]
mod media;
#[path = "../../crates/kvs-service/tests/service/running.rs"]
mod running;

mod conformance;
mod fidelity;
mod properties;
mod stored;

use std::sync::Once;

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstkvs::plugin_register_static().unwrap();
    });
}
