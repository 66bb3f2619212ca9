use super::*;
use std::collections::BTreeSet;

#[track_caller]
fn checked(name: &str, value: &Value) -> Result<Value, String> {
    find(name).unwrap().check(value)
}

#[test]
fn every_name_is_there_once_and_every_default_is_allowed() {
    let names: BTreeSet<_> = all().iter().map(|member| member.name).collect();
    assert_eq!(names.len(), all().len());
    for member in all() {
        let default = member.default();
        if default.is_null() {
            assert!(member.nullable || member.is_secret(), "{}", member.name);
        } else if member.kind != Kind::Webhooks {
            assert_eq!(member.check(&default), Ok(default), "{}", member.name);
        }
    }
}

#[test]
fn values_out_of_bounds_are_refused_without_repeating_them() {
    let long = "x".repeat(10_001);
    for (name, value) in [
        ("plan_mode", json!("true")),
        ("web_port", json!(0)),
        ("web_port", json!(65_536)),
        ("web_port", json!(1.5)),
        ("web_port", json!(u64::MAX)),
        ("session_token_ttl_hours", json!(8_761)),
        ("openai_compatible_max_tokens", json!(1_000_001)),
        ("budget_warning_threshold", json!(1.1)),
        ("user_display_name", json!(long)),
        ("user_display_name", json!("a\0b")),
        ("user_display_name", json!(5)),
        ("plan_mode_tools", json!({})),
        ("plan_mode_tools", json!([[]])),
        ("plan_mode_tools", json!(vec!["x"; 1_001])),
        ("soul_biorhythm", json!({ "a": "\0" })),
        ("soul_biorhythm", json!([])),
        ("openai_compatible_base_url", json!("localhost:11434")),
        ("anthropic_base_url", json!("https://ada:hunter2@host")),
        ("tools_clients", json!("a b")),
        ("tools_deny", json!(["a:b"])),
        ("agent_max_rounds", json!(0)),
        ("agent_turn_seconds", json!(9)),
        ("system_prompt", json!("x".repeat(32_001))),
        ("agent_backend", json!("ollama")),
        ("openai_api_key", json!(7)),
        ("webhook_configs", json!([])),
    ] {
        let why = checked(name, &value).unwrap_err();
        assert!(!why.contains("hunter2") && why.len() < 300, "{why}");
    }
}

#[test]
fn values_become_what_is_stored() {
    assert_eq!(checked("plan_mode_tools", &json!(" shell, write_file,,")), Ok(json!(["shell", "write_file"])));
    assert_eq!(checked("tools_deny", &json!("mcp_*__delete*")), Ok(json!(["mcp_*__delete*"])));
    assert_eq!(checked("tools_owner", &json!(" all ")), Ok(json!("all")));
    assert_eq!(checked("openai_compatible_base_url", &json!(" http://a:1/v1/ ")), Ok(json!("http://a:1/v1")));
    assert_eq!(checked("openai_compatible_base_url", &json!("")), Ok(json!("")));
    assert_eq!(checked("agent_backend", &json!("claude_agent_sdk")), Ok(json!("anthropic")));
    assert_eq!(checked("agent_backend", &json!("openai_agents")), Ok(json!("openai_compatible")));
    assert_eq!(checked("openai_api_key", &json!(" sk-x\n")), Ok(json!("sk-x")));
}

#[test]
fn an_import_decides_neither_who_answers_nor_what_others_may() {
    for name in
        ["agent_backend", "tools_allow", "web_host", "status_api_key", "bypass_permissions", "anthropic_base_url"]
    {
        assert!(importable(name).is_none(), "{name}");
    }
    assert!(importable("openai_compatible_model").is_some() && importable("anthropic_api_key").is_some());
}
