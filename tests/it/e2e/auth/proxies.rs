//! Behind two reverse proxies: who the client is, whether it came over https, and that nobody can lie about either.

use crate::e2e::binary::{Place, Program, Server};
use crate::e2e::client::{Answer, Client};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Where the outer proxy sends from, to the inner one.
const OUTER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where the inner proxy sends from, to the server.
const INNER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const OTHER_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
const BOTH: &str = "127.0.0.2,127.0.0.3";

/// What a proxy says of the requests that it hands on.
#[derive(Clone, Copy)]
enum Says {
    /// Who called it, and this scheme.
    Scheme(&'static str),
    /// Who called it, and of the scheme what it was told.
    Address,
    /// Nothing at all.
    Nothing,
}

/// A reverse proxy. Ends when dropped.
struct Proxy {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Proxy {
    async fn start(from: Ipv4Addr, upstream: SocketAddr, says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let http = http_from(from);
        let handler = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| {
            let (mut parts, body) = request.into_parts();
            add_headers(&mut parts.headers, peer.ip(), says);
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let request = http.request(parts.method, format!("http://{upstream}{}", parts.uri));
            let answer = request.headers(parts.headers).body(body).send().await.unwrap();
            (answer.status(), answer.headers().clone(), answer.bytes().await.unwrap())
        };
        let service = Router::new().fallback(handler).into_make_service_with_connect_info::<SocketAddr>();
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, _task: task }
    }
}

/// Adds what a proxy adds: its caller at the end of `X-Forwarded-For`, as nginx and others do.
fn add_headers(headers: &mut HeaderMap, peer: IpAddr, says: Says) {
    if let Says::Nothing = says {
        return;
    }
    let told = headers.get("x-forwarded-for").map(|callers| format!("{}, ", callers.to_str().unwrap()));
    let callers = format!("{}{peer}", told.unwrap_or_default());
    headers.insert("x-forwarded-for", callers.parse().unwrap());
    if let Says::Scheme(scheme) = says {
        headers.insert("x-forwarded-proto", scheme.parse().unwrap());
    }
}

/// A client, an outer proxy, an inner proxy, a server.
struct Chain {
    server: Server,
    outer: Proxy,
    _inner: Proxy,
}

impl Chain {
    /// With an outer proxy that speaks `scheme` with its clients.
    async fn start(program: Program, scheme: &'static str) -> Self {
        let server = program.start();
        let inner = Proxy::start(INNER, server.address, Says::Address).await;
        let outer = Proxy::start(OUTER, inner.address, Says::Scheme(scheme)).await;
        Self { server, outer, _inner: inner }
    }

    /// A request through both.
    fn ask(&self, from: Ipv4Addr, method: Method, path: &str) -> RequestBuilder {
        ask(self.outer.address, from, method, path)
    }

