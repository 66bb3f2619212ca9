//! Agents that are programs.

use super::*;
use async_trait::async_trait;
use pawport::domain::agent::model::TokenUsage;
use pawport::domain::agent::status::{AgentStatus, GlobalState};
use pawport::domain::agent::{AgentEvent, Origin, Turn, TurnId};
use pawport::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId};
use pawport::domain::time::Timestamp;
use pawport::ports::agent::{AgentError, AgentIo, AgentRequest, AgentRunner};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Keeps what an agent reports, and answers its calls.
#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<AgentEvent>>,
    calls: Mutex<Vec<ToolCall>>,
}

#[async_trait]
impl AgentIo for Recorder {
    fn emit(&self, event: AgentEvent) {
        self.events.lock().unwrap().push(event);
    }

    async fn call(&self, call: ToolCall) -> ToolOutcome {
        self.calls.lock().unwrap().push(call.clone());
        tokio::time::sleep(Duration::from_millis(10)).await;
        let content = format!("{} was called\nwith ä", call.name);
        ToolOutcome { id: call.id, name: call.name, content, is_error: false }
    }
}

impl Recorder {
    fn text(&self) -> String {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|it| if let AgentEvent::Text(text) = it { Some(text.as_str()) } else { None })
            .collect()
    }
}

impl Lab {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, command: &[&str]) -> Arc<dyn AgentRunner> {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let choice = AgentChoice {
            kind: AgentKind::Command,
            api_key: Some(SecretString::from(KEY)),
            command,
            ..AgentChoice::builtin()
        };
        match self.agents.open(&choice).unwrap() {
            OpenAgent::Runner(runner) => runner,
            OpenAgent::Model(_) => panic!("this is a model"),
        }
    }

    /// What comes of a program of Python.
    async fn python(&self, program: &str) -> (Result<(), AgentError>, Recorder) {
        let file = self.file("agent.py");
        std::fs::write(&file, program).unwrap();
        run(&*self.command(&["python3", file.to_str().unwrap()])).await
    }

    async fn shell(&self, script: &str) -> (Result<(), AgentError>, Recorder) {
        run(&*self.command(&["sh", "-c", script])).await
    }

    async fn failure(&self, script: &str) -> String {
        let (result, _) = self.shell(script).await;
        let AgentError(message) = result.unwrap_err();
        assert!(!message.contains(char::is_control), "{message:?}");
        message
    }
}

async fn run(runner: &dyn AgentRunner) -> (Result<(), AgentError>, Recorder) {
    let recorder = Recorder::default();
    let result = soon(run_into(runner, &recorder)).await;
    (result, recorder)
}

async fn run_into(runner: &dyn AgentRunner, recorder: &Recorder) -> Result<(), AgentError> {
    let message = NewMessage {
        id: "01890000-0000-7000-8000-000000000001".to_owned(),
        role: Role::User,
        text: MessageText::parse("Thanks").unwrap(),
        at: Timestamp(0),
        metadata: Metadata::empty(),
    };
    let turn = Turn {
        id: TurnId::from_stored("turn-1".to_owned()),
        session: SessionId::parse("websocket_abc").unwrap(),
        message,
        origin: Origin::Webhook,
    };
    let status = AgentStatus {
        version: 1,
        state: GlobalState::Idle,
        active_sessions: 0,
        max_concurrent: 1,
        uptime: Duration::ZERO,
        sessions: Vec::new(),
    };
    let ModelRequest { system, messages, tools, .. } = conversation();
    runner
        .run(
            AgentRequest { turn: &turn, status: &status, system: &system, messages: &messages, tools: &tools },
            recorder,
        )
        .await
}

