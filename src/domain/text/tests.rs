use super::*;
use proptest::prelude::*;

#[test]
fn page_limits_are_cut_into_bounds() {
    assert_eq!(PageLimit::clamped(i64::MIN).get(), 1);
    assert_eq!(PageLimit::clamped(0).get(), 1);
    assert_eq!(PageLimit::clamped(50).get(), 50);
    assert_eq!(PageLimit::clamped(i64::MAX).get(), usize::from(PageLimit::MAX));
}

#[test]
fn bounded_counts_characters_not_bytes() {
    assert_eq!(bounded("  🐾🐾  ", 2), Ok("🐾🐾".to_owned()));
    assert_eq!(bounded("🐾🐾🐾", 2), Err(TextRejected::TooLong(2)));
    assert_eq!(bounded(" \n\t ", 2), Err(TextRejected::Blank));
    assert_eq!(bounded("a\0", 2), Err(TextRejected::Nul));
}

#[test]
fn folding_is_the_same_for_a_word_and_a_part_of_it() {
    assert_eq!(fold("ΟΔΟΣ"), "οδοσ");
    assert_eq!(fold("οδος"), "οδοσ");
    assert_eq!(fold("GRÜẞE"), "grüße");
    assert!(fold("İstanbul").contains("stanbul"));
}

#[test]
fn an_excerpt_is_cut_around_the_hit() {
    let text = format!("{}NEEDLE{}", "a".repeat(300), "b".repeat(300));
    let piece = excerpt(&text, "needle", 40);
    assert_eq!(piece, format!("…{}NEEDLE{}…", "a".repeat(16), "b".repeat(16)));
}

#[test]
fn an_excerpt_at_an_end_has_one_mark() {
    let text = format!("needle{}", "b".repeat(300));
    assert_eq!(excerpt(&text, "needle", 10), "needlebbb…");
    let text = format!("{}needle", "b".repeat(300));
    assert_eq!(excerpt(&text, "needle", 10), "…bbbneedle");
    assert_eq!(excerpt("short needle", "needle", 40), "short needle");
}

proptest! {
    #[test]
    fn an_excerpt_never_exceeds_its_bound_and_holds_a_short_needle(
        before in "\\PC{0,300}", needle in "\\PC{1,8}", after in "\\PC{0,300}", max in 40_usize..200,
    ) {
        let text = format!("{before}{needle}{after}");
        let piece = excerpt(&text, &fold(&needle), max);
        prop_assert!(piece.chars().count() <= max);
        prop_assert!(fold(&piece).contains(&fold(&needle)), "{piece:?} lacks {needle:?}");
    }

    #[test]
    fn folding_distributes_over_concatenation(left in "\\PC{0,20}", right in "\\PC{0,20}") {
        prop_assert_eq!(fold(&format!("{left}{right}")), fold(&left) + &fold(&right));
    }

    #[test]
    fn the_head_is_a_prefix(text in "\\PC{0,40}", max in 0_usize..60) {
        let cut = head(&text, max);
        prop_assert!(text.starts_with(cut));
        prop_assert_eq!(cut.chars().count(), text.chars().count().min(max));
    }
}
