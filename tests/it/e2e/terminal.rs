//! `pawport chat` as a person has it: in a terminal, with keys.

use super::binary::{Output, Place, Process};
use super::client::{Client, eventually};
use super::story::with_model;
use crate::support::model_server::{Answer, ModelServer};
use nix::pty::{Winsize, openpty};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

/// Ctrl-C, Ctrl-D and the arrow up, as terminals send them.
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";

/// A terminal with a chat in it.
struct Terminal {
    keys: File,
    screen: Output,
    /// How much of what was shown the test has looked at, in bytes.
    seen: usize,
    chat: Process,
}

impl Terminal {
    fn with_chat(place: &Place, arguments: &[&str]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(Some(&size), None).unwrap();
        let keys = File::from(terminal.master);
        let screen = Output::of(keys.try_clone().unwrap());
        let [input, output] = [(); 2].map(|()| terminal.slave.try_clone().unwrap());
        let program = place.program_in_terminal(&[&["chat"], arguments].concat());
        let chat = program.stdin(input).stdout(output).stderr(terminal.slave).spawn();
        Self { keys, screen, seen: 0, chat }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until that is shown after what was looked at before, and looks at everything up to it.
    #[track_caller]
    fn shows(&mut self, what: &str) {
        let seen = self.seen;
        let rest = |text: &str| text.get(seen..).and_then(|rest| rest.find(what)).map(|at| seen + at + what.len());
        let text = self.screen.wait_until(&format!("{what:?} is shown after byte {seen}"), |text| rest(text).is_some());
        self.seen = rest(&text).unwrap();
    }

    fn prompts(&mut self) {
        self.shows("> ");
    }
}

/// The id of the only session.
async fn session(client: &Client) -> String {
    let listed = client.get("/api/v1/sessions").await.json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "{listed}");
    listed["sessions"][0]["id"].as_str().unwrap().to_owned()
}

async fn is_idle(client: &Client) -> bool {
    client.get("/api/v1/agent/status").await.json()["sessions"] == json!([])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_stops_an_answer_says_something_again_and_goes() {
    // Elsewhere is no setsid, without which the terminal has no Ctrl-C.
    if !cfg!(target_os = "linux") {
        return;
    }
    let models = ModelServer::start([
        Answer::begin().say("Once upon ").pause(Duration::from_secs(600)).say("a time").end("stop"),
        Answer::says(&["Nothing ", "happened."]),
        Answer::says(&["Long ago."]),
    ])
    .await;
    let place = Place::new();
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    let mut terminal = Terminal::with_chat(&place, &[]);
    terminal.shows("Ctrl-C stops an answer");
    terminal.prompts();
    terminal.types("Tell a story\r");
    terminal.shows("Once upon ");
    assert!(!is_idle(&client).await);
    terminal.types(CTRL_C);
    terminal.prompts();
    eventually("the agent rests", async || is_idle(&client).await.then_some(())).await;
    let session = session(&client).await;
    let stopped = eventually("what was said is stored", async || client.history(&session).await.get(1).cloned()).await;
    assert_eq!((&stopped["content"], &stopped["metadata"]["incomplete"]), (&json!("Once upon "), &json!(true)));

    terminal.types("And then?\r");
    terminal.shows("Nothing happened.");
    terminal.prompts();
    terminal.types(UP);
    terminal.shows("And then?");
    terminal.types(UP);
    terminal.shows("Tell a story");
    terminal.types("\r");
    terminal.shows("Long ago.");
    terminal.prompts();
    terminal.types(CTRL_D);
    terminal.shows(&format!("chat --session {session}"));
    assert_eq!(terminal.chat.end().code(), Some(0));

    let said: Vec<_> = client.history(&session).await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(said, ["Tell a story", "Once upon ", "And then?", "Nothing happened.", "Tell a story", "Long ago."]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_pauses_can_be_stopped() {
    // Elsewhere is no setsid, without which the terminal has no Ctrl-C.
    if !cfg!(target_os = "linux") {
        return;
    }
    // Longer than anything is waited for, so that it does not end by itself.
    let word = |answer: Answer, _| answer.say("word ").pause(Duration::from_millis(1));
    let models = ModelServer::start((0..3).map(|_| (0..60_000).fold(Answer::begin(), word).end("stop"))).await;
    let place = Place::new();
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    let mut terminal = Terminal::with_chat(&place, &[]);
    terminal.prompts();
    for _ in 0..3 {
        terminal.types("Say a lot\r");
        terminal.shows("word word word ");
        terminal.types(CTRL_C);
        terminal.prompts();
        eventually("the agent rests", async || is_idle(&client).await.then_some(())).await;
    }
    // There is nothing to stop any more, so it ends the chat.
    terminal.types(CTRL_C);
    terminal.shows("Go on with this chat: ");
    assert_eq!(terminal.chat.end().code(), Some(0));
    server.stop();
}
