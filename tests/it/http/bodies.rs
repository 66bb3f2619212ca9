//! What every route that takes a JSON body does with one that is not what it should be.

use crate::support::{Call, Operation, Response, TestApp, operations};
use axum::body::{Body, Bytes};
use axum::http::Method;
use futures_util::stream;
use pawport::domain::session::Role;
use serde_json::{Value, json};
use std::convert::Infallible;

/// The operations that take a JSON body. Deliveries are what senders send, and have tests of their own.
fn with_body() -> impl Iterator<Item = &'static Operation> {
    let takes_json = |it: &&Operation| it.description["requestBody"]["content"]["application/json"].is_object();
    let found = operations().iter().filter(takes_json).filter(|it| it.path != "/webhook/inbound/{name}");
    // What needs no body takes none as well. See `chat.rs`.
    let found = found.filter(|it| !it.path.contains("/plan/"));
    assert!(found.clone().count() >= 13, "too few operations to be true");
    found
}

/// What stands in a body in which no operation misses anything.
const MEMBERS: &str = r#""name":"new","title":"x","token":"x","client_id":"pocketpaw-desktop","redirect_uri":"http://localhost:1","code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM","form_token":"x","decision":"deny","grant_type":"x","command":"works","preset_id":"memory","server":"x","tool":"x","content":"/help","backend":"x","older_than_days":30"#;

/// Whether the operation takes forms too.
fn takes_forms(operation: &Operation) -> bool {
    operation.description["requestBody"]["content"]["application/x-www-form-urlencoded"].is_object()
}

/// An app in which every operation of [`with_body`] finds what it is called for.
async fn app() -> TestApp {
    let app = TestApp::new();
    app.say("websocket_a", Role::User, "hello").await;
    app.token_user().post("/api/webhooks/add", json!({ "name": "ci" })).await.assert_status(200);
    app
}

fn call(app: &TestApp, operation: &Operation) -> Call {
    let method = Method::from_bytes(operation.method.as_bytes()).expect("a method");
    app.token_user().call(method, &operation.path_with("websocket_a"))
}

/// Everything that a client can read, but for the notes that somebody tried to log in.
async fn state(app: &TestApp) -> Vec<Value> {
    let user = app.token_user();
    let mut state = Vec::new();
    for path in
        ["/api/sessions", "/api/webhooks", "/api/mcp/status", "/api/memory/long_term", "/api/settings", "/api/audit"]
    {
        let mut answer = user.get(path).await.json();
        if let Some(entries) = answer.as_array_mut() {
            entries.retain(|entry| entry["action"] != "login_failed");
        }
        state.push(answer);
    }
    state
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let app = app().await;
    let before = state(&app).await;
    let deep = format!(r#"{{"name":"x","title":"x","more":{}"#, "[".repeat(100_000));
    let (more, another) = (format!("{{{MEMBERS}}} x"), format!("{{{MEMBERS}}}{{}}"));
    let bodies: [&[u8]; 18] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"{\"name\":\"x\",\"title\":\"x\"",
        more.as_bytes(),
        another.as_bytes(),
        b"{\"name\":\"x\",\"title\":\"x\",}",
        b"{'name':'x','title':'x'}",
        b"name=x&title=x",
        b"NaN",
        b"\xef\xbb\xbf{\"name\":\"x\",\"title\":\"x\"}",
        b"\xff\xfe{\x00}\x00",
        b"{\"name\":\"caf\xe9\",\"title\":\"caf\xe9\"}",
        b"{\"name\":\"x\x00\",\"title\":\"x\x00\"}",
        br#"{"name":"\ud800","title":"\ud800","token":"\ud800","grant_type":"\ud800","preset_id":"\ud800","server":"\ud800","backend":"\ud800","content":"\ud800","older_than_days":"\ud800"}"#,
        br#"{"name":"\x","title":"\x","token":"\x"}"#,
        deep.as_bytes(),
    ];
    for operation in with_body() {
        for body in bodies {
            let answer = call(&app, operation).raw_json(body.to_vec()).send().await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(answer.status(), 400, "{}: {shown}", operation.id);
            answer.assert_error(400, "Invalid JSON body");
        }
    }
    assert_eq!(state(&app).await, before);
}

/// Members that nobody knows are not looked at, but a text that is not UTF-8 is no JSON wherever it stands.
#[tokio::test]
async fn bytes_that_are_no_text_are_refused_in_unknown_members_too() {
    let app = app().await;
    for operation in with_body() {
        for body in
            [&b"{\"title\":\"x\",\"name\":\"y\",\"more\":\"\xff\"}"[..], b"{\"title\":\"x\",\"name\":\"y\",\"\xff\":1}"]
        {
            call(&app, operation).raw_json(body).send().await.assert_error(400, "Invalid JSON body");
        }
    }
}

