//! Pairing: a code that lets another device in, once, within a minute.

use super::{
    FAMILIES, assert_unwritten, code, cookie, credential, is_good, key, key_until, last_entry, log, me, revoke, rotate,
    session, text,
};
use crate::support::{Failure, MASTER_TOKEN, Response, START, TestApp, scan};
use axum::http::Method;
use futures_util::future::join_all;
use pawport::domain::auth::token::TokenHash;
use pawport::domain::time::Timestamp;
use serde_json::json;
use std::time::Duration;

/// Redeems a code as the exchange or as logging in does.
async fn redeem(app: &TestApp, code: &str, is_exchange: bool) -> Response {
    match is_exchange {
        true => app.user_with(code).call(Method::POST, "/api/v1/auth/session").send().await,
        false => app.anonymous().post("/api/v1/auth/login", json!({ "token": code })).await,
    }
}

/// Whether the code can still be redeemed. If it can, it was.
async fn is_redeemed(app: &TestApp, code: &str) -> bool {
    let answer = redeem(app, code, true).await;
    if answer.status() != 200 {
        answer.assert_error(401, "Invalid master token");
    }
    answer.status() == 200
}

#[tokio::test]
async fn an_address_with_a_code_is_handed_out() {
    let app = TestApp::new();
    let answer = app.token_user().call(Method::POST, "/api/v1/auth/pairing").send().await;
    let url = text(&answer.json()["url"]);
    answer.assert_json(200, &json!({ "url": url, "expires_in": 60 }));
    assert_eq!(answer.header("cache-control"), "no-store");
    let code = url.strip_prefix("https://paw.example.org/?token=ppair_").expect("the configured address and a code");
    assert_eq!(code.len(), 49);
    let entry = json!({
        "action": "qr_code_generated", "actor": "dashboard_user", "severity": "info", "status": "success",
        "target": TokenHash::of(&format!("ppair_{code}")).fingerprint(),
        "context": { "credential": credential(&app, MASTER_TOKEN).await },
    });
    assert_eq!(last_entry(&app).await, entry);
    assert_unwritten(&app, &[code]).await;
    app.token_user().call(Method::POST, "/api/auth/pairing").send().await.assert_error(404, "Not Found");
}

#[tokio::test]
async fn the_picture_holds_the_configured_address_and_a_code() {
    for (url_tokens, beginning) in
        [(true, "https://paw.example.org/?token="), (false, "https://paw.example.org/#token=")]
    {
        let app = TestApp::told(|settings| {
            settings.policy.url_tokens = url_tokens;
            settings.policy.allowed_hosts.insert("other.example".to_owned());
        });
        for path in FAMILIES.map(|family| format!("{family}/qr?t=1795408821000")) {
            for host in ["paw.example.org", "other.example:1234", "127.0.0.1:8000"] {
                let call = app.token_user().call(Method::GET, &path).instead("host", host);
                let answer = call.header("x-forwarded-host", "evil.example").send().await;
                assert_eq!(answer.assert_status(200).header("content-type"), "image/png");
                assert_eq!(answer.header("cache-control"), "no-store");
                let address = scan::picture(answer.bytes());
                let code = address.strip_prefix(beginning).unwrap_or_else(|| panic!("{address}"));
                assert!(is_redeemed(&app, code).await);
                assert_eq!(log(&app).await[1]["action"], "qr_code_generated");
            }
        }
    }
}

