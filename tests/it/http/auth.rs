//! Credentials: getting them, using them, losing them.

mod apps;
mod exchange;
mod holds;
mod keys;
mod limits;
mod login;
mod master;
mod pairing;
mod properties;
mod sessions;
mod streams;

use crate::support::{Call, MASTER_TOKEN, Response, TestApp, User};
use axum::http::Method;
use pawport::domain::time::Timestamp;
use serde_json::{Value, json};

const FAMILIES: [&str; 2] = ["/api", "/api/v1"];

/// An API key that was made.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub token: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

async fn made(user: &User, body: Value) -> Key {
    let key = user.post("/api/v1/auth/api-keys", body).await.assert_status(200).json();
    Key { id: text(&key["id"]), token: text(&key["key"]) }
}

/// Makes a key with these scopes.
pub async fn key(app: &TestApp, scopes: &[&str]) -> Key {
    made(&app.token_user(), json!({ "name": "k", "scopes": scopes })).await
}

/// Makes a key that ends.
pub async fn key_until(app: &TestApp, scopes: &[&str], until: Timestamp) -> Key {
    let until = jiff::Timestamp::from_millisecond(until.0).expect("a time").to_string();
    made(&app.token_user(), json!({ "name": "k", "scopes": scopes, "expires_at": until })).await
}

/// Revokes a key.
pub async fn revoke(app: &TestApp, key: &Key) {
    app.token_user().delete(&format!("/api/v1/auth/api-keys/{}", key.id)).await.assert_status(200);
}

/// Puts another key in the place of one.
async fn rotate(app: &TestApp, key: &Key) -> Key {
    let call = app.token_user().call(Method::POST, &format!("/api/v1/auth/api-keys/{}/rotate", key.id));
    let key = call.send().await.assert_status(200).json();
    Key { id: text(&key["id"]), token: text(&key["key"]) }
}

/// Exchanges a credential for a session.
pub async fn session(app: &TestApp, credential: &str) -> String {
    let answer = app.user_with(credential).call(Method::POST, "/api/auth/session").send().await;
    text(&answer.assert_status(200).json()["session_token"])
}

/// Makes a pairing code.
pub async fn code(user: &User) -> String {
    let pairing = user.call(Method::POST, "/api/v1/auth/pairing").send().await.assert_status(200).json();
    let url = text(&pairing["url"]);
    url.split_once("token=").expect("a code").1.to_owned()
}

/// Who shows this token.
async fn me(app: &TestApp, token: &str) -> Value {
    app.user_with(token).get("/api/v1/auth/me").await.assert_status(200).json()
}

/// Whether the token is still good for anything.
async fn is_good(app: &TestApp, token: &str) -> bool {
    let answer = app.user_with(token).get("/api/v1/auth/me").await;
    assert!(matches!(answer.status().as_u16(), 200 | 401), "{answer:?}");
    answer.status() == 200
}

/// The audit log, newest first.
pub async fn log(app: &TestApp) -> Vec<Value> {
    let entries = app.user_with(MASTER_TOKEN).get("/api/audit?limit=1000").await.assert_status(200).json();
    entries.as_array().expect("a list").clone()
}

/// The attributes of the cookie that the answer sets, in order of the alphabet, and its value.
#[track_caller]
fn cookie(answer: &Response) -> (Vec<&str>, &str) {
    let mut parts: Vec<_> = answer.header("set-cookie").split("; ").collect();
    let value = parts.remove(0).strip_prefix("pocketpaw_session=").expect("the cookie of a session");
    parts.sort_unstable();
    (parts, value)
}

/// The call of a browser that has such a cookie.
fn with_cookie(call: Call, token: &str) -> Call {
    call.header("cookie", format!("theme=dark; pocketpaw_session={token}; other=1"))
}

/// The newest entry of the audit log, without what differs each time.
async fn last_entry(app: &TestApp) -> Value {
    let mut entry = log(app).await.remove(0);
    let entry = entry.as_object_mut().expect("an entry");
    entry.remove("id");
    entry.remove("timestamp");
    json!(entry)
}

/// The kind and id of a credential, as the audit log has it.
async fn credential(app: &TestApp, token: &str) -> Value {
    let me = me(app, token).await;
    json!({ "kind": me["kind"], "id": me["id"] })
}

/// Fails if the audit log holds one of these.
async fn assert_unwritten(app: &TestApp, secrets: &[&str]) {
    let log = format!("{:?}", log(app).await);
    for secret in secrets {
        let (_, tail) = secret.split_at(secret.len() / 2);
        assert!(!log.contains(tail), "{secret} is in {log}");
    }
}