#[tokio::test]
async fn a_turn_with_everything_and_what_the_program_was_told() {
    let lab = Lab::new();
    let record = lab.file("record");
    let (result, recorder) = lab
        .python(&format!(
            r#"
import json, os, sys
def say(**message): print(json.dumps(message), flush=True)
turn = sys.stdin.readline()
say(type="thinking", text="hm")
say(type="tool_call", id="a", name="mcp_home__lamp", arguments={{"on": True}})
say(type="tool_call", id="b", name="other")
first = sys.stdin.readline()
second = sys.stdin.readline()
with open({record:?}, "w") as file:
    json.dump([json.loads(turn), json.loads(first), json.loads(second), sorted(os.environ)], file)
say(type="brand_new", text="?")
print()
say(type="text", text="Hello ")
say(type="text", text="日本")
say(type="usage", input_tokens=5, output_tokens=6)
say(type="done")
"#
        ))
        .await;
    assert_eq!(result, Ok(()));
    let expected = [
        AgentEvent::Thinking("hm".to_owned()),
        AgentEvent::Text("Hello ".to_owned()),
        AgentEvent::Text("日本".to_owned()),
        AgentEvent::Used(TokenUsage { input: 5, output: 6 }),
    ];
    assert_eq!(*recorder.events.lock().unwrap(), expected);
    let calls: Vec<_> = recorder.calls.lock().unwrap().iter().map(|call| call.arguments.clone()).collect();
    assert_eq!(calls, ["{\"on\":true}", "{}"]);

    let told: Value = serde_json::from_str(&std::fs::read_to_string(record).unwrap()).unwrap();
    let result = |id: &str, name: &str| json!({ "type": "tool_result", "id": id, "content": format!("{name} was called\nwith ä"), "is_error": false });
    assert_eq!(told[1], result("a", "mcp_home__lamp"));
    assert_eq!(told[2], result("b", "other"));
    // Python and what starts it add some; ours have these, and are not passed on.
    let variables = told[3].as_array().unwrap();
    assert!(variables.contains(&json!("PATH")), "{variables:?}");
    assert!(
        !variables.iter().any(|name| name == "HOME" || name.as_str().unwrap().starts_with("CARGO")),
        "{variables:?}"
    );
    assert_eq!(
        told[0],
        json!({
            "type": "turn",
            "version": 1,
            "id": "turn-1",
            "session": "websocket_abc",
            "origin": "webhook",
            "message": "Thanks",
            "system": "Be brief.",
            "messages": [
                { "role": "user", "content": "Light!" },
                { "role": "assistant", "content": "", "tool_calls": [
                    { "id": "call_0", "name": "mcp_home__lamp", "arguments": { "on": true } },
                    { "id": "call_1", "name": "mcp_home__lamp", "arguments": "{\"on\":" },
                ] },
                { "role": "tool", "tool_call_id": "call_0", "name": "mcp_home__lamp", "content": "on", "is_error": false },
                { "role": "tool", "tool_call_id": "call_1", "name": "mcp_home__lamp", "content": "no JSON", "is_error": true },
                { "role": "assistant", "content": "It is on." },
                { "role": "user", "content": "Thanks" },
            ],
            "tools": [{
                "name": "mcp_home__lamp",
                "description": "Switches a lamp",
                "parameters": { "properties": { "on": { "type": "boolean" } } },
                "read_only": false,
            }],
        })
    );
}

#[tokio::test]
async fn the_example_in_the_documentation_works() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/agents.md")).unwrap();
    let example = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let (result, recorder) = Lab::new().python(example).await;
    assert_eq!(result, Ok(()));
    assert_eq!(recorder.text(), "You said: Thanks\nThe tool mcp_home__lamp gave: mcp_home__lamp was called\nwith ä");
}

