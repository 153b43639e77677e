//! From what the client says to messages, errors and flows: the only such mapping.

use std::time::Duration;

use kvs_client::download::{Lost, LostReason};
use kvs_client::upload::{
    AckReport, ConnectionReport, ConnectionState, DropReason, Dropped, Failure, FailureKind,
};
use kvs_media::fragment::Repair;
use kvs_media::time::{Monotonic, Utc};

/// The connection came, went, or is being made.
pub(crate) const CONNECTION: &str = "kvs-connection";
/// The service has said something of a fragment.
pub(crate) const FRAGMENT_ACK: &str = "kvs-fragment-ack";
/// Media are lost.
pub(crate) const DROPPED: &str = "kvs-dropped";
/// Nothing is sent to the stream.
pub(crate) const NO_DATA: &str = "kvs-no-data";
/// Media were mended.
pub(crate) const REPAIRED: &str = "kvs-repaired";

/// `kvs-connection`: state, endpoint, attempts, and where they are known cause, request-id and retry-in.
pub(crate) fn connection(report: &ConnectionReport) -> gst::Structure {
    let (state, retry_in) = match report.state {
        ConnectionState::Connecting => ("connecting", None),
        ConnectionState::Connected => ("connected", None),
        ConnectionState::Waiting(span) => ("waiting", Some(nanos(span))),
        ConnectionState::Idle => ("idle", None),
    };
    gst::Structure::builder(CONNECTION)
        .field("state", state)
        .field("endpoint", report.endpoint.as_str())
        .field("attempts", report.attempts)
        .field_if_some("cause", report.cause.as_deref())
        .field_if_some("request-id", report.request_id.as_deref())
        .field_if_some("retry-in", retry_in)
        .build()
}

/// `kvs-fragment-ack`: type, and where they are known fragment-number, timecode (ms as sent), time (ns since 1970),
/// after (ns from the last byte), error-id and error-code.
pub(crate) fn fragment_ack(report: &AckReport) -> gst::Structure {
    let ack = &report.ack;
    gst::Structure::builder(FRAGMENT_ACK)
        .field("type", ack.event.name())
        .field_if_some("fragment-number", ack.fragment_number.as_ref().map(ToString::to_string))
        .field_if_some("timecode", ack.fragment_timecode)
        .field_if_some("time", report.begin.map(time))
        .field_if_some("after", report.after.map(nanos))
        .field_if_some("error-id", ack.error().map(|id| id.0))
        .field_if_some("error-code", ack.error_code.as_deref())
        .build()
}

/// `kvs-dropped`: reason, text, fragments, frames, bytes, first-time and last-time (ns since 1970).
pub(crate) fn dropped(dropped: &Dropped) -> gst::Structure {
    let (reason, text) = match &dropped.reason {
        DropReason::Full => ("full", "the buffer is full"),
        DropReason::Refused(text) => ("refused", text.as_str()),
    };
    gst::Structure::builder(DROPPED)
        .field("reason", reason)
        .field("text", text)
        .field("fragments", dropped.fragments)
        .field("frames", dropped.frames)
        .field("bytes", dropped.bytes)
        .field("first-time", time(dropped.from))
        .field("last-time", time(dropped.to))
        .build()
}

/// `kvs-dropped` of frames that were not even pushed.
pub(crate) fn discarded(reason: &str, text: &str, track: Option<&str>) -> gst::Structure {
    gst::Structure::builder(DROPPED)
        .field("reason", reason)
        .field("text", text)
        .field("fragments", 0_u64)
        .field("frames", 1_u64)
        .field_if_some("pad", track)
        .build()
}

/// `kvs-dropped` of what could not be read: reason, text, and where they are known fragment-number and first-time.
pub(crate) fn lost(lost: &Lost) -> gst::Structure {
    let reason = match &lost.why {
        LostReason::Missing => "missing",
        LostReason::Refused { .. } => "refused",
        LostReason::Damaged(_) => "damaged",
        LostReason::Cut => "cut",
    };
    gst::Structure::builder(DROPPED)
        .field("reason", reason)
        .field("text", lost.why.to_string())
        .field("fragments", 1_u64)
        .field_if_some("fragment-number", lost.number.as_ref().map(ToString::to_string))
        .field_if_some("first-time", lost.at.map(time))
        .build()
}

/// `kvs-no-data`: since (ns).
pub(crate) fn no_data(since: Duration) -> gst::Structure {
    gst::Structure::builder(NO_DATA).field("since", nanos(since)).build()
}

/// `kvs-repaired`: kind, text, and where it is known pad.
pub(crate) fn repaired(kind: &str, text: &str, pad: Option<&str>) -> gst::Structure {
    gst::Structure::builder(REPAIRED)
        .field("kind", kind)
        .field("text", text)
        .field_if_some("pad", pad)
        .build()
}

/// The kind by which a repair of the client is named.
pub(crate) const fn repair_kind(repair: &Repair) -> &'static str {
    match repair {
        Repair::TimeMoved { .. } => "time-moved",
        Repair::CutWithoutKey(_) => "cut-without-key",
        Repair::Filled(_) => "filled",
        Repair::LeftOut(_) => "left-out",
        Repair::Rejoined(_) => "rejoined",
        Repair::TimeWentBack(_) => "time-went-back",
        _ => "other",
    }
}

