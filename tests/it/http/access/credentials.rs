//! What is shown, by somebody on another machine.

use super::{Rights, STATUS_KEY, Visitor, app_told, hold, owner};
use crate::http::auth::{code, key, key_until, revoke, session};
use crate::support::{MASTER_TOKEN, START, TestApp};
use axum::http::Method;
use pawport::domain::time::Timestamp;
use std::time::Duration;

const ALL_SCOPES: [&str; 7] = ["admin", "channels", "chat", "memory", "sessions", "settings:read", "settings:write"];

#[tokio::test]
async fn what_is_no_credential_opens_what_is_open() {
    let app = app_told(|_| {});
    let long = "x".repeat(64 * 1024);
    let authorization =
        |name: &str, value: &[u8]| Visitor::showing(name, Rights::Stranger, &[("authorization", value)]);
    let mut visitors = vec![
        Visitor::new("nobody", Rights::Stranger, |call| call),
        authorization("nothing", b""),
        authorization("a scheme", b"Bearer"),
        authorization("a scheme and a space", b"Bearer "),
        authorization("a wrong token", b"Bearer 00000000-0000-4000-8000-000000000000"),
        authorization("no text", b"Bearer \xff\xfe"),
        authorization("64 KiB", format!("Bearer {long}").as_bytes()),
        authorization("another scheme", format!("Basic {MASTER_TOKEN}").as_bytes()),
        authorization("no scheme", MASTER_TOKEN.as_bytes()),
        authorization("a session of nobody", format!("Bearer 1795495221:{}", "0".repeat(64)).as_bytes()),
        authorization("a key of nobody", format!("Bearer pp_{}", "A".repeat(49)).as_bytes()),
        Visitor::bearer("the status key as a token", Rights::Stranger, STATUS_KEY),
        Visitor::cookie("an empty cookie", Rights::Stranger, ""),
        Visitor::cookie("a wrong cookie", Rights::Stranger, "00000000-0000-4000-8000-000000000000"),
        Visitor::showing("a cookie of no text", Rights::Stranger, &[("cookie", b"pocketpaw_session=\xff\xfe")]),
        Visitor::cookie("64 KiB in a cookie", Rights::Stranger, &long),
        Visitor::showing(
            "another cookie",
            Rights::Stranger,
            &[("cookie", format!("POCKETPAW_SESSION={MASTER_TOKEN}; session={MASTER_TOKEN}").as_bytes())],
        ),
    ];
    let added = app.token_user().post("/api/webhooks/add", serde_json::json!({ "name": "ci" })).await.json();
    let secret = added["webhook"]["secret"].as_str().unwrap();
    visitors.push(Visitor::bearer("the secret of a slot", Rights::Stranger, secret));
    let code = code(&app.token_user()).await;
    visitors.push(Visitor::bearer("a pairing code", Rights::Stranger, &code));
    visitors.push(Visitor::cookie("a pairing code in a cookie", Rights::Stranger, &code));
    // What the exchange takes, it takes once.
    hold(&app, &visitors).await;
}

#[tokio::test]
async fn what_has_ended_opens_what_is_open() {
    let app = app_told(|_| {});
    let soon = key_until(&app, &["admin"], Timestamp(START.0 + 3_600_000)).await;
    let of_soon = session(&app, &soon.token).await;
    let expired = session(&app, MASTER_TOKEN).await;
    app.pass(Duration::from_secs(24 * 3600));
    let (revoked, rotated) = (key(&app, &["admin"]).await, key(&app, &["admin"]).await);
    let of_revoked = session(&app, &revoked.token).await;
    let of_rotated = session(&app, &rotated.token).await;
    revoke(&app, &revoked).await;
    let rotate = app.token_user().call(Method::POST, &format!("/api/v1/auth/api-keys/{}/rotate", rotated.id));
    rotate.send().await.assert_status(200);
    let logged_out = session(&app, MASTER_TOKEN).await;
    app.user_with(&logged_out).call(Method::POST, "/api/auth/logout").send().await.assert_status(200);
    let ended = [
        ("an expired session", &expired),
        ("an expired key", &soon.token),
        ("a session from an expired key", &of_soon),
        ("a revoked key", &revoked.token),
        ("a session from a revoked key", &of_revoked),
        ("a rotated key", &rotated.token),
        ("a session from a rotated key", &of_rotated),
        ("a session that was logged out", &logged_out),
    ];
    let visitors = ended.iter().flat_map(|(name, token)| {
        [Visitor::bearer(*name, Rights::Stranger, token), Visitor::cookie(*name, Rights::Stranger, token)]
    });
    hold(&app, &visitors.collect::<Vec<_>>()).await;
}