#[tokio::test]
async fn json_that_is_no_object_is_refused() {
    let app = app().await;
    let before = state(&app).await;
    for operation in with_body() {
        for body in ["null", "true", "5", "1.5", "\"x\"", "[]", "[\"ci\"]", "[\"x\",\"y\",5,\"any\",\"slot\"]", "[{}]"]
        {
            let answer = call(&app, operation).raw_json(body).send().await;
            assert_eq!(answer.status(), 422, "{}: {body} gives {}", operation.id, answer.text());
            answer.assert_invalid("dict_type", &["body"], "Input should be an object");
        }
    }
    assert_eq!(state(&app).await, before);
}

#[tokio::test]
async fn a_body_that_does_not_claim_to_be_json_is_not_read() {
    let app = app().await;
    let before = state(&app).await;
    let refusal = "Content-Type must be application/json";
    for operation in with_body() {
        let body = json!({ "name": "ci", "title": "x" }).to_string();
        call(&app, operation).body(body.clone()).send().await.assert_error(415, refusal);
        for kind in [
            "",
            "json",
            "text/plain",
            "text/json",
            "text/plain; application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "application/octet-stream",
            "image/svg+json",
        ] {
            if kind == "application/x-www-form-urlencoded" && takes_forms(operation) {
                continue;
            }
            let answer = call(&app, operation).header("content-type", kind).body(body.clone()).send().await;
            assert_eq!(answer.status(), 415, "{}: {kind}", operation.id);
            answer.assert_error(415, refusal);
        }
        call(&app, operation).header("content-type", b"\xff").body(body).send().await.assert_error(415, refusal);
    }
    assert_eq!(state(&app).await, before);
}

/// Fails if the answer finds fault with the body, and not with what it asks for.
#[track_caller]
fn assert_read(operation: &Operation, answer: &Response) {
    let status = answer.status().as_u16();
    let is_read = matches!(status, 200 | 401 | 403 | 404 | 409) || answer.text().contains("unsupported_grant_type");
    assert!(is_read, "{}: {answer:?}", operation.id);
}

#[tokio::test]
async fn json_may_be_called_by_all_its_names() {
    for kind in [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        " application/json ;x=y",
        "application/vnd.api+json",
    ] {
        for operation in with_body() {
            let app = app().await;
            // The answer is another for each, but none of them finds fault with the body.
            let body = format!("{{{MEMBERS}}}");
            let answer = call(&app, operation).header("content-type", kind).body(body).send().await;
            assert_read(operation, &answer);
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let app = app().await;
    let before = state(&app).await;
    let padding = |length: usize| {
        let more = "x".repeat(length);
        format!(r#"{{{MEMBERS},"more":"{more}"}}"#)
    };
    let fits = 1024 * 1024 - padding(0).len();
    for operation in with_body() {
        let answer = call(&app, operation).raw_json(padding(fits + 1)).send().await;
        answer.assert_error(413, "The body is larger than 1 MiB");
        let piece = Ok::<_, Infallible>(Bytes::from(vec![b' '; 64 * 1024]));
        let endless = Body::from_stream(stream::repeat_with(move || piece.clone()));
        call(&app, operation).raw_json(endless).send().await.assert_error(413, "The body is larger than 1 MiB");
    }
    assert_eq!(state(&app).await, before);
    for operation in with_body() {
        let answer = call(&app, operation).raw_json(padding(fits)).send().await;
        assert_read(operation, &answer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up_after_half_a_minute() {
    let app = app().await;
    for operation in with_body() {
        let begun = tokio::time::Instant::now();
        let call = call(&app, operation).raw_json(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
        call.send().await.assert_error(408, "The body took too long to arrive");
        assert_eq!(begun.elapsed().as_secs(), 30);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let app = app().await;
    for operation in with_body() {
        let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))];
        let answer = call(&app, operation).raw_json(Body::from_stream(stream::iter(pieces))).send().await;
        answer.assert_error(400, "The body could not be read");
    }
}

/// Who has no credentials cannot make the server read a body, unless the body is the credential.
#[tokio::test]
async fn the_gate_comes_before_the_body() {
    let app = app().await;
    for operation in with_body().filter(|operation| !operation.is_open()) {
        let method = Method::from_bytes(operation.method.as_bytes()).expect("a method");
        let call = app.anonymous().call(method, &operation.path_with("websocket_a"));
        let call = call.raw_json(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
        call.send().await.assert_error(401, "Unauthorized");
    }
}

/// What a form can send is refused without a look at it, also where no body is expected.
#[tokio::test]
async fn a_change_with_a_body_that_is_no_json_is_refused_before_anything_else() {
    let app = app().await;
    let before = state(&app).await;
    let changes = operations().iter().filter(|it| it.method != "GET" && it.path != "/webhook/inbound/{name}");
    for operation in changes.filter(|it| !takes_forms(it)) {
        let method = || Method::from_bytes(operation.method.as_bytes()).expect("a method");
        for user in [app.anonymous(), app.token_user()] {
            for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
                let call = user.call(method(), &operation.path_with("websocket_a")).header("content-type", kind);
                let call = call.body(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
                call.send().await.assert_error(415, "Content-Type must be application/json");
            }
        }
    }
    assert_eq!(state(&app).await, before);
}
