//! When a model that gave no answer is asked again.

use super::model::ModelError;
use std::time::Duration;

/// How often a model is asked for one answer.
pub const MAX_TRIES: u32 = 4;

/// The longest pause that a provider can ask for. If it wants more, the user is told instead.
pub const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause if the provider asks for none.
const LONGEST_BACKOFF: Duration = Duration::from_secs(20);

/// How long to wait after the try with the number `tried` (1 is the first) ended with `error`; `None` if it is not to be
/// tried again. The pause is what the provider asked for, else it doubles with each try and is spread by `random` over half
/// to one and a half of that, so that those who were refused together do not come back together.
#[must_use]
pub fn pause(tried: u32, error: &ModelError, random: u32) -> Option<Duration> {
    if tried >= MAX_TRIES || !error.may_pass() {
        return None;
    }
    if let ModelError::Busy { retry_after: Some(asked), .. } = error {
        return (*asked <= MAX_PAUSE).then_some(*asked);
    }
    let doubled = FIRST_PAUSE * 2_u32.saturating_pow(tried.saturating_sub(1));
    let spread = 0.5 + f64::from(random) / f64::from(u32::MAX);
    Some(doubled.min(LONGEST_BACKOFF).mul_f64(spread))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after: Option<u64>) -> ModelError {
        ModelError::Busy { message: "busy".to_owned(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn pauses_double_and_are_spread() {
        let pauses: Vec<_> = (1..=4).map(|tried| pause(tried, &busy(None), u32::MAX / 2)).collect();
        let millis: Vec<_> = pauses.iter().map(|pause| pause.map(|pause| pause.as_millis())).collect();
        assert_eq!(millis, [Some(1000), Some(2000), Some(4000), None]);
        assert_eq!(pause(1, &busy(None), 0), Some(Duration::from_millis(500)));
        assert_eq!(pause(1, &busy(None), u32::MAX), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn what_the_provider_asks_for_is_honoured_or_not_waited_for() {
        assert_eq!(pause(1, &busy(Some(7)), 0), Some(Duration::from_secs(7)));
        assert_eq!(pause(1, &busy(Some(61)), 0), None);
        assert_eq!(pause(4, &busy(Some(1)), 0), None);
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        for error in
            [ModelError::Refused("no".to_owned()), ModelError::BrokeOff("mid-way".to_owned()), ModelError::TooLarge]
        {
            assert_eq!(pause(1, &error, 0), None, "{error:?}");
        }
    }
}
