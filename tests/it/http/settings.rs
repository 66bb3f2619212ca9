//! Settings and agents, as clients read and change them.

use crate::support::{Failure, TestApp};
use pawport::domain::auth::rate::RateLimit;
use serde_json::{Value, json};

const BOTH: [&str; 2] = ["/api/settings", "/api/v1/settings"];

/// The token of a key with these scopes.
async fn key(app: &TestApp, scopes: &[&str]) -> String {
    let body = json!({ "name": "k", "scopes": scopes });
    let key = app.token_user().post("/api/v1/auth/api-keys", body).await.json();
    key["key"].as_str().expect("a key").to_owned()
}

#[tokio::test]
async fn all_settings_are_shown_with_their_defaults_and_without_secrets() {
    let app = TestApp::told(|settings| settings.rate_limits.key = RateLimit::new(1.0, 60));
    app.token_user().post("/api/webhooks/add", json!({ "name": "ci", "sync_timeout": 7 })).await.assert_status(200);
    let [legacy, v1] = [app.token_user().get(BOTH[0]).await.json(), app.token_user().get(BOTH[1]).await.json()];
    assert_eq!(legacy, v1);
    assert!(v1.as_object().unwrap().len() > 177);
    let slot = &v1["webhook_configs"][0];
    assert_eq!((&slot["name"], &slot["sync_timeout"]), (&json!("ci"), &json!(7)));
    assert!(slot["secret"].as_str().unwrap().starts_with("***"));
    let expected = json!({
        "agent_backend": "builtin", "memory_backend": "file", "web_host": "127.0.0.1", "web_port": 8000,
        "tool_profile": "full", "plan_mode": false, "localhost_auth_bypass": true, "session_token_ttl_hours": 24,
        "api_rate_limit_per_key": 60, "max_concurrent_conversations": 5, "tools_owner": "all", "tools_clients": "read_only",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(v1[name], *value, "{name}");
    }
    assert!(v1.get("openai_api_key").is_none());
}

#[tokio::test]
async fn settings_are_changed_flat_or_wrapped() {
    let app = TestApp::new();
    let user = app.token_user();
    user.put(BOTH[0], json!({ "user_display_name": "Ana" })).await.assert_json(200, &json!({ "status": "ok" }));
    user.put(BOTH[1], json!({ "settings": { "theme_preference": "dark" } }))
        .await
        .assert_json(200, &json!({ "status": "ok" }));
    let view = user.get(BOTH[0]).await.json();
    assert_eq!((&view["user_display_name"], &view["theme_preference"]), (&json!("Ana"), &json!("dark")));
    user.put(BOTH[1], json!({ "settings": [] })).await.assert_invalid(
        "dict_type",
        &["body", "settings"],
        "Input should be an object",
    );
    let entries = user.get("/api/audit").await.json();
    let changes: Vec<&Value> =
        entries.as_array().unwrap().iter().filter(|entry| entry["action"] == "settings_changed").collect();
    assert_eq!(changes.len(), 2);
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let app = TestApp::new();
    let user = app.token_user();
    let before = user.get(BOTH[1]).await.json();
    let refused = user.put(BOTH[1], json!({ "trust_level": 9, "file_jail_path": "/", "plan_mode": true })).await;
    refused.assert_error(403, "Field(s) file_jail_path, trust_level cannot be modified via the API");
    let refused = user.put(BOTH[1], json!({ "plan_mode": true, "budget_reset_day": 40 })).await;
    refused.assert_invalid("value_error", &["body", "budget_reset_day"], "Input should be a whole number from 1 to 31");
    user.put(BOTH[1], json!({ "web_port": 8888, "plan_mode": true })).await.assert_status(403);
    app.fail_call(2, Failure::Unavailable);
    user.put(BOTH[1], json!({ "plan_mode": true })).await.assert_status(503);
    assert_eq!(user.get(BOTH[1]).await.json(), before);
}

#[tokio::test]
async fn warnings_come_with_the_answer_and_keys_never() {
    let app = TestApp::new();
    let user = app.token_user();
    let answer = user.put(BOTH[1], json!({ "anthropic_api_key": "bad", "no_such_field": 1 })).await;
    let warnings = json!([
        "There is no setting \"no_such_field\"",
        "Anthropic API key doesn't match expected format (expected format: sk-ant-...). Double-check for typos or truncation.",
    ]);
    answer.assert_json(200, &json!({ "status": "ok", "warnings": warnings }));
    let answer = user.put(BOTH[1], json!({ "anthropic_base_url": "https://proxy.example" })).await.json();
    assert!(answer["warnings"][0].as_str().unwrap().starts_with("anthropic_api_key was removed"));
}

#[tokio::test]
async fn scopes_decide_who_reads_and_who_changes_what() {
    let app = TestApp::new();
    app.token_user().post("/api/webhooks/add", json!({ "name": "ci" })).await.assert_status(200);
    let reader = app.user_with(&key(&app, &["settings:read"]).await);
    let writer = app.user_with(&key(&app, &["settings:write"]).await);
    for user in [&reader, &writer] {
        assert_eq!(user.get(BOTH[1]).await.assert_status(200).json()["webhook_configs"], json!([]));
        user.get("/api/backends").await.assert_status(200);
        user.get("/api/v1/backends/ollama-models").await.assert_status(403);
    }
    reader.put(BOTH[1], json!({ "sound_enabled": true })).await.assert_status(403);
    writer.put(BOTH[1], json!({ "sound_enabled": true })).await.assert_status(200);
    let refused = writer.put(BOTH[1], json!({ "tools_clients": "all" })).await;
    refused.assert_error(403, "Field(s) tools_clients can only be modified with the scope admin");
    app.token_user().put(BOTH[1], json!({ "tools_clients": "all" })).await.assert_status(200);
}

#[tokio::test]
async fn backends_say_what_they_lack() {
    let app = TestApp::new();
    let user = app.token_user();
    let list = user.get("/api/backends").await.json();
    assert_eq!(list, user.get("/api/v1/backends").await.json());
    let shown = |list: &Value| -> Vec<(String, bool, bool)> {
        let text = |it: &Value| it["name"].as_str().unwrap().to_owned();
        let list = list.as_array().unwrap().iter();
        list.map(|it| (text(it), it["available"] == true, it["active"] == true)).collect()
    };
    let row = |name: &str, available, active| (name.to_owned(), available, active);
    let rest = [row("anthropic", false, false), row("command", false, false)];
    assert_eq!(
        shown(&list),
        [&[row("builtin", true, true), row("openai_compatible", false, false)][..], &rest].concat()
    );
    assert_eq!(list[1]["lacks"], json!(["a model: set openai_compatible_model"]));
    assert_eq!(list[2]["requiredKeys"], json!(["anthropic_api_key"]));
    assert_eq!(
        list[0]["installHint"],
        json!({ "pip_spec": "", "pip_package": "", "external_cmd": "", "docs_url": "" })
    );
    let wanted = json!({ "agent_backend": "openai_compatible", "openai_compatible_model": "m" });
    user.put(BOTH[1], wanted).await.assert_json(200, &json!({ "status": "ok" }));
    let list = user.get("/api/backends").await.json();
    assert_eq!(
        shown(&list),
        [&[row("builtin", true, false), row("openai_compatible", true, true)][..], &rest].concat()
    );
}

#[tokio::test]
async fn nothing_is_ever_installed() {
    let app = TestApp::new();
    for (given, text) in [
        (json!({ "backend": "builtin" }), "builtin needs no installation: it is ready"),
        (
            json!({ "backend": "codex_cli" }),
            "There is no backend \"codex_cli\"; there are builtin, openai_compatible, anthropic, command",
        ),
        (json!({ "backend": "anthropic" }), "anthropic needs no installation, but lacks a key: set anthropic_api_key"),
    ] {
        let answer = app.token_user().post("/api/v1/backends/install", given).await;
        answer.assert_json(200, &json!({ "error": text }));
    }
}

#[tokio::test]
async fn models_are_asked_for_on_this_machine_only() {
    let app = TestApp::new();
    let user = app.token_user();
    for path in ["/api/backends/ollama-models", "/api/v1/backends/ollama-models?host=http://localhost:9"] {
        user.get(path).await.assert_json(200, &json!([]));
    }
    let refused = user.get("/api/v1/backends/ollama-models?host=http://169.254.169.254").await;
    refused.assert_status(422);
}
