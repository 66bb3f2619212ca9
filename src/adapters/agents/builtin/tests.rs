use super::*;
use crate::domain::agent::status::GlobalState;
use std::time::Duration;

fn say(message: &str) -> String {
    let status = AgentStatus {
        version: 1,
        state: GlobalState::Active,
        active_sessions: 1,
        max_concurrent: 5,
        uptime: Duration::from_secs(42),
        sessions: Vec::new(),
    };
    answer(message, &status)
}

#[test]
fn commands_are_answered() {
    assert_eq!(say(" /ping\n"), "pong");
    assert_eq!(say("/status"), "active: 1 of 5 sessions in work, up for 42 s");
    assert!(say("/help").contains("/status"));
}

#[test]
fn anything_else_is_quoted_and_told_how_to_connect_a_model() {
    let reply = say("summarise this");
    assert!(reply.starts_with("Received: “summarise this”\n"), "{reply}");
    assert!(reply.contains("docs/operations.md"));
    assert!(say("first\nsecond").starts_with("Received: “first…”"));
    assert!(say(&"é".repeat(200)).starts_with(&format!("Received: “{}…”", "é".repeat(80))));
}
