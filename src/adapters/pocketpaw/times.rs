//! Times as PocketPaw writes them: with an offset, or without one in the zone of its machine.

use crate::domain::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// The moment that a text names. A local time that happened twice, when clocks were set back, is the first of the two; one
/// that never happened is as long after the gap as it is after the beginning of the gap.
pub(super) fn moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    exact(text).or_else(|| {
        let local: DateTime = text.trim().parse().ok()?;
        zone.to_ambiguous_timestamp(local).compatible().ok().map(|at| Timestamp(at.as_millisecond()))
    })
}

/// The moment that a text with an offset names.
pub(super) fn exact(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.trim().parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

/// The moment that a value names: a text, or seconds since the Unix epoch.
pub(super) fn moment_of(value: &Value, zone: &TimeZone) -> Option<Timestamp> {
    match value {
        Value::String(text) => moment(text, zone),
        Value::Number(seconds) => {
            let seconds = jiff::SignedDuration::try_from_secs_f64(seconds.as_f64()?).ok()?;
            i64::try_from(seconds.as_millis()).ok().map(Timestamp)
        }
        _ => None,
    }
}
