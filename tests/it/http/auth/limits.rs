//! How often somebody may ask. The runtime's clock is paused, and the buckets follow it.

use super::{FAMILIES, code, key, log, session};
use crate::support::{MASTER_TOKEN, Response, TestApp, User, connection};
use axum::http::Method;
use pawport::domain::auth::rate::{RateLimit, RateLimits};
use serde_json::{Value, json};
use std::time::Duration;

const NONE: RateLimits = RateLimits { api: None, auth: None, ws: None, key: None };

const ANYTHING: &str = "/api/version";

/// One a second, and so many at once.
fn burst(size: u32) -> Option<RateLimit> {
    RateLimit::new(1.0, size)
}

fn app_with(limits: RateLimits) -> TestApp {
    TestApp::told(|settings| {
        settings.rate_limits = limits;
        settings.policy.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    })
}

/// Limit, remaining, reset.
#[track_caller]
fn standing(answer: &Response) -> [&str; 3] {
    ["limit", "remaining", "reset"].map(|name| answer.header(&format!("x-ratelimit-{name}")))
}

fn has_standing(answer: &Response) -> bool {
    answer.headers().keys().any(|name| name.as_str().starts_with("x-ratelimit-"))
}

#[track_caller]
fn assert_too_many(answer: &Response, detail: &str, limit: &str) {
    answer.assert_error(429, detail);
    assert_eq!(standing(answer), [limit, "0", "1"]);
    assert_eq!(answer.header("retry-after"), "1");
}

async fn log_in(user: &User, token: &str) -> Response {
    user.post("/api/auth/login", json!({ "token": token })).await
}

#[tokio::test(start_paused = true)]
async fn every_answer_to_somebody_known_says_how_many_are_left() {
    let app = app_with(RateLimits { api: RateLimit::new(0.5, 3), ..NONE });
    let user = app.token_user();
    assert_eq!(standing(&user.get(ANYTHING).await), ["3", "2", "2"]);
    assert_eq!(standing(&user.get("/nope").await), ["3", "1", "4"]);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(standing(&user.get(ANYTHING).await)[..2], ["3", "0"]);
    let answer = user.get(ANYTHING).await;
    answer.assert_error(429, "Too many requests");
    assert_eq!((standing(&answer), answer.header("retry-after")), (["3", "0", "2"], "2"));
    tokio::time::advance(Duration::from_millis(1_499)).await;
    assert_eq!(user.get(ANYTHING).await.assert_status(429).header("retry-after"), "1");
    tokio::time::advance(Duration::from_millis(1)).await;
    user.get(ANYTHING).await.assert_status(200);
    user.get(ANYTHING).await.assert_status(429);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(standing(&user.get(ANYTHING).await), ["3", "2", "2"], "no more than fits");
}

#[tokio::test(start_paused = true)]
async fn each_credential_is_counted_for_itself_wherever_it_comes_from() {
    let app = app_with(RateLimits { api: burst(3), ..NONE });
    let (one, two) = (session(&app, MASTER_TOKEN).await, session(&app, MASTER_TOKEN).await);
    for token in [MASTER_TOKEN, &one, &two] {
        let user = app.user_with(token);
        for number in 0..4_u8 {
            let call = user.call(Method::GET, ANYTHING).from(connection([203, 0, 113, number], [192, 0, 2, 10]));
            assert_eq!(call.send().await.status() == 429, number == 3, "{token}");
        }
    }
    // What is open is not counted, and says nothing.
    for _ in 0..10 {
        let answer = app.token_user().get("/healthz").await;
        assert!(answer.status() == 200 && !has_standing(&answer));
    }
}

#[tokio::test(start_paused = true)]
async fn who_shows_nothing_is_counted_by_address() {
    let app = app_with(RateLimits { api: burst(3), ..NONE });
    for _ in 0..3 {
        let answer = app.anonymous().get(ANYTHING).await;
        answer.assert_error(401, "Unauthorized");
        assert!(!has_standing(&answer));
    }
    assert_too_many(&app.anonymous().get("/api/sessions").await, "Too many requests", "3");
    app.token_user().get(ANYTHING).await.assert_status(200);
    let elsewhere = app.anonymous().call(Method::GET, ANYTHING).from(connection([203, 0, 113, 8], [192, 0, 2, 10]));
    elsewhere.send().await.assert_status(401);
}

