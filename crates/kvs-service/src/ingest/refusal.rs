//! Which error id a fault in the media has (kvs-api 3.6).

use kvs_media::mkv::{Id, ReadErrorKind, SimpleTag, Tag, TagValue};
use kvs_wire::{ErrorId, tags};

use super::Limits;

pub(super) const NOT_READ: ErrorId = ErrorId(4000);
pub(super) const TOO_LARGE: ErrorId = ErrorId(4001);
pub(super) const TOO_LONG: ErrorId = ErrorId(4002);
pub(super) const TOO_OLD: ErrorId = ErrorId(4003);
pub(super) const NOT_LATER: ErrorId = ErrorId(4004);
pub(super) const TOO_MANY_TRACKS: ErrorId = ErrorId(4005);
pub(super) const INVALID: ErrorId = ErrorId(4006);
pub(super) const IMPOSSIBLE_TIME: ErrorId = ErrorId(4007);
pub(super) const TOO_MANY_TAGS: ErrorId = ErrorId(4009);
pub(super) const UNDECLARED_TRACK: ErrorId = ErrorId(4010);
pub(super) const MISSING_TRACK: ErrorId = ErrorId(4011);
pub(super) const RESERVED_TAG: ErrorId = ErrorId(4012);
pub(super) const INTERNAL: ErrorId = ErrorId(5000);

/// The id for a fault that the reader met.
pub(super) const fn of(fault: ReadErrorKind) -> ErrorId {
    match fault {
        ReadErrorKind::TimecodeOutOfRange => IMPOSSIBLE_TIME,
        ReadErrorKind::UnknownTrack(_) => UNDECLARED_TRACK,
        ReadErrorKind::TooManyTracks(_) => TOO_MANY_TRACKS,
        ReadErrorKind::TooManyTags => TOO_MANY_TAGS,
        ReadErrorKind::TooLarge { id: Id::SIMPLE_BLOCK | Id::BLOCK_GROUP, .. } => TOO_LARGE,
        ReadErrorKind::TooLarge { id: Id::TAGS, .. } => TOO_MANY_TAGS,
        _ => INVALID,
    }
}

/// Counts the tags of a fragment, `before` of which have come already, and refuses what is over the limits.
pub(super) fn count_tags(groups: &[Tag], before: usize, limits: &Limits) -> Result<usize, ErrorId> {
    let mut count = before;
    for SimpleTag { name, value } in groups.iter().flat_map(|tag| &tag.pairs) {
        if tags::is_reserved(name) {
            return Err(RESERVED_TAG);
        }
        let length = match value {
            TagValue::Text(text) => text.len(),
            TagValue::Binary(bytes) => bytes.len(),
        };
        count += 1;
        if count > limits.tags || name.len() > limits.tag_name_bytes || length > limits.tag_value_bytes {
            return Err(TOO_MANY_TAGS);
        }
    }
    Ok(count)
}

/// Whether a Tags element is the marker behind the last cluster (kvs-api 3.10), and says nothing of a fragment.
pub(super) fn is_marker(groups: &[Tag]) -> bool {
    let mut names = groups.iter().flat_map(|tag| &tag.pairs).map(|pair| pair.name.as_str());
    names.next() == Some(tags::END_OF_FRAGMENT) && names.next().is_none()
}
