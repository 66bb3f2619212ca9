//! A phone is let in: by the picture in the dashboard, and by the command in the terminal.

use crate::e2e::binary::{PATIENCE, Place, Server};
use crate::e2e::client::{Answer, Client};
use crate::e2e::refusals::refused;
use crate::support::scan::{self, code_in};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

/// What the picture says that the server shows to `client`.
async fn scan_picture(client: &Client, path: &str) -> String {
    let answer = client.get(path).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "image/png"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    scan::picture(&answer.bytes)
}

async fn redeem(client: &Client, code: &str) -> Answer {
    client.with(code).post("/api/auth/session", &json!({})).await
}

async fn log_in(client: &Client, code: &str) -> Answer {
    let request = client.stranger(Method::POST, "/api/auth/login").json(&json!({ "token": code }));
    Client::try_send(request).await.unwrap()
}

/// Asks with a cookie and nothing else, as pictures and pages do.
async fn get_with_cookie(client: &Client, token: &str, path: &str) -> u16 {
    let request = client.stranger(Method::GET, path).header("cookie", format!("theme=dark; pocketpaw_session={token}"));
    Client::try_send(request).await.unwrap().status
}

/// Runs `pawport pair` and gives the address that it shows.
#[track_caller]
fn pair(place: &Place) -> String {
    let ended = place.program_with_data(&["pair"]).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let address = ended.stdout.lines().find(|line| line.starts_with("http")).unwrap();
    assert_eq!(scan::terminal(&ended.stdout), address, "{}", ended.stdout);
    address.to_owned()
}

#[tokio::test]
async fn a_phone_that_scans_the_picture_stays_logged_in() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    // The dashboard shows the picture to whoever has the cookie.
    let dashboard = log_in(&owner, owner.token()).await;
    let cookie = dashboard.cookie().unwrap();
    assert_eq!(get_with_cookie(&owner, cookie, "/api/qr").await, 200);

    let address = scan_picture(&owner, "/api/qr").await;
    let code = code_in(&address);
    assert_eq!(address, format!("http://{}/?token={code}", server.address));
    for path in ["/api/sessions", "/api/v1/auth/me", "/api/v1/agent/status", "/api/qr", "/api/audit"] {
        assert_eq!(owner.with(code).get(path).await.status, 401, "a code is good for getting a session: {path}");
        assert_eq!(get_with_cookie(&owner, code, path).await, 401, "{path}");
    }

    let redeemed = redeem(&owner, code).await;
    let phone = owner.with(redeemed.json()["session_token"].as_str().unwrap());
    assert_eq!(redeemed.json()["expires_in_hours"], 24);
    assert_eq!(redeemed.cookie(), Some(phone.token()), "{redeemed:?}");
    assert!(redeemed.header("set-cookie").contains("Max-Age=86400"), "{redeemed:?}");

    for refused in [redeem(&owner, code).await, log_in(&owner, code).await] {
        assert_eq!((refused.status, refused.cookie()), (401, None), "a code is good once");
    }
    assert_eq!(phone.get("/api/sessions").await.status, 200);
    assert_eq!(get_with_cookie(&owner, phone.token(), "/api/sessions").await, 200);
    assert_eq!(get_with_cookie(&owner, phone.token(), "/").await, 200);

    let me = phone.me().await.unwrap();
    assert_eq!((&me["kind"], &me["scopes"]), (&json!("session"), &json!(["admin"])));
    let sessions = owner.get("/api/v1/auth/sessions").await.json();
    let session = sessions.as_array().unwrap().iter().find(|session| session["id"] == me["id"]).unwrap();
    let time = |member: &str| session[member].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(time("expires_at").duration_since(time("created_at")), SignedDuration::from_hours(24));
    assert_eq!((&session["origin"], &session["address"]), (&json!("pairing"), &json!("127.0.0.1")));

    for (action, count) in [("qr_code_generated", 2), ("qr_code_redeemed", 1), ("qr_code_refused", 2)] {
        assert_eq!(owner.audited(action).await.len(), count, "{action}");
    }
    server.stop();
}

#[tokio::test]
async fn a_phone_can_log_in_with_a_scanned_code_too() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let address = scan_picture(&owner, "/api/v1/qr").await;
    let code = code_in(&address);
    let first = log_in(&owner, code).await;
    let phone = owner.with(first.cookie().unwrap());
    assert_eq!(phone.me().await.unwrap()["kind"], "session");
    assert_eq!(get_with_cookie(&owner, phone.token(), "/api/sessions").await, 200);
    for refused in [log_in(&owner, code).await, redeem(&owner, code).await] {
        assert_eq!((refused.status, refused.cookie()), (401, None));
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_redeem_a_code_at_once_one_gets_in() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let address = scan_picture(&owner, "/api/qr").await;
    let answers = futures_util::future::join_all((0..16).map(async |number| match number % 2 {
        0 => redeem(&owner, code_in(&address)).await.status,
        _ => log_in(&owner, code_in(&address)).await.status,
    }));
    let mut statuses = answers.await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(owner.get("/api/v1/auth/sessions").await.json().as_array().unwrap().len(), 1);
    server.stop();
}

