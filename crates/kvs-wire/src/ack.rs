//! Acknowledgements of PutMedia: one of them, read and printed.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::text::{JsonString, scalar, shown, shown_bytes};
use crate::{ErrorId, FragmentNumber, Reaction, decimal};

/// What an ack says of its fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckEvent {
    /// The first bytes arrived.
    Buffering,
    /// All of it arrived.
    Received,
    /// It is stored. Comes only when the stream has a retention.
    Persisted,
    /// It is refused, and the session with it.
    Error,
    /// Nothing arrives: the service is about to close the session.
    Idle,
}

impl AckEvent {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buffering => "BUFFERING",
            Self::Received => "RECEIVED",
            Self::Persisted => "PERSISTED",
            Self::Error => "ERROR",
            Self::Idle => "IDLE",
        }
    }

    /// The event with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Buffering, Self::Received, Self::Persisted, Self::Error, Self::Idle]
            .into_iter()
            .find(|event| event.name() == name)
    }
}

/// One acknowledgement.
///
/// Printing ([`write`](Self::write), `Display`) and [`read`](Self::read) are inverse. Streams of acks are read by
/// [`AckReader`](crate::AckReader).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// What happened.
    pub event: AckEvent,
    /// The cluster timecode as it was sent, in milliseconds. An idle ack has none, nor an error that precedes any
    /// fragment.
    pub fragment_timecode: Option<i64>,
    /// The service's name for the fragment; missing where the timecode is.
    pub fragment_number: Option<FragmentNumber>,
    /// The symbolic name of an error, as sent. Read from a peer it is cut when it is absurdly long.
    pub error_code: Option<Cow<'static, str>>,
    /// The number of an error.
    pub error_id: Option<ErrorId>,
}

/// What stands between the acks, or in the place of one. None of them ends the reading: the next call goes on
/// behind it. Text of the peer is cut when it is long.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AckError {
    /// An object without an event: a refusal of the request in place of acks, as the service's front end sends it.
    #[error("not an ack: {text}")]
    NotAnAck {
        /// Its message, when it has one, else the object.
        text: String,
    },
    /// An ack of an event that is not known.
    #[error("an ack of an unknown event {event:?}")]
    UnknownEvent {
        /// The name of the event.
        event: String,
        /// The fragment, when it is named.
        fragment_number: Option<FragmentNumber>,
    },
    /// A field of an ack has a value that it cannot have.
    #[error("an ack with an impossible {key}: {text:?}")]
    Value {
        /// The name of the field.
        key: &'static str,
        /// What was there.
        text: String,
    },
    /// Braces in balance, but no JSON between them, or a field twice.
    #[error("an ack that is not JSON ({reason}): {text}")]
    Malformed {
        /// What is wrong, and where.
        reason: String,
        /// The object.
        text: String,
    },
    /// An object that ends before its last brace: by the end of the body, of the line, or by the next object.
    #[error("an ack that is cut short: {text}")]
    Cut {
        /// The beginning of the object.
        text: String,
    },
    /// An object that is longer than the reader holds. It is skipped to its end.
    #[error("an ack of more than {cap} bytes")]
    TooLong {
        /// How many bytes the reader holds.
        cap: usize,
    },
    /// Something else than objects and blanks, skipped up to the next brace.
    #[error("{bytes} bytes between acks: {text:?}")]
    Garbage {
        /// How many bytes, without blanks.
        bytes: u64,
        /// The first of them.
        text: String,
    },
}

/// The fields of an ack as they are sent. Every value is taken as it is written, so that a number may be quoted or
/// in exponent form, and loses nothing.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "EventType")]
    event: Option<&'a RawValue>,
    /// The guide's other name for the event.
    #[serde(borrow, rename = "AckEventType")]
    ack_event: Option<&'a RawValue>,
    #[serde(borrow, rename = "FragmentTimecode")]
    fragment_timecode: Option<&'a RawValue>,
    #[serde(borrow, rename = "FragmentNumber")]
    fragment_number: Option<&'a RawValue>,
    #[serde(borrow, rename = "ErrorCode")]
    error_code: Option<&'a RawValue>,
    #[serde(borrow, rename = "ErrorId")]
    error_id: Option<&'a RawValue>,
    /// The guide shows acks inside of such an object; the service does not send it.
    #[serde(borrow, rename = "Acknowledgement")]
    wrapped: Option<&'a RawValue>,
    #[serde(borrow, rename = "Message")]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "message")]
    front_end_message: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn event(&self) -> Option<&'a RawValue> {
        self.event.or(self.ack_event)
    }
}

