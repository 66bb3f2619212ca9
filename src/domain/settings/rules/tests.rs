use super::super::StoredSetting;
use super::*;
use crate::domain::agent::choice::AgentChoice;
use secrecy::ExposeSecret;
use serde_json::json;

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { unreachable!("{value}") };
    object
}

/// What is planned if `wanted` is put over `stored`, by the owner.
fn planned(stored: &Stored, configured: &AgentSettings, wanted: Value) -> Result<Planned, Refused> {
    let server = object(json!({ "web_port": 8000, "localhost_auth_bypass": true }));
    plan(&object(wanted), &Situation { stored, configured, server: &server, is_admin: true })
}

fn put(stored: &Stored, configured: &AgentSettings, wanted: Value) -> (Stored, Vec<String>) {
    let planned = planned(stored, configured, wanted).unwrap();
    (stored.with(&planned.changes), planned.warnings)
}

fn key(stored: &Stored, configured: &AgentSettings, kind: AgentKind) -> Option<String> {
    let choice = agents::choice_of(kind, stored, configured);
    choice.api_key.map(|key| key.expose_secret().to_owned())
}

/// A model behind an address of its own, by configuration.
fn configured() -> AgentSettings {
    let mut settings = AgentSettings::builtin();
    settings.choice = AgentChoice {
        kind: AgentKind::OpenAiCompatible,
        model: "configured".to_owned(),
        base_url: Some(BaseUrl::parse("https://models.example/v1").unwrap()),
        api_key: Some(SecretString::from("configured-key")),
        command: vec!["/opt/paw".to_owned(), "--token".to_owned(), "hunter2".to_owned()],
        ..settings.choice
    };
    settings
}

#[test]
fn protected_settings_are_refused_together_and_nothing_is_changed() {
    let (none, builtin) = (Stored::default(), AgentSettings::builtin());
    let wanted = json!({ "trust_level": 9, "file_jail_path": "/", "plan_mode": true, "agent_command": "sh" });
    let refused = planned(&none, &builtin, wanted).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Field(s) agent_command, file_jail_path, trust_level cannot be modified via the API"
    );
    for name in ["bypass_permissions", "guardian_enabled", "injection_scan_enabled", "localhost_auth_bypass"] {
        assert!(matches!(planned(&none, &builtin, json!({ name: null })), Err(Refused::Protected(_))), "{name}");
    }
}

#[test]
fn what_configuration_says_stays_and_its_key_is_named() {
    let (none, builtin) = (Stored::default(), AgentSettings::builtin());
    let refused = planned(&none, &builtin, json!({ "web_port": 8888 })).unwrap_err().to_string();
    assert!(refused.contains("web_port") && refused.contains("set port in the configuration"), "{refused}");
    assert_eq!(planned(&none, &builtin, json!({ "web_port": 8000 })), Ok(Planned::default()));
}

#[test]
fn only_the_owner_says_what_others_may() {
    let (none, builtin, server) = (Stored::default(), AgentSettings::builtin(), Map::new());
    let situation = Situation { stored: &none, configured: &builtin, server: &server, is_admin: false };
    for (member, value) in [
        ("tools_clients", json!("all")),
        ("plan_mode", json!(true)),
        ("agent_backend", json!("anthropic")),
        ("system_prompt", json!("Do what you are told.")),
        ("openai_compatible_base_url", json!("http://192.0.2.1/v1")),
        ("anthropic_base_url", json!("http://192.0.2.1")),
    ] {
        let refused = plan(&object(json!({ member: value })), &situation).unwrap_err();
        assert_eq!(refused, Refused::NeedsAdmin(vec![member.to_owned()]));
    }
    // A page sends every field it has.
    let unchanged = json!({ "tools_clients": "read_only", "plan_mode": false, "sound_enabled": false });
    assert!(plan(&object(unchanged), &situation).is_ok());
}

#[test]
fn one_bad_value_is_named_and_keeps_the_others_out() {
    let (none, builtin) = (Stored::default(), AgentSettings::builtin());
    let refused = planned(&none, &builtin, json!({ "plan_mode": true, "budget_reset_day": 40 })).unwrap_err();
    assert!(matches!(refused, Refused::Invalid { member, .. } if member == "budget_reset_day"));
}

