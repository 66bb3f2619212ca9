//! Requests that try to get around the gate: by the way they write the path, by a second header, by sheer size. Over raw
//! sockets, because a client would tidy them up.

use crate::e2e::binary::{Place, Server};
use crate::e2e::wire::{exchange, stop};

/// Ways to write a path that is closed, or a way to it.
const PATHS: [&str; 44] = [
    "/api/webhooks",
    "//api/webhooks",
    "///api///webhooks",
    "/api//webhooks",
    "/./api/webhooks",
    "/api/./webhooks",
    "/api/../api/webhooks",
    "/../api/webhooks",
    "/healthz/../api/webhooks",
    "/healthz/..;/api/webhooks",
    "/static/../api/webhooks",
    "/static/%2e%2e/api/webhooks",
    "/static/%2e%2e%2fapi%2fwebhooks",
    "/static/..%2fapi/webhooks",
    "/static/..%5capi/webhooks",
    "/static/%252e%252e/api/webhooks",
    "/static//api/webhooks",
    "/%2e/api/webhooks",
    "/%2e%2e/api/webhooks",
    "/api/%2e%2e/api/webhooks",
    "/api%2fwebhooks",
    "/%2fapi/webhooks",
    "/%61pi/webhooks",
    "/api/%77ebhooks",
    "/api/webhooks%20",
    "/api/webhooks%00",
    "/api/webhooks%0d%0aX:%20y",
    "/api\\webhooks",
    "/API/webhooks",
    "/api/Webhooks",
    "/Api/V1/Webhooks",
    "/api/webhooks/",
    "/api/webhooks//",
    "/api/webhooks;x=y",
    "/api/webhooks.json",
    "/api/webhooks?",
    "/api/webhooks?token=x&key=y",
    "/api/v1/webhooks",
    "/api/v1/../webhooks",
    "/api/v1/v1/webhooks",
    "/api/auth/login/../../webhooks",
    "/webhook/inbound/../../api/webhooks",
    "/webhook/inbound/%2e%2e%2f%2e%2e%2fapi%2fwebhooks",
    "/api/v1/auth/sessions",
];

/// Sends one request and sees that it opens nothing and breaks nothing.
#[track_caller]
fn assert_closed(server: &Server, what: &str, request: &[u8]) {
    let statuses = exchange(server, what, request);
    assert_eq!(statuses.len(), 1, "{what}: {statuses:?}");
    assert!((400..500).contains(&statuses[0]), "{what}: {statuses:?}");
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn no_way_to_write_a_path_goes_around_the_gate() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (key, _) = server.client(&place).api_key(&["chat"]).await;
    let narrow = format!("Authorization: Bearer {}\r\n", key.token());
    for path in PATHS {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            for headers in ["", &narrow] {
                assert_closed(&server, &format!("{method} {path}"), request(method, path, headers).as_bytes());
            }
        }
    }
    stop(server);
}

#[test]
fn no_header_talks_the_gate_into_another_path_or_method() {
    let place = Place::new();
    let server = place.serve(&[]);
    for header in [
        "X-Original-URL: /healthz",
        "X-Rewrite-URL: /healthz",
        "X-Forwarded-Path: /healthz",
        "X-Forwarded-Prefix: /static",
        "X-HTTP-Method-Override: OPTIONS",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-For: 127.0.0.1, 127.0.0.1",
        "Forwarded: for=127.0.0.1;by=127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "Origin: tauri://localhost",
        "Origin: http://localhost",
        "Upgrade: websocket\r\nConnection: upgrade",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Access-Control-Request-Method: GET",
        "Content-Type: application/json",
    ] {
        for method in ["GET", "POST"] {
            assert_closed(&server, header, request(method, "/api/webhooks", &format!("{header}\r\n")).as_bytes());
        }
    }
    stop(server);
}