#[tokio::test(start_paused = true)]
async fn an_api_key_and_its_sessions_share_a_bucket() {
    let app = app_with(RateLimits { key: burst(3), ..NONE });
    let (limited, other) = (key(&app, &[]).await, key(&app, &[]).await);
    let of_limited = session(&app, &limited.token).await;
    for token in [&limited.token, &of_limited, &limited.token] {
        app.user_with(token).get(ANYTHING).await.assert_status(200);
    }
    for token in [&of_limited, &limited.token] {
        assert_too_many(&app.user_with(token).get(ANYTHING).await, "API key rate limit exceeded", "3");
    }
    for token in [MASTER_TOKEN, &other.token] {
        app.user_with(token).get(ANYTHING).await.assert_status(200);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    app.user_with(&of_limited).get(ANYTHING).await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn opening_streams_is_limited_for_itself() {
    let app = app_with(RateLimits { ws: burst(2), ..NONE });
    let path = "/api/v1/agent/status/stream";
    let user = app.token_user();
    let streams = [user.open(path).await, user.open(path).await];
    assert!(streams.iter().all(|stream| stream.status == 200));
    assert_too_many(&user.get(path).await, "Too many requests", "2");
    user.get("/api/v1/agent/status").await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn codes_are_limited_for_who_makes_them() {
    let app = app_with(RateLimits { api: burst(30), auth: burst(5), ..NONE });
    let user = app.token_user();
    for path in ["/api/qr", "/api/v1/qr"] {
        assert_eq!(standing(&user.get(path).await)[0], "30");
    }
    for _ in 0..3 {
        code(&user).await;
    }
    for path in FAMILIES.map(|family| format!("{family}/qr")) {
        assert_too_many(&user.get(&path).await, "Too many requests", "5");
    }
    user.get(ANYTHING).await.assert_status(200);
    // Logging in is counted by address.
    log_in(&app.anonymous(), MASTER_TOKEN).await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn attempts_to_log_in_are_limited_by_address() {
    let app = app_with(RateLimits { auth: burst(5), ..NONE });
    let stranger = app.anonymous();
    for number in 0..5 {
        let answer = match number % 2 {
            0 => log_in(&stranger, "a guess").await,
            _ => app.user_with("a guess").call(Method::POST, "/api/v1/auth/session").send().await,
        };
        answer.assert_status(401);
        assert!(!has_standing(&answer));
    }
    // A good credential too, or else it would not be a limit; and under both prefixes.
    for path in FAMILIES.map(|family| format!("{family}/auth/login")) {
        assert_too_many(&stranger.post(&path, json!({ "token": MASTER_TOKEN })).await, "Too many requests", "5");
    }
    let exchange = app.token_user().call(Method::POST, "/api/auth/session").send().await;
    assert_too_many(&exchange, "Too many requests", "5");
    let entry = log(&app).await.remove(0);
    assert_eq!(
        ["action", "actor", "severity", "status", "target"].map(|member| entry[member].as_str().unwrap()),
        ["brute_force_blocked", "dashboard_user", "alert", "block", "203.0.113.7"]
    );
    let call = stranger.call(Method::POST, "/api/auth/login").json(&json!({ "token": MASTER_TOKEN }));
    call.from(connection([203, 0, 113, 8], [192, 0, 2, 10])).send().await.assert_status(200);
    // Who is in already, and who logs out, are not kept from it.
    app.token_user().get(ANYTHING).await.assert_status(200);
    stranger.call(Method::POST, "/api/auth/logout").send().await.assert_status(200);
    tokio::time::advance(Duration::from_secs(1)).await;
    log_in(&stranger, MASTER_TOKEN).await.assert_status(200);
    log_in(&stranger, MASTER_TOKEN).await.assert_status(429);
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_on_any_path_count_as_attempts_to_get_in() {
    for family in FAMILIES {
        let app = app_with(RateLimits { auth: burst(5), ..NONE });
        let guess = |path: &str| app.user_with("a guess").call(Method::GET, path);
        for path in ["/sessions", "/nope", "/audit", "/sessions/search"] {
            guess(&format!("{family}{path}")).send().await.assert_error(401, "Unauthorized");
        }
        let cookie = app.anonymous().call(Method::GET, ANYTHING).header("cookie", "pocketpaw_session=a-guess");
        cookie.send().await.assert_error(401, "Unauthorized");
        assert_too_many(&guess(ANYTHING).send().await, "Too many requests", "5");
        // They are counted apart, so that a script with an old token keeps nobody from logging in.
        log_in(&app.anonymous(), MASTER_TOKEN).await.assert_status(200);
        // A good one at the same address is not locked out, nor is who shows nothing.
        app.token_user().get(ANYTHING).await.assert_status(200);
        app.anonymous().get(ANYTHING).await.assert_error(401, "Unauthorized");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_status_key_counts_too() {
    let app = app_with(RateLimits { auth: burst(2), ..NONE });
    let guess = || app.anonymous().call(Method::GET, "/api/v1/agent/status").header("x-status-key", "a guess");
    for _ in 0..2 {
        guess().send().await.assert_error(403, "Invalid or missing status API key");
    }
    assert_too_many(&guess().send().await, "Too many requests", "2");
}

#[tokio::test(start_paused = true)]
async fn wrong_proofs_of_deliveries_count_too() {
    let app = app_with(RateLimits { auth: burst(3), ..NONE });
    let added = app.token_user().post("/api/webhooks/add", json!({ "name": "ci" })).await.json();
    let right = added["webhook"]["secret"].as_str().unwrap();
    let deliver = |slot: &str, secret: &str| {
        let call = app.anonymous().call(Method::POST, &format!("/webhook/inbound/{slot}?wait=false"));
        call.header("x-webhook-secret", secret).body("{}").send()
    };
    for slot in ["ci", "nope", "ci"] {
        deliver(slot, "wrong").await.assert_error(403, "Invalid webhook secret or signature");
    }
    assert_too_many(&deliver("ci", "wrong").await, "Too many requests", "3");
    for _ in 0..5 {
        deliver("ci", right).await.assert_status(200);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_a_network_has_one_bucket() {
    let app = app_with(RateLimits { auth: burst(1), ..NONE });
    let from = |peer: &str, forwarded: &str| {
        let mut connection = connection([10, 0, 0, 1], [192, 0, 2, 10]);
        connection.peer = peer.parse().expect("a socket");
        let call = app.anonymous().call(Method::POST, "/api/auth/login").json(&json!({ "token": "x" }));
        let call = if forwarded.is_empty() { call } else { call.header("x-forwarded-for", forwarded) };
        call.from(connection).send()
    };
    for (peer, forwarded, status) in [
        ("[2001:db8::1]:1", "", 401),
        ("[2001:db8::1]:2", "", 429),
        ("[2001:db8::ffff:2]:1", "", 429),
        ("[2001:db8:0:1::1]:1", "", 401),
        ("198.51.100.1:1", "", 401),
        ("[::ffff:198.51.100.1]:1", "", 429),
        // Strangers do not choose their address.
        ("198.51.100.1:1", "198.51.100.2", 429),
        ("10.0.0.1:1", "198.51.100.1", 429),
        ("10.0.0.1:1", "198.51.100.3", 401),
        ("10.0.0.1:1", "1.2.3.4, 198.51.100.3", 429),
        ("10.0.0.1:1", "198.51.100.3, 10.0.0.2", 429),
        ("10.0.0.1:1", "198.51.100.3:4711", 429),
        ("10.0.0.1:1", "[2001:db8::3]:4711", 429),
        ("10.0.0.1:1", "198.51.100.4", 401),
        ("10.0.0.1:1", "", 401),
        ("10.0.0.1:1", "nonsense", 429),
    ] {
        assert_eq!(from(peer, forwarded).await.status(), status, "{peer} for {forwarded:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_limits_there_are_none() {
    let app = app_with(NONE);
    let key = key(&app, &["admin"]).await;
    for _ in 0..100 {
        for answer in [
            app.user_with(&key.token).get(ANYTHING).await,
            app.anonymous().get(ANYTHING).await,
            app.user_with("a guess").get(ANYTHING).await,
            log_in(&app.anonymous(), "a guess").await,
            log_in(&app.anonymous(), MASTER_TOKEN).await,
        ] {
            assert!(answer.status() != 429 && !has_standing(&answer), "{answer:?}");
        }
    }
}

/// A stranger cannot fill the disk with refusals.
#[tokio::test(start_paused = true)]
async fn of_many_refusals_some_are_written_down_and_the_others_counted() {
    let app = app_with(NONE);
    for _ in 0..50 {
        log_in(&app.anonymous(), "a guess").await.assert_status(401);
    }
    assert_eq!(log(&app).await.len(), 20);
    app.pass(Duration::from_secs(60));
    log_in(&app.anonymous(), "a guess").await.assert_status(401);
    let log: Vec<Value> = log(&app).await;
    assert_eq!((log.len(), &log[0]["context"]["left_out"]), (21, &json!(30)));
}
