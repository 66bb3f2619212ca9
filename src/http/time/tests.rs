use super::*;

#[test]
fn times_are_utc_with_milliseconds() {
    assert_eq!(rfc3339(Timestamp(1_795_408_821_007)), "2026-11-23T04:40:21.007Z");
    assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(minute(Timestamp(1_795_408_821_007)), "2026-11-23 04:40");
}

#[test]
fn times_beyond_the_calendar_do_not_fail() {
    assert!(rfc3339(Timestamp(i64::MAX)).starts_with("9999-12-"));
    assert!(rfc3339(Timestamp(i64::MIN)).starts_with("-009999-"));
}
