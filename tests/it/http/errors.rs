//! What clients are told when the storage fails, and what is left behind: nothing. Also what all answers have in common.

use crate::support::{Call, FAULT, Failure, MASTER_TOKEN, Operation, START, TestApp, User, operations, soon};
use axum::http::Method;
use futures_util::{FutureExt, StreamExt};
use pawport::domain::auth::token::TokenHash;
use pawport::domain::memory::{MemoryFilter, Owners};
use pawport::domain::session::Role;
use pawport::domain::text::PageLimit;
use pawport::domain::time::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;
use std::pin::pin;

const INTERNAL: &str = "Internal server error; the log of the server has the reason";
const UNAVAILABLE: &str = "The storage cannot be reached at the moment; try again later";

/// Operations that ask no store.
const WITHOUT_STORE: [&str; 21] = [
    "version",
    "read_agent_status",
    "stream_agent_status",
    "describe_api",
    "alive",
    "read_caller",
    "describe_authorization",
    "read_mcp_status",
    "list_mcp_presets",
    "list_mcp_tools",
    "describe_mcp_client",
    "stream_events",
    "list_backends",
    "read_memory_settings",
    "install_backend",
    "check_backend",
    "list_ollama_models",
    "read_tunnel",
    // There is none to stop.
    "stop_tunnel",
    "poll_events",
    "poll_agent_status",
];

/// These ask no store, and are about a turn that is being answered. See `chat.rs`.
const OF_A_TURN: [&str; 3] = ["stop_chat", "approve_plan", "reject_plan"];

/// Takes what is good once: whoever comes again begins anew.
const GOOD_ONCE: &str = "finish_mcp_sign_in";

/// These remove what cannot be read any more, since nobody could get rid of it otherwise. See `mcp.rs`.
const REMOVES_WHAT_IS_CORRUPT: [&str; 2] = ["remove_mcp_server", "sign_out_of_mcp_server"];

/// What an app asks for.
const ASKED: &str = "?client_id=pocketpaw-desktop&redirect_uri=http://localhost:1\
     &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The same with what goes with it to the end.
fn authorization() -> Value {
    json!({
        "client_id": "pocketpaw-desktop", "redirect_uri": "http://localhost:1", "decision": "allow",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "grant_type": "authorization_code",
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    })
}

/// Tells why the storage failed, since that is what it is for. See `health.rs`.
const TELLS_THE_REASON: &str = "ready";

/// What calls need to find what they are about.
struct Known {
    secret: String,
    api_key: String,
    session: String,
    session_token: String,
    form_token: String,
    code: String,
    app_token: String,
    memory: String,
}

/// `body` with another member.
fn with(mut body: Value, name: &str, value: &str) -> Value {
    body[name] = json!(value);
    body
}

