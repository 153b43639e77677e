//! Decoding times, which Matroska does not carry, from presentation times in decoding order.
//!
//! Pure: no GStreamer. Times are nanoseconds on the source's time line.

use std::time::Duration;

/// No codec reorders over more (H.264 A.3.1, H.265 A.4.2).
const DEEPEST: usize = 16;
/// How long a picture lasts where nothing tells.
const TYPICAL: i64 = 40_000_000;

/// Decoding times of one track. Of a frame behind `n` others it is the `n - depth`-th smallest presentation time so far:
/// that many pictures have been shown when this one must be decoded. Nothing is waited for.
///
/// What it gives never goes back and is never after the presentation time.
#[derive(Clone, Debug)]
pub(crate) struct DecodeTimes {
    /// How many pictures are decoded before one and shown after it.
    depth: usize,
    typical: i64,
    /// Presentation times that no decoding time has reached, sorted.
    waiting: Vec<i64>,
    last: Option<i64>,
}

impl DecodeTimes {
    /// Those of a track that reorders over `depth` pictures, of which each lasts as long as `typical`, where that is known.
    pub(crate) fn new(depth: u32, typical: Option<Duration>) -> Self {
        let depth = usize::try_from(depth).unwrap_or(DEEPEST).min(DEEPEST);
        let typical = typical.and_then(|span| i64::try_from(span.as_nanos()).ok()).filter(|span| *span > 0);
        let typical = typical.unwrap_or(TYPICAL);
        Self { depth, typical, waiting: Vec::with_capacity(depth.saturating_add(1)), last: None }
    }

    /// The pictures of another sequence follow, which may reorder otherwise.
    pub(crate) fn set_depth(&mut self, depth: u32, typical: Option<Duration>) {
        *self = Self { last: self.last, ..Self::new(depth, typical) };
    }

    /// What follows does not belong to what was before, and is not before it.
    pub(crate) fn restart(&mut self) {
        self.waiting.clear();
    }

