//! One turn with a real model: a small one, run on this machine. Not among the other tests, because it installs a gigabyte.
//! `just real-model` installs what it needs and runs it.
//!
//! What is asserted holds for any model: that it was asked, that the call it wrote was made, and that its answer came in
//! pieces. What it says is its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use futures_util::StreamExt;
use reqwest::Client;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where `.ci/real-model` installs things.
fn installed(what: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-model").join(what);
    assert!(path.exists(), "{} is missing; run just real-model", path.display());
    path
}

/// A program that is killed in the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program and waits for the line of its output that begins like this. Gives the rest of the line.
#[expect(clippy::disallowed_methods, reason = "this is the user who starts programs")]
fn start(program: &Path, arguments: &[&str], environment: &[(&str, &str)], line: &str) -> (Running, String) {
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().copied()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).find_map(|it| it.strip_prefix(line).map(str::to_owned));
    (running, found.expect("the program ended before it was ready"))
}

/// The events of a stream until its end.
async fn events(client: &Client, url: &str, body: &Value) -> Vec<(String, Value)> {
    let answer = client.post(url).json(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut text = Vec::new();
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        text.extend_from_slice(&piece.unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    let frames = text.split("\n\n").filter(|frame| frame.contains("data: "));
    let member = |frame: &str, name: &str| {
        frame.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap_or_default()
    };
    frames.map(|frame| (member(frame, "event: "), serde_json::from_str(&member(frame, "data: ")).unwrap())).collect()
}

#[tokio::test]
async fn a_real_model_calls_a_real_tool_and_answers() {
    let model = installed("model.gguf");
    let script = installed("node/server.mjs");
    let arguments = [script.to_str().unwrap(), model.to_str().unwrap()];
    let (_model, rest) = start(Path::new("node"), &arguments, &[], "http://");
    let data_dir = tempfile::tempdir().unwrap();
    let base_url = format!("http://{rest}");
    let environment = [
        ("PAWPORT_AGENT", "openai_compatible"),
        ("PAWPORT_MODEL", "gemma3-270m"),
        ("PAWPORT_MODEL_BASE_URL", base_url.as_str()),
    ];
    let flags = ["serve", "--port", "0", "--log", "warn", "--data-dir", data_dir.path().to_str().unwrap()];
    let pawport = Path::new(env!("CARGO_BIN_EXE_pawport"));
    let (_pawport, address) = start(pawport, &flags, &environment, "listening on ");
    let client = Client::new();
    let api = |route: &str| format!("{address}/api/v1{route}");

    let only_time = json!({ "tools_owner": "mcp_time__get_current_time" });
    let set = client.put(api("/settings")).json(&only_time).send().await.unwrap();
    assert_eq!(set.status(), 200, "{}", set.text().await.unwrap());
    let time = json!({ "name": "time", "command": installed("python/bin/mcp-server-time") });
    let added = client.post(api("/mcp/add")).json(&time).send().await.unwrap();
    assert_eq!(added.status(), 200, "{}", added.text().await.unwrap());
    let connected = async {
        loop {
            let status: Value = client.get(api("/mcp/status")).send().await.unwrap().json().await.unwrap();
            if status["time"]["connected"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), connected).await.expect("the server of the tool does not start");

    let body = json!({ "content": "What time is it in Europe/Lisbon?" });
    let told = events(&client, &api("/chat/stream"), &body).await;
    for (event, data) in &told {
        println!("{event} {data}");
    }
    let of_kind = |kind: &str| told.iter().filter(|(event, _)| event == kind).map(|(_, data)| data).collect::<Vec<_>>();
    let calls = of_kind("tool_start");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["tool"], "mcp_time__get_current_time");
    assert!(calls[0]["input"]["timezone"].is_string(), "{}", calls[0]);
    assert_eq!(of_kind("tool_result").len(), 1);
    assert!(of_kind("chunk").len() > 1, "the answer came in one piece");
    assert_eq!(of_kind("error"), [] as [&Value; 0]);
    let end = of_kind("stream_end");
    assert!(end[0]["usage"]["output_tokens"].as_u64().unwrap() > 0, "{}", end[0]);
}
