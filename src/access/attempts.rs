//! How often somebody may try a password, and how often a refusal is told.
//!
//! Owns the back-off, for each address and for each name, and its bounds. Pure: the time comes in.
//! Invariant: a try counts as failed from its beginning, so that a hundred at once are no more than one after another.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// Slips of the hand.
const FREE: u32 = 5;
/// What comes after them; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longer would lock a whole shift out for somebody's joke: 1440 tries a day guess no password of eight characters.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// Nothing was tried for so long: it begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
/// Entries of each map; when it is full the one that was quiet for longest goes, at the price of a hash each.
const ENTRIES_MAX: usize = 1024;
/// Refusals within this time are one event of the audit trail.
const BURST: Duration = Duration::from_mins(1);

/// Tries by address and by name.
#[derive(Debug, Default)]
pub struct Attempts {
    addresses: Tries<IpAddr>,
    names: Tries<String>,
}

impl Attempts {
    /// Counts a try as failed, or says how long to wait. `None` is an address that says nothing: a proxy's.
    pub fn begin(
        &mut self,
        address: Option<IpAddr>,
        name: &str,
        now: Duration,
    ) -> Result<(), Duration> {
        let address = address.map(network);
        let wait = address.and_then(|address| self.addresses.wait(&address, now));
        let name = name.to_owned();
        if let Some(wait) = wait.max(self.names.wait(&name, now)) {
            return Err(wait);
        }
        if let Some(address) = address {
            self.addresses.count(address, now);
        }
        self.names.count(name, now);
        Ok(())
    }

    /// It was the right password after all.
    pub fn succeeded(&mut self, address: Option<IpAddr>, name: &str) {
        if let Some(address) = address {
            self.addresses.tries.remove(&network(address));
        }
        self.names.tries.remove(name);
    }
}

/// Whoever has one address of version 6 has the other 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        IpAddr::V4(_) => address.to_canonical(),
    }
}

#[derive(Debug)]
struct Tries<K> {
    tries: BTreeMap<K, Tried>,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    count: u32,
    last: Duration,
}

