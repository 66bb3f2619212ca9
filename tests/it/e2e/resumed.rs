//! A turn of an agent that is a program, during which the server is killed: another program goes on where the first one was.

use super::binary::{Place, Program};
use super::client::{Client, Stream, eventually};
use crate::support::mcp_servers;
use pawport::domain::agent::transcript::INTERRUPTED;
use reqwest::Method;
use serde_json::{Value, json};

/// Notes what it is told. Told of no call, it makes one, and then says nothing more; else it says what came of the call.
const AGENT: &str = r#"
import json, os, sys

notes, name, arguments = sys.argv[1:]

def note(what):
    with open(notes, "a") as file:
        file.write(json.dumps(what) + "\n")

def say(**message):
    print(json.dumps(message), flush=True)

turn = json.loads(sys.stdin.readline())
note({"pid": os.getpid(), "turn": turn})
results = [message for message in turn["messages"] if message["role"] == "tool"]
if not results:
    say(type="text", text="Let me look.")
    say(type="tool_call", id="first", name=name, arguments=json.loads(arguments))
    result = sys.stdin.readline()
    if result:
        note(json.loads(result))
    sys.stdin.read()
else:
    say(type="text", text="Done: " + results[-1]["content"])
    say(type="done")
"#;

/// One turn, with one tool of one server.
struct Lab {
    place: Place,
    tool: String,
    arguments: Value,
}

impl Lab {
    /// The server is called `it`.
    fn new(tool: &str, arguments: Value) -> Self {
        let place = Place::new();
        std::fs::write(place.path("agent.py"), AGENT).unwrap();
        Self { place, tool: format!("mcp_it__{tool}"), arguments }
    }

    fn server(&self) -> Program {
        let path = |name: &str| self.place.path(name).to_str().unwrap().to_owned();
        let (agent, notes, tool) = (path("agent.py"), path("notes"), &self.tool);
        let command = format!("python3 '{agent}' '{notes}' '{tool}' '{}'", self.arguments);
        let program = self.place.program_with_data(&["serve", "--port", "0"]);
        program.env("PAWPORT_AGENT", "command").env("PAWPORT_AGENT_COMMAND", command)
    }

    /// What the programs were told, and their process ids. The last line may be written just now.
    fn notes(&self) -> Vec<Value> {
        let notes = std::fs::read_to_string(self.place.path("notes")).unwrap_or_default();
        notes.split_inclusive('\n').filter_map(|line| serde_json::from_str(line.strip_suffix('\n')?).ok()).collect()
    }

    /// Kills the server once `is_time`, and gives what the program was told that ended the turn, and its answer.
    async fn kill(&self, tools: (String, Vec<String>), is_time: impl AsyncFn(&Client) -> bool) -> (Value, String) {
        let server = self.server().start();
        let client = server.client(&self.place);
        let added = json!({ "name": "it", "command": tools.0, "args": tools.1 });
        assert_eq!(client.post("/api/v1/mcp/add", &added).await.json()["status"], "ok");
        eventually("the server of the tool is connected", async || {
            let statuses = client.get("/api/v1/mcp/status").await.json();
            (statuses["it"]["connected"] == true).then_some(())
        })
        .await;
        let asked = json!({ "content": "Look", "session_id": "websocket_killed" });
        let stream = Stream::open(client.request(Method::POST, "/api/v1/chat/stream").json(&asked)).await;
        eventually("it is time", async || is_time(&client).await.then_some(())).await;
        let first = self.notes().remove(0);
        server.kill();
        drop(stream);

        let server = self.server().start();
        let client = server.client(&self.place);
        let history = eventually("the turn is answered", async || {
            let history = client.history("websocket_killed").await;
            (history.len() > 1).then_some(history)
        })
        .await;
        assert_eq!(client.audited("mcp_tool_called").await.len(), 1);
        server.stop();

        let second = self.notes().pop().unwrap();
        assert_ne!(second["pid"], first["pid"]);
        assert_eq!(second["turn"]["id"], first["turn"]["id"]);
        assert_eq!((history.len(), &history[1]["metadata"]["incomplete"]), (2, &Value::Null), "{history:?}");
        let steps = history[1]["metadata"]["steps"].as_array().unwrap();
        let calls: Vec<&Value> = steps.iter().filter_map(|step| step["calls"].as_array()).flatten().collect();
        assert_eq!((calls.len(), calls[0]["name"].as_str()), (1, Some(self.tool.as_str())), "{steps:?}");
        (second["turn"]["messages"].clone(), history[1]["content"].as_str().unwrap().to_owned())
    }

    /// What the second program is told if the call gave that.
    fn told(&self, content: &str, is_error: bool) -> Value {
        let call = json!({ "id": "first", "name": self.tool, "arguments": self.arguments });
        json!([
            { "role": "user", "content": "Look" },
            { "role": "assistant", "content": "Let me look.", "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "first", "name": self.tool, "content": content, "is_error": is_error },
        ])
    }
}

#[tokio::test]
async fn a_program_that_is_started_after_a_call_is_told_its_result() {
    if !mcp_servers::available() {
        return;
    }
    let lab = Lab::new("echo", json!({ "text": "a lamp" }));
    // The first program has the result, and would go on.
    let (told, answer) = lab.kill(mcp_servers::odd(&["good"]), async |_| lab.notes().len() == 2).await;
    assert_eq!(lab.notes()[1], json!({ "type": "tool_result", "id": "first", "content": "a lamp", "is_error": false }));
    assert_eq!(told, lab.told("a lamp", false));
    assert_eq!(answer, "Let me look.\n\nDone: a lamp");
}

#[tokio::test]
async fn a_program_that_is_started_in_the_middle_of_a_call_is_told_that_nobody_knows() {
    if !mcp_servers::available() {
        return;
    }
    let lab = Lab::new("hang", json!({}));
    let is_called = async |client: &Client| client.audited("mcp_tool_called").await.len() == 1;
    let (told, answer) = lab.kill(mcp_servers::odd(&["good"]), is_called).await;
    assert_eq!(lab.notes().len(), 2, "the first program was told nothing");
    assert_eq!(told, lab.told(INTERRUPTED, true));
    assert_eq!(answer, format!("Let me look.\n\nDone: {INTERRUPTED}"));
}
