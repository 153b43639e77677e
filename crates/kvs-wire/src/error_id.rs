//! The numbered errors of an ack stream and of a GetMedia body.

use std::fmt;

/// The number of an error, as in an ack's `ErrorId` and in the tag `AWS_KINESISVIDEO_ERROR_ID`.
///
/// Any number can be held. What is not in the table has neither name nor meaning, and is met as the table's last row
/// is: a new session, and the same media again.
///
/// ```
/// use kvs_wire::{ErrorId, Reaction};
/// assert_eq!(ErrorId(4009).name(), Some("FRAGMENT_METADATA_LIMIT_REACHED"));
/// assert_eq!(ErrorId::from_name("FRAGMENT_METADATA_LIMIT_REACHED"), Some(ErrorId(4009)));
/// assert_eq!(ErrorId(4009).reaction(), Reaction::ResendWithoutTags);
/// assert_eq!(ErrorId(7777).reaction(), Reaction::Resend);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorId(pub u32);

/// What a producer does after an error ack. Every reaction but [`Stop`](Self::Stop) goes on in a new session, from
/// the oldest fragment that is not acknowledged, after the back-off of that session's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// The same media again.
    Resend,
    /// The refused fragment again, without its tags.
    ResendWithoutTags,
    /// The refused fragment again, in a session whose header leaves out the track that has no frame in it.
    ResendWithoutSilentTrack,
    /// The refused fragment again, with times that grow.
    ResendWithRepairedTimes,
    /// The refused fragment again, as several: cut at the next key frames.
    ResendSplit,
    /// The same media again, seldom, and a message: somebody must change something at the service, after which it
    /// works by itself.
    ResendAfterHelp,
    /// Nothing more: no later attempt can succeed. An error with the message.
    Stop,
}

/// Whose fault an error is, so that a fragment is given up only for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// What was sent: the same bytes are refused again.
    Fragment,
    /// The connection, the service, the stream or its key: any fragment would have been refused.
    Elsewhere,
}

struct Row {
    id: u32,
    name: &'static str,
    meaning: &'static str,
    reaction: Reaction,
    fault: Fault,
}

const fn row(id: u32, name: &'static str, reaction: Reaction, fault: Fault, meaning: &'static str) -> Row {
    Row { id, name, meaning, reaction, fault }
}

