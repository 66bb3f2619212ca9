//! All vectors of a space side by side in memory, to be compared with one at once.
//!
//! An index for nearest neighbours would be quicker for millions and only nearly right; going through 100,000 vectors of 384
//! dimensions takes about as long as the question takes to come over the network.

use crate::domain::memory::embedding::Vector;
use crate::domain::memory::{MemoryId, Owner, Owners};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// How many products are summed side by side, for the processor to do at once.
const LANES: usize = 16;

/// The vectors of one space. A row whose memory is gone stays, without a name, until it is used again.
#[derive(Default)]
pub struct Matrix {
    dimensions: usize,
    values: Vec<f32>,
    rows: Vec<Option<Row>>,
    row_of: HashMap<MemoryId, usize>,
    free: Vec<usize>,
    owners: Vec<Owner>,
}

struct Row {
    id: MemoryId,
    owner: u32,
}

/// A row and how like it is. The least like is the greatest, so that a heap of the best gives up the worst.
struct Hit {
    likeness: f32,
    row: usize,
}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        other.likeness.total_cmp(&self.likeness).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Hit {}

impl Matrix {
    /// Adds a vector, in the place of the one that its memory had. One that has another number of dimensions than those that
    /// are there is left out.
    pub fn put(&mut self, id: &MemoryId, owner: &Owner, vector: &Vector) {
        if self.row_of.is_empty() && self.free.len() == self.rows.len() {
            *self = Self { dimensions: vector.len(), ..Self::default() };
        }
        if vector.len() != self.dimensions || vector.is_empty() {
            return;
        }
        self.remove(id);
        let row = self.free.pop().unwrap_or_else(|| {
            self.values.resize(self.values.len() + self.dimensions, 0.0);
            self.rows.push(None);
            self.rows.len() - 1
        });
        self.values[row * self.dimensions..][..self.dimensions].copy_from_slice(vector);
        let owner = self.number_of(owner);
        self.rows[row] = Some(Row { id: id.clone(), owner });
        self.row_of.insert(id.clone(), row);
    }

    /// Takes a memory out.
    pub fn remove(&mut self, id: &MemoryId) {
        if let Some(row) = self.row_of.remove(id) {
            self.rows[row] = None;
            self.free.push(row);
        }
    }

    fn number_of(&mut self, owner: &Owner) -> u32 {
        let known = self.owners.iter().position(|it| it == owner);
        let number = known.unwrap_or_else(|| {
            self.owners.push(owner.clone());
            self.owners.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// The memories of `owners` that are the most like `vector`, the best first.
    pub fn nearest(&self, vector: &Vector, owners: &Owners, limit: usize) -> Vec<MemoryId> {
        if vector.len() != self.dimensions || self.dimensions == 0 || limit == 0 {
            return Vec::new();
        }
        let is_meant: Vec<bool> = self.owners.iter().map(|owner| owners.include(owner)).collect();
        let mut best: BinaryHeap<Hit> = BinaryHeap::with_capacity(limit + 1);
        for (row, values) in self.values.chunks_exact(self.dimensions).enumerate() {
            let Some(Some(of)) = self.rows.get(row) else { continue };
            if !is_meant.get(of.owner as usize).copied().unwrap_or_default() {
                continue;
            }
            let hit = Hit { likeness: product(values, vector), row };
            if best.len() < limit {
                best.push(hit);
            } else if best.peek().is_some_and(|worst| hit.likeness > worst.likeness) {
                best.pop();
                best.push(hit);
            }
        }
        let sorted = best.into_sorted_vec();
        sorted.into_iter().filter_map(|hit| self.rows[hit.row].as_ref().map(|row| row.id.clone())).collect()
    }
}

fn product(one: &[f32], other: &[f32]) -> f32 {
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (one, other) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * other[lane];
        }
    }
    rest + sums.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MemoryId {
        MemoryId::parse(text).unwrap()
    }

    fn names(ids: &[MemoryId]) -> Vec<&str> {
        ids.iter().map(MemoryId::as_str).collect()
    }

    #[test]
    fn the_nearest_come_first_and_only_of_who_may_see_them() {
        let (me, bob) = (Owner::me(), Owner::parse("bob").unwrap());
        let mut matrix = Matrix::default();
        for (name, owner, vector) in
            [("a", &me, [1.0, 0.0]), ("b", &bob, [0.9, 0.1]), ("c", &me, [0.0, 1.0]), ("d", &me, [0.6, 0.8])]
        {
            matrix.put(&id(name), owner, &vector.to_vec());
        }
        let all = |matrix: &Matrix, limit| matrix.nearest(&vec![1.0, 0.0], &Owners::All, limit);
        assert_eq!(names(&all(&matrix, 10)), ["a", "b", "d", "c"]);
        assert_eq!(names(&all(&matrix, 2)), ["a", "b"]);
        assert_eq!(names(&matrix.nearest(&vec![1.0, 0.0], &Owners::Of(me.clone()), 2)), ["a", "d"]);
        matrix.remove(&id("a"));
        assert_eq!(names(&all(&matrix, 10)), ["b", "d", "c"]);
        matrix.put(&id("c"), &me, &vec![1.0, 0.0]);
        matrix.put(&id("e"), &me, &vec![0.5, 0.5]);
        assert_eq!(names(&all(&matrix, 10)), ["c", "b", "d", "e"]);
        matrix.put(&id("odd"), &me, &vec![1.0, 0.0, 0.0]);
        assert_eq!(all(&matrix, 10).len(), 4);
        assert_eq!(matrix.nearest(&vec![1.0], &Owners::All, 3), []);
    }

    #[test]
    fn another_number_of_dimensions_is_possible_once_nothing_is_left() {
        let mut matrix = Matrix::default();
        matrix.put(&id("a"), &Owner::me(), &vec![1.0]);
        matrix.remove(&id("a"));
        matrix.put(&id("b"), &Owner::me(), &vec![0.0, 1.0]);
        assert_eq!(names(&matrix.nearest(&vec![0.0, 1.0], &Owners::All, 1)), ["b"]);
    }

    proptest::proptest! {
        #[test]
        fn a_product_is_the_sum_of_products(pairs in proptest::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..70)) {
            let (one, other): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let plain: f64 = pairs.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            proptest::prop_assert!((f64::from(product(&one, &other)) - plain).abs() < 1e-4);
        }
    }
}