#[test]
fn null_is_the_default_an_empty_secret_nothing_and_a_stranger_a_warning() {
    let builtin = AgentSettings::builtin();
    let (stored, _) = put(&Stored::default(), &builtin, json!({ "plan_mode": true, "openai_api_key": "sk-x" }));
    let (stored, warnings) = put(&stored, &builtin, json!({ "openai_api_key": " ", "no_such_field": 1 }));
    assert!(stored.secret("openai_api_key").is_some());
    assert_eq!(warnings, ["There is no setting \"no_such_field\""]);
    let (stored, _) = put(&stored, &builtin, json!({ "plan_mode": null, "openai_api_key": null }));
    assert_eq!(stored, Stored::default());
}

#[test]
fn an_odd_key_is_taken_with_a_warning() {
    let (stored, warnings) = put(&Stored::default(), &AgentSettings::builtin(), json!({ "anthropic_api_key": "bad" }));
    assert!(stored.secret("anthropic_api_key").is_some());
    assert_eq!(
        warnings,
        [
            "Anthropic API key doesn't match expected format (expected format: sk-ant-...). Double-check for typos or truncation."
        ]
    );
    let odd = planned(&Stored::default(), &AgentSettings::builtin(), json!({ "anthropic_api_key": "sk-ant-a\nb" }));
    assert!(matches!(odd, Err(Refused::Invalid { .. })));
}

#[test]
fn a_key_goes_with_its_address() {
    let builtin = AgentSettings::builtin();
    let kind = AgentKind::OpenAiCompatible;
    let first = json!({ "openai_compatible_base_url": "http://a/v1", "openai_compatible_api_key": "key-of-a" });
    let (stored, warnings) = put(&Stored::default(), &builtin, first);
    assert_eq!((key(&stored, &builtin, kind).as_deref(), warnings.len()), (Some("key-of-a"), 0));
    let (same, warnings) = put(&stored, &builtin, json!({ "openai_compatible_base_url": "http://a/v1/" }));
    assert_eq!((key(&same, &builtin, kind).as_deref(), warnings.len()), (Some("key-of-a"), 0));
    for other in [json!("http://b/v1"), json!(""), json!(null)] {
        let (moved, warnings) = put(&stored, &builtin, json!({ "openai_compatible_base_url": other }));
        assert_eq!(key(&moved, &builtin, kind), None);
        assert!(moved.secret("openai_compatible_api_key").is_none());
        assert!(warnings[0].starts_with("openai_compatible_api_key was removed"), "{warnings:?}");
    }
    let both = json!({ "openai_compatible_api_key": "key-of-b", "openai_compatible_base_url": "http://b/v1" });
    let (moved, warnings) = put(&stored, &builtin, both);
    assert_eq!((key(&moved, &builtin, kind).as_deref(), warnings.len()), (Some("key-of-b"), 0));
}

#[test]
fn a_configured_key_is_for_the_configured_address() {
    let (configured, kind) = (configured(), AgentKind::OpenAiCompatible);
    assert_eq!(key(&Stored::default(), &configured, kind).as_deref(), Some("configured-key"));
    let (stored, warnings) =
        put(&Stored::default(), &configured, json!({ "openai_compatible_base_url": "http://b/v1" }));
    assert_eq!(key(&stored, &configured, kind), None);
    assert!(warnings[0].starts_with("The configured key is not sent"), "{warnings:?}");
    assert_eq!(key(&Stored::default(), &configured, AgentKind::Anthropic), None);
    // A stored key does not follow configuration to another address either.
    let (stored, _) = put(&Stored::default(), &configured, json!({ "openai_compatible_api_key": "mine" }));
    assert_eq!(key(&stored, &configured, kind).as_deref(), Some("mine"));
    let mut moved = configured.clone();
    moved.choice.base_url = Some(BaseUrl::parse("https://elsewhere.example/v1").unwrap());
    assert_eq!(key(&stored, &moved, kind), None);
}

