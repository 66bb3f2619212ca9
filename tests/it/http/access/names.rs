//! What somebody calls the server.

use super::{Rights, Visitor, app_told, hold, owner};
use crate::support::{Call, MASTER_TOKEN, TestApp};

fn with_token(call: Call) -> Call {
    call.header("authorization", format!("Bearer {MASTER_TOKEN}"))
}

#[tokio::test]
async fn who_calls_it_by_another_name_is_told_what_to_configure_and_nothing_else() {
    let app = app_told(|_| {});
    let mut visitors = Vec::new();
    for (host, named) in [
        ("evil.example", "evil.example"),
        ("EVIL.example.:8000", "evil.example"),
        ("paw.example.org.evil.example", "paw.example.org.evil.example"),
        ("127.0.0.1.nip.io", "127.0.0.1.nip.io"),
        ("192.0.2.11", "192.0.2.11"),
        ("0.0.0.0:8000", "0.0.0.0"),
        ("[::2]:8000", "::2"),
        ("xpaw.lan", "xpaw.lan"),
    ] {
        let refusal = format!(
            "This server does not go by the name {named}. If it should, add the name to allowed_hosts \
             (PAWPORT_ALLOWED_HOSTS), or set public_url"
        );
        let rights = Rights::Nothing(403, refusal);
        visitors.push(Visitor::new(host, rights.clone(), move |call| call.instead("host", host)));
        visitors.push(Visitor::new(host, rights.clone(), move |call| with_token(call).instead("host", host)));
        visitors.push(Visitor::new(host, rights, move |call| call.from_here().instead("host", host)));
    }
    hold(&app, &visitors).await;
}

#[tokio::test]
async fn who_does_not_say_what_they_call_it_is_refused() {
    let app = app_told(|_| {});
    let rights =
        Rights::Nothing(400, "The request needs exactly one Host header, with a name and perhaps a port".into());
    let mut visitors = vec![
        Visitor::new("no host", rights.clone(), |call| with_token(call).without("host")),
        Visitor::new("two hosts", rights.clone(), |call| with_token(call).header("host", "localhost")),
        Visitor::new("one host twice", rights.clone(), |call| with_token(call).header("host", "paw.example.org")),
        Visitor::new("no host from here", rights.clone(), |call| call.from_here().without("host")),
    ];
    for host in
        [&b""[..], b" ", b"a b", b"user@paw.example.org", b"paw.example.org/x", b"\xff", b":8000", b"[::1", b"."]
    {
        let name = String::from_utf8_lossy(host).into_owned();
        visitors.push(Visitor::new(name, rights.clone(), move |call| with_token(call).instead("host", host)));
    }
    hold(&app, &visitors).await;
}

#[tokio::test]
async fn every_name_of_ours_will_do() {
    let app = app_told(|_| {});
    let mut visitors = Vec::new();
    for host in ["paw.example.org", "PAW.example.org.:443", "paw.lan:8000", "localhost", "192.0.2.10:8000", "127.0.0.1"]
    {
        visitors.push(Visitor::new(host, Rights::Stranger, move |call| call.instead("host", host)));
        visitors.push(Visitor::new(host, owner(), move |call| with_token(call).instead("host", host)));
    }
    hold(&app, &visitors).await;
}

/// What stands in the first line goes before the header (RFC 9112 §3.2.2).
#[tokio::test]
async fn a_complete_address_counts_for_the_host() {
    let user = TestApp::new().token_user();
    user.get("http://evil.example/api/sessions").await.assert_status(403);
    user.get("http://user@paw.example.org/api/sessions").await.assert_status(400);
    let call = user.call(axum::http::Method::GET, "http://paw.example.org/api/sessions");
    call.instead("host", "evil.example").send().await.assert_status(200);
    let call = user.call(axum::http::Method::GET, "http://paw.example.org/api/sessions");
    call.header("host", "paw.example.org").send().await.assert_status(400);
}
