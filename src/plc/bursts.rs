//! What is told again and again: at once the first time, then as a number, so that no burst fills log and ledger.
//!
//! Pure: times come in.

use std::{collections::BTreeMap, time::Duration};

/// After something was told, the like of it is gathered for so long.
const GATHERED_FOR: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Burst {
    told: Duration,
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
        let key = (kind, subject.to_owned());
        let Some(burst) = self.0.get_mut(&key) else {
            self.0.insert(key, Burst { told: now, more: 0, last: String::new() });
            return Some(detail);
        };
        burst.more += 1;
        burst.last = detail;
        None
    }

    /// What was gathered for long enough.
    pub(super) fn over(&mut self, now: Duration) -> Vec<(&'static str, String, String)> {
        let mut told = Vec::new();
        self.0.retain(|(kind, subject), burst| {
            if now.saturating_sub(burst.told) < GATHERED_FOR {
                return true;
            }
            if burst.more == 0 {
                return false;
            }
            let text = format!("{} more, the last: {}", burst.more, burst.last);
            told.push((*kind, subject.clone(), text));
            *burst = Burst { told: now, more: 0, last: String::new() };
            true
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_as_a_number() {
        let at = Duration::from_secs;
        let mut bursts = Bursts::default();
        let add =
            |bursts: &mut Bursts, text: &str, now| bursts.add("missed", "top", text.into(), now);
        assert_eq!(add(&mut bursts, "one", at(0)), Some("one".into()));
        assert_eq!(add(&mut bursts, "two", at(1)), None);
        assert_eq!(add(&mut bursts, "three", at(2)), None);
        assert!(bursts.over(at(4)).is_empty());
        assert_eq!(
            bursts.over(at(5)),
            [("missed", "top".into(), "2 more, the last: three".into())]
        );
        assert!(bursts.over(at(10)).is_empty());
        assert_eq!(add(&mut bursts, "four", at(11)), Some("four".into()));
    }
}
