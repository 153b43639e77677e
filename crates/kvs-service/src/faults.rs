//! Faults on command, for tests: what the network, the service and AWS itself do on a bad day.
//!
//! A fault strikes a stream or all of them, so many times or until it is taken back. What asks is told what to do, and
//! the fault has struck. Without a fault nothing is ever told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvs_wire::{AckEvent, ErrorId, FragmentNumber, Operation, StreamName};
use serde::Deserialize;

/// A fault, as a test asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The stream that it strikes; absent for all.
    #[serde(default)]
    pub stream: Option<StreamName>,
    /// How often it strikes; absent for ever.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// A fragment of a PutMedia session, the first being 1, is answered with this error id.
    ErrorAck {
        /// Which fragment.
        fragment: u64,
        /// The id.
        id: u32,
    },
    /// Acks of a PutMedia session come so much later.
    DelayAcks {
        /// Milliseconds.
        millis: u64,
    },
    /// Acks of this event never come.
    DropAcks {
        /// `BUFFERING`, `RECEIVED`, `PERSISTED`.
        event: String,
    },
    /// A connection of PutMedia or GetMedia is closed after so many bytes of media.
    CloseAfter {
        /// Bytes.
        bytes: u64,
    },
    /// It is reset.
    ResetAfter {
        /// Bytes.
        bytes: u64,
    },
    /// Nothing more is read or written after so many bytes of media.
    StallAfter {
        /// Bytes.
        bytes: u64,
    },
    /// An operation is answered with this HTTP status.
    Refuse {
        /// The name of the operation, such as `PutMedia`.
        operation: String,
        /// The status.
        status: u16,
    },
    /// A PutMedia session ends by its age (4003) after so long.
    ExpireSession {
        /// Milliseconds.
        millis: u64,
    },
    /// The service's clock is ahead by so much, or behind.
    SkewClock {
        /// Milliseconds.
        millis: i64,
    },
    /// ListFragments answers in no order, also across pages.
    ShuffleLists,
    /// A fragment that is PERSISTED is listed so much later.
    ListLate {
        /// Milliseconds.
        millis: u64,
    },
    /// A GetMedia answer ends after so long.
    EndGetMedia {
        /// Milliseconds.
        millis: u64,
    },
    /// A byte of an answer with media is another one.
    DamageMedia {
        /// Its place in the answer, the first being 0.
        at: u64,
    },
    /// A fragment is listed, and not found.
    LoseFragment {
        /// Its number.
        number: FragmentNumber,
    },
}

/// What happens to a connection that carries media, from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFaults {
    /// A fragment, counted from 1, and the id that it is answered with.
    pub error_ack: Option<(u64, ErrorId)>,
    /// Acks come so much later.
    pub delay_acks: Duration,
    /// Acks of this event never come.
    pub drop_acks: Option<AckEvent>,
    /// It ends in this way after so many bytes of media.
    pub end: Option<(End, u64)>,
    /// It ends after so long.
    pub age: Option<Duration>,
    /// The byte at this place of an answer is another one.
    pub damage: Option<u64>,
}

impl ConnectionFaults {
    /// Damages a piece of an answer, of which so much has gone before.
    pub(crate) fn spoil(&self, piece: Bytes, sent: u64) -> Bytes {
        let place = self.damage.and_then(|at| usize::try_from(at.checked_sub(sent)?).ok());
        let Some(place) = place.filter(|place| *place < piece.len()) else { return piece };
        let mut spoiled = BytesMut::from(&piece[..]);
        if let Some(byte) = spoiled.get_mut(place) {
            *byte = !*byte;
        }
        spoiled.freeze()
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As one that is done.
    Close,
    /// As one that is broken.
    Reset,
    /// Not at all: nothing more is read or written.
    Stall,
}

/// Why a fault makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Not the JSON of a fault.
    #[error("not a fault: {0}")]
    Malformed(String),
    /// No such operation.
    #[error("no such operation: {0:?}")]
    Operation(String),
    /// No HTTP status that refuses anything.
    #[error("status {0} refuses nothing; 400 to 599 do")]
    Status(u16),
    /// No such ack.
    #[error("no such ack: {0:?}")]
    Event(String),
}

