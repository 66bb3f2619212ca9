//! API keys: making, listing, revoking and rotating them.

use super::{Key, assert_unwritten, credential, is_good, key, key_until, last_entry, log, made, me, session, text};
use crate::support::{MASTER_TOKEN, START, TestApp};
use axum::http::Method;
use pawport::domain::time::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

const KEYS: &str = "/api/v1/auth/api-keys";

const NO_SUCH_KEY: &str = "API key not found or already revoked";

#[tokio::test]
async fn a_new_key_is_shown_once() {
    let app = TestApp::new();
    let user = app.token_user();
    for (body, name, scopes, expires_at) in [
        (json!({ "name": "Home" }), "Home", json!(["chat", "sessions"]), json!(null)),
        (
            json!({ "name": "  Office ", "scopes": ["sessions", "admin", "sessions"], "expires_at": "2027-01-01T01:00:00+01:00" }),
            "Office",
            json!(["admin", "sessions"]),
            json!("2027-01-01T00:00:00.000Z"),
        ),
        (
            json!({ "name": "late", "scopes": ["chat"], "expires_at": "9999-12-30T22:00:00.999Z" }),
            "late",
            json!(["chat"]),
            json!("9999-12-30T22:00:00.999Z"),
        ),
        (json!({ "name": "none", "scopes": [], "expires_at": null, "more": 1 }), "none", json!([]), json!(null)),
        (
            json!({ "name": "🐾".repeat(100), "scopes": null }),
            &*"🐾".repeat(100),
            json!(["chat", "sessions"]),
            json!(null),
        ),
    ] {
        let answer = user.post(KEYS, body).await;
        let (id, token) = (text(&answer.json()["id"]), text(&answer.json()["key"]));
        let shared = json!({
            "id": id, "name": name, "prefix": token[..12], "scopes": scopes, "created_at": "2026-11-23T04:40:21.000Z",
            "expires_at": expires_at,
        });
        let with = |more: &[(&str, Value)]| {
            let members = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            Value::Object(shared.as_object().unwrap().clone().into_iter().chain(members).collect())
        };
        answer.assert_json(200, &with(&[("key", json!(token))]));
        assert!(token.starts_with("pp_") && token.len() == 52, "{token}");
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let entry = json!({
            "action": "api_key_created", "actor": "dashboard_user", "severity": "info", "status": "success", "target": id,
            "context": { "credential": credential(&app, MASTER_TOKEN).await, "name": name, "scopes": scopes },
        });
        assert_eq!(last_entry(&app).await, entry);

        let list = user.get(KEYS).await;
        let keys = list.json();
        let listed = keys.as_array().unwrap().iter().find(|key| key["id"] == json!(id)).expect("the key");
        assert_eq!(listed, &with(&[("last_used_at", json!(null)), ("revoked", json!(false))]));
        assert!(!list.text().contains(&token[12..]));
        assert_unwritten(&app, &[&token]).await;
        assert_eq!(
            me(&app, &token).await,
            json!({ "kind": "api_key", "id": id, "scopes": scopes, "expires_at": expires_at })
        );
    }
    // Answers under the older prefix have never held keys.
    user.get("/api/auth/api-keys").await.assert_error(404, "Not Found");
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused() {
    let app = TestApp::new();
    let user = app.token_user();
    let before = log(&app).await;
    for (scopes, detail) in [
        (json!(["root"]), "Invalid scopes: root"),
        (json!(["chat", "x", "Admin", "sessions", ""]), "Invalid scopes: x, Admin, "),
        (json!(["settings"]), "Invalid scopes: settings"),
    ] {
        user.post(KEYS, json!({ "name": "k", "scopes": scopes })).await.assert_error(400, detail);
    }
    let without_zone = "Input should be a time with its zone, such as 2027-01-01T00:00:00Z";
    for (expires, message) in [
        ("2026-11-23T04:40:21Z", "expires_at must be in the future"),
        ("2026-11-23T05:40:21+01:00", "expires_at must be in the future"),
        ("1970-01-01T00:00:00Z", "expires_at must be in the future"),
        ("2027-01-01T00:00:00", without_zone),
        ("2027-01-01", without_zone),
        ("tomorrow", without_zone),
        ("1830000000", without_zone),
        ("", without_zone),
    ] {
        let answer = user.post(KEYS, json!({ "name": "k", "expires_at": expires })).await;
        answer.assert_invalid("datetime_error", &["body", "expires_at"], message);
    }
    for body in [
        json!({}),
        json!({ "name": null }),
        json!({ "name": 5 }),
        json!({ "name": "k", "scopes": "admin" }),
        json!({ "name": "k", "scopes": [5] }),
        json!({ "name": "k", "expires_at": 1_830_000_000 }),
        json!({ "name": "" }),
        json!({ "name": " \n" }),
        json!({ "name": "x".repeat(101) }),
        json!({ "name": "a\u{0}b" }),
    ] {
        user.post(KEYS, body).await.assert_status(422);
    }
    user.get(KEYS).await.assert_json(200, &json!([]));
    assert_eq!(log(&app).await, before);
}

#[tokio::test]
async fn a_revoked_key_stays_in_the_list_and_opens_nothing() {
    let app = TestApp::new();
    let (ended, other) = (key(&app, &["admin"]).await, key(&app, &["admin"]).await);
    assert!(is_good(&app, &ended.token).await);
    let path = format!("{KEYS}/{}", ended.id);
    app.token_user().delete(&path).await.assert_json(200, &json!({ "status": "ok" }));
    let entry = json!({
        "action": "api_key_revoked", "actor": "dashboard_user", "severity": "info", "status": "success",
        "target": ended.id, "context": { "credential": credential(&app, MASTER_TOKEN).await },
    });
    assert_eq!(last_entry(&app).await, entry);
    assert!(!is_good(&app, &ended.token).await && is_good(&app, &other.token).await);
    let list = app.token_user().get(KEYS).await.json();
    let revoked: Vec<_> = list.as_array().unwrap().iter().map(|key| (&key["id"], &key["revoked"])).collect();
    assert_eq!(revoked, [(&json!(ended.id), &json!(true)), (&json!(other.id), &json!(false))]);

    let before = log(&app).await;
    for id in [&*ended.id, "0000000000000000", "x", "_", "%20", "%2e%2e", &"x".repeat(65), "%ff", "k%00"] {
        app.token_user().delete(&format!("{KEYS}/{id}")).await.assert_status(404);
        let rotate = app.token_user().call(Method::POST, &format!("{KEYS}/{id}/rotate"));
        rotate.send().await.assert_status(404);
    }
    app.token_user().delete(&path).await.assert_error(404, NO_SUCH_KEY);
    assert_eq!(log(&app).await, before);
}

#[tokio::test]
async fn a_key_may_revoke_itself() {
    let app = TestApp::new();
    let key = key(&app, &["admin"]).await;
    let user = app.user_with(&key.token);
    user.delete(&format!("{KEYS}/{}", key.id)).await.assert_status(200);
    assert_eq!(log(&app).await[0]["context"]["credential"], json!({ "kind": "api_key", "id": key.id }));
    user.delete(&format!("{KEYS}/{}", key.id)).await.assert_error(401, "Unauthorized");
}

#[tokio::test]
async fn rotating_puts_a_like_key_in_the_place_of_one() {
    let app = TestApp::new();
    let body = json!({ "name": "Home", "scopes": ["memory"], "expires_at": "2026-11-24T04:40:21Z" });
    let old = made(&app.token_user(), body).await;
    app.pass(Duration::from_secs(60));
    let answer = app.token_user().call(Method::POST, &format!("{KEYS}/{}/rotate", old.id)).send().await;
    let new = Key { id: text(&answer.json()["id"]), token: text(&answer.json()["key"]) };
    answer.assert_json(
        200,
        &json!({
            "key": new.token, "id": new.id, "name": "Home", "prefix": new.token[..12], "scopes": ["memory"],
            "created_at": "2026-11-23T04:41:21.000Z", "expires_at": "2026-11-24T04:40:21.000Z",
        }),
    );
    assert!(new.id != old.id && new.token != old.token);
    assert!(!is_good(&app, &old.token).await && is_good(&app, &new.token).await);
    let entries = log(&app).await;
    let entry = entries.iter().find(|entry| entry["action"] == "api_key_rotated").expect("an entry");
    let context = json!({ "credential": credential(&app, MASTER_TOKEN).await, "successor": new.id });
    assert_eq!((&entry["target"], &entry["status"], &entry["context"]), (&json!(old.id), &json!("success"), &context));
    assert_unwritten(&app, &[&old.token, &new.token]).await;

    let rotate = |id: String| app.token_user().call(Method::POST, &format!("{KEYS}/{id}/rotate"));
    rotate(old.id).send().await.assert_error(404, NO_SUCH_KEY);
    app.pass(Duration::from_secs(24 * 3600));
    rotate(new.id).send().await.assert_error(404, NO_SUCH_KEY);
}

#[tokio::test]
async fn a_key_that_is_made_with_one_that_ends_ends_no_later() {
    let app = TestApp::new();
    let end = Timestamp(START.0 + 3_600_000);
    let maker = key_until(&app, &["admin"], end).await;
    let endless = key(&app, &["admin"]).await;
    let by_session = session(&app, &maker.token).await;
    for token in [&maker.token, &by_session] {
        let user = app.user_with(token);
        for (wanted, given) in [
            (json!(null), "2026-11-23T05:40:21.000Z"),
            (json!("2030-01-01T00:00:00Z"), "2026-11-23T05:40:21.000Z"),
            (json!("2026-11-23T05:00:00Z"), "2026-11-23T05:00:00.000Z"),
        ] {
            let key = made(&user, json!({ "name": "k", "expires_at": wanted })).await;
            assert_eq!(me(&app, &key.token).await["expires_at"], given);
        }
        let spare = key(&app, &["admin"]).await;
        let rotated = user.call(Method::POST, &format!("{KEYS}/{}/rotate", spare.id)).send().await.json();
        assert_eq!(rotated["expires_at"], "2026-11-23T05:40:21.000Z");
    }
    // Whose maker does not end need not end, and what the owner makes in a session neither.
    let in_session = session(&app, MASTER_TOKEN).await;
    for token in [&endless.token, &in_session] {
        let key = made(&app.user_with(token), json!({ "name": "k" })).await;
        assert_eq!(me(&app, &key.token).await["expires_at"], json!(null));
    }
}

/// What is asked for with every request must not cost a write, and not even a read with each.
#[tokio::test]
async fn using_a_credential_writes_nothing_and_asks_the_store_twice_a_second() {
    let app = TestApp::new();
    let key = key(&app, &["admin"]).await;
    let (of_owner, of_key) = (session(&app, MASTER_TOKEN).await, session(&app, &key.token).await);
    app.pass(Duration::from_secs(1));
    for (token, asked) in [(MASTER_TOKEN, 0), (&key.token, 1), (&of_owner, 1), (&of_key, 2)] {
        for _ in 0..2 {
            let before = app.store_calls();
            for _ in 0..10 {
                assert!(is_good(&app, token).await);
            }
            assert_eq!(app.store_calls() - before, asked, "{token}");
            app.pass(Duration::from_millis(500));
        }
    }
    let list = app.token_user().get(KEYS).await.json();
    assert_eq!(list[0]["last_used_at"], json!(null), "nothing stored it yet");
}