impl Ack {
    /// An ack that says nothing but its event, such as an idle one.
    pub const fn new(event: AckEvent) -> Self {
        Self { event, fragment_timecode: None, fragment_number: None, error_code: None, error_id: None }
    }

    /// An ack of a fragment.
    pub fn of(event: AckEvent, fragment_timecode: i64, fragment_number: FragmentNumber) -> Self {
        Self {
            fragment_timecode: Some(fragment_timecode),
            fragment_number: Some(fragment_number),
            ..Self::new(event)
        }
    }

    /// The refusal with this id and its name; of a fragment when one is named.
    pub fn refusal(id: ErrorId, fragment: Option<(i64, FragmentNumber)>) -> Self {
        let (fragment_timecode, fragment_number) = fragment.unzip();
        Self {
            fragment_timecode,
            fragment_number,
            error_code: id.name().map(Cow::Borrowed),
            error_id: Some(id),
            ..Self::new(AckEvent::Error)
        }
    }

    /// The error's id: as sent, else by its name.
    pub fn error(&self) -> Option<ErrorId> {
        self.error_id.or_else(|| ErrorId::from_name(self.error_code.as_deref()?))
    }

    /// What a producer does after this ack; `None` when it refuses nothing.
    pub fn reaction(&self) -> Option<Reaction> {
        (self.event == AckEvent::Error).then(|| self.error().map_or(Reaction::Resend, ErrorId::reaction))
    }

    /// Reads one JSON object.
    ///
    /// Unknown keys are skipped, null is as good as missing, and the guide's wrapper is looked through. Allocates
    /// nothing for an ack of known names and numbers of the usual length.
    pub fn read(object: &[u8]) -> Result<Self, AckError> {
        let malformed = |error: serde_json::Error| AckError::Malformed {
            // It quotes what stands in the place of an object.
            reason: shown(&error.to_string()),
            text: shown_bytes(object),
        };
        let outer: Fields<'_> = serde_json::from_slice(object).map_err(malformed)?;
        let fields = match (outer.event(), outer.wrapped) {
            (None, Some(inner)) => serde_json::from_str(inner.get()).map_err(malformed)?,
            _ => outer,
        };
        let Some(event) = fields.event().map(scalar) else {
            let text = fields
                .message
                .or(fields.front_end_message)
                .map_or_else(|| shown_bytes(object), |message| shown(&scalar(message)));
            return Err(AckError::NotAnAck { text });
        };
        let fragment_number =
            fields.fragment_number.map(|raw| value("FragmentNumber", raw, |text| text.parse().ok()));
        let Some(event) = AckEvent::from_name(&event) else {
            let fragment_number = fragment_number.and_then(Result::ok);
            return Err(AckError::UnknownEvent { event: shown(&event), fragment_number });
        };
        let integer = |text: &str| decimal::whole(text).ok();
        let error_id = fields.error_id.map(|raw| {
            value("ErrorId", raw, |text| integer(text).and_then(|id| u32::try_from(id).ok()).map(ErrorId))
        });
        let timecode = fields.fragment_timecode.map(|raw| value("FragmentTimecode", raw, integer));
        // A refusal is told whatever else is wrong with it: the producer has to act.
        let is_refusal = event == AckEvent::Error;
        Ok(Self {
            event,
            fragment_timecode: kept(timecode, is_refusal)?,
            fragment_number: kept(fragment_number, is_refusal)?,
            error_code: fields.error_code.map(|raw| code(&scalar(raw))),
            error_id: kept(error_id, is_refusal)?,
        })
    }