/// The faults that are set.
#[derive(Debug, Default)]
pub struct Faults {
    set: Mutex<Vec<Fault>>,
    /// Whether there may be one: asked for every piece of media, when there is none.
    any: AtomicBool,
}

impl Faults {
    /// Sets a fault, beside those that are set.
    pub fn set(&self, json: &[u8]) -> Result<(), FaultError> {
        let fault: Fault =
            serde_json::from_slice(json).map_err(|error| FaultError::Malformed(error.to_string()))?;
        match &fault.what {
            What::Refuse { operation, .. } if operation_of(operation).is_none() => {
                return Err(FaultError::Operation(operation.clone()));
            }
            What::Refuse { status, .. } if !(400..600).contains(status) => {
                return Err(FaultError::Status(*status));
            }
            What::DropAcks { event } if AckEvent::from_name(event).is_none() => {
                return Err(FaultError::Event(event.clone()));
            }
            _ => {}
        }
        self.set.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes all faults back.
    pub fn clear(&self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.any.store(false, Ordering::Release);
    }

    /// The HTTP status with which an operation on a stream is refused.
    pub fn refusal(&self, operation: Operation, stream: Option<&StreamName>) -> Option<u16> {
        self.strike(stream, |what| match what {
            What::Refuse { operation: name, status } if operation_of(name) == Some(operation) => {
                Some(*status)
            }
            _ => None,
        })
    }

    /// What happens to a PutMedia session that begins now.
    pub fn put_media(&self, stream: &StreamName) -> ConnectionFaults {
        let stream = Some(stream);
        let millis =
            |wanted: fn(&What) -> Option<u64>| self.strike(stream, wanted).map(Duration::from_millis);
        ConnectionFaults {
            error_ack: self.strike(stream, |what| match what {
                What::ErrorAck { fragment, id } => Some((*fragment, ErrorId(*id))),
                _ => None,
            }),
            delay_acks: millis(|what| match what {
                What::DelayAcks { millis } => Some(*millis),
                _ => None,
            })
            .unwrap_or_default(),
            drop_acks: self.strike(stream, |what| match what {
                What::DropAcks { event } => AckEvent::from_name(event),
                _ => None,
            }),
            end: self.end(stream),
            age: millis(|what| match what {
                What::ExpireSession { millis } => Some(*millis),
                _ => None,
            }),
            damage: None,
        }
    }

    /// What happens to a GetMedia answer that begins now.
    pub fn get_media(&self, stream: &StreamName) -> ConnectionFaults {
        let stream = Some(stream);
        let age = self.strike(stream, |what| match what {
            What::EndGetMedia { millis } => Some(Duration::from_millis(*millis)),
            _ => None,
        });
        let damage = self.damage(stream);
        ConnectionFaults { end: self.end(stream), age, damage, ..ConnectionFaults::default() }
    }

    /// What happens to an answer with the media of a list that begins now.
    pub fn list_media(&self, stream: &StreamName) -> ConnectionFaults {
        ConnectionFaults { damage: self.damage(Some(stream)), ..ConnectionFaults::default() }
    }

    /// Whether a fragment that is there is not found.
    pub fn loses(&self, stream: &StreamName, number: &FragmentNumber) -> bool {
        let lost = |what: &What| match what {
            What::LoseFragment { number: lost } if lost == number => Some(()),
            _ => None,
        };
        self.strike(Some(stream), lost).is_some()
    }

    /// How far the service's clock is ahead, in milliseconds.
    pub fn clock_skew(&self) -> i64 {
        let skew = |what: &What| match what {
            What::SkewClock { millis } => Some(*millis),
            _ => None,
        };
        self.strike(None, skew).unwrap_or(0)
    }

    /// Whether a list of a stream's fragments is shuffled.
    pub fn shuffles_lists(&self, stream: &StreamName) -> bool {
        self.strike(Some(stream), |what| matches!(what, What::ShuffleLists).then_some(())).is_some()
    }

    /// How much later than it is stored a fragment is listed.
    pub fn list_delay(&self, stream: &StreamName) -> Duration {
        let delay = |what: &What| match what {
            What::ListLate { millis } => Some(Duration::from_millis(*millis)),
            _ => None,
        };
        self.strike(Some(stream), delay).unwrap_or_default()
    }

    fn damage(&self, stream: Option<&StreamName>) -> Option<u64> {
        self.strike(stream, |what| match what {
            What::DamageMedia { at } => Some(*at),
            _ => None,
        })
    }

    fn end(&self, stream: Option<&StreamName>) -> Option<(End, u64)> {
        self.strike(stream, |what| match what {
            What::CloseAfter { bytes } => Some((End::Close, *bytes)),
            What::ResetAfter { bytes } => Some((End::Reset, *bytes)),
            What::StallAfter { bytes } => Some((End::Stall, *bytes)),
            _ => None,
        })
    }

    /// The first fault for a stream that has something to say. It has struck once more.
    fn strike<T>(&self, stream: Option<&StreamName>, mut says: impl FnMut(&What) -> Option<T>) -> Option<T> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = None;
        set.retain_mut(|fault| {
            let meant = fault.stream.is_none() || fault.stream.as_ref() == stream;
            if said.is_none() && meant && fault.times != Some(0) {
                said = says(&fault.what);
                if said.is_some()
                    && let Some(times) = &mut fault.times
                {
                    *times = times.saturating_sub(1);
                }
            }
            fault.times != Some(0)
        });
        said
    }
}

