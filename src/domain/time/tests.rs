use super::*;

#[test]
fn arithmetic_saturates_at_both_ends() {
    assert_eq!(Timestamp(i64::MAX).plus(Duration::MAX), Timestamp(i64::MAX));
    assert_eq!(Timestamp(i64::MIN).minus(Duration::MAX), Timestamp(i64::MIN));
    assert_eq!(Timestamp(i64::MAX).since(Timestamp(i64::MIN)), Duration::from_millis(u64::MAX));
}

#[test]
fn since_is_zero_when_the_clock_went_backwards() {
    assert_eq!(Timestamp(10).since(Timestamp(20)), Duration::ZERO);
    assert_eq!(Timestamp(1_500).since(Timestamp(500)), Duration::from_secs(1));
}
