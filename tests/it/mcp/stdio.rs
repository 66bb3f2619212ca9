//! Real servers that are programs.

use super::*;
use std::future::pending;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_server_of_node_lists_answers_and_is_closed() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.connect(&lab.program(mcp_servers::everything())).await;
    let tools = connection.tools();
    let echo = tools.iter().find(|tool| tool.name == "echo").unwrap();
    assert_eq!(echo.schema["properties"]["message"]["type"], "string", "{echo:?}");
    assert!(!echo.description.is_empty());
    assert_eq!(say(&*connection, "echo", json!({"message": "ä\n\"x\""})).await, "Echo: ä\n\"x\"");
    // Blocks and structure arrive as the protocol describes them.
    let image = call(&*connection, "get-tiny-image", json!({})).await.unwrap();
    let picture = image.content.iter().find(|block| block["type"] == "image").unwrap();
    assert_eq!(picture["mimeType"], "image/png");
    let weather = call(&*connection, "get-structured-content", json!({"location": "Chicago"})).await.unwrap();
    assert!(weather.structured.unwrap().is_object());
    // It reports progress meanwhile.
    let long = json!({"duration": 0.5, "steps": 5});
    assert!(say(&*connection, "trigger-long-running-operation", long).await.contains("completed"));
    connection.close().await;
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn the_files_of_a_folder() {
    if !mcp_servers::available() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    std::fs::write(path.join("note.txt"), "remember").unwrap();
    let mut lab = Lab::new();
    let connection = lab.connect(&lab.program(mcp_servers::filesystem(path.to_str().unwrap()))).await;
    let note = json!({"path": path.join("note.txt")});
    assert_eq!(say(&*connection, "read_text_file", note).await, "remember");
    // A tool that fails says so in its result.
    let outside = call(&*connection, "read_text_file", json!({"path": "/etc/passwd"})).await.unwrap();
    assert!(outside.is_error, "{outside:?}");
    drop(connection);
    lab.assert_nothing_alive().await;
}

#[tokio::test]
async fn a_server_of_python() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.connect(&lab.program(mcp_servers::time())).await;
    let now = say(&*connection, "get_current_time", json!({"timezone": "UTC"})).await;
    assert!(now.contains("UTC"), "{now}");
    connection.close().await;
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn a_program_sees_what_is_configured_and_little_else() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let connection = lab.odd(&["good"]).await;
    let seen: Map<String, Value> = serde_json::from_str(&say(&*connection, "env", json!({})).await).unwrap();
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["PATH", MARK, "SECRET"]);
    assert_eq!(seen["SECRET"], SECRET);
    connection.close().await;
}

#[tokio::test]
async fn a_program_that_is_not_there() {
    let mut lab = Lab::new();
    let server = lab.program(("no-such-program-anywhere".to_owned(), Vec::new()));
    let Err(ConnectError::NotStarted(text)) = lab.try_connect(&server, BUDGETS).await else { panic!() };
    assert!(text.contains("was not found"), "{text}");
}

#[test]
fn a_connection_can_be_dropped_where_no_runtime_is() {
    if !mcp_servers::available() {
        return;
    }
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let mut lab = Lab::new();
    // The runtime goes on.
    let connection = first.block_on(lab.odd(&["good"]));
    assert_eq!(lab.alive().len(), 1);
    drop(connection);
    second.block_on(lab.assert_nothing_alive());
    // The runtime ends first.
    let connection = first.block_on(lab.odd(&["good"]));
    let mut call = Box::pin(connection.call("hang", nothing(), LIMIT));
    assert!(first.block_on(async { tokio::time::timeout(Duration::from_millis(50), &mut call).await }).is_err());
    drop(first);
    drop(call);
    drop(connection);
    second.block_on(lab.assert_nothing_alive());
}

#[tokio::test]
async fn connecting_can_be_stopped_and_then_nothing_is_alive() {
    if !mcp_servers::available() {
        return;
    }
    let lab = Lab::new();
    let server = lab.program(mcp_servers::odd(&["hang-initialize"]));
    let stop = CancellationToken::new();
    let given_up = Box::pin(stop.clone().cancelled_owned());
    let mut connecting = Box::pin(lab.connector.connect(&server, false, BUDGETS, Arc::default(), given_up));
    soon(async {
        while lab.alive().is_empty() {
            let pause = Duration::from_millis(10);
            assert!(tokio::time::timeout(pause, &mut connecting).await.is_err(), "it connected");
        }
    })
    .await;
    stop.cancel();
    let error = soon(connecting).await.err().unwrap();
    assert_eq!(lab.alive(), Vec::<u32>::new(), "{error}");
}

#[tokio::test]
async fn connecting_can_be_given_up() {
    if !mcp_servers::available() {
        return;
    }
    let mut lab = Lab::new();
    let server = lab.program(mcp_servers::odd(&["hang-initialize"]));
    {
        let mut connecting =
            Box::pin(lab.connector.connect(&server, false, BUDGETS, Arc::default(), Box::pin(pending())));
        soon(async {
            while lab.alive().is_empty() {
                let pause = Duration::from_millis(10);
                assert!(tokio::time::timeout(pause, &mut connecting).await.is_err(), "it connected");
            }
        })
        .await;
    }
    lab.assert_nothing_alive().await;
    // Nothing is left that would keep the next one from working.
    let connection = lab.odd(&["good"]).await;
    assert_eq!(say(&*connection, "echo", json!({"text": "x"})).await, "x");
    connection.close().await;
}
