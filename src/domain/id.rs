//! Making ids: the only place that knows their layout.

use super::time::Timestamp;
use uuid::Uuid;

/// A version 7 UUID (RFC 9562 §5.7): time in front, so that ids made later sort later and indexes grow at their end.
#[must_use]
pub fn time_ordered(now: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.0).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A version 4 UUID (RFC 9562 §5.4): nothing but randomness.
#[must_use]
pub fn random(random: [u8; 16]) -> Uuid {
    uuid::Builder::from_random_bytes(random).into_uuid()
}

#[cfg(test)]
mod tests;