/// Ascending by id. Names and meanings from the PutMedia and GetMedia API pages, except that 3002 has no published
/// name, and 4507 is known from the producer SDKs only.
///
/// Resent without a change are those whose cause is unknown to us (4005, 4006, 4007, 4010): the session's header and
/// the place of the cut are new with each session, and [`Refusals`](crate::Refusals) ends it. Of the key errors,
/// 4506 is final since a deleted key does not come back and a stream cannot change its key, and so is 4504 since a
/// key cannot change its usage. A grant (4500), a disabled key (4501) and a key in a wrong state (4505, pending
/// deletion) can be put right while the producer runs.
const TABLE: [Row; 25] = {
    use Fault::{Elsewhere, Fragment};
    use Reaction::{
        Resend, ResendAfterHelp, ResendSplit, ResendWithRepairedTimes, ResendWithoutSilentTrack,
        ResendWithoutTags, Stop,
    };
    [
        row(3000, "FRAGMENT_NOT_FOUND", Resend, Elsewhere, "there is no such fragment (yet)"),
        row(3002, "STREAM_WRITE_ERROR", Resend, Elsewhere, "the service could not write its response"),
        row(4000, "STREAM_READ_ERROR", Resend, Elsewhere, "the service could not read the request"),
        row(4001, "MAX_FRAGMENT_SIZE_REACHED", ResendSplit, Fragment, "the fragment is larger than 50 MB"),
        row(4002, "MAX_FRAGMENT_DURATION_REACHED", ResendSplit, Fragment, "the fragment lasts too long"),
        row(
            4003,
            "MAX_CONNECTION_DURATION_REACHED",
            Resend,
            Elsewhere,
            "the session is older than 45 minutes",
        ),
        row(
            4004,
            "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS",
            ResendWithRepairedTimes,
            Fragment,
            "the fragment does not begin after the end of the one before it",
        ),
        row(
            4005,
            "MORE_THAN_ALLOWED_TRACKS_FOUND",
            Resend,
            Fragment,
            "the session has more tracks than allowed",
        ),
        row(
            4006,
            "INVALID_MKV_DATA",
            Resend,
            Fragment,
            "the media is not the Matroska that the service reads",
        ),
        row(4007, "INVALID_PRODUCER_TIMESTAMP", Resend, Fragment, "the producer's time is impossible"),
        row(4008, "STREAM_NOT_ACTIVE", Stop, Elsewhere, "the stream is deleted or not active"),
        row(
            4009,
            "FRAGMENT_METADATA_LIMIT_REACHED",
            ResendWithoutTags,
            Fragment,
            "the fragment has more than 10 tags, or one that is too long",
        ),
        row(
            4010,
            "TRACK_NUMBER_MISMATCH",
            Resend,
            Fragment,
            "a frame belongs to a track that was not declared",
        ),
        row(
            4011,
            "FRAMES_MISSING_FOR_TRACK",
            ResendWithoutSilentTrack,
            Fragment,
            "a declared track has no frame in the fragment",
        ),
        row(
            4012,
            "INVALID_FRAGMENT_METADATA",
            ResendWithoutTags,
            Fragment,
            "a tag has a name that is the service's own",
        ),
        row(
            4500,
            "KMS_KEY_ACCESS_DENIED",
            ResendAfterHelp,
            Elsewhere,
            "the stream's key may not be used: grant the producer its use in the key policy",
        ),
        row(
            4501,
            "KMS_KEY_DISABLED",
            ResendAfterHelp,
            Elsewhere,
            "the stream's key is disabled: enable it in KMS",
        ),
        row(4502, "KMS_KEY_VALIDATION_ERROR", Resend, Elsewhere, "the stream's key could not be validated"),
        row(4503, "KMS_KEY_UNAVAILABLE", Resend, Elsewhere, "the stream's key is unavailable at the moment"),
        row(
            4504,
            "KMS_KEY_INVALID_USAGE",
            Stop,
            Elsewhere,
            "the stream's key is of a kind that cannot encrypt media: create the stream anew with another key",
        ),
        row(
            4505,
            "KMS_KEY_INVALID_STATE",
            ResendAfterHelp,
            Elsewhere,
            "the stream's key is in a state that forbids its use: look at it in KMS (pending deletion?)",
        ),
        row(
            4506,
            "KMS_KEY_NOT_FOUND",
            Stop,
            Elsewhere,
            "the stream's key is deleted: create the stream anew with another key",
        ),
        row(4507, "STREAM_DELETED", Stop, Elsewhere, "the stream is deleted"),
        row(5000, "INTERNAL_ERROR", Resend, Elsewhere, "the service failed inside"),
        // A full disk on the other side must cost nothing. It was also seen for a single fragment with an absurd time,
        // which our producers do not make.
        row(5001, "ARCHIVAL_ERROR", Resend, Elsewhere, "the service could not store the fragment"),
    ]
};

impl ErrorId {
    /// Every id that the table knows, ascending.
    pub fn known() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| Self(row.id))
    }

    /// The id with this symbolic name, as in an ack's `ErrorCode`.
    pub fn from_name(name: &str) -> Option<Self> {
        // The limits page spells this one shorter than the table of acks.
        let name = if name == "MAX_FRAGMENT_SIZE" { "MAX_FRAGMENT_SIZE_REACHED" } else { name };
        TABLE.iter().find(|row| row.name == name).map(|row| Self(row.id))
    }

    /// The symbolic name; `None` when the table has no such id.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// What it means to a producer, and what there is to do when somebody has to do something. For people.
    pub fn meaning(self) -> &'static str {
        self.row().map_or("an error that this version does not know", |row| row.meaning)
    }

    /// The symbolic name inside a GetMedia body, where 4000 is another error (GetMedia API page; the name is that of
    /// its sibling 3000).
    pub fn name_to_reader(self) -> Option<&'static str> {
        match self.0 {
            4000 => Self(3000).name(),
            _ => self.name(),
        }
    }

    /// What it means inside a GetMedia body, where 4000 is another error (GetMedia API page). For people.
    pub fn meaning_to_reader(self) -> &'static str {
        match self.0 {
            4000 => "the requested fragment is not found",
            _ => self.meaning(),
        }
    }

    /// What a producer does after it.
    pub fn reaction(self) -> Reaction {
        self.row().map_or(Reaction::Resend, |row| row.reaction)
    }

    /// Whether the refused fragment itself is to blame, so that it is given up after some refusals.
    ///
    /// Errors of the connection, the stream, its key or the service's inside are not: any fragment would have met
    /// them, and dropping would lose a fragment for every few seconds of an outage. Unknown ids are, so that no
    /// fragment can block a stream for ever.
    pub fn blames_fragment(self) -> bool {
        self.row().is_none_or(|row| row.fault == Fault::Fragment)
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.binary_search_by_key(&self.0, |row| row.id).ok().and_then(|at| TABLE.get(at))
    }
}

