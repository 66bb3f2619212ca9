use super::*;
use proptest::prelude::*;
use serde_json::Map;

fn tool(name: &str, read_only: bool) -> ToolOffer {
    ToolOffer { name: name.to_owned(), description: String::new(), schema: Map::new(), read_only }
}

#[test]
fn a_tool_has_its_servers_name_before_its_own() {
    assert_eq!(offered_name("time", "get_current_time", &BTreeSet::new()), "mcp_time__get_current_time");
    assert_eq!(offered_name("my.server", "files/read", &BTreeSet::new()), "mcp_my_server__files_read");
}

#[test]
fn names_that_would_be_the_same_differ_by_their_hash() {
    let first = offered_name("a", "b.c", &BTreeSet::new());
    let second = offered_name("a", "b/c", &BTreeSet::from([first.clone()]));
    assert_eq!((first.as_str(), second.as_str()), ("mcp_a__b_c", "mcp_a__b_c_edd95381"));
}

proptest! {
    #[test]
    fn every_name_is_one_that_providers_take(server in "[A-Za-z0-9._-]{1,64}", tool in ".{1,80}") {
        let name = offered_name(&server, &tool, &BTreeSet::new());
        prop_assert!(name.len() <= MAX_NAME && name.starts_with("mcp_"), "{name}");
        prop_assert!(name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'-'), "{name}");
    }

    #[test]
    fn a_pattern_fits_what_it_was_made_from(pieces in prop::collection::vec("[a-z_]{0,5}", 1..5), gap in "[a-z]{0,6}") {
        prop_assume!(!pieces.concat().is_empty());
        let pattern = Pattern::parse(&pieces.join("*")).unwrap();
        prop_assert!(pattern.fits(&pieces.join(&gap)) || pieces.len() == 1);
    }
}

#[test]
fn patterns_fit_whole_names() {
    let fits = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().fits(name);
    assert!(fits("mcp_time__*", "mcp_time__now"));
    assert!(fits("*", ""));
    assert!(fits("a*b*c", "a-b-b-c"));
    assert!(!fits("mcp_time", "mcp_time__now"));
    assert!(!fits("*_now", "mcp_time__now_or_never"));
    assert!(!fits("ab*ba", "aba"));
    assert_eq!(Pattern::parse("mcp time"), None);
}

#[test]
fn allowances_are_read_and_written() {
    for text in ["none", "read_only", "all", "mcp_time__*,mcp_x__y"] {
        assert_eq!(Allowance::parse(text).unwrap().to_text(), text);
    }
    assert_eq!(Allowance::parse("everything you like"), Err(AllowanceRejected::Pattern));
}

#[test]
fn others_than_the_owner_get_what_changes_nothing() {
    let access = ToolAccess::default();
    for origin in Origin::ALL {
        assert!(access.allows(origin, &tool("mcp_a__read", true)), "{origin:?}");
        assert_eq!(access.allows(origin, &tool("mcp_a__write", false)), origin == Origin::Owner, "{origin:?}");
    }
}

#[test]
fn what_is_denied_is_denied_to_the_owner_too() {
    let patterns = |text: &str| vec![Pattern::parse(text).unwrap()];
    let access = ToolAccess { denied: patterns("mcp_a__*"), ..ToolAccess::default() };
    assert!(!access.allows(Origin::Owner, &tool("mcp_a__read", true)));
    assert!(access.allows(Origin::Owner, &tool("mcp_b__read", true)));
    let access = ToolAccess { allowed: patterns("mcp_a__*"), ..ToolAccess::default() };
    assert!(access.allows(Origin::Owner, &tool("mcp_a__read", true)));
    assert!(!access.allows(Origin::Owner, &tool("mcp_b__read", true)));
}
