use super::*;

#[test]
fn a_setting_is_told_where_it_differs_from_our_default() {
    for (name, value, expected) in [
        ("web_host", json!("127.0.0.1"), None),
        ("web_host", json!("0.0.0.0"), Some(r#"host = "0.0.0.0""#)),
        ("web_port", json!(8888), Some("port = 8888")),
        ("web_port", json!(8000), None),
        ("session_token_ttl_hours", json!(24), None),
        ("localhost_auth_bypass", json!(false), Some("localhost_auth_bypass = false")),
        ("max_concurrent_conversations", json!(5), None),
        ("api_cors_allowed_origins", json!([]), None),
        ("api_cors_allowed_origins", json!(["https://a.b"]), Some(r#"cors_origins = ["https://a.b"]"#)),
        ("api_rate_limit_per_key", json!(60), None),
        ("api_rate_limit_per_key", json!(90), Some(r#"rate_limit_key = "1.5/90""#)),
        ("api_rate_limit_per_key", json!(20), Some(r#"rate_limit_key = "0.33/20""#)),
        ("status_api_key", Value::Null, Some(r#"status_key_file = "FILE" # a file with what status_api_key was"#)),
    ] {
        assert_eq!(configuration_line(name, &value).as_deref(), expected, "{name} {value}");
    }
}

#[test]
fn many_remarks_of_one_reason_are_counted_and_the_first_are_named() {
    let mut summary = Summary::new(false, "UTC");
    for number in 0..1_000 {
        let (place, why) = (format!("file {number}"), "it is cut off".to_owned());
        summary.remark(Remark { area: Area::Sessions, skipped: true, place, why });
    }
    for number in 0..1_000 {
        let (place, why) = ("file".to_owned(), format!("reason {number}"));
        summary.remark(Remark { area: Area::Messages, skipped: false, place, why });
    }
    let text = summary.text("/home");
    assert!(text.contains("file 4\n      and 995 more"), "{text}");
    assert!(text.contains("Messages: other reasons") && text.lines().count() < 350, "{text}");
    assert!(text.lines().any(|line| line.split_whitespace().eq(["Sessions", "0", "0", "1000"])), "{text}");
}
