//! How often a fragment may be refused.

use std::collections::BTreeMap;

use crate::ErrorId;

/// So often the same fragment is refused, and then it is dropped.
const LIMIT: u8 = 3;

/// What becomes of a refused fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent again.
    Resend,
    /// It is dropped, and has been counted.
    Drop,
}

/// The rule that a fragment which is refused three times for its own fault is dropped and counted.
///
/// `K` is the producer's own name of a fragment, ascending in the order of sending; the service's number is new with
/// each attempt. Holds an entry for each refused fragment that is not settled: as many as the producer keeps for
/// resending, and no more.
///
/// ```
/// use kvs_wire::{ErrorId, Refusals, Verdict};
/// let mut refusals = Refusals::new();
/// let invalid = Some(ErrorId(4006));
/// assert_eq!(refusals.refuse(17, invalid), Verdict::Resend);
/// assert_eq!(refusals.refuse(17, invalid), Verdict::Resend);
/// assert_eq!(refusals.refuse(17, invalid), Verdict::Drop);
/// assert_eq!(refusals.dropped(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Refusals<K> {
    counts: BTreeMap<K, u8>,
    dropped: u64,
}

impl<K: Ord + Copy> Refusals<K> {
    /// Nothing was refused yet.
    pub const fn new() -> Self {
        Self { counts: BTreeMap::new(), dropped: 0 }
    }

    /// Counts an error ack for a fragment; `None` is an error without an id. An error that is not the fragment's
    /// fault ([`ErrorId::blames_fragment`]) does not count. After [`Verdict::Drop`] the fragment is forgotten.
    pub fn refuse(&mut self, fragment: K, error: Option<ErrorId>) -> Verdict {
        if error.is_some_and(|error| !error.blames_fragment()) {
            return Verdict::Resend;
        }
        let count = self.counts.entry(fragment).or_insert(0);
        *count += 1;
        if *count < LIMIT {
            return Verdict::Resend;
        }
        self.counts.remove(&fragment);
        self.dropped += 1;
        Verdict::Drop
    }

    /// Forgets this fragment and all before it: acknowledged for good, or dropped for another reason.
    pub fn settle_through(&mut self, fragment: &K) {
        while let Some(first) = self.counts.first_entry()
            && first.key() <= fragment
        {
            first.remove();
        }
    }

    /// How many fragments were dropped by this rule.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<K: Ord + Copy> Default for Refusals<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_outage_never_drops_a_fragment() {
        let mut refusals = Refusals::new();
        for id in [4000, 4003, 4503, 5000].into_iter().cycle().take(100) {
            assert_eq!(refusals.refuse(1, Some(ErrorId(id))), Verdict::Resend);
        }
        assert_eq!(refusals.dropped(), 0);
        assert!(refusals.counts.is_empty());
    }

    #[test]
    fn different_errors_of_one_fragment_add_up() {
        let mut refusals = Refusals::new();
        assert_eq!(refusals.refuse(1, Some(ErrorId(4009))), Verdict::Resend);
        assert_eq!(refusals.refuse(1, None), Verdict::Resend);
        assert_eq!(refusals.refuse(1, Some(ErrorId(7777))), Verdict::Drop);
    }

    #[test]
    fn a_settled_fragment_begins_anew_and_later_ones_do_not() {
        let mut refusals = Refusals::new();
        let error = Some(ErrorId(4006));
        for fragment in [1, 2, 3] {
            refusals.refuse(fragment, error);
            refusals.refuse(fragment, error);
        }
        refusals.settle_through(&2);
        assert_eq!(refusals.refuse(2, error), Verdict::Resend);
        assert_eq!(refusals.refuse(3, error), Verdict::Drop);
    }

    proptest! {
        #[test]
        fn each_third_refusal_of_a_fragment_drops_it(fragments in proptest::collection::vec(0_u8..5, 0..100)) {
            let mut refusals = Refusals::new();
            let mut seen = [0_u64; 5];
            for fragment in fragments {
                seen[usize::from(fragment)] += 1;
                let third = seen[usize::from(fragment)] % 3 == 0;
                let verdict = refusals.refuse(fragment, Some(ErrorId(4006)));
                prop_assert_eq!(verdict == Verdict::Drop, third);
            }
            prop_assert_eq!(refusals.dropped(), seen.iter().map(|count| count / 3).sum::<u64>());
        }
    }
}
