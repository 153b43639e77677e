//! Which fragments of a range are played, and in which order (kvs-api 6.4).

use std::time::Duration;

use crate::store::FragmentRow;

/// A range that is sent again after such a pause was ingested twice, and the first set of it counts. What comes sooner
/// is a producer that sends again what was not acknowledged.
const FAR_APART: Duration = Duration::from_secs(600);

/// Of the rows of a range by the producer's clock: the first set that was ingested, in the order of that clock, and of
/// those with the same time the one with the largest number.
pub(crate) fn by_producer_time(mut rows: Vec<FragmentRow>) -> Vec<FragmentRow> {
    rows.sort_unstable_by_key(|row| row.number);
    let (mut newest, mut last_ingest) = (None, None);
    rows.retain(|row| {
        let ingested = row.number.server_time();
        let pause = ingested.zip(last_ingest).and_then(|(now, last)| now.since(last));
        let goes_back = newest.is_some_and(|newest| row.producer_time <= newest);
        if goes_back && pause.is_some_and(|pause| pause > FAR_APART) {
            return false;
        }
        newest = newest.max(Some(row.producer_time));
        last_ingest = last_ingest.max(ingested);
        true
    });
    // Stable, so that of equal times the largest number comes last.
    rows.sort_by_key(|row| row.producer_time);
    let mut kept: Vec<FragmentRow> = Vec::with_capacity(rows.len());
    for row in rows {
        match kept.last_mut() {
            Some(last) if last.producer_time == row.producer_time => *last = row,
            _ => kept.push(row),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Number, Place, SegmentId, StreamId};
    use kvs_media::time::Utc;

    fn row(sequence: u64, server: u64, producer: i64) -> FragmentRow {
        FragmentRow {
            stream: StreamId(1),
            number: Number { sequence, server_ms: server * 1_000, tail: 0 },
            producer_time: Utc::from_millis(producer * 1_000).unwrap(),
            length_ms: 1_000,
            size: 1,
            segment: SegmentId(1),
            place: Place { offset: 0, length: 0 },
        }
    }

    fn sequences(rows: Vec<FragmentRow>) -> Vec<u64> {
        by_producer_time(rows).iter().map(|row| row.number.sequence).collect()
    }

    #[test]
    fn what_is_sent_again_at_once_replaces_what_it_repeats() {
        let rows = vec![row(1, 10, 1), row(2, 11, 2), row(3, 14, 2), row(4, 15, 3)];
        assert_eq!(sequences(rows), [1, 3, 4]);
    }

    #[test]
    fn out_of_order_is_put_in_order() {
        let rows = vec![row(1, 10, 1), row(2, 11, 5), row(3, 12, 3), row(4, 13, 7)];
        assert_eq!(sequences(rows), [1, 3, 2, 4]);
    }

    #[test]
    fn of_a_range_that_was_ingested_twice_far_apart_the_first_set_is_played() {
        let rows = [row(1, 10, 1), row(2, 11, 2), row(3, 12, 3)];
        let again = [row(4, 5_000, 1), row(5, 5_001, 2), row(6, 5_002, 3), row(7, 5_003, 4)];
        // What the first set did not have goes on behind it.
        assert_eq!(sequences([&rows[..], &again].concat()), [1, 2, 3, 7]);
        // A producer that pauses does not go back.
        let later = [row(4, 5_000, 5_000), row(5, 5_001, 5_001)];
        assert_eq!(sequences([&rows[..], &later].concat()), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn overlapping_fragments_are_all_played() {
        let mut rows = vec![row(1, 10, 1), row(2, 11, 2)];
        rows[0].length_ms = 10_000;
        assert_eq!(sequences(rows), [1, 2]);
    }
}
