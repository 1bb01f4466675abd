//! Which numbers of one numbering have a disposition.
//!
//! Pure. Frames come to their ends out of order: a dropped one before its elders in the engine. Up to `to` every number
//! is settled; above it lie islands, no more than frames can be on their way.

use std::{collections::BTreeMap, ops::RangeInclusive};

/// The settled numbers, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    to: u64,
    /// First and last of each run above `to + 1`; none touches another.
    islands: BTreeMap<u64, u64>,
}

impl Settled {
    /// Every number up to this one, and no other.
    pub(super) fn up_to(to: u64) -> Self {
        Self { to, islands: BTreeMap::new() }
    }

    /// Every number up to this one has a disposition.
    pub(super) fn to(&self) -> u64 {
        self.to
    }

    /// Settles `numbers`; `false`, and nothing changes, when one of them is already, or there is none.
    #[must_use = "a number with two dispositions is a bug that has to be told"]
    pub(super) fn add(&mut self, numbers: &RangeInclusive<u64>) -> bool {
        let (&first, &last) = (numbers.start(), numbers.end());
        let before = self.islands.range(..=last).next_back();
        let is_free = before.is_none_or(|(_, &end)| end < first);
        if first > last || first <= self.to || !is_free {
            return false;
        }
        let mut run = (first, last);
        if let Some((&start, &end)) = before
            && end + 1 == first
        {
            self.islands.remove(&start);
            run.0 = start;
        }
        if let Some(end) = self.islands.remove(&(last + 1)) {
            run.1 = end;
        }
        if run.0 == self.to + 1 {
            self.to = run.1;
        } else {
            self.islands.insert(run.0, run.1);
        }
        true
    }

    /// The runs that are settled.
    pub(super) fn runs(self) -> Vec<RangeInclusive<u64>> {
        let first = (self.to > 0).then_some(1..=self.to);
        let islands = self.islands.into_iter().map(|(start, end)| start..=end);
        first.into_iter().chain(islands).collect()
    }

    /// The runs up to `last` that have no disposition.
    pub(super) fn holes(&self, last: u64) -> Vec<RangeInclusive<u64>> {
        let mut holes = Vec::new();
        let mut next = self.to + 1;
        for (&start, &end) in self.islands.range(..=last) {
            holes.push(next..=start - 1);
            next = end + 1;
        }
        if next <= last {
            holes.push(next..=last);
        }
        holes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set of numbers.
        #[test]
        fn agrees_with_a_set(runs in prop::collection::vec((1_u64..40, 0_u64..4), 0..30), last in 0_u64..50) {
            let mut settled = Settled::default();
            let mut model = BTreeSet::new();
            for (first, more) in runs {
                let run = first..=first + more;
                let is_free = run.clone().all(|number| !model.contains(&number));
                prop_assert_eq!(settled.add(&run), is_free);
                if is_free {
                    model.extend(run);
                }
                let to = (1..100).find(|number| !model.contains(number)).unwrap_or(1) - 1;
                prop_assert_eq!(settled.to(), to);
            }
            let holes: Vec<u64> = settled.holes(last).into_iter().flatten().collect();
            let expected: Vec<u64> = (1..=last).filter(|number| !model.contains(number)).collect();
            prop_assert_eq!(holes, expected);
            let settled: BTreeSet<u64> = settled.runs().into_iter().flatten().collect();
            prop_assert_eq!(settled, model);
        }
    }

    #[test]
    fn an_empty_run_settles_nothing() {
        let mut settled = Settled::up_to(3);
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let empty = 5..=4;
        assert!(!settled.add(&empty));
        assert_eq!(settled, Settled::up_to(3));
    }
}
