//! What nobody can guess: random texts of 256 bits, and what is kept of them.
//!
//! Owns where randomness comes from: the system. What is kept is a SHA-256, so that whoever reads it cannot come in.

use std::io;

use bundle::fingerprint::hex;
use sha2::{Digest as _, Sha256};

/// 256 random bits in hexadecimal.
pub fn fresh() -> io::Result<String> {
    bytes::<32>().map(|bytes| hex(&bytes))
}

/// Random bytes of the system.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(bytes)
}

/// What is kept of a text.
pub fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// 32 bytes in hexadecimal.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike_and_hexadecimal_is_read_back() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 64);
        let digest = sha256(&one);
        assert_eq!(from_hex(&hex(&digest)), Some(digest));
        for text in ["", "12", &"g".repeat(64), &"ü".repeat(32), &"+1".repeat(32)] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
