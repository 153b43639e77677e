//! Kinesis Video Streams for GStreamer.
//!
//! | module | what it knows |
//! |---|---|
//! | `kvssink` | the element that streams a pipeline into a stream |
//! | `kvssrc` | the element that streams a stream into a pipeline |
//! | `connection` | what the elements share: whose service, as whom, as properties |
//! | `property` | properties as a table |
//! | `message` | what is said on the bus, and how often |
//! | `utc` | running time, clocks and reference timestamps to UTC |
//! | `wall` | one mapping from a clock to UTC for all who use it |
//! | `gate` | where streaming threads are held, and sent away |
//! | `log` | debug categories, and the client's events in them |
//! | `runtime` | the one tokio runtime of the process |

mod connection;
mod gate;
mod kvssink;
mod kvssrc;
mod log;
mod message;
mod property;
mod runtime;
mod utc;
mod wall;

pub use definition::plugin_register_static;

/// What `plugin_define!` makes of it, undocumented.
mod definition {
    #![allow(missing_docs)]

    gst::plugin_define!(
        kvs,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        // Of the strings that GStreamer knows, the one of the LICENSE file.
        "Apache 2.0",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("BUILD_REL_DATE")
    );

    /// Registers and does nothing else: GStreamer's scanner calls this in a process of its own.
    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        crate::kvssink::register(plugin)?;
        crate::kvssrc::register(plugin)
    }
}
