//! What is told again and again: a few times as it is, then as a number, so that no burst fills log and ledger.
//!
//! Pure: times come in.

use std::{collections::BTreeMap, time::Duration};

/// So many of a kind are told as they are.
const TOLD_MAX: u64 = 8;
/// Within so long; what comes beyond is gathered until then.
const WINDOW: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Burst {
    began: Duration,
    told: u64,
    more: u64,
    last: String,
}

/// Bursts by kind and subject.
#[derive(Debug, Default)]
pub(super) struct Bursts(BTreeMap<(&'static str, String), Burst>);

impl Bursts {
    /// Something happened; what is to be told of it now.
    pub(super) fn add(
        &mut self,
        kind: &'static str,
        subject: &str,
        detail: String,
        now: Duration,
    ) -> Option<String> {
        let begins = || Burst { began: now, told: 0, more: 0, last: String::new() };
        let burst = self.0.entry((kind, subject.to_owned())).or_insert_with(begins);
        if burst.told < TOLD_MAX {
            burst.told += 1;
            return Some(detail);
        }
        burst.more += 1;
        burst.last = detail;
        None
    }

    /// What was gathered for long enough.
    pub(super) fn over(&mut self, now: Duration) -> Vec<(&'static str, String, String)> {
        let mut told = Vec::new();
        self.0.retain(|(kind, subject), burst| {
            if now.saturating_sub(burst.began) < WINDOW {
                return true;
            }
            if burst.more == 0 {
                return false;
            }
            let text = format!("{} more, the last: {}", burst.more, burst.last);
            told.push((*kind, subject.clone(), text));
            // It goes on: numbers are told until it has been quiet.
            *burst = Burst { began: now, more: 0, last: String::new(), ..*burst };
            true
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_as_they_are_and_the_rest_as_a_number() {
        let at = Duration::from_secs;
        let mut bursts = Bursts::default();
        let add = |bursts: &mut Bursts, text: &str, now| {
            bursts.add("missed", "top", text.into(), now).is_some()
        };
        for _ in 0..TOLD_MAX {
            assert!(add(&mut bursts, "one", at(0)));
        }
        assert!(!add(&mut bursts, "two", at(1)) && !add(&mut bursts, "three", at(2)));
        assert!(bursts.add("late", "top", "another kind".into(), at(2)).is_some());
        assert!(bursts.over(at(4)).is_empty());
        assert_eq!(
            bursts.over(at(5)),
            [("missed", "top".into(), "2 more, the last: three".into())]
        );
        assert!(!add(&mut bursts, "four", at(6)));
        assert_eq!(
            bursts.over(at(10)),
            [("missed", "top".into(), "1 more, the last: four".into())]
        );
        assert!(bursts.over(at(15)).is_empty());
        assert!(add(&mut bursts, "five", at(16)));
    }
}
