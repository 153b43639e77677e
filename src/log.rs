//! Debug categories, and the client's events in them.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use glib::translate::IntoGlib;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// The sink.
pub(crate) static SINK: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("kvssink", gst::DebugColorFlags::empty(), Some("Kinesis Video Streams sink"))
});

/// The source.
pub(crate) static SRC: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("kvssrc", gst::DebugColorFlags::empty(), Some("Kinesis Video Streams source"))
});

/// What the client does in the tasks that read.
pub(crate) static FETCH: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "kvs-fetch",
        gst::DebugColorFlags::empty(),
        Some("Kinesis Video Streams download"),
    )
});

/// What the client does in its other tasks.
pub(crate) static UPLOAD: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("kvs-upload", gst::DebugColorFlags::empty(), Some("Kinesis Video Streams upload"))
});

/// The target of the client's events begins so.
const CLIENT: &str = "kvs_client";
/// And of those of what reads.
const DOWNLOAD: &str = "kvs_client::download";

fn category(target: &str) -> &'static gst::DebugCategory {
    if target.starts_with(DOWNLOAD) { &FETCH } else { &UPLOAD }
}

/// Takes the client's events on a thread of our own into the debug log, for as long as the guard lives. An application
/// that takes all events itself gets these too, and then they are not taken here.
pub(crate) fn take_events() -> Option<tracing::subscriber::DefaultGuard> {
    (!tracing::dispatcher::has_been_set()).then(|| tracing::subscriber::set_default(DebugLog))
}

/// Writes the client's events to the debug log.
struct DebugLog;

impl Subscriber for DebugLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(CLIENT)
            && category(metadata.target()).threshold().into_glib() >= level(*metadata.level()).into_glib()
    }

    // The log's threshold may change at any time: no answer may be kept.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        if metadata.target().starts_with(CLIENT) {
            tracing::subscriber::Interest::sometimes()
        } else {
            tracing::subscriber::Interest::never()
        }
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        // Spans are not shown: one id does for all.
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let metadata = event.metadata();
        category(metadata.target()).log(
            None::<&glib::Object>,
            level(*metadata.level()),
            glib::gstr!("kvs-client"),
            metadata.target(),
            metadata.line().unwrap_or_default(),
            format_args!("{}", line.0),
        );
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

const fn level(level: Level) -> gst::DebugLevel {
    match level {
        Level::ERROR => gst::DebugLevel::Error,
        Level::WARN => gst::DebugLevel::Warning,
        Level::INFO => gst::DebugLevel::Info,
        Level::DEBUG => gst::DebugLevel::Debug,
        Level::TRACE => gst::DebugLevel::Trace,
    }
}

/// The message, then the fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            write!(self.0, "{value:?}{rest}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
        // Writing to a string does not fail; a value's own `Debug` may, and then says less.
        let _ = written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn an_event_of_the_client_is_a_line_in_the_debug_log() {
        gst::init().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        gst::log::remove_default_log_function();
        gst::log::add_log_function(move |category, level, _, function, _, _, message| {
            if category.name() == "kvs-upload" {
                let text = message.get().unwrap().to_string();
                seen.lock().unwrap().push((level, function.to_string(), text));
            }
        });
        UPLOAD.set_threshold(gst::DebugLevel::Info);
        let guard = take_events();
        tracing::info!(target: "kvs_client::upload", attempts = 2, "connected to {}", "there");
        tracing::debug!(target: "kvs_client::upload", "below the threshold");
        tracing::info!(target: "somebody_else", "not ours");
        UPLOAD.set_threshold(gst::DebugLevel::Debug);
        tracing::debug!(target: "kvs_client::upload", "no longer");
        drop(guard);
        tracing::info!(target: "kvs_client::upload", "nobody listens");
        let expected = [
            (
                gst::DebugLevel::Info,
                "kvs_client::upload".to_owned(),
                "connected to there attempts=2".to_owned(),
            ),
            (gst::DebugLevel::Debug, "kvs_client::upload".to_owned(), "no longer".to_owned()),
        ];
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}
