//! Calls of tools: what is refused, given up, too large, and what happens when the server dies.

use super::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

async fn cancelled_requests(connection: &dyn McpConnection) -> usize {
    let ids: Vec<Value> = serde_json::from_str(&say(connection, "cancelled", json!({})).await).unwrap();
    ids.len()
}

async fn assert_cancelled(connection: &dyn McpConnection, count: usize) {
    soon(async {
        while cancelled_requests(connection).await < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(cancelled_requests(connection).await, count);
}

#[tokio::test]
async fn calls_of_all_kinds() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["good"]).await;
    let connection = &*connection;
    // Unknown tools, and arguments that do not fit, are not sent.
    let error = call(connection, "nonsense", json!({})).await.unwrap_err();
    assert_eq!(error, CallError::NoTool { server: String::new(), tool: "nonsense".to_owned() });
    let CallError::Arguments { place, message } = call(connection, "add", json!({"a": 1, "b": "2"})).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!((&place[..], &*message), (&["b".to_owned()][..], "\"2\" is not of type \"number\""));
    let CallError::Arguments { place, message } = call(connection, "echo", json!({})).await.unwrap_err() else {
        panic!()
    };
    assert_eq!((place.len(), &*message), (0, "\"text\" is a required property"));
    // A tool that fails.
    let failed = call(connection, "fail", json!({})).await.unwrap();
    assert!(failed.is_error && failed.content[0]["text"] == "it did not work");
    // Results up to the limit.
    let big = call(connection, "big", json!({"bytes": 1024 * 1024 - 100})).await.unwrap();
    assert_eq!(big.content[0]["text"].as_str().unwrap().len(), 1024 * 1024 - 100);
    let error = call(connection, "big", json!({"bytes": 3 * 1024 * 1024})).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge(bytes) if bytes > 3 * 1024 * 1024), "{error}");
    // A result that is not kept at all leaves the connection alone.
    let limit = Duration::from_secs(2);
    let huge = json!({"bytes": 17 * 1024 * 1024}).as_object().unwrap().clone();
    assert_eq!(connection.call("big", huge, limit).await, Err(CallError::TimedOut(limit)));
    assert_eq!(say(connection, "echo", json!({"text": "still here"})).await, "still here");
    // Many at a time, the later not behind the earlier.
    let mut hanging = std::pin::pin!(call(connection, "hang", json!({})));
    for number in 0..20 {
        let text = number.to_string();
        tokio::select! {
            biased;
            result = &mut hanging => panic!("{result:?}"),
            said = say(connection, "echo", json!({"text": text})) => assert_eq!(said, text),
        }
    }
    connection.close().await;
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn calls_that_nobody_waits_for_are_cancelled() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["good"]).await;
    // The time is over, after the call was surely sent.
    let limit = Duration::from_secs(2);
    for tool in ["hang", "sleep"] {
        let seconds = json!({"seconds": 60}).as_object().unwrap().clone();
        let began = Instant::now();
        assert_eq!(connection.call(tool, seconds, limit).await, Err(CallError::TimedOut(limit)));
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_cancelled(&*connection, 2).await;
    // The future is dropped.
    let given_up = tokio::time::timeout(limit, connection.call("hang", nothing(), LIMIT)).await;
    assert!(given_up.is_err());
    assert_cancelled(&*connection, 3).await;
    // One that was answered is not.
    say(&*connection, "echo", json!({"text": "x"})).await;
    assert_cancelled(&*connection, 3).await;
    connection.close().await;
}

#[tokio::test]
async fn a_server_killed_in_mid_call() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["good"]).await;
    let pid = pid_of(&*connection).await;
    let calls = async { tokio::join!(call(&*connection, "hang", json!({})), call(&*connection, "hang", json!({}))) };
    let killing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
        Instant::now()
    };
    let (calls, killed) = tokio::join!(calls, killing);
    assert!(killed.elapsed() < Duration::from_secs(5));
    let reason = "the program was ended by signal 9 (KILL)";
    for result in [calls.0, calls.1] {
        assert_eq!(result, Err(CallError::Lost(reason.to_owned())));
    }
    assert_eq!(lost(&*connection).await, reason);
    lab.assert_nothing_alive().await;
}

#[tokio::test]
async fn a_call_in_flight_ends_with_the_connection() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["good"]).await;
    let closing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.close().await;
    };
    let (result, ()) = tokio::join!(call(&*connection, "hang", json!({})), closing);
    assert_eq!(result, Err(CallError::Lost("it was closed".to_owned())));
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn tools_that_change_are_asked_for_again() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["good"]).await;
    assert!(!names(&*connection).contains(&"extra".to_owned()));
    // Nothing is lost if waiting is given up.
    for _ in 0..5 {
        let nothing = tokio::time::timeout(Duration::from_millis(5), connection.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }
    say(&*connection, "grow", json!({})).await;
    assert_eq!(soon(connection.next()).await, ConnectionEvent::ToolsChanged);
    assert!(names(&*connection).contains(&"extra".to_owned()));
    connection.close().await;
}

#[tokio::test]
async fn secrets_stay_out_of_reasons() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let script = "import sys; print('the secret is', sys.argv[1], file=sys.stderr); sys.exit(4)";
    let (python, _) = mcp_servers::odd(&[]);
    let server = lab.program((python, vec!["-c".to_owned(), script.to_owned(), SECRET.to_owned()]));
    let Err(error) = lab.try_connect(&server, BUDGETS).await else { panic!() };
    assert!(error.to_string().ends_with("its last words: the secret is ***"), "{error}");
}
