//! What the agent is doing, as it changes. The runtime's clock is paused: it moves on to the next thing that somebody
//! waits for, so time passes exactly and at once.

use super::{STATUS, app_with, ask};
use crate::support::{Response, Stream, TestApp, User, soon};
use pawport::adapters::fake::Script;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const STREAM: &str = "/api/v1/agent/status/stream";

const KEEP_ALIVE: &str = ":\n\n";

/// An open stream, after its first frame.
async fn follow(app: &TestApp) -> Stream {
    followed_by(&app.token_user()).await
}

async fn followed_by(user: &User) -> Stream {
    let mut stream = user.open(STREAM).await;
    assert_eq!(stream.status, 200);
    let first = stream.next().await.expect("a first frame");
    assert!(first.starts_with("event: status\nid: "), "{first}");
    stream
}

/// The id of a frame and the state as a whole.
#[track_caller]
fn read(frame: Option<String>) -> (u64, Value) {
    let frame = frame.expect("a frame");
    let lines: Vec<_> = frame.lines().collect();
    let ["event: status", id, data, ""] = lines[..] else { panic!("not a frame: {frame:?}") };
    let id = id.strip_prefix("id: mwss20i0-").expect("an id of this run").parse().expect("a number");
    (id, serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON"))
}

/// The state as a whole, and those of the sessions.
fn states(status: &Value) -> String {
    let sessions = status["sessions"].as_array().expect("a list");
    let sessions: Vec<_> = sessions.iter().map(|session| session["state"].as_str().expect("a state")).collect();
    format!("{} {sessions:?}", status["global"]["state"].as_str().expect("a state"))
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_comes_at_once() {
    let app = TestApp::new();
    app.pass(Duration::from_secs(12));
    let begun = Instant::now();
    let mut stream = app.token_user().open(STREAM).await;
    assert_eq!(
        stream.next().await.unwrap(),
        "event: status\nid: mwss20i0-0\ndata: {\"global\":{\"state\":\"idle\",\"active_sessions\":0,\"max_concurrent\":5,\
         \"uptime_seconds\":12},\"sessions\":[]}\n\n"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(stream.status, 200);
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.headers[name], value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_frame_is_what_the_other_route_answers() {
    let (app, agent) = app_with([Script::new().tool_started("ls").pause()]);
    ask(&app, "ci", "How many files?").await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    let mut stream = app.token_user().open(STREAM).await;
    let (id, status) = read(stream.next().await);
    assert_eq!(status, app.token_user().get(STATUS).await.json());
    assert_eq!((id, states(&status)), (2, r#"active ["tool_running"]"#.to_owned()));
    drop(answering);
}

#[tokio::test(start_paused = true)]
async fn a_change_after_a_quiet_time_is_sent_at_once() {
    let (app, agent) = app_with([Script::new().pause()]);
    ask(&app, "ci", "hello").await;
    let mut stream = follow(&app).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let begun = Instant::now();
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    let (id, status) = read(stream.next().await);
    assert_eq!((id, states(&status)), (1, r#"active ["thinking"]"#.to_owned()));
    assert_eq!(begun.elapsed(), Duration::ZERO);

    agent.resume();
    assert_eq!(soon(answering.join_all()).await, [1]);
    let (id, status) = read(stream.next().await);
    assert_eq!((id, states(&status)), (2, "idle []".to_owned()));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE), "nothing is sent twice");
}

#[tokio::test(start_paused = true)]
async fn every_state_is_told_however_short_it_was() {
    let script = Script::new().tool_started("ls").tool_finished("ls", "").text("one").text("two");
    let (app, _) = app_with([script]);
    ask(&app, "ci", "hello").await;
    let mut stream = follow(&app).await;
    assert_eq!(app.answer_turns().await, 1);
    let expected = [
        r#"active ["thinking"]"#,
        r#"active ["tool_running"]"#,
        r#"active ["thinking"]"#,
        r#"active ["streaming"]"#,
        "idle []",
    ];
    for (number, expected) in (1..).zip(expected) {
        let (id, status) = read(stream.next().await);
        assert_eq!((id, states(&status)), (number, expected.to_owned()));
    }
    assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE), "more of the answer is no change");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lags_gets_the_newest_states() {
    // More changes than are kept for anybody.
    let script = (0..200).fold(Script::new(), |script, _| script.tool_started("ls").tool_finished("ls", ""));
    let (app, agent) = app_with([script.text("now").pause()]);
    ask(&app, "ci", "hello").await;
    let mut stream = follow(&app).await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    for number in 339..=402 {
        assert_eq!(read(stream.next().await).0, number);
    }
    assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE), "what was missed does not come afterwards");
    drop(answering);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_late_ends_up_with_the_current_status() {
    let (app, agent) = app_with([Script::new().tool_started("ls").text("now").pause()]);
    ask(&app, "ci", "hello").await;
    let mut stream = follow(&app).await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let mut frames = Vec::new();
    while frames.len() < 5 && frames.last().is_none_or(|last| last != KEEP_ALIVE) {
        frames.push(stream.next().await.expect("an open stream"));
    }
    assert_eq!(frames.pop().as_deref(), Some(KEEP_ALIVE), "{frames:#?}");
    let (id, status) = read(frames.pop());
    assert_eq!((id, states(&status)), (3, r#"active ["streaming"]"#.to_owned()));
    drop(answering);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_every_15_seconds_that_it_is_alive() {
    let app = TestApp::new();
    let mut stream = follow(&app).await;
    let begun = Instant::now();
    for count in 1..=4 {
        assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE));
        assert_eq!(begun.elapsed().as_secs(), 15 * count);
    }
}

/// No event tells that; time alone does.
#[tokio::test(start_paused = true)]
async fn an_error_that_vanishes_is_a_change() {
    let (app, _) = app_with([Script::new().fail("The model went away")]);
    ask(&app, "ci", "hello").await;
    app.answer_turns().await;
    let mut stream = app.token_user().open(STREAM).await;
    let (failed, status) = read(stream.next().await);
    assert_eq!(states(&status), r#"degraded ["error"]"#);
    app.pass(Duration::from_secs(30));
    let begun = Instant::now();
    // The comment of a quiet stream is due at the same time.
    let mut frame = stream.next().await;
    if frame.as_deref() == Some(KEEP_ALIVE) {
        frame = stream.next().await;
    }
    let (vanished, status) = read(frame);
    assert_eq!(states(&status), "idle []");
    assert!(vanished > failed && begun.elapsed() <= Duration::from_secs(16), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn all_streams_end_when_the_server_stops() {
    let (app, agent) = app_with([Script::new().pause()]);
    ask(&app, "ci", "hello").await;
    let mut quiet = follow(&app).await;
    let mut unread = app.token_user().open(STREAM).await;
    let mut gathering = follow(&app).await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;

    let begun = Instant::now();
    app.stop.cancel();
    assert_eq!(quiet.next().await, None);
    assert_eq!(gathering.next().await, None);
    // Whether it still gets its first frame does not matter; it must not wait for a second one.
    if unread.next().await.is_some() {
        assert_eq!(unread.next().await, None);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(answering);
}

#[tokio::test(start_paused = true)]
async fn there_are_576_streams_at_most_and_512_of_one() {
    let app = TestApp::new();
    let mut users = vec![app.token_user()];
    for _ in 0..2 {
        users.push(app.user_with(&crate::http::auth::key(&app, &[]).await.token));
    }
    let refused = |answer: &Response| {
        let detail = "Too many event streams are open; close one, or read /api/v1/agent/status instead";
        answer.assert_error(503, detail);
        assert_eq!(answer.header("retry-after"), "1");
    };
    let mut streams = Vec::new();
    for _ in 0..512 {
        streams.push(followed_by(&users[0]).await);
    }
    refused(&users[0].get(STREAM).await);
    for user in &users[1..] {
        for _ in 0..32 {
            streams.push(followed_by(user).await);
        }
    }
    refused(&users[1].get(STREAM).await);
    app.token_user().get(STATUS).await.assert_status(200);
    // Those who are there go on.
    assert_eq!(streams[575].next().await.as_deref(), Some(KEEP_ALIVE));

    // Who leaves makes room, whether or not anything was read.
    streams.truncate(574);
    streams.push(users[1].open(STREAM).await);
    drop(streams.pop());
    streams.push(followed_by(&users[1]).await);
    streams.push(followed_by(&users[2]).await);
    refused(&users[2].get(STREAM).await);
}

#[tokio::test(start_paused = true)]
async fn every_stream_hears_every_change() {
    let (app, agent) = app_with([Script::new().pause()]);
    ask(&app, "ci", "hello").await;
    let mut streams = [follow(&app).await, follow(&app).await, follow(&app).await];
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    for stream in &mut streams {
        assert_eq!(read(stream.next().await).0, 1);
    }
    drop(answering);
}
