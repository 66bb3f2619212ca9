//! What can come over a socket: broken, hostile or merely unusual HTTP. Never a fault of the server's, never a hang, and
//! the next one is served.

use super::binary::{PATIENCE, Place, Server};
use super::client::{Slot, eventually, plain_slot};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// The largest body that is taken.
const LIMIT: usize = 1024 * 1024;

pub(super) fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that comes until the server closes the connection. A server that does not is a failure.
#[track_caller]
pub(super) fn read_all(stream: &mut TcpStream, what: &str) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // Who closes while something unread is on its way resets the connection.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
        Err(error) => panic!("{what}: {error} after {:?}", String::from_utf8_lossy(&answer)),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of every answer in `answers`. For answers whose bodies do not hold a status line.
pub(super) fn statuses(answers: &str) -> Vec<u16> {
    let versions = answers.split("HTTP/1.").skip(1);
    versions.map(|rest| rest[2..].split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// Sends `bytes` and stays on the line until the server ends it. Gives the statuses of what is answered.
#[track_caller]
pub(super) fn exchange(server: &Server, what: &str, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(server);
    // The server may have answered and closed before it has read everything.
    let _ = stream.write_all(bytes);
    answered(server, what, &mut stream)
}

/// Sends `bytes`, says that nothing more comes, and gives the statuses of what is answered.
#[track_caller]
fn exchange_cut_off(server: &Server, what: &str, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(server);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    answered(server, what, &mut stream)
}

#[track_caller]
fn answered(server: &Server, what: &str, stream: &mut TcpStream) -> Vec<u16> {
    let answers = read_all(stream, what);
    let statuses = statuses(&answers);
    assert!(statuses.iter().all(|status| *status < 500), "{what}: {answers}");
    still_serves(server, what);
    statuses
}

#[track_caller]
fn still_serves(server: &Server, what: &str) {
    let mut stream = connect(server);
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let answer = read_all(&mut stream, what);
    assert!(answer.starts_with("HTTP/1.1 200 "), "after {what}: {answer}");
}

/// Stops the server and sees that nothing of it was a surprise.
#[track_caller]
pub(super) fn stop(server: Server) {
    let log = server.stop().stderr;
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

#[test]
fn what_is_no_http() {
    let place = Place::new();
    let server = place.serve(&[]);
    let long_line = vec![b'A'; 100_000];
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("an empty line", b"\r\n\r\n"),
        ("a TLS greeting", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"),
        ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
        ("NUL bytes", &[0; 1000]),
        ("a line without an end", &long_line),
        ("half a request line", b"GET /heal"),
        ("half the headers", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Half"),
        ("a version that is none", b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n"),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n"),
        ("bare line feeds", b"GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        let statuses = exchange_cut_off(&server, what, bytes);
        assert!(statuses.len() <= 1, "{what}: {statuses:?}");
    }
    stop(server);
}

#[test]
fn requests_that_are_odd() {
    let place = Place::new();
    let server = place.serve(&[]);
    let no_way = &[400, 401, 404, 405][..];
    for (what, line, rest, allowed) in [
        ("HTTP/1.0", "GET /healthz HTTP/1.0", "", &[200][..]),
        ("the whole URL", "GET http://127.0.0.1/healthz HTTP/1.1", "", &[200]),
        ("the whole URL of another", "GET http://x/healthz HTTP/1.1", "", &[403]),
        ("HEAD", "HEAD /healthz HTTP/1.1", "", &[200]),
        ("OPTIONS of everything", "OPTIONS * HTTP/1.1", "", no_way),
        ("TRACE", "TRACE /healthz HTTP/1.1", "", &[401]),
        ("CONNECT", "CONNECT example.org:443 HTTP/1.1", "", &[403]),
        ("a method of its own", "BREW /healthz HTTP/1.1", "", &[401]),
        ("an upgrade", "GET /healthz HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n", &[200]),
        ("another Host", "GET /healthz HTTP/1.1", "Host: y\r\n", &[400]),
        ("dots in the path", "GET /static/../api/version HTTP/1.1", "", &[401, 404]),
        ("two slashes", "GET //api//version HTTP/1.1", "", &[401, 404]),
        ("NUL in the path", "GET /api/sessions/%00 HTTP/1.1", "", &[401]),
        ("what is not UTF-8 in the path", "POST /webhook/inbound/%ff HTTP/1.1", "", &[403, 404]),
        ("NUL in a slot's name", "POST /webhook/inbound/%00 HTTP/1.1", "", &[403]),
        ("a percent sign alone", "POST /webhook/inbound/% HTTP/1.1", "", &[403]),
        ("a broken query", "POST /webhook/inbound/x?wait=%ff HTTP/1.1", "", &[403, 422]),
        ("two lengths", "POST /webhook/inbound/x HTTP/1.1", "Content-Length: 2\r\nContent-Length: 3\r\n", &[400]),
        ("a length below zero", "POST /webhook/inbound/x HTTP/1.1", "Content-Length: -1\r\n", &[400]),
        (
            "a length beyond numbers",
            "POST /webhook/inbound/x HTTP/1.1",
            "Content-Length: 99999999999999999999\r\n",
            &[400],
        ),
        ("an unknown coding", "POST /webhook/inbound/x HTTP/1.1", "Transfer-Encoding: gzip\r\n", &[400]),
        ("chunks of no size", "POST /webhook/inbound/x HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\nzz\r\n", &[400]),
        ("a body for GET", "GET /healthz HTTP/1.1", "Content-Length: 2\r\n", &[200]),
        ("Latin-1 in a header", "GET /api/version HTTP/1.1", "Authorization: Bearer \u{e9}\r\n", &[401]),
    ] {
        let request = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{rest}\r\n");
        let statuses = exchange(&server, what, request.as_bytes());
        assert!(statuses.len() == 1 && allowed.contains(&statuses[0]), "{what}: {statuses:?}");
    }
    assert_eq!(exchange(&server, "no Host", b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").len(), 1);
    stop(server);
}

#[test]
fn many_and_long_headers() {
    let place = Place::new();
    let server = place.serve(&[]);
    let many = "X-Again: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(2_000);
    let long = format!("X-Long: {}\r\n", "y".repeat(100 * 1024));
    let endless = format!("X-Long: {}\r\n", "y".repeat(10 * 1024 * 1024));
    for (what, headers, least) in [("many", many, 400), ("long", long, 200), ("endless", endless, 400)] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let statuses = exchange(&server, what, request.as_bytes());
        // The answer to what is far too long may be lost, since the server does not read it to the end.
        assert!(statuses.iter().all(|status| *status >= least), "{what}: {statuses:?}");
    }
    for (length, expected) in [(60_000, 401), (100_000, 414)] {
        let path = "y".repeat(length);
        let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(&server, "a long path", request.as_bytes()), [expected], "{length}");
    }
    stop(server);
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_not_taken() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("cut")).await;
    let head =
        format!("POST /webhook/inbound/cut HTTP/1.1\r\nHost: localhost\r\nX-Webhook-Secret: {}\r\n", slot.secret);
    // What is there is a whole object: only the length says that something is missing.
    let plain = format!("{head}Content-Length: 100\r\n\r\n{{\"content\":\"half\"}}");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n12\r\n{{\"content\":\"half\"}}\r\n");
    for (what, request) in [("a body cut off", plain), ("chunks without the last", chunked)] {
        let statuses = exchange_cut_off(&server, what, request.as_bytes());
        assert!(statuses.is_empty() || statuses == [400], "{what}: {statuses:?}");
    }
    // The connection breaks instead of ending.
    let mut stream = connect(&server);
    stream.write_all(format!("{head}Content-Length: 100\r\n\r\n{{").as_bytes()).unwrap();
    drop(stream);
    still_serves(&server, "a broken connection");
    assert_eq!(client.get("/api/sessions").await.json()["total"], 0, "nothing was taken");
    stop(server);
}

/// The head of a request with a body, for both kinds of routes, without what says how long the body is.
fn heads(place: &Place, slot: &Slot) -> [String; 2] {
    let (name, secret, token) = (&slot.name, &slot.secret, place.token());
    let bearer = format!("Content-Type: application/json\r\nAuthorization: Bearer {token}");
    [
        (format!("/webhook/inbound/{name}"), format!("X-Webhook-Secret: {secret}")),
        ("/api/webhooks/add".to_owned(), bearer),
    ]
    .map(|(path, proof)| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{proof}\r\n"))
}

#[tokio::test]
async fn a_body_as_large_as_allowed_is_taken_and_a_larger_one_is_not() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("large")).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536));
    let chunks = chunk.repeat(LIMIT / 65_536) + "1\r\n \r\n";
    for head in heads(&place, &slot) {
        let whole = format!("{head}Content-Length: {}\r\n\r\n{}", LIMIT + 1, " ".repeat(LIMIT + 1));
        assert_eq!(exchange(&server, &head, whole.as_bytes()), [413], "{head}");
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(exchange(&server, &head, chunked.as_bytes()), [413], "{head} in chunks");
    }
    let body = format!("{{\"content\":\"{}\"}}", "y".repeat(LIMIT - 14));
    let [head, _] = heads(&place, &slot);
    let request = format!("{head}Content-Length: {LIMIT}\r\n\r\n{body}");
    assert_eq!(exchange(&server, "as large as allowed", request.as_bytes()), [200]);
    eventually("it is in a session", async || (client.get("/api/sessions").await.json()["total"] == 1).then_some(()))
        .await;
    stop(server);
}

#[tokio::test]
async fn a_length_that_is_too_large_is_refused_before_the_body_comes() {
    let place = Place::new();
    let server = place.serve(&[]);
    let slot = server.client(&place).add_slot(&plain_slot("large")).await;
    for head in heads(&place, &slot) {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let request = format!("{head}{expect}Content-Length: 1000000000\r\n\r\n");
            assert_eq!(exchange(&server, &head, request.as_bytes()), [413], "{head}{expect}");
        }
    }
    stop(server);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("polite")).await;
    let body = json!({ "content": "/ping" }).to_string();
    let head = format!("X-Webhook-Secret: {}\r\nContent-Length: {}\r\nExpect: 100-continue", slot.secret, body.len());

    let mut stream = connect(&server);
    let start = "POST /webhook/inbound/polite?wait=true HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    stream.write_all(format!("{start}\r\n{head}\r\n\r\n").as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    let answer = read_all(&mut stream, "the answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("pong"), "{answer}");

    // One that would be refused anyway need not send it.
    let mut stream = connect(&server);
    let head = "POST /api/webhooks/add HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue";
    stream.write_all(format!("{head}\r\nContent-Length: 100\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(statuses(&read_all(&mut stream, "without credentials")), [401]);
    stop(server);
}

#[tokio::test]
async fn requests_sent_without_waiting_are_answered_in_order() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("pipe")).await;
    let pair = |number: usize| {
        let body = json!({ "content": format!("pipelined {number}") }).to_string();
        let (secret, length) = (&slot.secret, body.len());
        let head = format!("Host: localhost\r\nX-Webhook-Secret: {secret}\r\nContent-Length: {length}");
        let first = format!("POST /webhook/inbound/pipe HTTP/1.1\r\n{head}\r\n\r\n{body}");
        format!("{first}GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: second-{number}\r\n\r\n")
    };
    let last = "GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned();
    let requests: Vec<String> = (0..50).map(pair).chain([last]).collect();
    let mut stream = connect(&server);
    stream.write_all(requests.concat().as_bytes()).unwrap();
    let answers = read_all(&mut stream, "many requests at once");
    let mut expected = vec![200; 100];
    expected.push(401);
    assert_eq!(statuses(&answers), expected);
    let ids: Vec<_> = answers.split("x-request-id: second-").skip(1).collect();
    for (number, rest) in ids.into_iter().enumerate() {
        assert!(rest.starts_with(&format!("{number}\r\n")), "{number}: {rest}");
    }
    eventually("each has a session", async || (client.get("/api/sessions").await.json()["total"] == 50).then_some(()))
        .await;
    stop(server);
}

#[test]
fn one_request_cannot_be_hidden_in_another() {
    let place = Place::new();
    let server = place.serve(&[]);
    // Two readers of this could disagree where the first request ends (RFC 9112 §6.1), so at most one is served.
    let hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let head = "POST /webhook/inbound/x HTTP/1.1\r\nHost: localhost\r\n";
    let length = hidden.len() + 5;
    let both = format!("{head}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}");
    let twice = format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}");
    for (what, request) in [("both lengths", both), ("two codings", twice)] {
        let statuses = exchange_cut_off(&server, what, request.as_bytes());
        assert!(statuses.len() == 1 || !statuses.contains(&200), "{what}: {statuses:?}");
    }
    stop(server);
}

#[test]
fn many_connections_that_say_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let silent: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    still_serves(&server, "200 silent connections");
    drop(silent);
    still_serves(&server, "their end");
    stop(server);
}
