//! Sessions: who has logged in, until when, and the token that his page must show to change something.
//!
//! Owns their two ends, after a pause and after a shift, and their bounds. Pure: time and randomness come in.
//! Invariant: what is kept cannot be used to come in; the cookie itself is known to the browser only.

use std::{collections::BTreeMap, time::Duration};

use subtle::ConstantTimeEq as _;

use super::{
    secret,
    users::{User, Users},
};

/// Nobody was there for so long.
pub const IDLE_MAX: Duration = Duration::from_hours(1);
/// A long shift.
pub const AGE_MAX: Duration = Duration::from_hours(12);
/// Sessions of one user: panel, phone, office, and some that were not closed.
const EACH_MAX: usize = 8;
/// Sessions of all.
const ALL_MAX: usize = 256;

/// What a session is found by: the SHA-256 of its cookie.
pub type Key = [u8; 32];

/// Somebody who has logged in.
#[derive(Clone, Debug)]
pub struct Session {
    /// As the users file had him then.
    pub user: User,
    /// What his page shows in `X-Sightline-Csrf` with whatever is not a plain look.
    pub csrf: String,
    began: Duration,
    seen: Duration,
}

impl Session {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen) > IDLE_MAX || now.saturating_sub(self.began) > AGE_MAX
    }
}

/// Everybody who has logged in.
#[derive(Debug, Default)]
pub struct Sessions {
    sessions: BTreeMap<Key, Session>,
}

impl Sessions {
    /// Somebody has logged in: his cookie and his page's token, both fresh.
    pub fn open(&mut self, user: User, cookie: &str, csrf: String, now: Duration) {
        self.sessions.retain(|_, session| !session.is_over(now));
        while self.count(|session| session.user.name == user.name) >= EACH_MAX {
            self.drop_quietest(|session| session.user.name == user.name);
        }
        while self.sessions.len() >= ALL_MAX {
            self.drop_quietest(|_| true);
        }
        let session = Session { user, csrf, began: now, seen: now };
        self.sessions.insert(secret::sha256(cookie), session);
    }

    /// Whose cookie that is; he is there.
    pub fn seen(&mut self, key: &Key, now: Duration) -> Option<&Session> {
        if self.sessions.get(key)?.is_over(now) {
            self.sessions.remove(key);
            return None;
        }
        let session = self.sessions.get_mut(key)?;
        session.seen = now;
        Some(session)
    }

    /// Whether it has not ended, without a sign of life.
    pub fn is_open(&self, key: &Key, now: Duration) -> bool {
        self.sessions.get(key).is_some_and(|session| !session.is_over(now))
    }

    /// Whether that is the token of its page; it takes as long whatever is shown.
    pub fn is_its_page(&self, key: &Key, shown: &str) -> bool {
        let session = self.sessions.get(key);
        session.is_some_and(|session| session.csrf.as_bytes().ct_eq(shown.as_bytes()).into())
    }

    /// Ends it.
    pub fn close(&mut self, key: &Key) -> Option<Session> {
        self.sessions.remove(key)
    }

    /// Ends those whose user is gone, or has another role or password.
    pub fn keep(&mut self, users: &Users) {
        self.sessions.retain(|_, session| users.user(&session.user.name) == Some(&session.user));
    }

    fn count(&self, of: impl Fn(&Session) -> bool) -> usize {
        self.sessions.values().filter(|session| of(session)).count()
    }

    fn drop_quietest(&mut self, of: impl Fn(&Session) -> bool) {
        let those = self.sessions.iter().filter(|(_, session)| of(session));
        if let Some(key) = those.min_by_key(|(_, session)| session.seen).map(|(key, _)| *key) {
            self.sessions.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Role, password::Password};

    fn user(name: &str) -> User {
        User { name: name.into(), role: Role::Operator, password: Password::nobodys() }
    }

    fn at(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    fn open(sessions: &mut Sessions, name: &str, cookie: &str, now: Duration) {
        sessions.open(user(name), cookie, format!("csrf of {cookie}"), now);
    }

    #[test]
    fn a_session_ends_after_a_pause_after_a_shift_and_when_it_is_closed() {
        let mut sessions = Sessions::default();
        let key = secret::sha256("one");
        open(&mut sessions, "eva", "one", at(0));
        assert!(sessions.seen(&secret::sha256("another"), at(0)).is_none());
        let mut now = at(0);
        while now < AGE_MAX {
            now += at(59);
            assert_eq!(sessions.is_open(&key, now), now <= AGE_MAX, "{now:?}");
            assert_eq!(sessions.seen(&key, now).is_some(), now <= AGE_MAX, "{now:?}");
        }
        open(&mut sessions, "eva", "one", at(0));
        assert!(!sessions.is_open(&key, at(61)));
        assert!(sessions.seen(&key, at(61)).is_none());
        open(&mut sessions, "eva", "one", at(0));
        assert_eq!(sessions.close(&key).unwrap().user.name, "eva");
        assert!(sessions.seen(&key, at(0)).is_none());
    }

    #[test]
    fn only_its_own_page_has_its_token() {
        let mut sessions = Sessions::default();
        open(&mut sessions, "eva", "one", at(0));
        open(&mut sessions, "eva", "two", at(0));
        let key = secret::sha256("one");
        assert!(sessions.is_its_page(&key, "csrf of one"));
        for shown in ["", "csrf of two", "csrf of on", "csrf of one "] {
            assert!(!sessions.is_its_page(&key, shown), "{shown}");
        }
    }

    #[test]
    fn there_are_never_more_than_so_many_and_nobody_pushes_another_out_alone() {
        let mut sessions = Sessions::default();
        open(&mut sessions, "ada", "hers", at(0));
        for index in 0..100 {
            open(&mut sessions, "eva", &index.to_string(), at(1) + Duration::from_secs(index));
        }
        assert_eq!(sessions.count(|session| session.user.name == "eva"), EACH_MAX);
        assert!(sessions.is_open(&secret::sha256("hers"), at(2)));
        assert!(sessions.is_open(&secret::sha256("99"), at(2)));
        for index in 0..1_000 {
            open(&mut sessions, &format!("user{index}"), &format!("cookie{index}"), at(3));
        }
        assert_eq!(sessions.sessions.len(), ALL_MAX);
    }

    #[test]
    fn whoever_is_taken_out_or_becomes_another_is_out_at_once() {
        let (ada, eva) = (user("ada"), user("eva"));
        let mut users = Users::default();
        users.add_user(ada).unwrap();
        users.add_user(User { role: Role::Viewer, ..eva }).unwrap();
        let mut sessions = Sessions::default();
        for name in ["ada", "eva", "gone"] {
            open(&mut sessions, name, name, at(0));
        }
        sessions.keep(&users);
        let is_open = |name: &str| sessions.is_open(&secret::sha256(name), at(0));
        assert_eq!(["ada", "eva", "gone"].map(is_open), [true, false, false]);
    }
}
