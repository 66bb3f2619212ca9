//! Events and the status without a stream.

use super::*;
use crate::support::{Stream, User};
use futures_util::FutureExt;
use pawport::adapters::fake::{Script, ScriptedAgent};
use std::sync::Arc;
use tokio::time::Instant;

const EVENTS: &str = "/api/v1/events/poll";
const STATUS: &str = "/api/v1/agent/status/poll";

async fn poll(user: &User, path: &str, query: &str) -> Value {
    user.get(&format!("{path}{query}")).await.assert_status(200).json()
}

/// What a poll gives, and what to give to the next one.
async fn polled(user: &User, path: &str, since: &str, wait: u64) -> (Vec<Value>, String) {
    let answer = poll(user, path, &format!("?since={since}&wait={wait}")).await;
    let events = answer["events"].as_array().expect("a list").clone();
    (events, answer["since"].as_str().expect("an id").to_owned())
}

/// Id, event and data of the next frame of a stream, as a poll tells them.
async fn next(stream: &mut Stream) -> Value {
    let frame = loop {
        let frame = soon(stream.next()).await.expect("a frame");
        if frame != ":\n\n" {
            break frame;
        }
    };
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).expect("a field").to_owned();
    let data: Value = serde_json::from_str(&field("data: ")).expect("JSON");
    // The stream of events says the event's name twice.
    let data = data.get("data").filter(|_| data["event"].is_string()).unwrap_or(&data);
    json!({ "id": field("id: "), "event": field("event: "), "data": data })
}

