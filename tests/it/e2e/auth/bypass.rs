//! Who is on this machine needs no credential, and nobody else is taken for somebody on this machine.

use crate::e2e::binary::{Place, Program, Server};
use crate::e2e::client::{Answer, Client};
use crate::e2e::wire::exchange;
use reqwest::Method;
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};

/// A server that trusts this machine, as it does unless it is told otherwise.
fn trusting(place: &Place, flags: &[&str]) -> Program {
    let program = place.program_with_data(&[&["serve", "--port", "0"], flags].concat());
    program.without_env("PAWPORT_LOCALHOST_AUTH_BYPASS")
}

/// A request without credentials and with these headers.
async fn ask(server: &Server, method: Method, headers: &[(&'static str, &str)]) -> Answer {
    let client = Client::new(server.address, "");
    let mut request = client.stranger(method.clone(), "/api/sessions");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if method == Method::POST {
        request = request.json(&json!({}));
    }
    Client::try_send(request).await.unwrap()
}

#[tokio::test]
async fn who_is_on_this_machine_needs_no_credential() {
    let place = Place::new();
    let server = trusting(&place, &[]).start();
    let port = server.address.port();
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), "LocalHost".to_owned()] {
        for method in [Method::GET, Method::POST] {
            assert_eq!(ask(&server, method, &[("host", &host)]).await.status, 200, "{host}");
        }
    }
    let own = format!("http://{}", server.address);
    assert_eq!(ask(&server, Method::POST, &[("origin", &own)]).await.status, 200);
    assert_eq!(ask(&server, Method::POST, &[("sec-fetch-site", "same-origin")]).await.status, 200);
    let me = Client::new(server.address, "").me().await.unwrap();
    assert_eq!((&me["kind"], &me["scopes"]), (&json!("loopback"), &json!(["admin"])));
    server.stop();
}

#[tokio::test]
async fn what_came_through_a_proxy_is_a_strangers() {
    let place = Place::new();
    let server = trusting(&place, &[]).start();
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", ""),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-anything", "1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-client-ip", "127.0.0.1"),
        ("true-client-ip", "127.0.0.1"),
        ("cf-connecting-ip", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
    ] {
        for method in [Method::GET, Method::POST] {
            assert_eq!(ask(&server, method, &[(name, value)]).await.status, 401, "{name}: {value}");
        }
    }
    let old = b"GET /api/sessions HTTP/1.0\r\nHost: localhost\r\n\r\n";
    assert_eq!(exchange(&server, "HTTP/1.0", old), [401]);
    server.stop();
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused_and_one_that_is_public_is_no_sign_of_being_here() {
    let place = Place::new();
    let server = trusting(&place, &["--allowed-hosts", "paw.example.org"]).start();
    for host in ["rebound.example.org", "127.0.0.1.example.org", "localhost.example.org", "192.0.2.1:80"] {
        let refused = ask(&server, Method::GET, &[("host", host)]).await;
        assert_eq!(refused.status, 403, "{host}");
        assert!(
            refused.text.contains("allowed_hosts") && refused.text.contains("PAWPORT_ALLOWED_HOSTS"),
            "{refused:?}"
        );
    }
    assert_eq!(ask(&server, Method::GET, &[("host", "paw.example.org")]).await.status, 401);
    server.stop();
}

#[tokio::test]
async fn pages_of_others_change_nothing_and_read_nothing() {
    let place = Place::new();
    let server = trusting(&place, &[]).start();
    for (name, value) in [
        ("origin", "https://evil.example.org"),
        ("origin", "null"),
        ("origin", "http://localhost:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let refused = ask(&server, Method::POST, &[(name, value)]).await;
        assert_eq!(refused.status, 403, "{name}: {value}");
        assert!(refused.text.contains("PAWPORT_CORS_ORIGINS"), "{refused:?}");
        assert_eq!(ask(&server, Method::GET, &[(name, value)]).await.status, 401, "{name}: {value}");
    }
    let owner = server.client(&place);
    assert_eq!(owner.get("/api/sessions").await.json()["total"], 0, "nothing was made");
    assert_eq!(owner.audited("foreign_page_refused").await[0]["context"]["address"], "127.0.0.1");
    // What a form sends needs no permission of the browser's.
    for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"] {
        let form = owner.stranger(Method::POST, "/api/sessions").header("content-type", kind).body("{}");
        assert_eq!(Client::try_send(form).await.unwrap().status, 415, "{kind}");
    }
    server.stop();
}

#[tokio::test]
async fn a_wrong_token_of_somebody_on_this_machine_is_noted() {
    let place = Place::new();
    let server = trusting(&place, &[]).start();
    let wrong = Client::new(server.address, "wrong-0123456789-abcdefghijklmnopqrs");
    assert_eq!(wrong.get("/api/sessions").await.status, 200);
    let noted = server.client(&place).audited("credential_refused").await;
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!((&noted[0]["target"], &noted[0]["context"]["address"]), (&json!("/api/sessions"), &json!("127.0.0.1")));
    server.stop();
}

#[tokio::test]
async fn who_comes_from_another_address_is_a_stranger() {
    let place = Place::new();
    let server = trusting(&place, &["--host", "0.0.0.0"]).start();
    let port = server.address.port();
    let here = Client::new(SocketAddr::from(([127, 0, 0, 1], port)), "");
    assert_eq!(here.get("/api/sessions").await.status, 200);
    // The address that others see of this machine, if it has one; nothing is sent. Calls to it come from it.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let seen = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    if let Ok(seen) = seen.map(|seen| seen.ip())
        && !seen.is_loopback()
    {
        let elsewhere = Client::new(SocketAddr::from((seen, port)), "");
        assert_eq!(elsewhere.get("/api/sessions").await.status, 401, "{seen}");
        let named = elsewhere.stranger(Method::GET, "/api/sessions").header("host", "localhost");
        assert_eq!(Client::try_send(named).await.unwrap().status, 401, "{seen}");
        assert_eq!(elsewhere.with(&place.token()).get("/api/sessions").await.status, 200, "{seen}");
    }
    server.stop();
}
