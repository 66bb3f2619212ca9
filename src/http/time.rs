//! Times as clients read them: RFC 3339, UTC, milliseconds.

use crate::domain::time::Timestamp;

/// The moment as `2026-11-23T04:40:21.000Z`. Moments outside of the years that RFC 3339 can write become its first or last.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{:.3}", calendar(at))
}

/// The moment that an RFC 3339 text with a zone means.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.trim().parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

/// The moment as `2026-11-23 04:40`.
pub fn minute(at: Timestamp) -> String {
    calendar(at).strftime("%Y-%m-%d %H:%M").to_string()
}

fn calendar(at: Timestamp) -> jiff::Timestamp {
    let bound = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(bound)
}

#[cfg(test)]
mod tests;