#[tokio::test(start_paused = true)]
async fn events_are_polled_as_the_stream_tells_them() {
    let app = TestApp::new();
    let user = app.token_user();
    let mut stream = user.open("/api/v1/events/stream").await;
    soon(stream.next()).await.expect("a first frame");
    let began = Instant::now();
    let first = poll(&user, EVENTS, "").await;
    assert_eq!((&first["events"], began.elapsed()), (&json!([]), Duration::ZERO));
    let mut since = first["since"].as_str().expect("an id").to_owned();

    start(&app, "/api").await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let (events, next) = polled(&user, EVENTS, &since, 25).await;
        assert!(!events.is_empty());
        since = next;
        told.extend(events);
    }
    assert_eq!(told, [next(&mut stream).await, next(&mut stream).await]);
    let states: Vec<_> = told.iter().map(|event| (event["event"].clone(), event["data"]["state"].clone())).collect();
    // What it is when it is told, which may be later than what is told of.
    assert_eq!(states.last(), Some(&(json!("tunnel_status"), json!("up"))));
    assert_eq!((&told[1]["data"]["url"], &told[1]["id"]), (&json!(FIRST), &json!(since)));

    // Nothing more happens: the wait is over in the end.
    let began = Instant::now();
    assert_eq!(polled(&user, EVENTS, &since, 25).await, (vec![], since.clone()));
    assert_eq!(began.elapsed(), Duration::from_secs(25));
    let quick = polled(&user, EVENTS, &since, 0).now_or_never();
    assert_eq!(quick, Some((vec![], since.clone())));
    // Without a word about it, the same.
    let began = Instant::now();
    poll(&user, EVENTS, &format!("?since={since}")).await;
    assert_eq!(began.elapsed(), Duration::from_secs(25));

    // What happens meanwhile ends the wait.
    let began = Instant::now();
    let ((events, _), ()) = tokio::join!(polled(&user, EVENTS, &since, 60), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        app.tunnels().tell(TunnelNews::Unhealthy("it is not connected".to_owned()));
    });
    assert_eq!((&events[0]["data"]["state"], began.elapsed()), (&json!("degraded"), Duration::from_secs(7)));
    assert_eq!(events[0], next(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn polls_and_streams_go_on_where_the_other_was() {
    let app = TestApp::new();
    let user = app.token_user();
    let since = poll(&user, EVENTS, "").await["since"].as_str().expect("an id").to_owned();
    start(&app, "/api").await;
    stop(&app, "/api").await;
    let (events, last) = polled(&user, EVENTS, &since, 0).await;
    let mut stream = user.open(&format!("/api/v1/events/stream?last_event_id={since}")).await;
    soon(stream.next()).await.expect("connected");
    for event in &events {
        assert_eq!(&next(&mut stream).await, event);
    }
    let middle = events[0]["id"].as_str().expect("an id");
    assert_eq!(polled(&user, EVENTS, middle, 0).await, (events[1..].to_vec(), last));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_said() {
    let app = TestApp::new();
    let user = app.token_user();
    poll(&user, EVENTS, "").await;
    start(&app, "/api").await;
    // Of another run, or of none.
    for id in ["mws-3", "mwss20i0-99", "x", "-1"] {
        let (events, since) = polled(&user, EVENTS, id, 25).await;
        assert_eq!((&events[0]["event"], &events[0]["data"]), (&json!("gap"), &json!({ "missed": null })), "{id}");
        // And then it goes on.
        let (rest, _) = polled(&user, EVENTS, &since, 25).await;
        assert_eq!(rest.last().map(|event| &event["data"]["state"]), Some(&json!("up")), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_tells_only_what_its_credential_may_know() {
    let app = TestApp::new();
    let key = crate::http::auth::key(&app, &["sessions"]).await;
    let (owner, user) = (app.token_user(), app.user_with(&key.token));
    let since = poll(&owner, EVENTS, "").await["since"].as_str().expect("an id").to_owned();
    start(&app, "/api").await;
    assert!(!polled(&owner, EVENTS, &since, 0).await.0.is_empty());
    let began = Instant::now();
    let (events, later) = polled(&user, EVENTS, &since, 10).await;
    // It waited, though something happened, and is beyond it.
    assert_eq!((events, began.elapsed()), (vec![], Duration::from_secs(10)));
    assert_ne!(later, since);
}

#[tokio::test(start_paused = true)]
async fn the_status_is_polled_as_the_stream_tells_it() {
    let script = Script::new().tool_started("ls").tool_finished("ls", "a b").text("Two.");
    let agent = Arc::new(ScriptedAgent::following([script]));
    let app = TestApp::with_agent(agent as _);
    let user = app.token_user();
    let mut stream = user.open("/api/v1/agent/status/stream").await;
    let began = Instant::now();
    let present = poll(&user, STATUS, "").await;
    assert_eq!((present["events"].as_array().map(Vec::len), began.elapsed()), (Some(1), Duration::ZERO));
    assert_eq!(present["events"][0], next(&mut stream).await);
    let mut since = present["since"].as_str().expect("an id").to_owned();
    assert_eq!(present["events"][0]["id"], json!(since));

    let body = json!({ "content": "How many?", "session_id": "websocket_a" });
    let (answer, _) = tokio::join!(user.post("/api/v1/chat", body), app.answer_next());
    answer.assert_status(200);
    let mut told = Vec::new();
    loop {
        let (events, next) = polled(&user, STATUS, &since, 25).await;
        if events.is_empty() {
            break;
        }
        since = next;
        told.extend(events);
    }
    assert!(told.len() >= 4, "{told:?}");
    for event in &told {
        assert_eq!(&next(&mut stream).await, event);
    }
    // Of another run, or of none.
    for id in ["mws-0", "mws-3", "mwss20i0-99", "3", "x", "-1"] {
        let (events, _) = polled(&user, STATUS, id, 25).await;
        assert_eq!(events.len(), 1, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_and_of_the_credential_end_a_poll() {
    let app = TestApp::new();
    let key = crate::http::auth::key(&app, &["admin"]).await;
    let user = app.user_with(&key.token);
    for path in [EVENTS, STATUS] {
        let since = poll(&user, path, "").await["since"].as_str().expect("an id").to_owned();
        let query = format!("{path}?since={since}&wait=60");
        let began = Instant::now();
        let owner = app.token_user();
        let (answer, ()) = tokio::join!(owner.get(&query), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            app.stop_streams();
        });
        let none = json!({ "events": [], "since": since });
        assert_eq!((answer.assert_status(200).json(), began.elapsed()), (none, Duration::from_secs(1)), "{path}");
    }
    let app = TestApp::new();
    for path in [EVENTS, STATUS] {
        let key = crate::http::auth::key(&app, &["admin"]).await;
        let user = app.user_with(&key.token);
        let since = poll(&user, path, "").await["since"].as_str().expect("an id").to_owned();
        let query = format!("{path}?since={since}&wait=60");
        let (answer, ()) = tokio::join!(user.get(&query), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            crate::http::auth::revoke(&app, &key).await;
        });
        answer.assert_error(401, "Unauthorized");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_parameters_are_refused() {
    let app = TestApp::new();
    for path in [EVENTS, STATUS] {
        for wait in ["-1", "61", "x", "1.5", "99999999999999999999"] {
            let answer = app.token_user().get(&format!("{path}?wait={wait}")).await.assert_status(422).json();
            assert_eq!(answer["detail"][0]["loc"], json!(["query", "wait"]), "{wait}");
        }
        app.anonymous().get(path).await.assert_error(401, "Unauthorized");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_more_places_than_streams_have() {
    let app = TestApp::new();
    let user = app.token_user();
    let mut streams = Vec::new();
    let refused = loop {
        let stream = user.open("/api/v1/events/stream").await;
        if stream.status != 200 {
            break stream.whole().await.expect("an answer");
        }
        streams.push(stream);
    };
    user.get(&format!("{EVENTS}?since=x")).await.assert_error(503, refused.json()["detail"].as_str().expect("a text"));
    streams.clear();
    poll(&user, EVENTS, "?since=x").await;
}
