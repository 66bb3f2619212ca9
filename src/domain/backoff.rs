//! How long to wait before trying again.

use std::time::Duration;

/// The pause after so many failures in a row (one at least): between half and all of what doubling `first` gives, `longest`
/// at most ("equal jitter"). `chance` is random, and spreads those who failed together.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
#[must_use]
pub fn pause(failures: u32, first: Duration, longest: Duration, chance: u64) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let half = doubled / 2;
    let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
    half + Duration::from_millis(chance % millis.saturating_add(1))
}