fn operation_of(name: &str) -> Option<Operation> {
    Operation::ALL.iter().copied().find(|operation| operation.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(all: &[&str]) -> Faults {
        let faults = Faults::default();
        all.iter().for_each(|json| faults.set(json.as_bytes()).unwrap());
        faults
    }

    fn name(name: &str) -> StreamName {
        name.parse().unwrap()
    }

    #[test]
    fn without_faults_nothing_happens() {
        let faults = Faults::default();
        let cam = name("cam");
        assert_eq!(faults.put_media(&cam), ConnectionFaults::default());
        assert_eq!(faults.get_media(&cam), ConnectionFaults::default());
        assert_eq!(faults.refusal(Operation::PutMedia, Some(&cam)), None);
        assert_eq!((faults.clock_skew(), faults.list_delay(&cam)), (0, Duration::ZERO));
        assert!(!faults.shuffles_lists(&cam));
    }

    #[test]
    fn a_fault_strikes_the_stream_that_is_named_as_often_as_it_is_told() {
        let faults = faults(&[
            r#"{"stream":"cam","times":2,"what":{"refuse":{"operation":"PutMedia","status":503}}}"#,
        ]);
        let (cam, other) = (name("cam"), name("other"));
        assert_eq!(faults.refusal(Operation::PutMedia, Some(&other)), None);
        assert_eq!(faults.refusal(Operation::GetMedia, Some(&cam)), None);
        let answers: Vec<_> = (0..3).map(|_| faults.refusal(Operation::PutMedia, Some(&cam))).collect();
        assert_eq!(answers, [Some(503), Some(503), None]);
    }

    #[test]
    fn a_fault_that_strikes_no_times_never_does() {
        let faults = faults(&[r#"{"times":0,"what":{"refuse":{"operation":"PutMedia","status":503}}}"#]);
        assert_eq!(faults.refusal(Operation::PutMedia, Some(&name("cam"))), None);
    }

    #[test]
    fn faults_of_a_connection_come_together_and_for_ever_unless_told() {
        let faults = faults(&[
            r#"{"what":{"error_ack":{"fragment":3,"id":4004}},"times":1}"#,
            r#"{"what":{"delay_acks":{"millis":20}}}"#,
            r#"{"what":{"drop_acks":{"event":"PERSISTED"}}}"#,
            r#"{"what":{"reset_after":{"bytes":1000}}}"#,
            r#"{"what":{"expire_session":{"millis":1500}}}"#,
            r#"{"what":{"end_get_media":{"millis":700}}}"#,
        ]);
        let cam = name("cam");
        let first = faults.put_media(&cam);
        assert_eq!(
            first,
            ConnectionFaults {
                error_ack: Some((3, ErrorId(4004))),
                delay_acks: Duration::from_millis(20),
                drop_acks: Some(AckEvent::Persisted),
                end: Some((End::Reset, 1_000)),
                age: Some(Duration::from_millis(1_500)),
                damage: None,
            }
        );
        assert_eq!(faults.put_media(&cam), ConnectionFaults { error_ack: None, ..first });
        let get = faults.get_media(&cam);
        assert_eq!((get.end, get.age), (Some((End::Reset, 1_000)), Some(Duration::from_millis(700))));
        faults.clear();
        assert_eq!(faults.put_media(&cam), ConnectionFaults::default());
    }

    #[test]
    fn the_looseness_of_aws_can_be_had_too() {
        let faults = faults(&[
            r#"{"what":"shuffle_lists","times":1}"#,
            r#"{"what":{"list_late":{"millis":900}}}"#,
            r#"{"what":{"skew_clock":{"millis":-600000}}}"#,
            r#"{"what":{"stall_after":{"bytes":5}},"times":1}"#,
            r#"{"what":{"close_after":{"bytes":6}},"times":1}"#,
        ]);
        let cam = name("cam");
        assert_eq!((faults.shuffles_lists(&cam), faults.shuffles_lists(&cam)), (true, false));
        assert_eq!((faults.list_delay(&cam), faults.clock_skew()), (Duration::from_millis(900), -600_000));
        let ends: Vec<_> = (0..3).map(|_| faults.get_media(&cam).end).collect();
        assert_eq!(ends, [Some((End::Stall, 5)), Some((End::Close, 6)), None]);
    }

    #[test]
    fn media_can_be_damaged_and_lost() {
        let faults = faults(&[
            r#"{"what":{"damage_media":{"at":5}},"times":2}"#,
            r#"{"what":{"lose_fragment":{"number":"91343852333181432387730302044767688728495783937"}}}"#,
        ]);
        let cam = name("cam");
        let damages = [faults.get_media(&cam), faults.list_media(&cam), faults.get_media(&cam)];
        assert_eq!(damages.clone().map(|faults| faults.damage), [Some(5), Some(5), None]);
        let pieces = [(0, "01234"), (5, "56789"), (3, "3456"), (6, "6789")];
        let spoiled = pieces.map(|(sent, piece)| damages[0].spoil(piece.into(), sent));
        assert_eq!(spoiled, [&b"01234"[..], b"\xca6789", b"34\xca6", b"6789"]);
        let number =
            |last: u32| format!("9134385233318143238773030204476768872849578393{last}").parse().unwrap();
        assert_eq!([7, 8, 7].map(|last| faults.loses(&cam, &number(last))), [true, false, true]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_not_set() {
        let faults = Faults::default();
        for json in [
            "",
            "{}",
            r#"{"what":"burn"}"#,
            r#"{"what":"shuffle_lists","stream":"a b"}"#,
            r#"{"what":"shuffle_lists","time":1}"#,
            r#"{"what":{"error_ack":{"fragment":1}}}"#,
        ] {
            assert!(matches!(faults.set(json.as_bytes()), Err(FaultError::Malformed(_))), "{json}");
        }
        let refuse = |operation: &str, status: u16| {
            faults.set(
                format!(r#"{{"what":{{"refuse":{{"operation":"{operation}","status":{status}}}}}}}"#)
                    .as_bytes(),
            )
        };
        assert_eq!(refuse("putMedia", 500), Err(FaultError::Operation("putMedia".into())));
        assert_eq!(refuse("PutMedia", 200), Err(FaultError::Status(200)));
        let event = br#"{"what":{"drop_acks":{"event":"LATE"}}}"#;
        assert_eq!(faults.set(event), Err(FaultError::Event("LATE".into())));
        assert!(faults.set.lock().unwrap().is_empty());
    }
}
