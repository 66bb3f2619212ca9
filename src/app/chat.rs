//! Talking to the agent in the terminal. The running server does the work, so that a chat begun here goes on elsewhere.

use super::running::RunningServer;
use crate::config::Config;
use anyhow::{Context, bail};
use futures_util::StreamExt;
use reqwest::{Method, StatusCode};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config as LineConfig, Editor};
use serde_json::{Value, json};
use sse_stream::SseStream;
use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::time::Duration;

/// How long nothing may come. The server sends a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// How much of what a tool is given or gives is shown, in characters.
const SHOWN: usize = 120;

/// How many lines are remembered for the arrow keys. They are forgotten at the end: the conversation is in the server.
const REMEMBERED: usize = 1000;

/// What to say and where.
pub struct ChatOptions {
    /// The session to go on with; a new one if there is none.
    pub session: Option<String>,
    /// What to say; then that is all. Else lines are read until the end of input.
    pub message: Option<String>,
}

/// Talks to the agent: one message, or line by line.
///
/// # Errors
/// If no server runs here, or it cannot be reached any more, or a single message got no answer.
pub async fn chat(config: &Config, options: ChatOptions) -> anyhow::Result<()> {
    let server = RunningServer::find(config, Duration::from_secs(24 * 3600)).await?;
    let mut chat = Chat { server, session: options.session, style: Style::of_terminal() };
    if let Some(message) = options.message {
        return match chat.say(&message).await? {
            End::Answered | End::Asked => Ok(()),
            End::Stopped => bail!("stopped"),
            End::Failed => bail!("there was no answer"),
        };
    }
    if stdin().is_terminal() { chat.talk(config).await } else { chat.read_lines().await }
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    /// The agent wants to know something, which is the next thing to say.
    Asked,
    Stopped,
    Failed,
}

struct Chat {
    server: RunningServer,
    session: Option<String>,
    style: Style,
}

/// Faint text for what is not the answer, if a terminal shows it.
struct Style {
    faint: &'static str,
    plain: &'static str,
}

impl Style {
    fn of_terminal() -> Self {
        if stdout().is_terminal() { Self { faint: "\x1b[2m", plain: "\x1b[0m" } } else { Self { faint: "", plain: "" } }
    }
}