/// Waits until a server is in one of these states, in which nothing more happens to it.
async fn quiet(app: &TestApp, name: &str, states: &[&str]) {
    let state = async || app.token_user().get("/api/mcp/status").await.json()[name]["state"].clone();
    soon(async {
        while !states.contains(&state().await.as_str().expect("a state")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// An app with something of everything, the same in every run.
async fn app() -> (TestApp, Known) {
    let app = TestApp::new();
    app.say("websocket_a", Role::User, "hello").await;
    app.say("websocket_a", Role::Assistant, "hi").await;
    let added = app.token_user().post("/api/webhooks/add", json!({ "name": "ci" })).await.json();
    let secret = added["webhook"]["secret"].as_str().expect("a secret").to_owned();
    for _ in 0..2 {
        let call = app.anonymous().call(Method::POST, "/webhook/inbound/ci").header("x-webhook-secret", &secret);
        call.body("{}").send().await.assert_status(200);
    }
    let user = app.token_user();
    let api_key = user.post("/api/v1/auth/api-keys", json!({ "name": "k" })).await.json();
    let login = user.call(Method::POST, "/api/auth/session").send().await.json();
    let sessions = user.get("/api/v1/auth/sessions").await.json();
    user.call(Method::POST, "/api/v1/auth/pairing").send().await.assert_status(200);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let asked = user.get(&format!("/api/v1/oauth/authorize/request{ASKED}")).await.json();
    let form_token = text(&asked["form_token"]);
    let allow = async || {
        let answer =
            user.post("/api/v1/oauth/authorize/consent", with(authorization(), "form_token", &form_token)).await;
        let redirect = text(&answer.json()["redirect"]);
        redirect.split(['=', '&']).nth(1).expect("a code").to_owned()
    };
    let (spent, code) = (allow().await, allow().await);
    let app_tokens = user.post("/api/v1/oauth/token", with(authorization(), "code", &spent)).await.json();
    for (name, command) in [("works", "works"), ("signed", "private"), ("begun", "private")] {
        let server = match command {
            "private" => json!({ "name": name, "transport": "http", "url": "https://private/mcp" }),
            _ => json!({ "name": name, "command": command }),
        };
        user.post("/api/mcp/add", server).await.assert_status(200);
        quiet(&app, name, &["connected", "needs_auth"]).await;
    }
    user.get("/api/mcp/oauth/callback?code=a&state=state-of-signed").await.assert_status(200);
    quiet(&app, "signed", &["connected"]).await;
    let memory = user.post("/api/memory/long_term", json!({ "content": "Works from Lisbon", "tags": ["work"] })).await;
    let known = Known {
        memory: text(&memory.json()["id"]),
        secret,
        api_key: text(&api_key["id"]),
        session: text(&sessions[0]["id"]),
        session_token: text(&login["session_token"]),
        app_token: text(&app_tokens["access_token"]),
        form_token,
        code,
    };
    (app, known)
}

/// A call of the operation that would change or find something.
fn example(user: &User, operation: &Operation, known: &Known) -> Call {
    let method = Method::from_bytes(operation.method.as_bytes()).expect("a method");
    let call = |query: &str| user.call(method.clone(), &format!("{}{query}", operation.path_with("websocket_a")));
    match operation.id.trim_end_matches("_v1") {
        "list_audit_entries"
        | "list_sessions"
        | "read_settings"
        | "list_sessions_bare"
        | "create_session"
        | "list_webhooks"
        | "read_history"
        | "export_session"
        | "remove_session"
        | "exchange_credential"
        | "regenerate_token"
        | "list_auth_sessions"
        | "list_api_keys"
        | "show_qr_code"
        | "list_memories"
        | "memory_stats"
        | "memory_graph"
        | "memory_graph_picture"
        | "start_tunnel"
        | "create_pairing" => call(""),
        "change_settings" => call("").json(&json!({ "user_display_name": "Ada" })),
        "search_memories" => call("?q=lisbon"),
        "add_memory" => call("").json(&json!({ "content": "Likes tea" })),
        "edit_memory" => user.call(method, &operation.path_with(&known.memory)).json(&json!({ "content": "x" })),
        "delete_memory" => user.call(method, &operation.path_with(&known.memory)),
        "delete_memories_of" => call("?owner=default"),
        "prune_memories" => call("").json(&json!({})),
        "change_memory_settings" => call("").json(&json!({ "mem0_auto_learn": false })),
        "log_in" => call("").json(&json!({ "token": MASTER_TOKEN })),
        "log_out" => call("").header("cookie", format!("pocketpaw_session={}", known.session_token)),
        "revoke_auth_session" => user.call(method, &operation.path_with(&known.session)),
        "revoke_api_key" | "rotate_api_key" => user.call(method, &operation.path_with(&known.api_key)),
        "search_sessions" => call("?q=hello"),
        "read_history_by_query" | "export_session_by_query" => call("?id=websocket_a"),
        "rename_session" | "rename_session_put" => call("").json(&json!({ "title": "x" })),
        "add_webhook" | "create_api_key" => call("").json(&json!({ "name": "new" })),
        "remove_webhook" | "regenerate_webhook_secret" => call("").json(&json!({ "name": "ci" })),
        "add_mcp_server" => call("").json(&json!({ "name": "new", "command": "works" })),
        "remove_mcp_server" | "sign_out_of_mcp_server" => call("").json(&json!({ "name": "signed" })),
        "toggle_mcp_server" | "test_mcp_server" => call("").json(&json!({ "name": "works" })),
        "install_mcp_preset" => call("").json(&json!({ "preset_id": "memory" })),
        "call_mcp_tool" => call("").json(&json!({ "server": "works", "tool": "fails" })),
        "finish_mcp_sign_in" => call("?code=b&state=state-of-begun"),
        "answer_authorization" => call("").json(&with(authorization(), "form_token", &known.form_token)),
        "issue_app_tokens" => call("").json(&with(authorization(), "code", &known.code)),
        "revoke_app_tokens" => call("").json(&json!({ "token": known.app_token })),
        "chat" | "stream_chat" => call("").json(&json!({ "content": "/sessions" })),
        "deliver" => {
            let call = user.call(method, "/webhook/inbound/ci?wait=false");
            call.header("x-webhook-secret", &known.secret).json(&json!({ "content": "x" }))
        }
        other => panic!("there is no example for {other}; add one"),
    }
}

/// Everything that is stored.
async fn dump(app: &TestApp) -> String {
    let everything = PageLimit::clamped(i64::MAX);
    let stores = &app.stores;
    let mut text = String::new();
    let page = stores.sessions.recent(everything, 0).await.unwrap();
    for session in &page.sessions {
        let messages = stores.sessions.history(&session.id, everything).await.unwrap();
        writeln!(text, "{session:?} {messages:?}").unwrap();
    }
    for webhook in stores.webhooks.list().await.unwrap() {
        writeln!(text, "{webhook:?} {}", webhook.secret.expose()).unwrap();
    }
    let epoch = TokenHash::of(MASTER_TOKEN).fingerprint();
    writeln!(text, "{:?}", stores.auth_sessions.list(&epoch, START, everything).await.unwrap()).unwrap();
    writeln!(text, "{:?}", stores.api_keys.list().await.unwrap()).unwrap();
    for server in stores.mcp_servers.list().await.unwrap() {
        let sign_in = stores.mcp_servers.sign_in(&server.name).await.unwrap();
        let grant = sign_in.as_ref().map(secrecy::ExposeSecret::expose_secret);
        writeln!(text, "{server:?} {grant:?}").unwrap();
    }
    let memories = MemoryFilter::of(Owners::All);
    writeln!(text, "{:?}", stores.memories.page(&memories, everything, 0).await.unwrap()).unwrap();
    writeln!(text, "{:?}", stores.settings.all().await.unwrap()).unwrap();
    writeln!(text, "{:?}", stores.audit.recent(everything).await.unwrap()).unwrap();
    // Last, since it changes what it shows.
    let claimed = stores.turns.claim(1_000, Timestamp(0), Timestamp(i64::MAX)).await.unwrap();
    writeln!(text, "{claimed:?}").unwrap();
    text
}

async fn untouched() -> String {
    dump(&app().await.0).await
}

/// Calls the operation while the `nth` call of a store fails, and checks what becomes of it. False if there was no such
/// call.
async fn fails_cleanly(
    operation: &Operation,
    nth: u32,
    failure: Failure,
    expected: (u16, &str),
    untouched: &str,
) -> bool {
    let (app, known) = app().await;
    let mut heard = app.listen();
    app.fail_call(nth, failure);
    let answer = example(&app.token_user(), operation, &known).try_send().await;
    if !app.has_failed() {
        answer.expect("a whole answer").assert_status(200);
        return false;
    }
    let what = format!("{} when call {nth} fails with {failure:?}", operation.id);
    match answer {
        Ok(answer) => {
            let (status, detail) = expected;
            assert_eq!((answer.status().as_u16(), answer.json()), (status, json!({ "detail": detail })), "{what}");
            assert!(!answer.text().contains(FAULT), "{what}");
        }
        // A file that has begun can only be cut off.
        Err(broken) => assert!(operation.id.starts_with("export_session") && broken.status == 200, "{what}"),
    }
    // A state that came to nothing is used up all the same, and the server offers another.
    let offers_another = operation.id.starts_with(GOOD_ONCE);
    assert!(offers_another || heard.next().now_or_never().is_none(), "something was published: {what}");
    assert_eq!(dump(&app).await, untouched, "{what}");
    true
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_leaves_nothing_half_done() {
    let untouched = untouched().await;
    for operation in operations() {
        let id = operation.id.trim_end_matches("_v1");
        if WITHOUT_STORE.contains(&id) || OF_A_TURN.contains(&id) || id == TELLS_THE_REASON {
            continue;
        }
        for (failure, expected) in [
            (Failure::Unavailable, (503, UNAVAILABLE)),
            (Failure::Failed, (500, INTERNAL)),
            (Failure::Corrupt, (500, INTERNAL)),
        ] {
            if REMOVES_WHAT_IS_CORRUPT.contains(&id) && failure == Failure::Corrupt {
                continue;
            }
            let mut nth = 1;
            while fails_cleanly(operation, nth, failure, expected, &untouched).await {
                nth += 1;
            }
            assert!(nth > 1, "{} asks no store; see WITHOUT_STORE", operation.id);
        }
    }
}

#[tokio::test]
async fn what_asks_no_store_does_not_depend_on_one() {
    let without_store = operations().iter().filter(|it| WITHOUT_STORE.contains(&it.id.trim_end_matches("_v1")));
    for operation in without_store.filter(|it| it.method == "GET") {
        let (app, _) = app().await;
        app.fail_call(1, Failure::Unavailable);
        let query = match operation.id.trim_end_matches("_v1") {
            "describe_authorization" => ASKED,
            "list_mcp_tools" => "?server=works",
            _ => "",
        };
        let answer = app.token_user().open(&format!("{}{query}", operation.path)).await;
        assert_eq!((answer.status.as_u16(), app.has_failed()), (200, false), "{}", operation.id);
    }
}

#[tokio::test]
async fn an_operation_that_failed_works_the_next_time() {
    for operation in operations() {
        let id = operation.id.trim_end_matches("_v1");
        if WITHOUT_STORE.contains(&id) || OF_A_TURN.contains(&id) || [TELLS_THE_REASON, GOOD_ONCE].contains(&id) {
            continue;
        }
        let (app, known) = app().await;
        app.fail_call(1, Failure::Unavailable);
        example(&app.token_user(), operation, &known).send().await.assert_status(503);
        example(&app.token_user(), operation, &known).send().await.assert_status(200);
    }
}

/// The store has the last word: two who add the same name at once do not see each other before.
#[tokio::test]
async fn a_name_that_the_store_finds_taken_is_a_conflict() {
    let (app, _) = app().await;
    app.fail_call(1, Failure::Conflict);
    let answer = app.token_user().post("/api/webhooks/add", json!({ "name": "new" })).await;
    answer.assert_error(409, "Webhook 'new' already exists");
    assert_eq!(dump(&app).await, untouched().await);
}

#[tokio::test]
async fn an_id_that_the_store_finds_taken_is_replaced_by_another() {
    let app = TestApp::new();
    app.fail_call(1, Failure::Conflict);
    let created = app.token_user().call(Method::POST, "/api/sessions").send().await.assert_status(200).json();
    assert!(app.has_failed());
    let list = app.token_user().get("/api/sessions").await.json();
    assert_eq!((&list["total"], &list["sessions"][0]["id"]), (&json!(1), &created["id"]));
}

#[tokio::test]
async fn a_refusal_that_cannot_be_written_down_is_a_refusal() {
    for failure in [Failure::Unavailable, Failure::Failed] {
        let (app, _) = app().await;
        app.fail_call(2, failure);
        let call = app.anonymous().call(Method::POST, "/webhook/inbound/ci").header("x-webhook-secret", "wrong");
        call.body("{}").send().await.assert_error(403, "Invalid webhook secret or signature");
        assert!(app.has_failed());
        assert_eq!(dump(&app).await, untouched().await);
    }
}

/// As for a good proof: who cannot be checked is not refused.
#[tokio::test]
async fn a_proof_that_cannot_be_checked_is_to_be_sent_again() {
    for secret in ["wrong", "the right one"] {
        let (app, known) = app().await;
        app.fail_call(1, Failure::Unavailable);
        let secret = if secret == "wrong" { secret } else { &*known.secret };
        let call = app.anonymous().call(Method::POST, "/webhook/inbound/ci").header("x-webhook-secret", secret);
        call.body("{}").send().await.assert_error(503, UNAVAILABLE);
        assert_eq!(dump(&app).await, untouched().await);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_is_told_to_nobody_until_it_is() {
    let app = TestApp::new();
    let added = app.token_user().post("/api/webhooks/add", json!({ "name": "ci", "session": "slot" })).await.json();
    let secret = added["webhook"]["secret"].as_str().unwrap();
    let call = app.anonymous().call(Method::POST, "/webhook/inbound/ci?wait=true").header("x-webhook-secret", secret);
    let mut waiting = pin!(call.body(r#"{"content":"/ping"}"#).send());
    assert!(waiting.as_mut().now_or_never().is_none());

    let agent = app.agent();
    app.fail_call(1, Failure::Unavailable);
    assert!(agent.claim(1).await.is_err());
    let turn = agent.claim(1).await.unwrap().remove(0);
    let answer = agent.run(&turn).await;
    app.fail_call(1, Failure::Unavailable);
    assert!(agent.finish(&turn, &answer).await.is_err());
    assert!(waiting.as_mut().now_or_never().is_none());
    let history = app.token_user().get("/api/memory/session?id=webhook_ci").await.json();
    assert_eq!(history.as_array().map(Vec::len), Some(1));

    agent.finish(&turn, &answer).await.unwrap();
    assert_eq!(waiting.await.json()["response"], "pong");
    let history = app.token_user().get("/api/memory/session?id=webhook_ci").await.json();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn requests_are_numbered_and_the_id_of_a_client_is_kept() {
    let app = TestApp::new();
    for (number, path) in ["/healthz", "/api/sessions", "/nope", "/webhook/x", "/", "/api/v1/docs"].iter().enumerate() {
        let answer = app.anonymous().get(path).await;
        assert_eq!(answer.header("x-request-id"), (number + 1).to_string());
    }
    for path in ["/healthz", "/api/sessions", "/nope"] {
        let answer = app.anonymous().call(Method::GET, path).header("x-request-id", "theirs-1").send().await;
        assert_eq!(answer.header("x-request-id"), "theirs-1");
    }
}

/// Also when something panics. That all answers have these headers is checked with every request of these tests.
#[tokio::test]
async fn a_panic_is_an_answer_like_any_other() {
    let app = TestApp::new();
    app.fail_call(1, Failure::Panic);
    let answer = app.token_user().get("/api/sessions").await;
    answer.assert_error(500, INTERNAL);
    app.token_user().get("/api/sessions").await.assert_status(200);
    insta::assert_debug_snapshot!(answer.headers(), @r#"
    {
        "content-type": "application/json",
        "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "strict-origin-when-cross-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "strict-transport-security": "max-age=31536000; includeSubDomains",
        "x-request-id": "1",
    }
    "#);
}
