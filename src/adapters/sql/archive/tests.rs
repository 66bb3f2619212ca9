use super::rows::TABLES;

/// What is made again, or about to go: see `archive.rs`.
const LEFT_OUT: [&str; 2] = ["removed_sessions", "search_progress"];

#[test]
fn every_table_is_archived_or_left_out_on_purpose() {
    let schema = include_str!("../schema.rs");
    let names = schema.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(") {")?.split_once(" ("));
    let mut expected: Vec<&str> = names.map(|(name, _)| name).filter(|name| !LEFT_OUT.contains(name)).collect();
    let mut archived: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    assert!(expected.len() >= 10, "the search for tables is broken: {expected:?}");
    expected.sort_unstable();
    archived.sort_unstable();
    assert_eq!(archived, expected);
}
