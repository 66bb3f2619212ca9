//! Those who come through the tunnel, and those who are on this machine meanwhile.

use super::*;
use crate::support::{Call, HERE, MASTER_TOKEN, Response, connection, scan};
use pawport::domain::auth::rate::RateLimit;

const HOST: &str = "tunnel-1.example.net";

/// A call as the tunnel's program sends it: from this machine, to the public name, with the address of the client.
fn through(app: &TestApp, method: Method, path: &str) -> Call {
    let call = app.anonymous().call(method, path).from(HERE).instead("host", HOST);
    call.header("cf-connecting-ip", "198.51.100.4").header("x-forwarded-for", "198.51.100.4")
}

async fn neighbour(app: &TestApp) -> u16 {
    app.anonymous().call(Method::GET, "/api/sessions").from_here().send().await.status().as_u16()
}

fn bearer(call: Call) -> Call {
    call.header("authorization", format!("Bearer {MASTER_TOKEN}"))
}

async fn log_in(call: Call) -> Response {
    call.json(&json!({ "token": MASTER_TOKEN })).send().await
}

#[tokio::test(start_paused = true)]
async fn who_is_on_this_machine_needs_a_credential_from_the_start_until_the_end() {
    let app = TestApp::new();
    assert_eq!(neighbour(&app).await, 200);
    app.tunnels().let_open(false);
    app.tunnels().let_close(false);
    let starting = app.token_user().call(Method::POST, "/api/remote/start").send();
    let looking = async {
        until(&app, "connecting").await;
        assert_eq!(neighbour(&app).await, 401, "starting");
        app.tunnels().let_open(true);
    };
    let (started, ()) = tokio::join!(starting, looking);
    assert_eq!((started.json()["url"].clone(), neighbour(&app).await), (json!(FIRST), 401));
    for (news, state) in [
        (TunnelNews::Unhealthy("it is not connected".to_owned()), "degraded"),
        (TunnelNews::Ended("exited with status 1".to_owned()), "backing_off"),
    ] {
        app.tunnels().tell(news);
        until(&app, state).await;
        assert_eq!(neighbour(&app).await, 401, "{state}");
    }
    app.tunnels().let_close(true);
    until(&app, "up").await;
    app.tunnels().let_close(false);
    let stopping = app.token_user().call(Method::POST, "/api/remote/stop").send();
    let looking = async {
        until(&app, "stopping").await;
        assert_eq!(neighbour(&app).await, 401, "stopping");
        assert_eq!(app.tunnels().running(), 1);
        app.tunnels().let_close(true);
    };
    tokio::join!(stopping, looking).0.assert_status(200);
    assert_eq!((neighbour(&app).await, app.tunnels().running()), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_it_without_a_credential_needs_one_to_stop_it() {
    let app = TestApp::new();
    let start = || app.anonymous().call(Method::POST, "/api/remote/start").from_here().send();
    let stop = || app.anonymous().call(Method::POST, "/api/remote/stop").from_here().send();
    assert_eq!(start().await.assert_status(200).json()["url"], FIRST);
    start().await.assert_error(401, "Unauthorized");
    stop().await.assert_error(401, "Unauthorized");
    assert_eq!(app.tunnels().running(), 1);
    self::stop(&app, "/api").await;
    stop().await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn what_was_opened_on_this_machine_ends_when_the_tunnel_starts() {
    let app = TestApp::new();
    for path in ["/api/v1/events/stream", "/api/v1/agent/status/stream"] {
        let mut local = app.anonymous().call(Method::GET, path).from_here().open().await;
        let mut remote = app.token_user().open(path).await;
        for stream in [&mut local, &mut remote] {
            assert!(stream.next().await.is_some());
        }
        let began = tokio::time::Instant::now();
        start(&app, "/api").await;
        // It may hear of the start before it ends.
        while local.next().await.is_some() {}
        assert!(began.elapsed() < Duration::from_secs(1), "{path}: {:?}", began.elapsed());
        while let Some(frame) = remote.next().await {
            if frame == ":\n\n" {
                break;
            }
        }
        stop(&app, "/api").await;
    }
    let present = app.token_user().get("/api/v1/agent/status/poll").await.json();
    let path = format!("/api/v1/agent/status/poll?since={}", present["since"].as_str().expect("an id"));
    let polling = app.anonymous().call(Method::GET, &path).from_here().send();
    let (answer, _) = tokio::join!(polling, start(&app, "/api"));
    answer.assert_error(401, "Unauthorized");
}

#[tokio::test(start_paused = true)]
async fn its_name_and_its_pages_are_ours_while_it_is_up() {
    let app = TestApp::new();
    let unknown = format!(
        "This server does not go by the name {HOST}. If it should, add the name to allowed_hosts (PAWPORT_ALLOWED_HOSTS), or set public_url"
    );
    let ask = || bearer(through(&app, Method::GET, "/api/sessions")).send();
    // A page of the tunnel that asks under another name of ours.
    let page = || {
        let call = bearer(app.anonymous().call(Method::POST, "/api/sessions"));
        call.header("origin", FIRST).json(&json!({})).send()
    };
    ask().await.assert_error(403, &unknown);
    page().await.assert_status(403);
    start(&app, "/api").await;
    ask().await.assert_status(200);
    let answer = page().await;
    answer.assert_status(200);
    assert_eq!(answer.header("access-control-allow-origin"), FIRST);
    // Its own page, which a browser says it is; and another one.
    let own = bearer(through(&app, Method::POST, "/api/sessions"));
    own.header("origin", FIRST)
        .header("sec-fetch-site", "same-origin")
        .json(&json!({}))
        .send()
        .await
        .assert_status(200);
    let other = bearer(through(&app, Method::POST, "/api/sessions")).header("origin", "https://tunnel-2.example.net");
    other.json(&json!({})).send().await.assert_status(403);
    let plain = bearer(through(&app, Method::POST, "/api/sessions")).header("origin", format!("http://{HOST}"));
    plain.json(&json!({})).send().await.assert_status(403);
    // It crashes: its old name is nobody's until it is up again, under another one.
    app.tunnels().tell(TunnelNews::Ended("exited with status 1".to_owned()));
    until(&app, "backing_off").await;
    ask().await.assert_error(403, &unknown);
    page().await.assert_status(403);
    until(&app, "up").await;
    ask().await.assert_error(403, &unknown);
    bearer(through(&app, Method::GET, "/api/sessions").instead("host", "tunnel-2.example.net"))
        .send()
        .await
        .assert_status(200);
    stop(&app, "/api").await;
    ask().await.assert_error(403, &unknown);
}

#[tokio::test(start_paused = true)]
async fn who_comes_through_it_is_a_stranger_with_an_address() {
    let app = TestApp::new();
    start(&app, "/api").await;
    through(&app, Method::GET, "/api/sessions").send().await.assert_error(401, "Unauthorized");
    let without = app.anonymous().call(Method::GET, "/api/sessions").from(HERE).instead("host", HOST);
    without.send().await.assert_error(401, "Unauthorized");
    let answer = log_in(through(&app, Method::POST, "/api/auth/login")).await;
    answer.assert_status(200);
    // Only what was encrypted all the way gets the cookie back.
    assert!(answer.header("set-cookie").contains("; Secure"), "{}", answer.header("set-cookie"));
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
    let entry = &log(&app).await[0];
    assert_eq!((&entry["action"], &entry["context"]["address"]), (&json!("login_success"), &json!("198.51.100.4")));
}

#[tokio::test(start_paused = true)]
async fn nobody_else_can_say_from_where_they_come() {
    let proxy = "127.0.0.9/32".parse().expect("a network");
    let app = TestApp::told(|settings| settings.policy.trusted_proxies = vec![proxy]);
    start(&app, "/api").await;
    let elsewhere = app.anonymous().call(Method::POST, "/api/auth/login").instead("host", HOST);
    log_in(elsewhere.header("cf-connecting-ip", "198.51.100.9")).await.assert_status(200);
    assert_eq!(log(&app).await[0]["context"]["address"], "203.0.113.7");
    // Nor do those on this machine, by another name of the server.
    let here = app.anonymous().call(Method::POST, "/api/auth/login").from_here();
    log_in(here.header("cf-connecting-ip", "198.51.100.9")).await.assert_status(200);
    assert_eq!(log(&app).await[0]["context"]["address"], "127.0.0.1");
    // Nor those behind a proxy of ours, which passes on whatever they say.
    let proxied = through(&app, Method::POST, "/api/auth/login").from(connection([127, 0, 0, 9], [127, 0, 0, 1]));
    log_in(proxied.instead("x-forwarded-for", "192.0.2.77")).await.assert_status(200);
    assert_eq!(log(&app).await[0]["context"]["address"], "192.0.2.77");
    // What a client says may stand before what the provider says.
    let listed = through(&app, Method::POST, "/api/auth/login").instead("cf-connecting-ip", "192.0.2.66, 198.51.100.8");
    log_in(listed).await.assert_status(200);
    assert_eq!(log(&app).await[0]["context"]["address"], "198.51.100.8");
    let twice = through(&app, Method::POST, "/api/auth/login").instead("cf-connecting-ip", "192.0.2.66");
    log_in(twice.header("cf-connecting-ip", "198.51.100.7")).await.assert_status(200);
    assert_eq!(log(&app).await[0]["context"]["address"], "198.51.100.7");
    let odd = through(&app, Method::POST, "/api/auth/login").instead("cf-connecting-ip", "no address");
    log_in(odd).await.assert_status(200);
    assert_eq!(log(&app).await[0]["context"]["address"], "127.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn who_fails_too_often_through_it_shuts_nobody_else_out() {
    let app = TestApp::told(|settings| settings.rate_limits.auth = RateLimit::new(1.0, 5));
    start(&app, "/api").await;
    let attempt = |client: &str| {
        let call = through(&app, Method::POST, "/api/auth/login").instead("cf-connecting-ip", client);
        call.json(&json!({ "token": "00000000-0000-4000-8000-000000000000" })).send()
    };
    for _ in 0..5 {
        attempt("198.51.100.4").await.assert_status(401);
    }
    attempt("198.51.100.4").await.assert_status(429);
    attempt("198.51.100.5").await.assert_status(401);
}

#[tokio::test(start_paused = true)]
async fn a_phone_is_let_in_at_the_address_of_the_tunnel() {
    let app = TestApp::new();
    let user = app.token_user();
    let pairing = async || {
        let url = user.call(Method::POST, "/api/v1/auth/pairing").send().await.assert_status(200).json()["url"].clone();
        let picture = user.get("/api/qr").await;
        picture.assert_status(200);
        let url = url.as_str().expect("an address").to_owned();
        let host = url.split_once("/?token=").expect("a code").0.to_owned();
        assert!(scan::picture(picture.bytes()).starts_with(&format!("{host}/?token=ppair_")), "{host}");
        (host, url)
    };
    assert_eq!(pairing().await.0, "https://paw.example.org");
    start(&app, "/api").await;
    let (host, url) = pairing().await;
    assert_eq!(host, FIRST);
    let exchange = through(&app, Method::POST, "/api/auth/session");
    let code = scan::code_in(&url);
    let session = exchange.header("authorization", format!("Bearer {code}")).send().await;
    session.assert_status(200);
    let token = session.json()["session_token"].as_str().expect("a token").to_owned();
    let call = through(&app, Method::GET, "/api/sessions").header("authorization", format!("Bearer {token}"));
    call.send().await.assert_status(200);
    // The next one is shown its new address.
    app.tunnels().tell(TunnelNews::Ended("exited with status 1".to_owned()));
    until(&app, "backing_off").await;
    assert_eq!(pairing().await.0, "https://paw.example.org");
    until(&app, "up").await;
    assert_eq!(pairing().await.0, "https://tunnel-2.example.net");
    stop(&app, "/api").await;
    assert_eq!(pairing().await.0, "https://paw.example.org");
}