#[test]
fn settings_win_over_configuration_and_that_over_defaults() {
    let configured = configured();
    let wanted = json!({
        "openai_compatible_model": "chosen", "system_prompt": "Be kind.", "agent_turn_seconds": 60, "plan_mode": true,
        "agent_context_tokens": 5_000, "agent_max_rounds": 3, "tools_webhooks": "none", "tools_deny": ["a*"],
        "openai_compatible_max_tokens": 77,
    });
    let (stored, _) = put(&Stored::default(), &configured, wanted);
    let AgentSettings { choice, rules } = agents::agent_settings(&stored, &configured);
    assert_eq!(
        (choice.kind, choice.model.as_str(), choice.max_output_tokens),
        (AgentKind::OpenAiCompatible, "chosen", 77)
    );
    assert_eq!((rules.system_prompt.as_str(), rules.turn_limit.as_secs(), rules.max_rounds), ("Be kind.", 60, 3));
    assert_eq!((rules.context_tokens, rules.plan_mode, rules.access.denied.len()), (5_000, true, 1));
    assert_eq!(rules.access.webhook.to_text(), "none");
    let before = agents::agent_settings(&Stored::default(), &configured).choice;
    assert_eq!((before.model.as_str(), before.max_output_tokens), ("configured", 4096));
    let (builtin, warnings) = put(&stored, &configured, json!({ "agent_backend": "builtin" }));
    assert_eq!(agents::agent_settings(&builtin, &configured).choice.kind, AgentKind::Builtin);
    assert!(warnings.is_empty());
}

#[test]
fn an_agent_that_lacks_something_says_so() {
    let (none, builtin) = (Stored::default(), AgentSettings::builtin());
    let lacks = |name: &str| put(&none, &builtin, json!({ "agent_backend": name })).1;
    assert_eq!(lacks("openai_compatible"), ["openai_compatible lacks a model: set openai_compatible_model"]);
    assert_eq!(lacks("claude_agent_sdk"), ["anthropic lacks a key: set anthropic_api_key"]);
    assert!(lacks("command")[0].contains("PAWPORT_AGENT_COMMAND"));
}

#[test]
fn the_view_has_everything_and_no_secret() {
    let configured = configured();
    let (stored, _) =
        put(&Stored::default(), &configured, json!({ "openai_api_key": "sk-hidden", "theme_preference": "dark" }));
    let view = view(&stored, &configured, &object(json!({ "web_port": 9000 })));
    let secrets = members::all().iter().filter(|member| member.is_secret()).count();
    assert_eq!(view.len(), members::all().len() - secrets);
    let text = Value::from(view.clone()).to_string();
    assert!(!text.contains("hidden") && !text.contains("hunter2") && !text.contains("configured-key"), "{text}");
    assert_eq!((&view["web_port"], &view["theme_preference"]), (&json!(9000), &json!("dark")));
    assert_eq!((&view["agent_backend"], &view["agent_command"]), (&json!("openai_compatible"), &json!("/opt/paw")));
    assert_eq!((&view["openai_compatible_model"], &view["tools_owner"]), (&json!("configured"), &json!("all")));
}

#[test]
fn an_imported_key_is_for_the_address_it_was_used_with() {
    let address = |name: &str, found: Option<&str>| match imported(name, &json!("sk-ant-x"), found) {
        Ok(Some(StoredSetting { value: StoredValue::Secret { address, .. }, .. })) => address,
        other => panic!("{other:?}"),
    };
    assert_eq!(address("openai_compatible_api_key", Some("http://a/v1/")).as_deref(), Some("http://a/v1"));
    assert_eq!(address("openai_compatible_api_key", Some("")).as_deref(), Some("https://api.openai.com/v1"));
    assert_eq!(address("anthropic_api_key", Some("http://a/v1")).as_deref(), Some("https://api.anthropic.com"));
    assert_eq!(address("tavily_api_key", None), None);
    assert_eq!(imported("plan_mode", &json!(false), None), Ok(None));
    assert!(
        imported("budget_reset_day", &json!(99), None).is_err()
            && imported("agent_backend", &json!("x"), None).is_err()
    );
}
