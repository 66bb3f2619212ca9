//! The words by which a memory is found.
//!
//! Words are compared in [folded](fold) form and by their stem (Porter's second algorithm for English,
//! <https://snowballstem.org/algorithms/english/stemmer.html>), so that "meetings" finds "meeting". Words of other languages
//! mostly stay as they are, and are found as they are.

use crate::domain::text::fold;
use rust_stemmers::{Algorithm, Stemmer};

/// The longest word that counts, in bytes; what is longer is cut. Databases index words.
pub const MAX_WORD: usize = 64;

/// How many different words of a question count. What is asked in more words is found by the first of them.
pub const MAX_QUESTION: usize = 64;

/// English words that say nothing of what a text is about. Sorted.
const STOP_WORDS: [&str; 76] = [
    "a", "about", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could",
    "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is",
    "it", "its", "me", "my", "of", "on", "or", "our", "s", "she", "should", "so", "some", "t", "tell", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "to", "us", "was", "we", "were", "what", "when",
    "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
];

/// The words of a text, in order and as often as they are in it, without those that say nothing.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let folded = fold(text);
    let pieces = folded.split(|character: char| !character.is_alphanumeric());
    pieces
        .filter(|piece| !piece.is_empty() && STOP_WORDS.binary_search(piece).is_err())
        .map(|piece| {
            let mut stem = stemmer.stem(piece).into_owned();
            let end = (0..=MAX_WORD.min(stem.len())).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or(0);
            stem.truncate(end);
            stem
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// The words of a memory.
#[must_use]
pub fn of_memory(text: &str, tags: &[String]) -> Vec<String> {
    let mut all = words(text);
    all.extend(tags.iter().flat_map(|tag| words(tag)));
    all
}

/// The words of a question, each once, at most [`MAX_QUESTION`].
#[must_use]
pub fn of_question(text: &str) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for word in words(text) {
        if once.len() < MAX_QUESTION && !once.contains(&word) {
            once.push(word);
        }
    }
    once
}

/// How much of two texts is the same: the share of the words of both among the words of either, from 0 to 1.
#[must_use]
pub fn likeness(one: &str, other: &str) -> f64 {
    let set = |text| words(text).into_iter().collect::<std::collections::BTreeSet<String>>();
    let (one, other) = (set(one), set(other));
    let either = one.union(&other).count();
    if either == 0 {
        return 0.0;
    }
    share(one.intersection(&other).count(), either)
}

#[expect(clippy::cast_precision_loss, reason = "counts of words of one text are small")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_and_reduced_to_their_stems() {
        assert_eq!(words("The Meetings, were MOVED to 10:00!"), ["meet", "move", "10", "00"]);
        assert_eq!(words("Σίσυφος Müßiggang 東京"), ["σίσυφοσ", "müßiggang", "東京"]);
        assert_eq!(words("is it the"), Vec::<String>::new());
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let word = "é".repeat(100);
        assert_eq!(words(&word), ["é".repeat(32)]);
    }

    #[test]
    fn a_question_has_each_word_once() {
        assert_eq!(of_question("paws, Paws and more paws"), ["paw", "more"]);
        let many: Vec<String> = (0..100).map(|number| format!("w{number}")).collect();
        assert_eq!(of_question(&many.join(" ")).len(), MAX_QUESTION);
    }

    #[test]
    fn likeness_is_the_share_of_common_words() {
        assert!((likeness("Works from Lisbon", "works from LISBON.") - 1.0).abs() < 1e-9);
        assert!((likeness("cat dog", "dog bird") - 1.0 / 3.0).abs() < 1e-9);
        assert!(likeness("the", "a").abs() < 1e-9);
    }
}
