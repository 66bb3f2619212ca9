use super::*;

#[track_caller]
fn assert_named(found: &[&str], expected: &[Result<&str, NameRefused>]) {
    let named = mcp_server_names(found);
    let named: Vec<_> = named.iter().map(|it| it.as_ref().map(McpServerName::as_str).map_err(Clone::clone)).collect();
    assert_eq!(named, expected, "{found:?}");
}

#[test]
fn a_name_of_a_server_stays_or_gets_hyphens() {
    let refused = || Err(NameRefused::Rejected(Rejected::Name));
    let taken = |name: &str| Err(NameRefused::Taken(name.to_owned()));
    assert_named(&["a", "A.b_c-1"], &[Ok("a"), Ok("A.b_c-1")]);
    assert_named(
        &["my server", " x ", "@scope/name", "größe"],
        &[Ok("my-server"), Ok("x"), Ok("scope-name"), Ok("gr--e")],
    );
    assert_named(&["", " ", "--", "日本"], &[refused(), refused(), refused(), refused()]);
    let longest = "x".repeat(McpServerName::MAX_LEN);
    assert_named(&[&longest, &format!("{longest}x")], &[Ok(&longest), refused()]);
    // Whoever has a name keeps it, wherever it stands; else the first gets it.
    assert_named(&["a b", "a-b"], &[taken("a-b"), Ok("a-b")]);
    assert_named(&["a b", "a/b", "a?b"], &[Ok("a-b"), taken("a-b"), taken("a-b")]);
}

#[test]
fn a_time_limit_is_the_nearest_that_is_allowed() {
    for (seconds, expected) in [
        (30.0, 30),
        (0.0, 30),
        (-0.0, 30),
        (0.2, 1),
        (1.5, 2),
        (-5.0, 1),
        (599.5, 600),
        (601.0, 600),
        (f64::MAX, 600),
        (f64::MIN, 1),
    ] {
        assert_eq!(nearest_call_timeout(seconds).as_secs(), expected, "{seconds}");
    }
}
