//! Where somebody is. On the machine of the server no credential is needed, but many who seem to be there are not.

use super::{Rights, Visitor, app_told, hold, owner};
use crate::http::auth::log;
use crate::support::{Call, HERE, TestApp, connection};
use axum::http::{Method, Version};
use pawport::http::client::Connection;

fn local(name: impl Into<String>, rights: Rights, dress: impl Fn(Call) -> Call + 'static) -> Visitor {
    Visitor::new(name, rights, move |call| dress(call.from_here()))
}

fn between(peer: &str, local: &str) -> Connection {
    Connection { peer: peer.parse().expect("a socket"), local: local.parse().expect("a socket") }
}

#[tokio::test]
async fn on_this_machine_no_credential_is_needed() {
    let app = app_told(|_| {});
    let mut visitors = vec![
        local("a neighbour", owner(), |call| call),
        local("a neighbour with a wrong token", owner(), |call| call.header("authorization", "Bearer x")),
        local("a neighbour with a wrong cookie", owner(), |call| call.header("cookie", "pocketpaw_session=x")),
        local("a neighbour on our page", owner(), |call| {
            call.header("origin", "http://127.0.0.1:8000").header("sec-fetch-site", "same-origin")
        }),
        local("a neighbour who typed the address", owner(), |call| call.header("sec-fetch-site", "none")),
        local("the desktop client", owner(), |call| call.header("origin", "tauri://localhost")),
    ];
    for host in ["localhost", "localhost:8000", "LOCALHOST.:1", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8000"] {
        visitors.push(local(host, owner(), move |call| call.instead("host", host)));
    }
    for (peer, ours, host) in [
        ("[::1]:50000", "[::1]:8000", "[::1]:8000"),
        ("[::ffff:127.0.0.1]:50000", "[::ffff:127.0.0.1]:8000", "127.0.0.1:8000"),
        ("127.0.0.2:50000", "127.0.0.1:8000", "localhost"),
        ("127.0.0.1:50000", "192.0.2.10:8000", "192.0.2.10:8000"),
    ] {
        let connection = between(peer, ours);
        visitors.push(local(peer, owner(), move |call| call.from(connection).instead("host", host)));
    }
    hold(&app, &visitors).await;
}

#[tokio::test]
async fn who_only_seems_to_be_on_this_machine_needs_a_credential() {
    let app = app_told(|_| {});
    let mut visitors = vec![
        local("an old proxy", Rights::Stranger, |call| call.version(Version::HTTP_10)),
        local("a proxy we trust", Rights::Stranger, |call| call.from(connection([127, 0, 0, 9], [127, 0, 0, 1]))),
        local("a proxy we trust, for somebody here", Rights::Stranger, |call| {
            call.from(connection([127, 0, 0, 9], [127, 0, 0, 1])).header("x-forwarded-for", "127.0.0.1")
        }),
        local("by the public name", Rights::Stranger, |call| call.instead("host", "paw.example.org")),
        local("by an allowed name", Rights::Stranger, |call| call.instead("host", "paw.lan")),
        Visitor::new("from elsewhere to a local name", Rights::Stranger, |call| call.instead("host", "localhost")),
        Visitor::new("from elsewhere to our address", Rights::Stranger, |call| call.instead("host", "192.0.2.10")),
        Visitor::new("from elsewhere, saying here", Rights::Stranger, |call| {
            call.instead("host", "127.0.0.1").header("x-forwarded-for", "127.0.0.1").header("x-real-ip", "127.0.0.1")
        }),
    ];
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", ""),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-anything", "x"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
        ("x-client-ip", "127.0.0.1"),
        ("x-cluster-client-ip", "127.0.0.1"),
        ("true-client-ip", "127.0.0.1"),
        ("cf-connecting-ip", "127.0.0.1"),
        ("cf-connecting-ipv6", "::1"),
        ("x-original-forwarded-for", "127.0.0.1"),
    ] {
        let label = format!("{name}: {value}");
        visitors.push(local(label, Rights::Stranger, move |call| call.header(name, value)));
        visitors.push(local(format!("{name} and a credential"), owner(), move |call| {
            call.header(name, value).header("authorization", format!("Bearer {}", crate::support::MASTER_TOKEN))
        }));
    }
    hold(&app, &visitors).await;

    let app = app_told(|settings| settings.policy.localhost_auth_bypass = false);
    let visitors = [
        local("a neighbour who is not trusted", Rights::Stranger, |call| call),
        local("the same by name", Rights::Stranger, |call| call.from(HERE).instead("host", "localhost")),
    ];
    hold(&app, &visitors).await;
}

/// They are let in without it, but somebody may want to know.
#[tokio::test]
async fn a_wrong_token_on_this_machine_is_written_down() {
    let app = TestApp::new();
    let call = app.anonymous().call(Method::GET, "/api/version").header("authorization", "Bearer x");
    call.from_here().send().await.assert_status(200);
    let entry = log(&app).await.remove(0);
    let members = ["action", "status", "target"].map(|member| entry[member].as_str().unwrap());
    assert_eq!(members, ["credential_refused", "block", "/api/version"]);
    assert_eq!(entry["context"]["address"], "127.0.0.1");
}
