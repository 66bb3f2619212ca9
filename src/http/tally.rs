//! Counting what each has open, so that none takes everything.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// How many each holds. Who holds nothing takes no room.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<HashMap<String, usize>>>);

/// One that is held, until this is dropped.
#[derive(Debug)]
pub struct Held {
    who: String,
    tally: Tally,
}

impl Tally {
    /// Counts one more for `who`. `None` if they hold `most` already.
    #[must_use]
    pub fn take(&self, who: String, most: usize) -> Option<Held> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.entry(who.clone()) {
            Entry::Occupied(count) if *count.get() >= most => return None,
            entry => *entry.or_default() += 1,
        }
        Some(Held { who, tally: self.clone() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.tally.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(std::mem::take(&mut self.who)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_as_much_as_is_allowed_and_no_more() {
        let tally = Tally::default();
        let first = tally.take("one".to_owned(), 2);
        let second = tally.take("one".to_owned(), 2);
        assert!(first.is_some() && second.is_some());
        assert!(tally.take("one".to_owned(), 2).is_none());
        let other = tally.take("other".to_owned(), 2);
        assert!(other.is_some());
        drop(first);
        assert!(tally.take("one".to_owned(), 2).is_some());
        drop((second, other));
        assert!(tally.0.lock().unwrap().is_empty());
    }
}
