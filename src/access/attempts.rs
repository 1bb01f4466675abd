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
    /// Who came in from where, and when: whoever guesses at a name from elsewhere keeps nobody out.
    known: BTreeMap<(String, IpAddr), Duration>,
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
        let is_known = address.is_some_and(|from| self.known.contains_key(&(name.clone(), from)));
        let of_name = self.names.wait(&name, now).filter(|_| !is_known);
        if let Some(wait) = wait.max(of_name) {
            return Err(wait);
        }
        if let Some(address) = address {
            self.addresses.count(address, now);
        }
        self.names.count(name, now);
        Ok(())
    }

    /// It was the right password after all.
    pub fn succeeded(&mut self, address: Option<IpAddr>, name: &str, now: Duration) {
        if let Some(address) = address.map(network) {
            self.addresses.tries.remove(&address);
            let key = (name.to_owned(), address);
            room(&mut self.known, &key, |last| *last);
            self.known.insert(key, now);
        }
        self.names.tries.remove(name);
    }
}

/// Whoever has one address of version 6 has the other 2^64 of its network.
pub fn network(address: IpAddr) -> IpAddr {
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

/// Refusals as the audit trail tells them: the first of a burst of a kind from an address, and at its end how many came
/// after it.
#[derive(Debug, Default)]
pub struct Bursts {
    bursts: BTreeMap<(&'static str, IpAddr), Burst>,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    began: Duration,
    more: u32,
}

impl Bursts {
    /// One more of that kind from there; whether it is the first of a burst.
    pub fn is_first(&mut self, kind: &'static str, address: IpAddr, now: Duration) -> bool {
        let key = (kind, network(address));
        room(&mut self.bursts, &key, |burst| burst.began);
        if let Some(burst) = self.bursts.get_mut(&key) {
            burst.more = burst.more.saturating_add(1);
            return false;
        }
        self.bursts.insert(key, Burst { began: now, more: 0 });
        true
    }

    /// Takes out the bursts that are over: those with more than their first are to be told.
    pub fn ended(&mut self, now: Duration) -> Vec<(&'static str, IpAddr, u32)> {
        let over = self.bursts.extract_if(.., |_, burst| now.saturating_sub(burst.began) >= BURST);
        let told = over.map(|((kind, address), burst)| (kind, address, burst.more));
        told.filter(|(_, _, more)| *more > 0).collect()
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
        attempts.succeeded(HERE, "eva", now);
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
    fn who_guesses_from_elsewhere_keeps_nobody_out_where_he_came_in_before() {
        let mut attempts = Attempts::default();
        attempts.succeeded(HERE, "eva", at(0));
        for host in 0..20 {
            let _tried = attempts.begin(Some(IpAddr::from([10, 0, 1, host])), "eva", at(1));
        }
        assert!(attempts.begin(Some(IpAddr::from([10, 0, 0, 9])), "eva", at(1)).is_err());
        for _ in 0..FREE {
            assert_eq!(attempts.begin(HERE, "eva", at(1)), Ok(()));
        }
        // Her own address has to wait as any other.
        assert!(attempts.begin(HERE, "eva", at(1)).is_err());
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
    fn a_burst_is_told_by_its_first_and_by_how_many_came_after_it() {
        let mut bursts = Bursts::default();
        let (here, there) = (IpAddr::from([10, 0, 0, 8]), IpAddr::from([10, 0, 0, 9]));
        assert!(bursts.is_first("login", here, at(0)));
        for second in 1..60 {
            assert!(!bursts.is_first("login", here, at(second)));
        }
        // Another kind, and another address, have bursts of their own.
        assert!(bursts.is_first("token", here, at(1)));
        assert!(bursts.is_first("login", there, at(1)));
        assert_eq!(bursts.ended(at(59)), []);
        assert_eq!(bursts.ended(at(60)), [("login", here, 59)]);
        assert!(bursts.is_first("login", here, at(61)));
        // Those that were alone have been told.
        assert_eq!(bursts.ended(at(200)), []);
        assert!(bursts.bursts.is_empty());
        for index in 0..3_000_u32 {
            bursts.is_first("login", IpAddr::from(index.to_be_bytes()), at(201));
        }
        assert_eq!(bursts.bursts.len(), ENTRIES_MAX);
    }
}
