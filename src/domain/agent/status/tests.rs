//! The status as scripts: given these inputs at these times, exactly these snapshots.

use super::*;

fn id(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

/// One line a snapshot: the state, how many are active, and each session with its state and seconds.
fn line(tracker: &mut StatusTracker, seconds: i64) -> String {
    let status = tracker.snapshot(at(seconds));
    let sessions: Vec<String> = status
        .sessions
        .iter()
        .map(|session| format!("{}={:?}@{}", session.id, session.state, session.duration.as_secs()))
        .collect();
    format!("{} {} [{}]", status.state.as_str(), status.active_sessions, sessions.join(" "))
}

fn started() -> Input {
    Input::Started { title: "T".to_owned() }
}

#[test]
fn a_turn_with_a_tool() {
    let mut tracker = StatusTracker::new(at(0), 5);
    let a = id("websocket_a");
    assert_eq!(line(&mut tracker, 1), "idle 0 []");
    assert!(tracker.apply(&a, started(), at(2)));
    assert_eq!(line(&mut tracker, 3), "active 1 [websocket_a=Thinking@1]");
    assert!(tracker.apply(&a, Input::ToolStarted { name: "ls".to_owned() }, at(4)));
    assert_eq!(line(&mut tracker, 5), "active 1 [websocket_a=ToolRunning(\"ls\")@3]");
    assert!(tracker.apply(&a, Input::Thinking, at(6)));
    assert!(tracker.apply(&a, Input::Streaming, at(7)));
    assert!(!tracker.apply(&a, Input::Streaming, at(8)), "more of the same is no change");
    assert_eq!(line(&mut tracker, 8), "active 1 [websocket_a=Streaming@6]");
    assert!(tracker.apply(&a, Input::Finished, at(9)));
    assert_eq!(line(&mut tracker, 10), "idle 0 []");
}

#[test]
fn an_error_is_shown_for_thirty_seconds() {
    let mut tracker = StatusTracker::new(at(0), 5);
    let (a, b) = (id("websocket_a"), id("websocket_b"));
    tracker.apply(&a, started(), at(0));
    tracker.apply(&b, started(), at(0));
    tracker.apply(&a, Input::Failed { reason: "no model".to_owned() }, at(1));
    assert_eq!(line(&mut tracker, 2), "degraded 1 [websocket_a=Error(\"no model\")@2 websocket_b=Thinking@2]");
    assert_eq!(line(&mut tracker, 31), "active 1 [websocket_b=Thinking@31]");
}

#[test]
fn a_new_turn_ends_the_error_of_the_last() {
    let mut tracker = StatusTracker::new(at(0), 5);
    let a = id("websocket_a");
    tracker.apply(&a, started(), at(0));
    tracker.apply(&a, Input::Failed { reason: "x".to_owned() }, at(1));
    tracker.apply(&a, started(), at(2));
    assert_eq!(line(&mut tracker, 40), "active 1 [websocket_a=Thinking@38]");
}

#[test]
fn an_input_without_a_turn_changes_nothing() {
    let mut tracker = StatusTracker::new(at(0), 5);
    for input in [Input::Thinking, Input::Streaming, Input::Finished, Input::Failed { reason: String::new() }] {
        assert!(!tracker.apply(&id("websocket_a"), input, at(1)));
    }
    assert_eq!(tracker.snapshot(at(1)).version, 0);
}

#[test]
fn time_passing_is_no_difference_but_a_state_is() {
    let mut tracker = StatusTracker::new(at(0), 5);
    let a = id("websocket_a");
    tracker.apply(&a, started(), at(0));
    let first = tracker.snapshot(at(1));
    assert!(!tracker.snapshot(at(5)).differs_from(&first));
    tracker.apply(&a, Input::Streaming, at(6));
    let second = tracker.snapshot(at(6));
    assert!(second.differs_from(&first) && second.version > first.version);
}