    /// Logs in through both.
    async fn log_in(&self, from: Ipv4Addr, token: &str) -> Answer {
        let body = json!({ "token": token });
        Client::try_send(self.ask(from, Method::POST, "/api/auth/login").json(&body)).await.unwrap()
    }
}

fn ask(to: SocketAddr, from: Ipv4Addr, method: Method, path: &str) -> RequestBuilder {
    http_from(from).request(method, format!("http://{to}{path}"))
}

fn http_from(address: Ipv4Addr) -> reqwest::Client {
    reqwest::Client::builder().no_proxy().local_address(IpAddr::from(address)).build().unwrap()
}

fn serve(place: &Place, flags: &[&str]) -> Program {
    place.program_with_data(&[&["serve", "--port", "0"], flags].concat())
}

/// The address of every session, newest first.
async fn addresses(owner: &Client) -> Vec<Value> {
    let sessions = owner.get("/api/v1/auth/sessions").await.json();
    sessions.as_array().unwrap().iter().map(|session| session["address"].clone()).collect()
}

#[tokio::test]
async fn the_real_client_is_known_behind_both_proxies() {
    let place = Place::new();
    let chain = Chain::start(serve(&place, &["--trusted-proxies", BOTH]), "https").await;
    let owner = chain.server.client(&place);
    let answer = chain.log_in(CLIENT, owner.token()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("set-cookie").contains("; Secure"), "{answer:?}");
    assert!(answer.header("strict-transport-security").contains("max-age"), "{answer:?}");
    assert_eq!(addresses(&owner).await, ["127.0.0.9"]);
    assert_eq!(owner.audited("login_success").await[0]["context"]["address"], "127.0.0.9");

    assert_eq!(chain.log_in(OTHER_CLIENT, "wrong-0123456789-abcdefghijklmnopqrs").await.status, 401);
    assert_eq!(owner.audited("login_failed").await[0]["target"], "127.0.0.10");
    let wrong = chain.ask(OTHER_CLIENT, Method::GET, "/api/sessions").bearer_auth("wrong");
    assert_eq!(Client::try_send(wrong).await.unwrap().status, 401);
    assert_eq!(owner.audited("credential_refused").await[0]["context"]["address"], "127.0.0.10");

    let cookie = format!("pocketpaw_session={}", answer.cookie().unwrap());
    let out = chain.ask(CLIENT, Method::POST, "/api/auth/logout").header("cookie", cookie);
    let out = Client::try_send(out).await.unwrap();
    assert!(out.header("set-cookie").contains("; Secure") && out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    assert_eq!(addresses(&owner).await, [""; 0]);
    chain.server.stop();
}

#[tokio::test]
async fn over_http_a_cookie_is_not_for_https_only() {
    let place = Place::new();
    let chain = Chain::start(serve(&place, &["--trusted-proxies", BOTH]), "http").await;
    let body = json!({ "token": place.token() });
    let request = chain.ask(CLIENT, Method::POST, "/api/auth/login").header("x-forwarded-proto", "https");
    let answer = Client::try_send(request.json(&body)).await.unwrap();
    assert!(answer.status == 200 && !answer.header("set-cookie").contains("Secure"), "{answer:?}");
    assert_eq!(answer.header("strict-transport-security"), "");
    chain.server.stop();
}

#[tokio::test]
async fn a_client_that_makes_up_where_it_comes_from_is_not_believed() {
    let place = Place::new();
    let chain = Chain::start(serve(&place, &["--trusted-proxies", BOTH]), "https").await;
    let owner = chain.server.client(&place);
    let body = json!({ "token": owner.token() });
    for lie in ["203.0.113.7", "127.0.0.2", "127.0.0.1, 127.0.0.3", "nonsense", "203.0.113.7, 127.0.0.2, 127.0.0.3"] {
        let request = chain.ask(CLIENT, Method::POST, "/api/auth/login").header("x-forwarded-for", lie);
        let request = request.header("x-real-ip", lie).header("forwarded", format!("for=\"{lie}\""));
        assert_eq!(Client::try_send(request.json(&body)).await.unwrap().status, 200);
        assert_eq!(addresses(&owner).await[0], "127.0.0.9", "{lie}");
    }
    chain.server.stop();
}

#[tokio::test]
async fn only_proxies_that_are_trusted_are_believed() {
    for (trusted, address) in
        [("", "127.0.0.3"), ("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.2"), ("127.0.0.2/31", "127.0.0.9")]
    {
        let place = Place::new();
        let flags: &[&str] = if trusted.is_empty() { &[] } else { &["--trusted-proxies", trusted] };
        let chain = Chain::start(serve(&place, flags), "https").await;
        let owner = chain.server.client(&place);
        let answer = chain.log_in(CLIENT, owner.token()).await;
        assert_eq!(addresses(&owner).await, [address], "{trusted:?}");
        let is_secure = answer.header("set-cookie").contains("; Secure");
        assert_eq!(is_secure, trusted.starts_with("127.0.0.3") || trusted.ends_with("/31"), "{trusted:?}: {answer:?}");
        chain.server.stop();
    }
}

#[tokio::test]
async fn nobody_who_comes_through_a_proxy_is_on_this_machine() {
    for trusted in [&[][..], &["--trusted-proxies", BOTH]] {
        let place = Place::new();
        let program = serve(&place, trusted).without_env("PAWPORT_LOCALHOST_AUTH_BYPASS");
        let chain = Chain::start(program, "https").await;
        let direct = ask(chain.server.address, CLIENT, Method::GET, "/api/sessions");
        assert_eq!(Client::try_send(direct).await.unwrap().status, 200, "the client itself is");
        for host in ["localhost", &chain.server.address.to_string()] {
            for lie in ["127.0.0.1", "127.0.0.2, 127.0.0.3"] {
                let request = chain.ask(CLIENT, Method::GET, "/api/sessions").header("host", host);
                let answer = Client::try_send(request.header("x-forwarded-for", lie)).await.unwrap();
                assert_eq!(answer.status, 401, "{trusted:?} {host} {lie}");
            }
        }
        if !trusted.is_empty() {
            let silent = Proxy::start(INNER, chain.server.address, Says::Nothing).await;
            let request = ask(silent.address, CLIENT, Method::GET, "/api/sessions");
            let answer = Client::try_send(request).await.unwrap();
            assert_eq!(answer.status, 401, "a trusted proxy is known although it says nothing");
        }
        chain.server.stop();
    }
}

#[tokio::test]
async fn one_clients_guesses_do_not_lock_out_another() {
    let place = Place::new();
    let program = serve(&place, &["--trusted-proxies", BOTH]).without_env("PAWPORT_RATE_LIMIT_AUTH");
    let chain = Chain::start(program, "https").await;
    let owner = chain.server.client(&place);
    let mut guesses = 0;
    while chain.log_in(CLIENT, "wrong-0123456789-abcdefghijklmnopqrs").await.status != 429 {
        guesses += 1;
        assert!(guesses < 50, "guessing is not stopped");
    }
    assert_eq!(chain.log_in(OTHER_CLIENT, owner.token()).await.status, 200);
    assert_eq!(owner.audited("brute_force_blocked").await[0]["target"], "127.0.0.9");
    // Another made-up sender each time makes no difference.
    let mut statuses = Vec::new();
    for lie in 0..20 {
        let request = chain.ask(CLIENT, Method::POST, "/api/auth/login");
        let request = request.header("x-forwarded-for", format!("203.0.113.{lie}")).json(&json!({ "token": "wrong" }));
        statuses.push(Client::try_send(request).await.unwrap().status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    chain.server.stop();
}
