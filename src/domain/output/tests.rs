use super::{LINE_BYTES, LINES, Masks, Tail};

#[test]
fn the_tail_keeps_the_last_lines_short_clean_and_without_secrets() {
    let tail = Tail::new(Masks::new(vec!["s3cret".to_owned()]));
    for number in 0..100 {
        tail.push(&format!("line {number}"));
    }
    tail.push("\u{1b}[31mthe key s3cret is wrong\u{7}");
    tail.push(&"ä".repeat(LINE_BYTES));
    let lines = tail.to_vec();
    assert_eq!(lines.len(), LINES);
    assert_eq!(lines[0], "line 82");
    assert_eq!(lines[LINES - 2], "[31mthe key *** is wrong");
    assert_eq!(lines[LINES - 1].len(), LINE_BYTES);
}