/// `4009 FRAGMENT_METADATA_LIMIT_REACHED`, or the number alone.
impl fmt::Display for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_is_ascending_and_complete() {
        assert!(TABLE.windows(2).all(|pair| pair[0].id < pair[1].id));
        let ids = [3000, 3002].into_iter().chain(4000..=4012).chain(4500..=4507).chain([5000, 5001]);
        assert!(ErrorId::known().eq(ids.map(ErrorId)));
    }

    #[test]
    fn a_name_finds_its_id_and_an_id_its_name() {
        for id in ErrorId::known() {
            assert_eq!(id.name().and_then(ErrorId::from_name), Some(id));
            assert!(!id.meaning().is_empty());
        }
        assert_eq!(ErrorId::from_name("MAX_FRAGMENT_SIZE"), Some(ErrorId(4001)));
        // 4012 in older texts, 4005 in all: a name is read as the id that has it.
        assert_eq!(ErrorId::from_name("MORE_THAN_ALLOWED_TRACKS_FOUND"), Some(ErrorId(4005)));
        for name in ["", "invalid_mkv_data", "MIN_FRAGMENT_DURATION_REACHED"] {
            assert_eq!(ErrorId::from_name(name), None);
        }
    }

    #[test]
    fn every_id_has_the_reaction_that_loses_least() {
        let rows: [(Reaction, &[u32]); 6] = [
            (Reaction::ResendSplit, &[4001, 4002]),
            (Reaction::ResendWithRepairedTimes, &[4004]),
            (Reaction::ResendWithoutTags, &[4009, 4012]),
            (Reaction::ResendWithoutSilentTrack, &[4011]),
            (Reaction::ResendAfterHelp, &[4500, 4501, 4505]),
            (Reaction::Stop, &[4008, 4504, 4506, 4507]),
        ];
        for id in (0..10_000).map(ErrorId) {
            let expected =
                rows.iter().find(|(_, ids)| ids.contains(&id.0)).map_or(Reaction::Resend, |row| row.0);
            assert_eq!(id.reaction(), expected, "{id}");
        }
    }

    #[test]
    fn an_outage_is_not_blamed_on_the_fragment() {
        let elsewhere: Vec<u32> =
            ErrorId::known().filter(|id| !id.blames_fragment()).map(|id| id.0).collect();
        let mut expected = vec![3000, 3002, 4000, 4003, 4008];
        expected.extend(4500..=4507);
        expected.extend([5000, 5001]);
        assert_eq!(elsewhere, expected);
        assert!(ErrorId(7000).blames_fragment());
    }

    #[test]
    fn the_same_id_means_another_thing_to_a_reader() {
        assert_eq!(ErrorId(4000).name_to_reader(), Some("FRAGMENT_NOT_FOUND"));
        assert_eq!(ErrorId(5000).name_to_reader(), ErrorId(5000).name());
        assert_eq!(ErrorId(4000).meaning_to_reader(), "the requested fragment is not found");
        assert_eq!(ErrorId(5000).meaning_to_reader(), ErrorId(5000).meaning());
    }

    proptest! {
        #[test]
        fn an_unknown_id_keeps_its_number(id in 10_000_u32..) {
            let id = ErrorId(id);
            prop_assert_eq!(id.to_string(), id.0.to_string());
            prop_assert_eq!((id.name(), id.reaction()), (None, Reaction::Resend));
        }
    }
}