    /// Prints the ack as the service does: one object on one line, and the end of the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        // A vector takes every write.
        let _ = writeln!(out, "{self}");
    }
}

fn value<T>(key: &'static str, raw: &RawValue, read: impl Fn(&str) -> Option<T>) -> Result<T, AckError> {
    let text = scalar(raw);
    read(&text).ok_or_else(|| AckError::Value { key, text: shown(&text) })
}

/// A field that could not be read is an error, or is left out where the rest matters more.
fn kept<T>(field: Option<Result<T, AckError>>, without_faults: bool) -> Result<Option<T>, AckError> {
    match field {
        Some(Err(_)) if without_faults => Ok(None),
        field => field.transpose(),
    }
}

fn code(name: &str) -> Cow<'static, str> {
    match ErrorId::from_name(name).and_then(ErrorId::name) {
        Some(known) if known == name => Cow::Borrowed(known),
        _ => Cow::Owned(shown(name)),
    }
}

/// The JSON object, its keys in the order of the service, those that are present.
impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"EventType":"{}""#, self.event.name())?;
        if let Some(timecode) = self.fragment_timecode {
            write!(f, r#","FragmentTimecode":{timecode}"#)?;
        }
        if let Some(number) = &self.fragment_number {
            write!(f, r#","FragmentNumber":"{}""#, number.as_str())?;
        }
        if let Some(code) = &self.error_code {
            write!(f, r#","ErrorCode":{}"#, JsonString(code))?;
        }
        if let Some(ErrorId(id)) = self.error_id {
            write!(f, r#","ErrorId":{id}"#)?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack_strategy::any_ack;
    use proptest::prelude::*;

    #[test]
    fn lines_of_the_service_are_read_and_printed_to_the_byte() {
        let number = |text: &str| text.parse::<FragmentNumber>().unwrap();
        let rows = [
            (
                r#"{"EventType":"BUFFERING","FragmentTimecode":1677613819540,"FragmentNumber":"91343852333182006801812051225829315333083406205"}"#,
                Ack::of(
                    AckEvent::Buffering,
                    1_677_613_819_540,
                    number("91343852333182006801812051225829315333083406205"),
                ),
            ),
            (
                r#"{"EventType":"RECEIVED","FragmentTimecode":1631530098173,"FragmentNumber":"91343852333181714682625100963696872342906958423"}"#,
                Ack::of(
                    AckEvent::Received,
                    1_631_530_098_173,
                    number("91343852333181714682625100963696872342906958423"),
                ),
            ),
            (
                r#"{"EventType":"PERSISTED","FragmentTimecode":1603824756549,"FragmentNumber":"91343852336295564719223824759965096254087582289"}"#,
                Ack::of(
                    AckEvent::Persisted,
                    1_603_824_756_549,
                    number("91343852336295564719223824759965096254087582289"),
                ),
            ),
            (
                r#"{"EventType":"ERROR","FragmentTimecode":0,"FragmentNumber":"91343852333181571046918222741096071001568090649","ErrorCode":"FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS","ErrorId":4004}"#,
                Ack::refusal(
                    ErrorId(4004),
                    Some((0, number("91343852333181571046918222741096071001568090649"))),
                ),
            ),
            (
                r#"{"EventType":"ERROR","ErrorCode":"INVALID_MKV_DATA","ErrorId":4006}"#,
                Ack::refusal(ErrorId(4006), None),
            ),
            (r#"{"EventType":"IDLE"}"#, Ack::new(AckEvent::Idle)),
        ];
        for (line, ack) in rows {
            assert_eq!(Ack::read(line.as_bytes()).as_ref(), Ok(&ack));
            let mut printed = Vec::new();
            ack.write(&mut printed);
            assert_eq!(printed, format!("{line}\n").into_bytes());
        }
    }

    #[test]
    fn a_known_ack_keeps_nothing_on_the_heap() {
        let ack =
            Ack::read(br#"{"EventType":"ERROR","ErrorCode":"INVALID_MKV_DATA","ErrorId":4006}"#).unwrap();
        assert!(matches!(ack.error_code, Some(Cow::Borrowed("INVALID_MKV_DATA"))));
    }

    #[test]
    fn every_way_to_write_a_value_reads_the_same() {
        let plain = Ack::read(br#"{"EventType":"ERROR","FragmentTimecode":1677613819540,"FragmentNumber":"12","ErrorCode":"INVALID_MKV_DATA","ErrorId":4006}"#);
        for text in [
            r#"{"EventType":"ERROR","FragmentTimecode":1.67761381954E12,"FragmentNumber":12,"ErrorCode":"INVALID_MKV_DATA","ErrorId":4.006e3}"#,
            r#"{"EventType":"ERROR","FragmentTimecode":"1677613819540","FragmentNumber":"12","ErrorCode":"INVALID_MKV_DATA","ErrorId":"4006"}"#,
            r#" { "ErrorId" : 4006.0 , "ErrorCode":"INVALID\u005fMKV_DATA", "FragmentNumber":"12","FragmentTimecode":"1677613819.540e3","AckEventType":"ERR\u004fR" } "#,
            r#"{"Acknowledgement":{"EventType":"ERROR","FragmentTimecode":1677613819540,"FragmentNumber":"12","ErrorCode":"INVALID_MKV_DATA","ErrorId":4006}}"#,
            r#"{"x":{"EventType":"IDLE","y":[{"}":"{\"\\"}]},"EventType":"ERROR","FragmentTimecode":1677613819540,"FragmentNumber":"12","ErrorCode":"INVALID_MKV_DATA","ErrorId":4006,"z":null}"#,
        ] {
            assert_eq!(Ack::read(text.as_bytes()), plain, "{text}");
        }
    }

    #[test]
    fn null_is_as_good_as_missing() {
        let text = br#"{"EventType":"IDLE","FragmentTimecode":null,"FragmentNumber":null,"ErrorCode":null,"ErrorId":null}"#;
        assert_eq!(Ack::read(text), Ok(Ack::new(AckEvent::Idle)));
        let both = br#"{"EventType":"IDLE","AckEventType":"ERROR","message":"a","Message":"b"}"#;
        assert_eq!(Ack::read(both), Ok(Ack::new(AckEvent::Idle)));
    }

    #[test]
    fn a_refused_request_in_place_of_acks_is_no_ack() {
        let body = br#"{"message":"The security token included in the request is expired"}"#;
        let text = "The security token included in the request is expired".into();
        assert_eq!(Ack::read(body), Err(AckError::NotAnAck { text }));
        let long = format!("{{\"Message\":\"{}\"}}", "x".repeat(100_000));
        let Err(AckError::NotAnAck { text }) = Ack::read(long.as_bytes()) else { panic!("an ack?") };
        assert!(text.len() < 600);
        let long = format!("{{\"Acknowledgement\":\"{}\"}}", "x".repeat(100_000));
        let Err(error @ AckError::Malformed { .. }) = Ack::read(long.as_bytes()) else { panic!("an ack?") };
        assert!(error.to_string().len() < 1_200);
        assert_eq!(Ack::read(b"{}"), Err(AckError::NotAnAck { text: "{}".into() }));
        assert_eq!(
            Ack::read(br#"{"Acknowledgement":{"Acknowledgement":{"EventType":"IDLE"}}}"#),
            Err(AckError::NotAnAck {
                text: r#"{"Acknowledgement":{"Acknowledgement":{"EventType":"IDLE"}}}"#.into()
            })
        );
    }

    #[test]
    fn an_unknown_event_is_told_with_its_fragment() {
        let event = |text: &str| match Ack::read(text.as_bytes()) {
            Err(AckError::UnknownEvent { event, fragment_number }) => {
                (event, fragment_number.map(|number| number.to_string()))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(
            event(r#"{"EventType":"REPLICATED","FragmentNumber":"12"}"#),
            ("REPLICATED".into(), Some("12".into()))
        );
        assert_eq!(event(r#"{"EventType":"received"}"#), ("received".into(), None));
        assert_eq!(event(r#"{"EventType":5,"FragmentNumber":"x"}"#), ("5".into(), None));
    }

    #[test]
    fn an_impossible_value_is_told_with_its_key() {
        for (key, json) in [
            ("FragmentTimecode", "18446744071867076041"),
            ("FragmentTimecode", "0.5"),
            ("FragmentTimecode", "\"\""),
            ("FragmentNumber", "\"0x12\""),
            ("FragmentNumber", "-3"),
            ("FragmentNumber", "{}"),
            ("ErrorId", "-1"),
            ("ErrorId", "4294967296"),
            ("ErrorId", "true"),
        ] {
            let text = format!(r#"{{"EventType":"RECEIVED","{key}":{json}}}"#);
            assert_eq!(
                Ack::read(text.as_bytes()),
                Err(AckError::Value { key, text: json.trim_matches('"').into() })
            );
        }
    }

    #[test]
    fn a_refusal_is_told_although_something_else_in_it_is_wrong() {
        let text = r#"{"EventType":"ERROR","FragmentTimecode":18446744071867076041,"FragmentNumber":"x","ErrorId":5001}"#;
        assert_eq!(
            Ack::read(text.as_bytes()),
            Ok(Ack::refusal(ErrorId(5001), None)).map(|ack| Ack { error_code: None, ..ack })
        );
        let text = r#"{"EventType":"ERROR","FragmentTimecode":7,"ErrorCode":"ARCHIVAL_ERROR","ErrorId":"?"}"#;
        let ack = Ack::read(text.as_bytes()).unwrap();
        assert_eq!((ack.fragment_timecode, ack.error()), (Some(7), Some(ErrorId(5001))));
    }

    #[test]
    fn what_is_no_json_object_is_malformed() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        for text in
            ["", "{", "[]", "1", "{'EventType':'IDLE'}", r#"{"EventType":"IDLE","EventType":"IDLE"}"#, &deep]
        {
            assert!(matches!(Ack::read(text.as_bytes()), Err(AckError::Malformed { .. })), "{text:.40}");
        }
        assert!(matches!(Ack::read(b"{\"EventType\":\"\xff\"}"), Err(AckError::Malformed { .. })));
    }

    #[test]
    fn an_error_is_known_by_its_id_or_else_by_its_name() {
        let reaction = |text: &str| Ack::read(text.as_bytes()).unwrap().reaction();
        assert_eq!(reaction(r#"{"EventType":"ERROR","ErrorId":4009}"#), Some(Reaction::ResendWithoutTags));
        let by_name = r#"{"EventType":"ERROR","ErrorCode":"FRAMES_MISSING_FOR_TRACK"}"#;
        assert_eq!(reaction(by_name), Some(Reaction::ResendWithoutSilentTrack));
        // Older texts call 4012 by another name: the number counts.
        let both = r#"{"EventType":"ERROR","ErrorCode":"MORE_THAN_ALLOWED_TRACKS_FOUND","ErrorId":4012}"#;
        assert_eq!(reaction(both), Some(Reaction::ResendWithoutTags));
        assert_eq!(reaction(r#"{"EventType":"ERROR"}"#), Some(Reaction::Resend));
        assert_eq!(reaction(r#"{"EventType":"RECEIVED","ErrorId":4009}"#), None);
    }

    #[test]
    fn an_unknown_error_keeps_its_number_and_text() {
        let line = r#"{"EventType":"ERROR","ErrorCode":"MOON_\"PHASE\"","ErrorId":7777}"#;
        let ack = Ack::read(line.as_bytes()).unwrap();
        assert_eq!((ack.error_code.as_deref(), ack.error_id), (Some("MOON_\"PHASE\""), Some(ErrorId(7777))));
        assert_eq!(ack.to_string(), line);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(ack in any_ack()) {
            let mut line = Vec::new();
            ack.write(&mut line);
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(Ack::read(&line), Ok(ack));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ack::read(&bytes);
        }
    }
}