#[tokio::test]
async fn a_program_that_does_not_read() {
    let lab = Lab::new();
    let (result, recorder) = lab.shell(r#"echo '{"type":"text","text":"x"}'; echo '{"type":"done"}'"#).await;
    assert_eq!((result, recorder.text().as_str()), (Ok(()), "x"));
    // Not even its last line has an end.
    let (result, _) = lab.shell(r#"exec 0<&-; printf '{"type":"done"}'"#).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn failures_say_what_happened() {
    let lab = Lab::new();
    let told = lab.failure(r#"printf '%s\n' '{"type":"error","message":"no\nluck"}'"#).await;
    assert_eq!(told, "no luck");
    let garbage = lab.failure("echo Traceback; sleep 600").await;
    assert!(garbage.contains("no message: “Traceback”"), "{garbage}");
    for line in ["42", "{}", r#"{"type":"text"}"#, r#"{"type":"tool_call","name":"x"}"#] {
        let message = lab.failure(&format!("echo '{line}'; sleep 600")).await;
        assert!(message.contains("no message"), "{message}");
    }
    let script = r#"echo '{"type":"text","text":"Well"}'; printf 'one\n\033[31mtwo\n' >&2; exit 3"#;
    let (result, recorder) = lab.shell(script).await;
    let AgentError(message) = result.unwrap_err();
    assert_eq!(
        message,
        "The agent's program exited with status 3 before it said that it was done. Its last words: one | [31mtwo"
    );
    assert_eq!(recorder.text(), "Well");
    let killed = lab.failure("kill -9 $$").await;
    assert!(killed.contains("signal 9"), "{killed}");
    let closed = lab.failure("exec >&-; sleep 600").await;
    assert!(closed.contains("closed its output"), "{closed}");
    // Only the last of many words, and bounded.
    let talkative = lab.failure("i=0; while [ $i -lt 100 ]; do echo line-$i >&2; i=$((i+1)); done; exit 1").await;
    assert!(
        talkative.contains("line-99") && talkative.contains("line-80") && !talkative.contains("line-79"),
        "{talkative}"
    );
    let AgentError(missing) = run(&*lab.command(&["no-such-program-anywhere"])).await.0.unwrap_err();
    assert!(missing.contains("was not found"), "{missing}");
    let nothing = AgentChoice { kind: AgentKind::Command, ..AgentChoice::builtin() };
    assert!(lab.agents.open(&nothing).is_err());
}

#[tokio::test]
async fn floods_are_stopped() {
    let lab = Lab::new();
    let line = lab.failure("yes x | tr -d '\\n'").await;
    assert!(line.contains("a line of more than 1048576 bytes"), "{line}");
    let text = lab
        .failure(r#"yes '{"type":"text","text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'"#)
        .await;
    assert!(text.contains("more than 1048576 bytes of text"), "{text}");
    // Whatever it writes to standard error is read, so that it does not wait for ever.
    let (result, _) = lab.shell(r#"yes x | head -c 3000000 >&2; echo '{"type":"done"}'"#).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn a_program_that_ends_while_another_holds_its_output() {
    let (result, _) = Lab::new().shell("sleep 600 & echo '{\"type\":\"text\",\"text\":\"x\"}'; exit 5").await;
    assert!(result.unwrap_err().0.contains("status 5"));
}

#[tokio::test]
async fn nothing_outlives_a_turn_that_was_stopped() {
    let lab = Lab::new();
    let file = lab.file("pids");
    let script = format!(
        "trap '' TERM; sleep 600 & echo $$ $! > {0}.new; mv {0}.new {0}; while :; do sleep 1; done",
        file.display()
    );
    let runner = lab.command(&["sh", "-c", &script]);
    let recorder = Recorder::default();
    let stopped = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::select! {
            result = run_into(&*runner, &recorder) => panic!("it ended: {result:?}"),
            () = async { while !file.exists() { tokio::time::sleep(Duration::from_millis(5)).await; } } => {}
        }
    });
    stopped.await.unwrap();
    let began = Instant::now();
    for pid in std::fs::read_to_string(&file).unwrap().split_whitespace() {
        while is_alive(pid) {
            assert!(began.elapsed() < Duration::from_secs(10), "{pid} is still alive");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whether there is a process of that id, and it is no zombie.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).is_some_and(|state| state != 'Z')
}
