use super::*;

#[test]
fn a_limit_is_the_time_for_one_request_and_a_burst() {
    for (per_second, interval) in [
        (1.0, Duration::from_secs(1)),
        (10.0, Duration::from_millis(100)),
        (0.5, Duration::from_secs(2)),
        (3.0, Duration::from_nanos(333_333_333)),
        (0.01, Duration::from_secs(100)),
        (100_000.0, Duration::from_micros(10)),
    ] {
        let limit = RateLimit::new(per_second, 7).unwrap();
        assert_eq!((limit.interval, limit.burst.get()), (interval, 7), "{per_second}");
    }
}

#[test]
fn both_numbers_have_bounds() {
    for per_second in [0.0, 0.009, 100_000.1, -1.0, f64::INFINITY, f64::NAN] {
        assert_eq!(RateLimit::new(per_second, 1), None, "{per_second}");
    }
    for (burst, is_allowed) in [(0, false), (1, true), (100_000, true), (100_001, false), (u32::MAX, false)] {
        assert_eq!(RateLimit::new(1.0, burst).is_some(), is_allowed, "{burst}");
    }
}
