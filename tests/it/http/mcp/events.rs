//! What happens, as it happens. The runtime's clock is paused.

use super::*;
use crate::support::{Stream, User};
use pawport::domain::event::Event;
use pawport::domain::mcp::McpServerName;

const STREAM: &str = "/api/v1/events/stream";
const KEEP_ALIVE: &str = ":\n\n";

async fn follow(user: &User) -> Stream {
    let mut stream = user.open(STREAM).await;
    assert_eq!(stream.status, 200);
    let first = stream.next().await.expect("a frame");
    let lines: Vec<_> = first.lines().collect();
    assert!(matches!(lines[..], ["event: connected", id, r#"data: {"status":"ok"}"#, ""] if id.starts_with("id: ")));
    stream
}

/// The name of the next event and its data.
async fn next(stream: &mut Stream) -> (String, Value) {
    read(&stream.next().await.expect("a frame"))
}

#[track_caller]
fn read(frame: &str) -> (String, Value) {
    let lines: Vec<_> = frame.lines().collect();
    let [event, id, data, ""] = lines[..] else { panic!("not a frame: {frame:?}") };
    assert!(id.starts_with("id: mwss20i0-"), "{id}");
    let event = event.strip_prefix("event: ").expect("an event").to_owned();
    let body: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
    assert_eq!((&body["event"], body.as_object().map(serde_json::Map::len)), (&json!(event), Some(2)), "{body}");
    (event, body["data"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_that_it_is_open() {
    let app = TestApp::new();
    let mut stream = follow(&app.token_user()).await;
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.headers[name], value, "{name}");
    }
    let begun = tokio::time::Instant::now();
    for seconds in [15, 30] {
        assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE));
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    app.stop.cancel();
    assert_eq!(stream.next().await, None);
    app.anonymous().get(STREAM).await.assert_error(401, "Unauthorized");
    app.token_user().get("/api/events/stream").await.assert_error(404, "Not Found");
}

/// Every `mcp_status` until it is quiet.
async fn all_statuses(stream: &mut Stream) -> Vec<Value> {
    let mut statuses = Vec::new();
    loop {
        let frame = stream.next().await.expect("a frame");
        if frame == KEEP_ALIVE {
            return statuses;
        }
        let (event, data) = read(&frame);
        assert_eq!((&*event, &data["name"]), ("mcp_status", &json!("it")));
        statuses.push(data);
    }
}

#[tokio::test(start_paused = true)]
async fn changes_of_servers_are_told_with_the_whole_status() {
    let app = TestApp::new();
    let mut stream = follow(&app.token_user()).await;
    added(&app, program("it", "loses"), "connected").await;
    let mut last = all_statuses(&mut stream).await.pop().expect("a status");
    last.as_object_mut().unwrap().remove("name");
    assert_eq!(last, statuses(&app).await["it"]);

    app.mcp.lose();
    let (event, data) = next(&mut stream).await;
    assert_eq!((&*event, &data["state"], &data["connected"]), ("mcp_status", &json!("backing_off"), &json!(false)));
    assert!(data["retry_at"].is_string());
    let last = all_statuses(&mut stream).await.pop().expect("a status");
    assert_eq!((&last["state"], &last["restarts"]), (&json!("connected"), &json!(1)));

    app.token_user().post("/api/mcp/toggle", json!({ "name": "it" })).await.assert_status(200);
    let last = all_statuses(&mut stream).await.pop().expect("a status");
    assert_eq!((&last["state"], &last["enabled"]), (&json!("disabled"), &json!(false)));
    app.token_user().post("/api/mcp/remove", json!({ "name": "it" })).await.assert_status(200);
    assert_eq!(all_statuses(&mut stream).await, [json!({ "name": "it", "removed": true })]);
}

/// The state of every `mcp_status`, and the address of every `mcp_oauth_redirect`, until it is quiet.
async fn told(stream: &mut Stream) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let frame = stream.next().await.expect("a frame");
        if frame == KEEP_ALIVE {
            return told;
        }
        let data = frame.lines().nth(2).and_then(|line| line.strip_prefix("data: ")).expect("data");
        let body: Value = serde_json::from_str(data).expect("JSON");
        let text = body["data"]["state"].as_str().or(body["data"]["url"].as_str()).expect("a text").to_owned();
        assert_eq!(body["event"] == "mcp_oauth_redirect", text.starts_with("https://"), "{body}");
        if body["event"] == "mcp_oauth_redirect" {
            assert_eq!(body["data"], json!({ "server": "it", "url": text }));
        }
        told.push(text);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_to_sign_in_is_told_where_once() {
    let app = TestApp::new();
    let mut stream = follow(&app.token_user()).await;
    added(&app, remote("it", "private"), "needs_auth").await;
    let url = "https://auth.example/authorize?state=state-of-it";
    let count = |told: &[String]| told.iter().filter(|text| *text == url).count();
    let first = told(&mut stream).await;
    let place = first.iter().position(|text| text == url).expect("where");
    assert_eq!((count(&first), &*first[place - 1]), (1, "needs_auth"));
    // Whoever comes later reads the status.
    let mut other = follow(&app.token_user()).await;
    assert_eq!(told(&mut other).await, Vec::<String>::new());

    app.anonymous().get("/api/mcp/oauth/callback?code=a&state=state-of-it").await.assert_status(200);
    settled(&app, "it", "connected").await;
    let then = told(&mut stream).await;
    assert_eq!((count(&then), then.last().map(String::as_str)), (0, Some("connected")));
    app.token_user().post("/api/v1/mcp/oauth/revoke", json!({ "name": "it" })).await.assert_status(200);
    settled(&app, "it", "needs_auth").await;
    assert_eq!(count(&told(&mut stream).await), 1, "it is wanted anew");
}

#[tokio::test(start_paused = true)]
async fn who_lacks_the_scope_hears_nothing_of_servers() {
    let app = TestApp::new();
    let key = crate::http::auth::key(&app, &["sessions"]).await;
    let mut stream = follow(&app.user_with(&key.token)).await;
    let mut owner = follow(&app.token_user()).await;
    added(&app, program("it", "works"), "connected").await;
    added(&app, remote("it", "private"), "needs_auth").await;
    app.token_user().post("/api/mcp/remove", json!({ "name": "it" })).await.assert_status(200);
    assert_eq!(next(&mut owner).await.0, "mcp_status");
    assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE));
    crate::http::auth::revoke(&app, &key).await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn who_reads_too_slowly_is_told_so() {
    let app = TestApp::new();
    let mut stream = follow(&app.token_user()).await;
    // Subscribed once it is asked for the first time.
    added(&app, program("first", "works"), "connected").await;
    assert_eq!(next(&mut stream).await.1["name"], "first");
    add(&app, with(program("it", "works"), "enabled", json!(false))).await;
    let name = McpServerName::parse("it").expect("a name");
    for _ in 0..50 {
        for _ in 0..100 {
            app.publish(Event::McpServerChanged(name.clone()));
        }
        tokio::task::yield_now().await;
    }
    let mut missed = 0;
    loop {
        let (event, data) = next(&mut stream).await;
        match &*event {
            "gap" => {
                assert_eq!(data.as_object().map(serde_json::Map::len), Some(1));
                missed += data["missed"].as_u64().expect("a number");
            }
            _ if missed > 0 => break assert_eq!(data["name"], "it"),
            _ => {}
        }
    }
    assert!((900..=950).contains(&missed), "{missed}");
}

/// Comes in the query, since a browser's `EventSource` can send nothing else.
#[tokio::test(start_paused = true)]
async fn a_token_may_be_in_the_address() {
    let app = TestApp::new();
    let path = format!("{STREAM}?token={}", crate::support::MASTER_TOKEN);
    let mut stream = app.anonymous().open(&path).await;
    assert_eq!(stream.status, 200);
    assert!(stream.next().await.unwrap().starts_with("event: connected\n"));
}
