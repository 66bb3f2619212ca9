use super::*;

#[test]
fn time_ordered_ids_sort_by_time() {
    let early = time_ordered(Timestamp(1_000), [0xff; 10]);
    let late = time_ordered(Timestamp(1_001), [0; 10]);
    assert!(early.to_string() < late.to_string());
    assert_eq!(early.get_version_num(), 7);
    assert_eq!(random([7; 16]).get_version_num(), 4);
}
