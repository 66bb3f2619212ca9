//! Logging a browser in and out.

use super::{
    FAMILIES, assert_unwritten, code, cookie, credential, is_good, key, key_until, last_entry, log, me, revoke,
    session, with_cookie,
};
use crate::support::{Call, MASTER_TOKEN, START, TestApp, connection};
use axum::http::Method;
use pawport::app::Settings;
use pawport::domain::time::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

fn log_in(app: &TestApp, body: &Value) -> Call {
    app.anonymous().call(Method::POST, "/api/auth/login").json(body)
}

#[tokio::test]
async fn logging_in_gives_a_browser_a_session_for_a_day() {
    for family in FAMILIES {
        let app = TestApp::new();
        let answer = app.anonymous().post(&format!("{family}/auth/login"), json!({ "token": MASTER_TOKEN })).await;
        answer.assert_json(200, &json!({ "ok": true }));
        let (attributes, token) = cookie(&answer);
        assert_eq!(attributes, ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=Lax", "Secure"]);
        let (expiry, hex) = token.split_once(':').expect("the form that clients look for");
        assert_eq!((expiry, hex.len()), ("1795495221", 64));

        let caller = with_cookie(app.anonymous().call(Method::GET, "/api/v1/auth/me"), token).send().await.json();
        let id = &caller["id"];
        let expires = "2026-11-24T04:40:21.000Z";
        assert_eq!(caller, json!({ "kind": "session", "id": id, "scopes": ["admin"], "expires_at": expires }));
        app.pass(Duration::from_millis(86_399_999));
        assert!(is_good(&app, token).await);
        app.pass(Duration::from_millis(1));
        assert!(!is_good(&app, token).await);
    }
}

#[tokio::test]
async fn sessions_last_for_as_long_as_is_configured() {
    let ttl = pawport::domain::auth::login::SessionTtl::from_hours(1).unwrap();
    let app = TestApp::told(|settings| settings.session_ttl = ttl);
    let answer = log_in(&app, &json!({ "token": MASTER_TOKEN })).send().await;
    assert!(cookie(&answer).0.contains(&"Max-Age=3600"));
}

type Dress = fn(Call) -> Call;

fn by_proxy(call: Call) -> Call {
    call.instead("host", "paw.lan").from(connection([10, 1, 2, 3], [10, 0, 0, 1]))
}

/// Whether the cookie is for https only depends on how the browser came, as far as we know that.
#[tokio::test]
async fn the_cookie_is_for_https_where_there_is_https() {
    let told = |settings: &mut Settings| {
        settings.policy.allowed_hosts.insert("paw.lan".to_owned());
        settings.policy.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    };
    let cases: [(&str, bool, Dress); 10] = [
        ("by the public address", true, |call| call),
        ("by the public name and another port", true, |call| call.instead("host", "paw.example.org:8443")),
        ("by another name", false, |call| call.instead("host", "paw.lan")),
        ("on this machine", false, Call::from_here),
        ("by somebody who says so", false, |call| {
            call.instead("host", "paw.lan").header("x-forwarded-proto", "https").header("forwarded", "proto=https")
        }),
        ("by a proxy that does not say so", false, by_proxy),
        ("by a proxy that says so", true, |call| by_proxy(call).header("x-forwarded-proto", "https")),
        ("by two proxies", true, |call| by_proxy(call).header("x-forwarded-proto", "https, http")),
        ("by a proxy without", false, |call| by_proxy(call).header("x-forwarded-proto", "http, https")),
        ("by a proxy with nonsense", false, |call| by_proxy(call).header("x-forwarded-proto", b"\xff")),
    ];
    for (name, is_secure, dress) in cases {
        let app = TestApp::told(told);
        let answer = dress(log_in(&app, &json!({ "token": MASTER_TOKEN }))).send().await;
        assert_eq!(cookie(&answer).0.contains(&"Secure"), is_secure, "{name}");
        let hsts = answer.headers().get("strict-transport-security").map(|it| it.to_str().unwrap());
        assert_eq!(hsts, is_secure.then_some("max-age=31536000; includeSubDomains"), "{name}");
        let logout = dress(app.anonymous().call(Method::POST, "/api/auth/logout")).send().await;
        assert_eq!(cookie(&logout).0.contains(&"Secure"), is_secure, "{name}");
    }
    let app = TestApp::told(|settings| settings.policy.public_url = Some("http://paw.example.org".to_owned()));
    let answer = log_in(&app, &json!({ "token": MASTER_TOKEN })).send().await;
    assert!(!cookie(&answer).0.contains(&"Secure"), "by a public address without https");
}

#[tokio::test]
async fn the_access_token_an_api_key_and_a_code_log_in_with_white_space_around_them_or_not() {
    let app = TestApp::new();
    let key = key(&app, &["chat"]).await;
    for around in ["", " ", "\n\t "] {
        let code = code(&app.token_user()).await;
        for (token, scopes) in [(MASTER_TOKEN, ["admin"]), (&key.token, ["chat"]), (&code, ["admin"])] {
            let answer = log_in(&app, &json!({ "token": format!("{around}{token}{around}"), "more": 1 })).send().await;
            answer.assert_json(200, &json!({ "ok": true }));
            assert_eq!(me(&app, cookie(&answer).1).await["scopes"], json!(scopes));
        }
    }
}

#[tokio::test]
async fn nothing_else_logs_in() {
    let app = TestApp::new();
    let ended = key_until(&app, &["admin"], Timestamp(START.0 + 1)).await;
    let revoked = key(&app, &["admin"]).await;
    revoke(&app, &revoked).await;
    app.pass(Duration::from_millis(1));
    let session = session(&app, MASTER_TOKEN).await;
    let long = "x".repeat(64 * 1024);
    for token in [
        "",
        " ",
        "x",
        "00000000-0000-4000-8000-000000000000",
        &MASTER_TOKEN.to_uppercase(),
        &format!("Bearer {MASTER_TOKEN}"),
        &format!("{MASTER_TOKEN}é"),
        "🐾",
        "\0",
        &long,
        &session,
        &ended.token,
        &revoked.token,
    ] {
        app.pass(Duration::from_secs(4));
        let answer = log_in(&app, &json!({ "token": token })).send().await;
        answer.assert_error(401, "Invalid access token");
        assert!(!answer.headers().contains_key("set-cookie"));
        let entry = json!({
            "action": "login_failed", "actor": "dashboard_user", "severity": "alert", "status": "block",
            "target": "203.0.113.7", "context": { "left_out": 0 },
        });
        assert_eq!(last_entry(&app).await, entry);
    }
    assert_unwritten(&app, &[&session, &ended.token, &revoked.token, &long]).await;
}

/// As an attempt, whoever made it.
#[tokio::test]
async fn odd_input_is_refused_and_written_down() {
    for body in
        ["{\"token\":5}", "{\"token\":null}", "{\"token\":[\"x\"]}", "{}", "[]", "\"x\"", "null", "{", "\u{fffd}"]
    {
        let app = TestApp::new();
        let answer = app.anonymous().call(Method::POST, "/api/auth/login").raw_json(body).send().await;
        assert!(matches!(answer.status().as_u16(), 400 | 401 | 422), "{body}: {answer:?}");
        let log = log(&app).await;
        assert_eq!(log.first().map(|entry| &entry["action"]), Some(&json!("login_failed")), "{body}: {log:?}");
    }
}

#[tokio::test]
async fn who_logged_in_and_with_what_is_written_down() {
    let app = TestApp::new();
    let key = key(&app, &["chat"]).await;
    let actors = [(MASTER_TOKEN, "dashboard_user"), (&key.token, "api_client")];
    for (family, (token, actor)) in FAMILIES.into_iter().flat_map(|family| actors.map(|actor| (family, actor))) {
        let agent = format!("  Firefox {} ", "x".repeat(300));
        let call = app.anonymous().call(Method::POST, &format!("{family}/auth/login")).header("user-agent", &agent);
        let answer = call.json(&json!({ "token": token })).send().await;
        let id = me(&app, cookie(&answer).1).await["id"].clone();
        let context = json!({
            "credential": credential(&app, token).await,
            "address": "203.0.113.7",
            "device": format!("Firefox {}", "x".repeat(192)),
        });
        let entry = json!({
            "action": "login_success", "actor": actor, "severity": "info", "status": "success", "target": id,
            "context": context,
        });
        assert_eq!(last_entry(&app).await, entry);
        assert_unwritten(&app, &[token, cookie(&answer).1]).await;
    }
}

#[tokio::test]
async fn logging_out_ends_the_session_at_once() {
    for family in FAMILIES {
        for is_cookie in [true, false] {
            let app = TestApp::new();
            let (token, other) = (session(&app, MASTER_TOKEN).await, session(&app, MASTER_TOKEN).await);
            let shown = credential(&app, &token).await;
            let call = app.anonymous().call(Method::POST, &format!("{family}/auth/logout"));
            let call = match is_cookie {
                true => with_cookie(call, &token),
                false => call.header("authorization", format!("Bearer {token}")),
            };
            let answer = call.send().await;
            answer.assert_json(200, &json!({ "ok": true }));
            let forgets = vec!["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax", "Secure"];
            assert_eq!(cookie(&answer), (forgets, ""));
            assert!(!is_good(&app, &token).await && is_good(&app, &other).await);
            let entry = json!({
                "action": "logout", "actor": "dashboard_user", "severity": "info", "status": "success",
                "target": shown["id"], "context": { "credential": shown },
            });
            // The newest is about the look whether the token still works.
            let log = log(&app).await;
            let found = log.iter().find(|entry| entry["action"] == "logout").expect("an entry");
            for (member, value) in entry.as_object().unwrap() {
                assert_eq!(&found[member], value, "{member}");
            }
            assert_unwritten(&app, &[&token]).await;
        }
    }
}

#[tokio::test]
async fn logging_out_needs_no_credential_and_ends_no_other() {
    let app = TestApp::new();
    let key = key(&app, &[]).await;
    let session = session(&app, MASTER_TOKEN).await;
    let log_out = || app.anonymous().call(Method::POST, "/api/auth/logout");
    let before = log(&app).await;
    let calls = [
        log_out(),
        with_cookie(log_out(), ""),
        with_cookie(log_out(), "x"),
        with_cookie(log_out(), MASTER_TOKEN),
        with_cookie(log_out(), &format!("1795495221:{}", "0".repeat(64))),
        log_out().header("authorization", format!("Bearer {MASTER_TOKEN}")),
        log_out().header("authorization", format!("Bearer {}", key.token)),
        log_out().header("authorization", b"Bearer \xff"),
    ];
    for call in calls {
        call.send().await.assert_json(200, &json!({ "ok": true }));
    }
    assert_eq!(log(&app).await, before);
    for token in [MASTER_TOKEN, &key.token, &session] {
        assert!(is_good(&app, token).await);
    }
    // Twice is as good as once.
    for _ in 0..2 {
        with_cookie(log_out(), &session).send().await.assert_status(200);
    }
    assert_eq!(log(&app).await.len(), before.len() + 1);
}
