use super::*;
use crate::domain::agent::choice::AgentSettings;

#[test]
fn the_view_of_the_websocket_is_in_camel_case() {
    let view = camel_case_view(&Settings::new(AgentSettings::builtin()));
    let object = view.as_object().unwrap();
    assert!(object.values().all(|value| !value.is_null()), "{view}");
    assert_eq!(object.len(), IN_CAMEL_CASE.len() + OF_THE_SOUL.len() + HAS.len() + 2);
    assert_eq!(view["agentBackend"], "builtin");
    assert_eq!(view["mem0OllamaBaseUrl"], "http://localhost:11434");
    assert_eq!(view["a2aTaskTimeout"], 120);
    assert_eq!(view["planModeTools"], "shell,write_file,edit_file");
    assert_eq!(view["hasAnthropicKey"], false);
    assert_eq!(view["agentStatus"], json!({ "status": "running", "backend": "AgentLoop" }));
}

#[test]
fn a_message_of_the_websocket_leaves_out_what_is_fixed() {
    let settings = Settings::new(AgentSettings::builtin());
    let message = json!({
        "action": "settings", "plan_mode": true, "bypass_permissions": true, "injection_scan_enabled": false,
        "web_port": 8888, "unknown": 1,
    });
    let (wanted, warnings) = change_of_message(&settings, message.as_object().unwrap());
    assert_eq!(Value::from(wanted), json!({ "plan_mode": true }));
    assert_eq!(warnings, ["bypass_permissions cannot be changed here"]);
}

#[test]
fn a_key_of_the_websocket_is_for_a_known_provider() {
    let change = |message: Value| change_of_key(message.as_object().unwrap());
    let wanted = change(json!({ "provider": "google_oauth_id", "key": " x " })).unwrap();
    assert_eq!(Value::from(wanted), json!({ "google_oauth_client_id": "x" }));
    assert!(change(json!({ "provider": "nobody", "key": "x" })).is_err());
    assert!(change(json!({ "provider": "openai", "key": " " })).is_err());
    assert!(PROVIDERS.iter().all(|known| members::find(known.1).is_some_and(members::Member::is_secret)));
    assert!(HAS.iter().all(|known| members::find(known.1).is_some_and(members::Member::is_secret)));
}
