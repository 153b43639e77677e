//! Acks of every kind, for the property tests of this crate.

use std::borrow::Cow;

use proptest::prelude::*;

use crate::{Ack, AckEvent, ErrorId, FragmentNumber};

pub(crate) fn any_number() -> impl Strategy<Value = FragmentNumber> {
    "[0-9]{1,128}".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn any_ack() -> impl Strategy<Value = Ack> {
    let event = prop::sample::select(vec![
        AckEvent::Buffering,
        AckEvent::Received,
        AckEvent::Persisted,
        AckEvent::Error,
        AckEvent::Idle,
    ]);
    let code = prop::option::of(".{0,30}".prop_map(Cow::Owned));
    let id = prop::option::of(any::<u32>().prop_map(ErrorId));
    (event, any::<Option<i64>>(), prop::option::of(any_number()), code, id).prop_map(
        |(event, fragment_timecode, fragment_number, error_code, error_id)| Ack {
            event,
            fragment_timecode,
            fragment_number,
            error_code,
            error_id,
        },
    )
}
