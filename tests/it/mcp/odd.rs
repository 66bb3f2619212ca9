//! A server that misbehaves.

use super::*;

fn brief() -> Budgets {
    Budgets { start: Duration::from_secs(2), handshake: Duration::from_secs(1) }
}

#[tokio::test]
async fn a_program_that_ends_says_why() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let began = Instant::now();
    let error = lab.failure(&["exit"], BUDGETS).await;
    let lines = vec!["cannot find the key THE_KEY".to_owned()];
    assert_eq!(error, ConnectError::Exited { how: "exited with status 2".to_owned(), last_lines: lines });
    assert!(began.elapsed() < BUDGETS.start / 2);
    lab.assert_nothing_alive().await;
}

#[tokio::test]
async fn a_program_that_never_answers() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    for mode in ["hang-initialize", "not-mcp", "flood-stdout"] {
        let error = lab.failure(&[mode], brief()).await;
        assert!(matches!(error, ConnectError::StartTimedOut { .. }), "{mode}: {error}");
        assert_eq!(lab.alive(), [0; 0], "{mode}");
    }
    let error = lab.failure(&["slow", "60"], brief()).await;
    assert!(error.to_string().contains("downloading"), "{error}");
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn a_program_that_answers_once() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let budgets = Budgets { handshake: Duration::from_secs(1), ..BUDGETS };
    let error = lab.failure(&["hang-tools"], budgets).await;
    assert_eq!(error, ConnectError::HandshakeTimedOut(Duration::from_secs(1)));
    assert_eq!(lab.alive(), [0; 0]);
    assert_eq!(lab.failure(&["version"], BUDGETS).await, ConnectError::Version("1999-01-01".to_owned()));
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn a_program_that_is_slow_or_noisy_works() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    for mode in [&["slow", "0.5"][..], &["garbage"], &["flood"]] {
        let connection = lab.odd(mode).await;
        assert_eq!(say(&*connection, "echo", json!({"text": "hello"})).await, "hello", "{mode:?}");
        connection.close().await;
        assert_eq!(lab.alive(), [0; 0], "{mode:?}");
    }
    // The tail holds the end of the flood.
    assert!(lab.tail.to_vec().iter().all(|line| line.starts_with("flood ")));
}

#[tokio::test]
async fn lists_of_tools_are_bounded() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    for (mode, count) in [(&["pages"][..], 150), (&["endless-pages"], 1000), (&["many", "1500"], 1000)] {
        let connection = lab.odd(mode).await;
        let tools = connection.tools();
        assert_eq!(tools.len(), count, "{mode:?}");
        assert_eq!(tools[count - 1].name, format!("tool_{count}"));
        connection.close().await;
    }
}

#[tokio::test]
async fn schemas_that_are_none_are_left_to_the_server() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["bad-schema"]).await;
    assert_eq!(names(&*connection), ["echo", "invalid_schema", "remote_reference", "no_schema"]);
    for tool in ["invalid_schema", "remote_reference", "no_schema"] {
        let said: Value = say(&*connection, tool, json!({"a": 1})).await.parse().unwrap();
        assert_eq!(said["arguments"], json!({"a": 1}), "{tool}");
    }
    let error = call(&*connection, "echo", json!({"text": 1})).await.unwrap_err();
    assert!(matches!(error, CallError::Arguments { .. }), "{error}");
    connection.close().await;
}

#[tokio::test]
async fn a_stubborn_program_and_what_it_started_are_ended() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["stubborn"]).await;
    let (own, children) = (
        pid_of(&*connection).await,
        [
            say(&*connection, "spawn", json!({})).await.parse().unwrap(),
            say(&*connection, "spawn_bare", json!({})).await.parse().unwrap(),
        ],
    );
    connection.close().await;
    for pid in children.into_iter().chain([own]) {
        assert!(!is_alive(pid), "{pid} outlived the connection");
    }
    // The same at once.
    let connection = lab.odd(&["stubborn"]).await;
    let child = say(&*connection, "spawn_bare", json!({})).await.parse().unwrap();
    drop(connection);
    assert_ends(child).await;
    lab.assert_nothing_alive().await;
}

#[tokio::test]
async fn a_program_that_dies_takes_its_children_along() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["good"]).await;
    let child = say(&*connection, "spawn_bare", json!({})).await.parse().unwrap();
    call(&*connection, "stderr", json!({"lines": 2})).await.unwrap();
    let error = call(&*connection, "die", json!({})).await.unwrap_err();
    let reason = "the program exited with status 3; its last words: line 1 | line 2";
    assert_eq!(error, CallError::Lost(reason.to_owned()));
    assert_eq!(lost(&*connection).await, reason);
    assert_ends(child).await;
    // Nothing follows, and calls fail at once.
    let silence = tokio::time::timeout(Duration::from_millis(50), connection.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(call(&*connection, "echo", json!({"text": "x"})).await, Err(CallError::Lost(reason.to_owned())));
    connection.close().await;
}
