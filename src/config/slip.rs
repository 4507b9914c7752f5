//! What was probably meant by a word that does not exist.

/// Insertions, deletions and replacements that still are a slip of the finger.
const SLIPS: usize = 2;

/// The word that is at most two slips away, and at most one for three letters:
/// `-x` is no slip for `-v`.
#[must_use]
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nothing that long is a slip; and the work stays small.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    words
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(slips, _)| *slips <= SLIPS && *slips * 3 <= word.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, by bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            let here = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            left = here;
            *cell = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein_s() {
        for (a, b, slips) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("publish", "pubish", 1),
        ] {
            assert_eq!(distance(a, b), slips, "{a} {b}");
            assert_eq!(distance(b, a), slips, "{b} {a}");
        }
    }

    #[test]
    fn only_slips_are_corrected() {
        let words = ["publish", "forward", "-v"];
        assert_eq!(nearest("pubish", words), Some("publish"));
        assert_eq!(nearest("status", words), None);
        assert_eq!(nearest("-x", words), None);
        assert_eq!(nearest(&"p".repeat(1000), words), None);
    }
}
