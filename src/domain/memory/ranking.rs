//! Putting what was found in order.

use super::MemoryId;
use std::collections::HashMap;

/// How soon more of the same word stops counting: `k1` of BM25.
const SATURATION: f64 = 1.2;

/// How much the length of a memory counts: `b` of BM25.
const LENGTH_WEIGHT: f64 = 0.75;

/// How many words a memory has, about. BM25 takes the mean of all; a fixed one saves every change from changing a count, and
/// facts differ little in length.
const TYPICAL_LENGTH: f64 = 12.0;

/// A memory that has words of a question.
#[derive(Debug, Clone, PartialEq)]
pub struct WordHit {
    /// The memory.
    pub id: MemoryId,
    /// How much of the question it has: the [`rarity`] of the words that it has among that of all words of the question, from
    /// 0 to 1.
    pub coverage: f64,
}

/// A memory that may answer a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The memory.
    pub id: MemoryId,
    /// Whether it was found by chance, as likely as not: then it counts only where it is found by nothing but this.
    pub is_weak: bool,
}

/// From which [`WordHit::coverage`] on a memory was not found by chance. Measured: with less, questions in other words than
/// their facts find more that has nothing to do with them; see `docs/memory.md`.
pub const SURE: f64 = 0.5;

/// What one word of a question is worth that is `times` in a memory of `length` words, if `having` of `all` memories have it:
/// Okapi BM25, with the inverse document frequency that is never negative (Robertson and Zaragoza, "The Probabilistic
/// Relevance Framework: BM25 and Beyond", 2009).
#[must_use]
pub fn bm25(times: u32, length: u32, having: u64, all: u64) -> f64 {
    let (times, length) = (f64::from(times), f64::from(length));
    let norm = 1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length / TYPICAL_LENGTH;
    rarity(having, all) * times * (SATURATION + 1.0) / (times + SATURATION * norm)
}

/// How much it says that a memory has a word, if `having` of `all` have it: the rarer, the more. The inverse document
/// frequency of BM25, which is never negative.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of memories are far below 2^52")]
pub fn rarity(having: u64, all: u64) -> f64 {
    let (having, all) = (having as f64, all.max(having) as f64);
    (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
}

/// The constant of reciprocal rank fusion.
const RANK_OFFSET: f64 = 60.0;

/// Lists made one by reciprocal rank: what stands high in several comes first (Cormack, Clarke and Büttcher, "Reciprocal Rank
/// Fusion outperforms Condorcet and individual Rank Learning Methods", 2009). What is worth the same stays in the order of the
/// first list. What is [weak](Found::is_weak) comes after everything else.
#[must_use]
pub fn fuse(lists: &[Vec<Found>], limit: usize) -> Vec<MemoryId> {
    let mut order: Vec<&MemoryId> = Vec::new();
    let mut worth: HashMap<&MemoryId, f64> = HashMap::new();
    for list in lists {
        for (rank, found) in (1_u32..).zip(list) {
            let value = worth.entry(&found.id).or_insert_with(|| {
                order.push(&found.id);
                0.0
            });
            if !found.is_weak {
                *value += 1.0 / (RANK_OFFSET + f64::from(rank));
            }
        }
    }
    order.sort_by(|one, other| worth[other].total_cmp(&worth[one]));
    order.into_iter().take(limit).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[&str]) -> Vec<MemoryId> {
        list.iter().map(|id| MemoryId::parse(id).unwrap()).collect()
    }

    /// What is found; weak is what begins with a question mark.
    fn found(list: &[&str]) -> Vec<Found> {
        let found = list.iter().map(|name| Found {
            id: MemoryId::parse(name.trim_start_matches('?')).unwrap(),
            is_weak: name.starts_with('?'),
        });
        found.collect()
    }

    #[test]
    fn rare_words_and_short_memories_count_more() {
        assert!(bm25(1, 10, 1, 100) > bm25(1, 10, 50, 100));
        assert!(bm25(1, 5, 3, 100) > bm25(1, 50, 3, 100));
        assert!(bm25(2, 10, 3, 100) > bm25(1, 10, 3, 100));
        assert!(bm25(1, 10, 100, 100) > 0.0);
    }

    #[test]
    fn what_two_lists_name_comes_before_what_one_names() {
        assert_eq!(fuse(&[found(&["a", "b", "c"]), found(&["b", "d"])], 10), ids(&["b", "a", "d", "c"]));
        assert_eq!(fuse(&[found(&["a", "b"]), found(&["b", "a"])], 1), ids(&["a"]));
        assert_eq!(fuse(&[], 10), []);
    }

    #[test]
    fn what_is_weak_counts_only_where_nothing_else_is() {
        assert_eq!(fuse(&[found(&["?a", "?b"]), found(&["c", "b"])], 10), ids(&["c", "b", "a"]));
        assert_eq!(fuse(&[found(&["?a", "?b"]), found(&[])], 10), ids(&["a", "b"]));
    }
}