impl<K> Default for Tries<K> {
    fn default() -> Self {
        Self { tries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Tries<K> {
    fn wait(&self, key: &K, now: Duration) -> Option<Duration> {
        let tried = self.tries.get(key)?;
        let beyond = tried.count.checked_sub(FREE)?;
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond)).min(WAIT_MAX);
        (tried.last + wait).checked_sub(now).filter(|left| !left.is_zero())
    }

    fn count(&mut self, key: K, now: Duration) {
        room(&mut self.tries, &key, |tried| tried.last);
        let tried = self.tries.entry(key).or_insert(Tried { count: 0, last: now });
        if now.saturating_sub(tried.last) > FORGOTTEN_AFTER {
            tried.count = 0;
        }
        *tried = Tried { count: tried.count.saturating_add(1), last: now };
    }
}

/// Makes room for the key where there is none: the entry that was quiet for longest goes.
fn room<K: Ord + Clone, V>(entries: &mut BTreeMap<K, V>, key: &K, last: impl Fn(&V) -> Duration) {
    if entries.len() < ENTRIES_MAX || entries.contains_key(key) {
        return;
    }
    let quietest = entries.iter().min_by_key(|(_, value)| last(value)).map(|(key, _)| key.clone());
    if let Some(quietest) = quietest {
        entries.remove(&quietest);
    }
}

/// Refusals as the audit trail tells them: one event for a burst from an address.
#[derive(Debug, Default)]
pub struct Bursts {
    bursts: BTreeMap<IpAddr, Burst>,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    told: Duration,
    untold: u32,
}

impl Bursts {
    /// One more from there: `Some` when it is to be told, with how many were not since the last.
    pub fn count(&mut self, address: IpAddr, now: Duration) -> Option<u32> {
        let address = network(address);
        room(&mut self.bursts, &address, |burst| burst.told);
        match self.bursts.get_mut(&address) {
            Some(burst) if now.saturating_sub(burst.told) < BURST => {
                burst.untold = burst.untold.saturating_add(1);
                None
            }
            Some(burst) => {
                let untold = burst.untold;
                *burst = Burst { told: now, untold: 0 };
                Some(untold)
            }
            None => {
                self.bursts.insert(address, Burst { told: now, untold: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 8)));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn after_five_failures_each_further_one_waits_twice_as_long_up_to_a_minute() {
        let mut attempts = Attempts::default();
        for _ in 0..FREE {
            assert_eq!(attempts.begin(HERE, "eva", at(0)), Ok(()));
        }
        let mut now = at(0);
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(attempts.begin(HERE, "eva", now), Err(at(wait)));
            // Asking does not make it longer.
            assert_eq!(attempts.begin(HERE, "eva", now), Err(at(wait)));
            now += at(wait);
            assert_eq!(attempts.begin(HERE, "eva", now), Ok(()));
        }
        attempts.succeeded(HERE, "eva");
        assert_eq!(attempts.begin(HERE, "eva", now), Ok(()));
    }

    #[test]
    fn neither_another_name_nor_another_address_gets_round_it() {
        let mut attempts = Attempts::default();
        for index in 0..FREE {
            assert_eq!(attempts.begin(HERE, &format!("user{index}"), at(0)), Ok(()));
        }
        assert!(attempts.begin(HERE, "another", at(0)).is_err());
        let mut attempts = Attempts::default();
        for host in 0..5 {
            let there = Some(IpAddr::from([10, 0, 0, host]));
            assert_eq!(attempts.begin(there, "eva", at(0)), Ok(()));
        }
        assert!(attempts.begin(Some(IpAddr::from([10, 0, 0, 99])), "eva", at(0)).is_err());
        // What shares a network of version 6 is one address.
        let mut attempts = Attempts::default();
        for host in 0..5 {
            let there = Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 1, 2, 3, host]));
            assert_eq!(attempts.begin(there, &format!("user{host}"), at(0)), Ok(()));
        }
        let there = Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 9, 9, 9, 9]));
        assert!(attempts.begin(there, "another", at(0)).is_err());
        // Behind a proxy the name alone counts.
        assert!(attempts.begin(None, "another", at(0)).is_ok());
    }

    #[test]
    fn it_is_forgotten_and_never_grows() {
        let mut attempts = Attempts::default();
        for _ in 0..=FREE {
            let _asked = attempts.begin(HERE, "eva", at(0));
        }
        assert!(attempts.begin(HERE, "eva", at(0)).is_err());
        let later = FORGOTTEN_AFTER + at(1);
        for _ in 0..FREE {
            assert_eq!(attempts.begin(HERE, "eva", later), Ok(()));
        }
        for index in 0..3_000_u32 {
            let there = Some(IpAddr::from(index.to_be_bytes()));
            let _asked = attempts.begin(there, &index.to_string(), later + at(1));
        }
        assert_eq!(attempts.addresses.tries.len(), ENTRIES_MAX);
        assert_eq!(attempts.names.tries.len(), ENTRIES_MAX);
    }

    #[test]
    fn a_burst_is_one_event_that_says_how_many_came() {
        let mut bursts = Bursts::default();
        let (here, there) = (IpAddr::from([10, 0, 0, 8]), IpAddr::from([10, 0, 0, 9]));
        assert_eq!(bursts.count(here, at(0)), Some(0));
        for second in 1..60 {
            assert_eq!(bursts.count(here, at(second)), None);
        }
        assert_eq!(bursts.count(there, at(1)), Some(0));
        assert_eq!(bursts.count(here, at(60)), Some(59));
        for index in 0..3_000_u32 {
            bursts.count(IpAddr::from(index.to_be_bytes()), at(61));
        }
        assert_eq!(bursts.bursts.len(), ENTRIES_MAX);
    }
}