async fn with_scopes(app: &TestApp, scopes: &[&'static str]) -> Vec<Visitor> {
    let names = scopes.to_vec();
    let (by_key, by_session) = (Rights::Scopes(names.clone(), "API key missing"), Rights::Scopes(names, "Missing"));
    let key = key(app, scopes).await;
    // One each, because a visitor may log out.
    let (bearer, cookie) = (session(app, &key.token).await, session(app, &key.token).await);
    vec![
        Visitor::bearer(format!("a key with {scopes:?}"), by_key, &key.token),
        Visitor::bearer(format!("a session from a key with {scopes:?}"), by_session.clone(), &bearer),
        Visitor::cookie(format!("the cookie of a session from a key with {scopes:?}"), by_session, &cookie),
        Visitor::cookie(format!("a key with {scopes:?} in a cookie"), Rights::Stranger, &key.token),
    ]
}

#[tokio::test]
async fn keys_and_what_is_got_with_them_open_what_their_scopes_open() {
    let app = app_told(|_| {});
    let mut visitors = with_scopes(&app, &[]).await;
    for scope in ALL_SCOPES {
        visitors.extend(with_scopes(&app, &[scope]).await);
    }
    visitors.extend(with_scopes(&app, &["chat", "sessions"]).await);
    hold(&app, &visitors).await;
}

#[tokio::test]
async fn the_access_token_and_what_is_got_with_it_open_everything() {
    let app = app_told(|_| {});
    let (bearer, cookie, beside) =
        (session(&app, MASTER_TOKEN).await, session(&app, MASTER_TOKEN).await, session(&app, MASTER_TOKEN).await);
    let master = format!("Bearer {MASTER_TOKEN}");
    hold(
        &app,
        &[
            Visitor::bearer("the access token", owner(), MASTER_TOKEN),
            Visitor::showing(
                "the scheme in capitals",
                owner(),
                &[("authorization", format!("BEARER {MASTER_TOKEN}").as_bytes())],
            ),
            Visitor::bearer("a session", owner(), &bearer),
            Visitor::cookie("a session in a cookie", owner(), &cookie),
            Visitor::cookie("the access token in a cookie", owner(), MASTER_TOKEN),
            Visitor::showing(
                "a wrong header beside a good cookie",
                owner(),
                &[("authorization", b"Bearer x"), ("cookie", format!("pocketpaw_session={beside}").as_bytes())],
            ),
            Visitor::showing(
                "a wrong cookie beside a good header",
                owner(),
                &[("authorization", master.as_bytes()), ("cookie", b"pocketpaw_session=x")],
            ),
            Visitor::showing(
                "a wrong status key beside a good header",
                owner(),
                &[("authorization", master.as_bytes()), ("x-status-key", b"wrong")],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_status_key_opens_the_status_and_nothing_else() {
    let app = app_told(|_| {});
    let header = |name: &str, rights, key: &[u8]| Visitor::showing(name, rights, &[("x-status-key", key)]);
    hold(
        &app,
        &[
            header("the status key", Rights::StatusKey, STATUS_KEY.as_bytes()),
            header("a wrong status key", Rights::WrongStatusKey, b"wrong"),
            header("the access token as the status key", Rights::WrongStatusKey, MASTER_TOKEN.as_bytes()),
            header("an empty status key", Rights::WrongStatusKey, b""),
            header("64 KiB", Rights::WrongStatusKey, "x".repeat(64 * 1024).as_bytes()),
            Visitor::showing(
                "the status key beside a wrong token",
                Rights::StatusKey,
                &[("x-status-key", STATUS_KEY.as_bytes()), ("authorization", b"Bearer x")],
            ),
            Visitor::asking(format!("?key={STATUS_KEY}"), Rights::StatusKey),
            Visitor::asking("?key=wrong".to_owned(), Rights::WrongStatusKey),
        ],
    )
    .await;
    // With none, there is none.
    let app = app_told(|settings| settings.status_key = None);
    hold(&app, &[header("any status key", Rights::WrongStatusKey, STATUS_KEY.as_bytes())]).await;
}

#[tokio::test]
async fn a_token_in_a_query_opens_the_stream_and_nothing_else() {
    let app = app_told(|_| {});
    let key = key(&app, &[]).await;
    let session = session(&app, &key.token).await;
    let code = code(&app.token_user()).await;
    let tokens = [(MASTER_TOKEN, Rights::InUrl), (&key.token, Rights::InUrl), (&session, Rights::InUrl)];
    let wrong =
        [(&*code, Rights::Stranger), ("x", Rights::Stranger), ("", Rights::Stranger), ("%ff", Rights::Stranger)];
    let visitors = tokens.into_iter().chain(wrong).map(|(it, rights)| Visitor::asking(format!("?token={it}"), rights));
    let mut visitors: Vec<_> = visitors.collect();
    for query in [format!("?Token={MASTER_TOKEN}"), format!("?access_token={MASTER_TOKEN}"), format!("?{MASTER_TOKEN}")]
    {
        visitors.push(Visitor::asking(query, Rights::Stranger));
    }
    let wrong_header = |call: crate::support::Call| call.header("authorization", "Bearer x");
    visitors.push(Visitor {
        dress: Box::new(wrong_header),
        ..Visitor::asking(format!("?token={MASTER_TOKEN}"), Rights::InUrl)
    });
    hold(&app, &visitors).await;

    let app = app_told(|settings| settings.policy.url_tokens = false);
    let visitors = [format!("?token={MASTER_TOKEN}"), format!("?key={STATUS_KEY}")]
        .map(|query| Visitor::asking(query, Rights::Stranger));
    hold(&app, &visitors).await;
}
