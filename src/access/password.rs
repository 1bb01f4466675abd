//! Passwords: what is kept of them, and whether one is right.
//!
//! Owns the algorithm, argon2id (RFC 9106), and its costs: 19 MiB and two passes, some 50 ms on an edge device's core.
//! Pure; a salt comes in. Whoever asks sees to it that only one hash is made at a time.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};

/// Fewer characters are guessed.
pub const CHARS_MIN: usize = 8;
/// More bytes are another thing than a password.
pub const BYTES_MAX: usize = 1024;
/// Memory of a hash that somebody else has made: more would take the engine's.
const MEMORY_KB_MAX: u32 = 64 << 10;
/// Passes and lanes of one that somebody else has made.
const PASSES_MAX: u32 = 8;
const LANES_MAX: u32 = 4;
/// Of a password that nobody knows; with the costs of our own.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is kept of a password: a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// Of a new password, with 16 random bytes of salt.
    pub fn hash(password: &str, salt: &[u8; 16]) -> Result<Self, &'static str> {
        if password.chars().count() < CHARS_MIN {
            return Err("a password has at least 8 characters");
        }
        if password.len() > BYTES_MAX {
            return Err("a password has at most 1024 bytes");
        }
        Argon2::default()
            .hash_password_with_salt(password.as_bytes(), salt)
            .map(|hash| Self(hash.to_string()))
            .map_err(|_no_memory| "it could not be hashed: 19 MiB of memory are needed")
    }

    /// One that was kept; it is bounded what comparing with it may cost.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "it is an argon2id hash; write it with sightline user add";
        let hash = PasswordHash::new(text).map_err(|_no_phc| expected)?;
        let cost = |name: &str, most: u32| {
            let given = hash.params.get_decimal(name);
            given.is_some_and(|given| (1..=most).contains(&given))
        };
        let is_bounded = cost("m", MEMORY_KB_MAX) && cost("t", PASSES_MAX) && cost("p", LANES_MAX);
        let is_whole = hash.salt.is_some() && hash.hash.is_some_and(|hash| hash.len() >= 16);
        if hash.algorithm.as_str() != "argon2id" || hash.version != Some(19) || !is_whole {
            return Err(expected);
        }
        if !is_bounded {
            return Err("its costs are at most m=65536, t=8, p=4");
        }
        Ok(Self(text.into()))
    }

    /// Nobody's: comparing with it takes the time, and fails.
    pub fn nobodys() -> Self {
        Self(NOBODYS.into())
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the password; slow on purpose, compared in constant time.
    pub fn is(&self, password: &str) -> bool {
        if password.len() > BYTES_MAX {
            return false;
        }
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_is_right_and_no_other() {
        let kept = Password::hash("correct horse", &[1; 16]).unwrap();
        assert!(kept.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(kept, Password::hash("correct horse", &[2; 16]).unwrap());
        let kept = Password::parse(kept.as_str()).unwrap();
        assert!(kept.is("correct horse"));
        for wrong in ["", "correct horse ", "Correct horse", &"x".repeat(5_000)] {
            assert!(!kept.is(wrong), "{wrong}");
            assert!(!Password::nobodys().is(wrong), "{wrong}");
        }
        assert!(Password::hash("1234567", &[1; 16]).is_err());
        assert_eq!(format!("{kept:?}"), "Password");
    }

    #[test]
    fn a_hash_that_would_cost_too_much_or_little_is_refused() {
        let check = |from: &str, to: &str| Password::parse(&NOBODYS.replace(from, to)).is_ok();
        assert!(check("", ""));
        for (from, to) in [
            ("m=19456", "m=4194304"),
            ("t=2", "t=1000"),
            ("p=1", "p=64"),
            ("m=19456,t=2,p=1", ""),
            ("argon2id", "argon2i"),
            ("argon2id", "scrypt"),
            ("v=19", "v=16"),
            ("$AAAAAAAAAAAAAAAAAAAAAA$", "$"),
        ] {
            assert!(!check(from, to), "{to}");
        }
    }
}
