//! "Did you mean": the known word nearest to an unknown one.
//!
//! Pure.

/// Nearer than this many edits per letter is a slip of the finger, farther is another word.
const SIMILAR: f64 = 0.6;

/// Longer than any key; comparing takes time and memory with the length.
const CHARS_MAX: usize = 64;

/// The remedy for an unknown word: the nearest known one, or the whole list.
pub(super) fn hint<'a>(unknown: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .filter(|_| unknown.chars().nth(CHARS_MAX).is_none())
        .map(|word| (strsim::normalized_damerau_levenshtein(unknown, word), word))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((similarity, word)) if similarity >= SIMILAR => format!("did you mean \"{word}\"?"),
        _ => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_corrected_and_other_words_get_the_list() {
        let known = ["false_reject_rate", "allow_unrated"];
        let check = |word, expected: &str| assert_eq!(hint(word, known.into_iter()), expected);
        check("fales_reject_rate", "did you mean \"false_reject_rate\"?");
        check("false-reject-rate", "did you mean \"false_reject_rate\"?");
        check("threshold", "known are false_reject_rate, allow_unrated");
    }
}