#[test]
fn the_name_of_the_server_is_given_once_and_is_ours() {
    let place = Place::new();
    // Here who is on this machine needs no credential, so the name is all that is in the way.
    let trusting = place.program_with_data(&["serve", "--port", "0"]).without_env("PAWPORT_LOCALHOST_AUTH_BYPASS");
    let server = trusting.start();
    let good = "GET /api/webhooks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(&server, "our name", good.as_bytes()), [200]);
    for (what, target, hosts) in [
        ("none", "/api/webhooks", &[][..]),
        ("an empty one", "/api/webhooks", &[""]),
        ("a foreign one", "/api/webhooks", &["evil.example.org"]),
        ("two", "/api/webhooks", &["localhost", "localhost"]),
        ("ours first", "/api/webhooks", &["localhost", "evil.example.org"]),
        ("ours second", "/api/webhooks", &["evil.example.org", "localhost"]),
        ("a list", "/api/webhooks", &["localhost, evil.example.org"]),
        ("a user", "/api/webhooks", &["localhost@evil.example.org"]),
        ("ours as a user", "/api/webhooks", &["localhost:80@evil.example.org:80"]),
        ("a path", "/api/webhooks", &["localhost/evil.example.org"]),
        ("a longer one", "/api/webhooks", &["localhost.evil.example.org"]),
        ("an address in another notation", "/api/webhooks", &["0x7f.1"]),
        ("a number", "/api/webhooks", &["2130706433"]),
        ("all addresses", "/api/webhooks", &["0.0.0.0"]),
        ("no ASCII", "/api/webhooks", &["lo\u{441}alhost"]),
        ("a foreign target", "http://evil.example.org/api/webhooks", &["localhost"]),
        ("a foreign target with a user", "http://localhost@evil.example.org/api/webhooks", &["localhost"]),
        ("our target with a user", "http://user@localhost/api/webhooks", &["localhost"]),
    ] {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let request = format!("GET {target} HTTP/1.1\r\n{}Connection: close\r\n\r\n", hosts.concat());
        assert_closed(&server, what, request.as_bytes());
    }
    stop(server);
}

#[test]
fn credentials_that_are_odd_open_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let token = place.token();
    let large = "y".repeat(60 * 1024);
    let with = |headers: &str| request("GET", "/api/webhooks", headers);
    for (what, headers) in [
        ("no token", "Authorization: Bearer\r\n".to_owned()),
        ("an empty token", "Authorization: Bearer \r\n".to_owned()),
        ("only the token", format!("Authorization: {token}\r\n")),
        ("another scheme", format!("Authorization: Basic {token}\r\n")),
        ("no space", format!("Authorization: Bearer{token}\r\n")),
        ("twice the scheme", format!("Authorization: Bearer Bearer {token}\r\n")),
        ("two tokens", format!("Authorization: Bearer {token} {token}\r\n")),
        ("a list", format!("Authorization: Bearer {token}, Bearer x\r\n")),
        ("quotes", format!("Authorization: Bearer \"{token}\"\r\n")),
        ("half of it", format!("Authorization: Bearer {}\r\n", &token[..18])),
        ("more of it", format!("Authorization: Bearer {token}0\r\n")),
        ("upper case", format!("Authorization: Bearer {}\r\n", token.to_uppercase().replace('-', "_"))),
        ("two wrong headers", "Authorization: Bearer x\r\nAuthorization: Bearer y\r\n".to_owned()),
        ("a good one after a wrong one", format!("Authorization: Bearer x\r\nAuthorization: Bearer {token}\r\n")),
        ("no ASCII", "Authorization: Bearer \u{e9}\u{20ac}\r\n".to_owned()),
        ("60 KiB", format!("Authorization: Bearer {large}\r\n")),
        ("60 KiB of cookie", format!("Cookie: pocketpaw_session={large}\r\n")),
        ("60 KiB of status key", format!("X-Status-Key: {large}\r\n")),
        ("a colon", "Authorization: Bearer :\r\n".to_owned()),
        ("the form of a session", format!("Authorization: Bearer 99999999999:{}\r\n", "0".repeat(64))),
        ("the form of a key", format!("Authorization: Bearer pp_{}\r\n", "A".repeat(49))),
        ("an empty cookie", "Cookie: pocketpaw_session=\r\n".to_owned()),
        ("another cookie", format!("Cookie: session={token}\r\n")),
        ("two wrong cookies", "Cookie: pocketpaw_session=x; pocketpaw_session=y\r\n".to_owned()),
        ("another header", format!("X-API-Key: {token}\r\nX-Access-Token: {token}\r\nToken: {token}\r\n")),
        ("the proxy's", format!("Proxy-Authorization: Bearer {token}\r\n")),
        ("the status key's", format!("X-Status-Key: {token}\r\n")),
    ] {
        assert_closed(&server, what, with(&headers).as_bytes());
    }
    // Bytes that are no text at all, and a token where none is looked for.
    let mut bytes = with("Authorization: Bearer ").into_bytes();
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(b"\xff\xfe\x80\r\n\r\n");
    assert_closed(&server, "no UTF-8", &bytes);
    for query in ["token", "access_token", "key", "api_key"] {
        let path = format!("/api/webhooks?{query}={token}");
        assert_closed(&server, &path, request("GET", &path, "").as_bytes());
    }
    stop(server);
}