impl Chat {
    /// A conversation with a person.
    async fn talk(&mut self, config: &Config) -> anyhow::Result<()> {
        let Style { faint, plain } = self.style;
        println_now(&format!(
            "{faint}/help lists what you can say. Ctrl-C stops an answer, Ctrl-D ends the chat.{plain}"
        ))?;
        let lines = LineConfig::builder().max_history_size(REMEMBERED)?.auto_add_history(true).build();
        let mut editor: Editor<(), MemHistory> = Editor::with_history(lines, MemHistory::new())?;
        loop {
            // The editor waits for keys, and everything else must go on meanwhile.
            let (returned, line) = tokio::task::spawn_blocking(move || {
                let line = editor.readline("> ");
                (editor, line)
            })
            .await?;
            editor = returned;
            match line {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    self.say(&line).await?;
                }
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => break,
                Err(error) => return Err(error).context("cannot read from the terminal"),
            }
        }
        if let Some(session) = &self.session {
            let again = config.command(&format!("chat --session {session}"));
            println_now(&format!("{faint}Go on with this chat: {again}{plain}"))?;
        }
        Ok(())
    }

    /// A conversation with a program: every line is a message.
    async fn read_lines(&mut self) -> anyhow::Result<()> {
        loop {
            let line = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                stdin().lock().read_line(&mut line).map(|read| (read > 0).then_some(line))
            });
            let Some(line) = line.await?.context("cannot read standard input")? else { return Ok(()) };
            if !line.trim().is_empty() {
                self.say(line.trim_end()).await?;
            }
        }
    }

    /// Says something, and prints the answer as it comes. Ctrl-C stops it.
    async fn say(&mut self, message: &str) -> anyhow::Result<End> {
        let mut body = json!({ "content": message });
        if let Some(session) = &self.session {
            body["session_id"] = session.as_str().into();
        }
        let answer = self.server.send(self.server.request(Method::POST, "/chat/stream").json(&body)).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status();
            let refused: Value = answer.json().await.unwrap_or_default();
            let detail = refused["detail"].as_str().map_or_else(|| refused["detail"].to_string(), str::to_owned);
            bail!("the server refused ({}): {detail}", status.as_u16());
        }
        let mut events = Box::pin(SseStream::from_bytes_stream(answer.bytes_stream()));
        // One for the whole answer, and looked at first: a Ctrl-C is not lost while something is printed.
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let mut end = End::Answered;
        let mut stopping = false;
        loop {
            let event = tokio::select! {
                biased;
                interrupted = &mut interrupted, if !stopping => {
                    interrupted.context("cannot listen to Ctrl-C")?;
                    stopping = true;
                    self.stop().await?;
                    continue;
                }
                event = tokio::time::timeout(SILENCE, events.next()) => event.context("the server says nothing any more")?,
            };
            let Some(event) = event else { bail!("the connection to the server was lost in the middle of the answer") };
            let event = event.context("the answer of the server cannot be read")?;
            let data: Value =
                event.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
            match event.event.as_deref() {
                Some("stream_end") => {
                    if let Some(session) = data["session_id"].as_str() {
                        self.session = Some(session.to_owned());
                    }
                    println_now("")?;
                    return Ok(if stopping { End::Stopped } else { end });
                }
                Some("error") => end = End::Failed,
                Some("ask_user_question") => {
                    self.show("ask_user_question", &data)?;
                    println_now("")?;
                    return Ok(End::Asked);
                }
                _ => {}
            }
            if let Some(name) = event.event.as_deref() {
                self.learn(name, &data);
                self.show(name, &data)?;
            }
        }
    }

    fn learn(&mut self, name: &str, data: &Value) {
        if let ("stream_start", Some(session)) = (name, data["session_id"].as_str()) {
            self.session = Some(session.to_owned());
        }
    }

    fn show(&self, name: &str, data: &Value) -> anyhow::Result<()> {
        let Style { faint, plain } = self.style;
        let text = |member: &str| visible(data[member].as_str().unwrap_or_default());
        match name {
            "chunk" => print_now(&visible(data["content"].as_str().unwrap_or_default())),
            "tool_start" => {
                let input = in_a_line(&data["input"].to_string());
                println_now(&format!("\n{faint}· {} {input}{plain}", text("tool")))
            }
            "tool_result" => println_now(&format!("{faint}  {}{plain}", in_a_line(&text("output")))),
            "ask_user_question" => {
                let mut asked = format!("\n{}", text("question"));
                for (number, option) in (1..).zip(data["options"].as_array().into_iter().flatten()) {
                    let _ = write!(asked, "\n  {number}. {}", visible(option.as_str().unwrap_or_default()));
                }
                print_now(&asked)
            }
            "error" => println_now(&format!("\n{faint}{}{plain}", text("detail"))),
            _ => Ok(()),
        }
    }

    async fn stop(&self) -> anyhow::Result<()> {
        if let Some(session) = &self.session {
            let query: String =
                form_urlencoded::Serializer::new(String::new()).append_pair("session_id", session).finish();
            let request = self.server.request(Method::POST, &format!("/chat/stop?{query}"));
            // That nothing is left to stop is as good.
            self.server.send(request).await?;
        }
        Ok(())
    }
}

/// Without what would move the cursor or change the terminal: a model may write anything.
fn visible(text: &str) -> String {
    text.chars().filter(|it| !it.is_control() || matches!(it, '\n' | '\t')).collect()
}

fn in_a_line(text: &str) -> String {
    let line: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(SHOWN).collect();
    if text.chars().count() > SHOWN { format!("{line}…") } else { line }
}

fn print_now(text: &str) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}

fn println_now(text: &str) -> anyhow::Result<()> {
    print_now(&format!("{text}\n"))
}