    /// What follows may lie anywhere.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
        self.last = None;
    }

    /// The decoding time of the next frame. `None` where none would be in order: the stream has reordered over more
    /// pictures than it says; from then on it is taken to.
    pub(crate) fn next(&mut self, pts: i64) -> Option<i64> {
        let begins = self.waiting.is_empty() && self.depth > 0;
        let at = self.waiting.partition_point(|waiting| *waiting <= pts);
        self.waiting.insert(at, pts);
        let due = if self.waiting.len() > self.depth {
            self.waiting.remove(0)
        } else if begins {
            // As many pictures again may be shown before this one, of an open group.
            let early = i64::try_from(self.depth).unwrap_or_default().saturating_mul(2);
            pts.saturating_sub(self.typical.saturating_mul(early)).max(0)
        } else {
            // What was said at the beginning holds until the first picture is shown.
            i64::MIN
        };
        let time = self.last.map_or(due, |last| due.max(last));
        if time > pts {
            self.depth = self.depth.saturating_add(1).min(DEEPEST);
            return None;
        }
        self.last = Some(time);
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn times(depth: u32, pts: &[i64]) -> Vec<Option<i64>> {
        let mut times = DecodeTimes::new(depth, Some(Duration::from_millis(40)));
        pts.iter().map(|pts| times.next(pts * MS).map(|time| time / MS)).collect()
    }

    #[test]
    fn without_reordering_frames_are_decoded_when_they_are_shown() {
        assert_eq!(times(0, &[0, 40, 80]), [Some(0), Some(40), Some(80)]);
    }

    #[test]
    fn a_group_with_b_frames_is_decoded_ahead_of_the_screen() {
        // I P B B P B B, the Bs unreferenced: one picture is decoded before and shown after.
        let pts = [0, 120, 40, 80, 240, 160, 200];
        assert_eq!(times(1, &pts), [0, 0, 40, 80, 120, 160, 200].map(Some));
        // A pyramid: I P B b b.
        let pts = [0, 160, 80, 40, 120, 320, 240, 200, 280];
        assert_eq!(times(2, &pts), [0, 0, 0, 40, 80, 120, 160, 200, 240].map(Some));
    }

    #[test]
    fn a_reader_may_begin_with_an_open_group() {
        // The key frame, then three that are shown before it.
        let pts = [1_120, 1_040, 1_000, 1_080, 1_280, 1_200];
        let found = times(2, &pts);
        assert_eq!(found, [960, 960, 1_000, 1_040, 1_080, 1_120].map(Some));
    }

    #[test]
    fn what_is_not_told_is_learnt_and_counted() {
        let mut times = DecodeTimes::new(0, None);
        let given: Vec<_> =
            [0, 120, 40, 80, 240, 160, 200, 360, 280, 320].map(|pts| times.next(pts * MS)).into();
        assert_eq!(given.iter().filter(|time| time.is_none()).count(), 2);
        assert!(given.iter().rev().take(5).all(Option::is_some));
    }

    #[test]
    fn another_sequence_begins_behind_the_last() {
        let mut times = DecodeTimes::new(2, None);
        for pts in [0, 160, 80, 40, 120] {
            times.next(pts * MS);
        }
        times.set_depth(0, None);
        assert_eq!(times.next(200 * MS), Some(200 * MS));
        times.forget();
        assert_eq!(times.next(5 * MS), Some(5 * MS));
    }

    /// Pictures in the order of the screen, decoded in an order that holds back at most `depth`.
    fn reordered() -> impl Strategy<Value = (u32, Vec<i64>)> {
        let steps = prop::collection::vec((1_i64..100, 0_usize..17), 1..200);
        (0_u32..=16, steps).prop_map(|(depth, steps)| {
            let mut shown = 0;
            let pts: Vec<_> = steps
                .iter()
                .map(|(step, _)| {
                    shown += step * MS;
                    shown
                })
                .collect();
            // A decoder holds `depth` pictures: whenever it has more, it shows the earliest. Build an order by inverting that.
            // The group is closed: its key frame comes first, and is shown first.
            let mut order = vec![pts[0]];
            let mut ahead = std::collections::BTreeSet::new();
            let mut next = 1;
            for at in 1..pts.len() {
                if ahead.remove(&at) {
                    continue;
                }
                next = next.max(at + 1);
                // Decode some later ones first, as far as there is room.
                let jump = steps[at].1;
                while ahead.len() < depth as usize && jump > ahead.len() && next < pts.len() {
                    order.push(pts[next]);
                    ahead.insert(next);
                    next += 1;
                }
                order.push(pts[at]);
            }
            (depth, order)
        })
    }

    proptest! {
        #[test]
        fn times_are_in_order_and_never_late((depth, pts) in reordered(), told in 0_u32..20) {
            let mut times = DecodeTimes::new(told, None);
            let (mut last, mut none) = (i64::MIN, 0);
            for pts in &pts {
                if let Some(time) = times.next(*pts) {
                    prop_assert!(time <= *pts && time >= last && time >= 0);
                    last = time;
                } else {
                    none += 1;
                }
            }
            prop_assert!(told < depth || none == 0, "{none} frames without");
        }

        #[test]
        fn the_time_is_that_of_the_picture_that_is_shown_then((depth, pts) in reordered()) {
            let mut times = DecodeTimes::new(depth, None);
            for at in 0..pts.len() {
                let time = times.next(pts[at]);
                if let Some(place) = at.checked_sub(depth as usize) {
                    let mut sorted = pts[..=at].to_vec();
                    sorted.sort_unstable();
                    prop_assert_eq!(time, Some(sorted[place]));
                }
            }
        }

        #[test]
        fn any_times_are_borne(depth: u32, pts in prop::collection::vec(any::<i64>(), 0..100)) {
            let mut times = DecodeTimes::new(depth, None);
            let mut last = i64::MIN;
            for pts in pts {
                if let Some(time) = times.next(pts) {
                    prop_assert!(time <= pts && time >= last);
                    last = time;
                }
            }
        }
    }
}