#[tokio::test]
async fn a_code_gets_a_session_and_a_cookie() {
    let app = TestApp::new();
    for is_exchange in [true, false] {
        let code = code(&app.token_user()).await;
        let answer = redeem(&app, &code, is_exchange).await;
        let (attributes, token) = cookie(&answer);
        assert_eq!(attributes, ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=Lax", "Secure"]);
        match is_exchange {
            true => answer.assert_json(200, &json!({ "session_token": token, "expires_in_hours": 24 })),
            false => answer.assert_json(200, &json!({ "ok": true })),
        }
        let me = me(&app, token).await;
        assert_eq!((&me["kind"], &me["scopes"]), (&json!("session"), &json!(["admin"])));
        let entry = json!({
            "action": "qr_code_redeemed", "actor": "dashboard_user", "severity": "info", "status": "success",
            "target": me["id"],
            "context": {
                "credential": { "kind": "pairing", "id": TokenHash::of(&code).fingerprint() },
                "address": "203.0.113.7", "device": "",
            },
        });
        assert_eq!(last_entry(&app).await, entry);
        // Longer than the code.
        app.pass(Duration::from_secs(3600));
        assert!(is_good(&app, token).await);
        assert_unwritten(&app, &[&code, token]).await;
    }
}

#[tokio::test]
async fn a_code_is_good_once() {
    let app = TestApp::new();
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        let code = code(&app.token_user()).await;
        redeem(&app, &code, first).await.assert_status(200);
        let again = redeem(&app, &code, second).await;
        again.assert_error(401, if second { "Invalid master token" } else { "Invalid access token" });
        assert!(!again.headers().contains_key("set-cookie"));
        let entry = last_entry(&app).await;
        assert_eq!((&entry["action"], &entry["status"]), (&json!("qr_code_refused"), &json!("block")));
    }
    assert!(!is_redeemed(&app, &format!("ppair_{}", "A".repeat(49))).await);
}

#[tokio::test]
async fn of_many_who_redeem_a_code_at_once_one_gets_in() {
    let app = TestApp::new();
    let code = code(&app.token_user()).await;
    let answers = join_all((0..20).map(|number| redeem(&app, &code, number % 2 == 0))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 200).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status().as_u16(), 200 | 401)));
    assert_eq!(app.token_user().get("/api/v1/auth/sessions").await.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let app = TestApp::new();
    let (early, late) = (code(&app.token_user()).await, code(&app.token_user()).await);
    app.pass(Duration::from_millis(59_999));
    assert!(is_redeemed(&app, &early).await);
    app.pass(Duration::from_millis(1));
    assert!(!is_redeemed(&app, &late).await);
}

#[tokio::test]
async fn a_code_that_could_not_be_redeemed_is_not_used_up() {
    let app = TestApp::new();
    let code = code(&app.token_user()).await;
    for nth in 1..=2 {
        app.fail_call(nth, Failure::Unavailable);
        redeem(&app, &code, true).await.assert_status(503);
        assert!(app.has_failed());
    }
    assert!(is_redeemed(&app, &code).await);
}

#[tokio::test]
async fn what_is_got_with_a_code_opens_no_more_and_lasts_no_longer_than_who_made_it() {
    let app = TestApp::new();
    let until = Timestamp(START.0 + 3_600_000);
    let key = key_until(&app, &["admin", "chat"], until).await;
    let by_session = session(&app, MASTER_TOKEN).await;
    app.pass(Duration::from_secs(1800));
    for (maker, scopes, expires) in [
        (&key.token, json!(["admin", "chat"]), "2026-11-23T05:40:21.000Z"),
        (&by_session, json!(["admin"]), "2026-11-24T04:40:21.000Z"),
    ] {
        let code = code(&app.user_with(maker)).await;
        let answer = redeem(&app, &code, true).await;
        let me = me(&app, cookie(&answer).1).await;
        assert_eq!((&me["scopes"], &me["expires_at"]), (&scopes, &json!(expires)));
    }
}

#[tokio::test]
async fn a_code_that_a_key_made_ends_with_the_key() {
    let app = TestApp::new();
    for how in ["revoked", "rotated", "expired"] {
        let key = match how {
            "expired" => key_until(&app, &["admin"], Timestamp(START.0 + 30_000)).await,
            _ => key(&app, &["admin"]).await,
        };
        // By the key itself, and by a session that was got with it.
        let (mut codes, mut tokens) = (Vec::new(), Vec::new());
        for maker in [key.token.clone(), session(&app, &key.token).await] {
            let user = app.user_with(&maker);
            codes.push(code(&user).await);
            let answer = redeem(&app, &code(&user).await, true).await;
            tokens.push(cookie(&answer).1.to_owned());
            assert!(is_good(&app, &tokens[tokens.len() - 1]).await);
        }
        match how {
            "revoked" => revoke(&app, &key).await,
            "rotated" => drop(rotate(&app, &key).await),
            _ => app.pass(Duration::from_secs(30)),
        }
        for code in codes {
            assert!(!is_redeemed(&app, &code).await, "{how}");
        }
        for token in tokens {
            assert!(!is_good(&app, &token).await, "{how}");
        }
    }
}