/// The ERROR of a failure, with the stream and, of the service, its name for the request.
pub(crate) fn error(failure: &Failure, stream: &str) -> gst::ErrorMessage {
    let text = format!("{stream}: {}", failure.message);
    let debug = failure.request_id.as_ref().map(|id| format!("request id {id}"));
    gst::ErrorMessage::new(&class(failure.kind), Some(&text), debug.as_deref(), file!(), "error", line!())
}

/// The code of a failure, in the domain of resources.
pub(crate) const fn class(kind: FailureKind) -> gst::ResourceError {
    match kind {
        FailureKind::Settings => gst::ResourceError::Settings,
        FailureKind::NoCredentials | FailureKind::Refused => gst::ResourceError::NotAuthorized,
        FailureKind::NoStream | FailureKind::Empty => gst::ResourceError::NotFound,
        FailureKind::StartupTimeout => gst::ResourceError::Write,
        FailureKind::Full => gst::ResourceError::NoSpaceLeft,
    }
}

/// The incumbent's status of a failure, for its signal `stream-error`.
pub(crate) const fn status(kind: FailureKind) -> u64 {
    match kind {
        // STATUS_SERVICE_CALL_INVALID_ARG_ERROR
        FailureKind::Settings => 0x5200_0014,
        // STATUS_SERVICE_CALL_NOT_AUTHORIZED_ERROR
        FailureKind::NoCredentials | FailureKind::Refused => 0x5200_0010,
        // STATUS_SERVICE_CALL_RESOURCE_NOT_FOUND_ERROR
        FailureKind::NoStream | FailureKind::Empty => 0x5200_0017,
        // STATUS_DESCRIBE_STREAM_CALL_FAILED, which it is when nobody answers at the start.
        FailureKind::StartupTimeout => 0x5200_0011,
        // STATUS_STORE_OUT_OF_MEMORY
        FailureKind::Full => 0x5200_002e,
    }
}

/// Nanoseconds since 1970; what is before is then.
pub(crate) fn time(utc: Utc) -> u64 {
    u64::try_from(utc.nanos()).unwrap_or_default()
}

/// Nanoseconds.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Lets so many through in a while, and counts the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ration {
    most: u32,
    each: Duration,
    since: Option<Monotonic>,
    let_through: u32,
    left_out: u64,
}

impl Ration {
    /// So many in each such while.
    pub(crate) const fn new(most: u32, each: Duration) -> Self {
        Self { most, each, since: None, let_through: 0, left_out: 0 }
    }

    /// Whether this one goes through; with it, how many did not since the last that did.
    pub(crate) fn admit(&mut self, now: Monotonic) -> Option<u64> {
        let over = self.since.is_none_or(|since| now.saturating_since(since) >= self.each);
        if over {
            (self.since, self.let_through) = (Some(now), 0);
        }
        if self.let_through == self.most {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.let_through += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvs_wire::{Ack, ErrorId};

    #[test]
    fn a_storm_becomes_a_few_and_a_count() {
        let at = |ms: u64| Monotonic::from_nanos(1 + ms * 1_000_000);
        let mut ration = Ration::new(2, Duration::from_secs(1));
        let admitted: Vec<_> =
            [0, 1, 2, 999, 1_000, 1_001, 1_002, 5_000].map(|ms| ration.admit(at(ms))).into();
        let expected = [Some(0), Some(0), None, None, Some(2), Some(0), None, Some(1)];
        assert_eq!(admitted, expected);
    }

    #[test]
    fn messages_say_what_is_known_and_nothing_else() {
        gst::init().unwrap();
        let report = ConnectionReport {
            state: ConnectionState::Waiting(Duration::from_millis(5)),
            endpoint: "http://127.0.0.1:1".to_owned(),
            attempts: 3,
            cause: Some("refused".to_owned()),
            request_id: None,
        };
        assert_eq!(
            connection(&report).to_string(),
            "kvs-connection, state=(string)waiting, endpoint=(string)http://127.0.0.1:1, attempts=(uint)3, \
             cause=(string)refused, retry-in=(guint64)5000000;"
        );
        let ack = AckReport { ack: Ack::refusal(ErrorId(4006), None), begin: None, after: None };
        assert_eq!(
            fragment_ack(&ack).to_string(),
            "kvs-fragment-ack, type=(string)ERROR, error-id=(uint)4006, error-code=(string)INVALID_MKV_DATA;"
        );
        let lost = Dropped {
            reason: DropReason::Full,
            fragments: 1,
            frames: 30,
            bytes: 9,
            from: Utc::from_nanos(-1),
            to: Utc::from_nanos(7),
        };
        assert_eq!(
            dropped(&lost).to_string(),
            "kvs-dropped, reason=(string)full, text=(string)\"the\\ buffer\\ is\\ full\", fragments=(guint64)1, \
             frames=(guint64)30, bytes=(guint64)9, first-time=(guint64)0, last-time=(guint64)7;"
        );
    }
}