#[tokio::test]
async fn the_command_shows_a_code_that_lets_a_phone_in() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let address = pair(&place);
    assert!(address.starts_with(&format!("http://{}/?token=ppair_", server.address)), "{address}");
    let redeemed = redeem(&owner, code_in(&address)).await.json();
    assert_eq!(owner.with(redeemed["session_token"].as_str().unwrap()).get("/api/sessions").await.status, 200);
    assert_eq!(redeem(&owner, code_in(&address)).await.status, 401);
    assert_ne!(pair(&place), address, "each time another");
    server.stop();
}

#[tokio::test]
async fn without_tokens_in_queries_the_code_is_in_the_fragment() {
    let place = Place::new();
    let server = place.serve(&["--url-tokens", "false"]);
    let owner = server.client(&place);
    for address in [scan_picture(&owner, "/api/qr").await, pair(&place)] {
        assert!(address.starts_with(&format!("http://{}/#token=ppair_", server.address)), "{address}");
        assert_eq!(redeem(&owner, code_in(&address)).await.status, 200);
    }
    server.stop();
}

#[test]
fn without_a_server_the_command_says_how_to_start_one() {
    let place = Place::new();
    let data_dir = place.data_dir();
    let parts = ["no server runs", data_dir.to_str().unwrap(), "pawport serve"];
    refused(place.program_with_data(&["pair"]), &parts);
    assert!(!data_dir.exists(), "asking makes nothing");
    place.serve(&[]).stop();
    refused(place.program_with_data(&["pair"]), &parts);
}

/// A killed server leaves its address behind, and anybody may listen there next.
#[test]
fn the_command_shows_the_token_to_nobody_who_took_the_place_of_a_killed_server() {
    let place = Place::new();
    let server = place.serve(&[]);
    let address = server.address;
    server.kill();
    let stranger = TcpListener::bind(address).unwrap();
    let heard = thread::spawn(move || {
        let (mut stream, _) = stranger.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = [0; 4096];
        let length = stream.read(&mut said).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        String::from_utf8_lossy(&said[..length]).into_owned()
    });
    let ended = place.program_with_data(&["pair"]).run();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    // So that the thread ends although nobody called.
    let _ = std::net::TcpStream::connect(address).and_then(|mut stream| stream.write_all(b"bye"));
    let heard = heard.join().unwrap();
    assert!(!heard.contains(&place.token()), "the access token was sent to somebody else: {heard}");
    assert!(ended.stderr.contains("no server runs") && ended.stderr.contains("pawport serve"), "{ended:?}");
}

#[tokio::test]
async fn with_a_wrong_token_the_command_says_where_to_look() {
    let place = Place::new();
    let server = place.serve(&[]);
    let wrong = "another-token-0123456789-abcdefghijk";
    let said = refused(
        place.program_with_data(&["pair"]).env("PAWPORT_ACCESS_TOKEN", wrong),
        &["another access token", "--config", "--data-dir"],
    );
    assert!(!said.contains(wrong) && !said.contains(&place.token()), "{said}");
    assert_eq!(server.client(&place).audited("credential_refused").await.len(), 1);
    server.stop();
}

#[test]
fn without_the_configured_token_the_command_does_not_say_that_nothing_runs() {
    let place = Place::new();
    let token = "a-token-of-my-own-0123456789-abcdef";
    let server = place.program_with_data(&["serve", "--port", "0"]).env("PAWPORT_ACCESS_TOKEN", token).start();
    let said = refused(place.program_with_data(&["pair"]), &["access token"]);
    assert!(!said.contains("no server runs"), "{said}");
    let paired = place.program_with_data(&["pair"]).env("PAWPORT_ACCESS_TOKEN", token).run();
    assert_eq!(paired.code(), Some(0), "{paired:?}");
    server.stop();
}

#[tokio::test]
async fn the_address_is_the_configured_one_and_never_what_a_client_calls_the_server() {
    let place = Place::new();
    let names = ["--allowed-hosts", "other.example.org"];
    let called = async |server: &Server, host: &str| {
        let client = server.client(&place);
        let request = client.request(Method::GET, "/api/qr").header("host", host);
        scan::picture(&Client::try_send(request).await.unwrap().bytes)
    };
    let server = place.serve(&names);
    for host in ["localhost", "localhost:1", "other.example.org"] {
        let address = called(&server, host).await;
        assert!(address.starts_with(&format!("http://{}/?", server.address)), "{host}: {address}");
    }
    server.stop();

    let server = place.serve(&[&["--public-url", "https://paw.example.org"], &names[..]].concat());
    for host in ["localhost", "paw.example.org", "other.example.org"] {
        let address = called(&server, host).await;
        assert!(address.starts_with("https://paw.example.org/?token="), "{host}: {address}");
    }
    assert!(pair(&place).starts_with("https://paw.example.org/?token="));
    server.stop();
}

#[tokio::test]
async fn a_server_on_all_addresses_shows_one_that_can_be_called() {
    let place = Place::new();
    let server = place.serve(&["--host", "0.0.0.0"]);
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, server.address.port()));
    let owner = Client::new(here, &place.token());
    for address in [scan_picture(&owner, "/api/qr").await, pair(&place)] {
        let authority = address.strip_prefix("http://").unwrap().split_once('/').unwrap().0;
        let shown: SocketAddr = authority.parse().unwrap();
        assert!(!shown.ip().is_unspecified() && shown.port() == here.port(), "{address}");
        let phone = Client::new(shown, code_in(&address));
        assert_eq!(phone.post("/api/auth/session", &json!({})).await.status, 200, "{address}");
    }
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.end().code(), Some(0));
}
