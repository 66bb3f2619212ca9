//! An agent that is a program of the user's: one process for each turn, lines of JSON in and out. `docs/agents.md` describes
//! the protocol. No secret is passed to it.

mod protocol;

use super::stream::innermost;
use crate::adapters::process::{Command, Processes, pump_lines};
use crate::domain::agent::AgentEvent;
use crate::domain::agent::choice::AgentChoice;
use crate::domain::agent::model::MAX_ANSWER;
use crate::domain::text;
use crate::ports::agent::{AgentError, AgentIo, AgentRequest, AgentRunner};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{Fuse, FusedFuture};
use protocol::{Said, result_line, turn_line};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The longest line that is taken from a program, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// How many of the last lines of standard error are kept, how long each may be, and how many characters of them are shown.
const TAIL_LINES: usize = 20;
const TAIL_LINE: usize = 500;
const TAIL_CHARS: usize = 2000;

/// How much of a line that was not understood is shown, in characters.
const HEAD_CHARS: usize = 200;

/// How long a program may take to end by itself, once without and once with being told to.
const GRACE: Duration = Duration::from_secs(2);

/// How long is waited for what a program wrote before its end. Somebody else may hold the other end of the pipe.
const DRAIN: Duration = Duration::from_millis(500);

/// How many lines to the program may wait before no more is read from it.
const WAITING: usize = 4;

/// A program that answers.
#[derive(Debug)]
pub struct CommandAgent {
    processes: Processes,
    command: Command,
}

impl CommandAgent {
    /// Prepares to start the program that the choice names.
    ///
    /// # Errors
    /// If it names none.
    pub fn new(processes: Processes, choice: &AgentChoice) -> Result<Self, AgentError> {
        let [program, arguments @ ..] = choice.command.as_slice() else {
            return Err(AgentError(
                "No program was chosen. Name one in the settings, or with PAWPORT_AGENT_COMMAND.".to_owned(),
            ));
        };
        let command =
            Command { program: program.clone(), arguments: arguments.to_vec(), environment: Vec::new(), folder: None };
        Ok(Self { processes, command })
    }
}

#[async_trait]
impl AgentRunner for CommandAgent {
    fn name(&self) -> &'static str {
        "command"
    }

    async fn run(&self, request: AgentRequest<'_>, io: &dyn AgentIo) -> Result<(), AgentError> {
        let started = self.processes.start(&self.command).await;
        let mut child = started.map_err(|error| AgentError(error.to_string()))?;
        let Some((stdin, stdout, stderr)) = child.take_pipes() else {
            return Err(AgentError("The agent's program has no standard streams.".to_owned()));
        };
        let last_words = LastWords::default();
        let gone = CancellationToken::new();
        let mut listening = pin!(pump_lines(stderr, TAIL_LINE, |line| last_words.push(&line)).fuse());
        let mut talking = pin!(talk(stdin, stdout, &request, io, &gone));
        let mut has_ended = false;
        let end = loop {
            tokio::select! {
                biased;
                end = &mut talking => break end,
                _ = &mut listening => {}
                _ = child.wait(), if !has_ended => {
                    has_ended = true;
                    gone.cancel();
                }
            }
        };
        let why = match end {
            Ok(()) => {
                while_listening(child.stop(GRACE), listening).await;
                return Ok(());
            }
            Err(Broken::Told(message)) => {
                while_listening(child.stop(GRACE), listening).await;
                return Err(AgentError(message));
            }
            // Killed as this returns.
            Err(Broken::Protocol(what)) => format!("The agent's program was stopped: {what}."),
            Err(Broken::Ended) => {
                // The end of its output is seen before its own end.
                let exit = while_listening(timeout(GRACE, child.wait()), listening.as_mut()).await;
                let how = exit.map_or_else(|_| "closed its output".to_owned(), |exit| exit.to_string());
                if !listening.is_terminated() {
                    let _ = timeout(DRAIN, listening).await;
                }
                format!("The agent's program {how} before it said that it was done.")
            }
        };
        Err(AgentError(format!("{why}{}", last_words.sentence())))
    }
}

/// Waits for `what` and reads standard error meanwhile: a program would wait for a reader, and not end.
async fn while_listening<T, L: Future>(what: impl Future<Output = T>, mut listening: Pin<&mut Fuse<L>>) -> T {
    let mut what = pin!(what);
    loop {
        tokio::select! {
            outcome = &mut what => return outcome,
            _ = &mut listening => {}
        }
    }
}

/// Why a talk came to no good end.
enum Broken {
    /// The program said that it failed.
    Told(String),
    /// The program did something that it must not.
    Protocol(String),
    /// Its output ended.
    Ended,
}

/// Writes and reads at once: a program may write a lot before it reads. Both ends of the pipes are closed when this returns.
async fn talk(
    stdin: ChildStdin,
    stdout: ChildStdout,
    request: &AgentRequest<'_>,
    io: &dyn AgentIo,
    gone: &CancellationToken,
) -> Result<(), Broken> {
    let (lines, to_write) = mpsc::channel(WAITING);
    let mut writing = pin!(write(stdin, to_write));
    let mut hearing = pin!(hear(BufReader::new(stdout), lines, request, io, gone));
    tokio::select! {
        biased;
        end = &mut hearing => end,
        // Whoever does not read may still have an answer.
        () = &mut writing => hearing.await,
    }
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        let written = async {
            stdin.write_all(line.as_bytes()).await?;
            stdin.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}

async fn hear(
    mut stdout: BufReader<ChildStdout>,
    lines: mpsc::Sender<String>,
    request: &AgentRequest<'_>,
    io: &dyn AgentIo,
    gone: &CancellationToken,
) -> Result<(), Broken> {
    // If it cannot be told, it has ended or closed its input; what it says shows which.
    let _ = lines.send(turn_line(request)).await;
    let (mut told, mut thought, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let most = u64::try_from(MAX_LINE + 1).unwrap_or(u64::MAX);
        let mut bounded = (&mut stdout).take(most);
        let read = tokio::select! {
            biased;
            read = bounded.read_until(b'\n', &mut line) => read,
            () = async { gone.cancelled().await; sleep(DRAIN).await } => Ok(0),
        };
        match read {
            Ok(0) => return Err(Broken::Ended),
            Ok(_) if line.len() > MAX_LINE => {
                return Err(Broken::Protocol(format!("it wrote a line of more than {MAX_LINE} bytes")));
            }
            Ok(_) => {}
            Err(error) => return Err(Broken::Protocol(format!("its output cannot be read: {}", innermost(&error)))),
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        let said = protocol::read(&text).ok_or_else(|| {
            Broken::Protocol(format!("it wrote a line that is no message: “{}”", shown(&text, HEAD_CHARS)))
        })?;
        let too_much = || Broken::Protocol(format!("it wrote more than {MAX_ANSWER} bytes of text"));
        match said {
            Said::Text(piece) => {
                told += piece.len();
                if told > MAX_ANSWER {
                    return Err(too_much());
                }
                io.emit(AgentEvent::Text(piece));
            }
            Said::Thinking(piece) => {
                thought += piece.len();
                if thought > MAX_ANSWER {
                    return Err(too_much());
                }
                io.emit(AgentEvent::Thinking(piece));
            }
            Said::ToolCall(call) => {
                let outcome = io.call(call).await;
                let _ = lines.send(result_line(&outcome)).await;
            }
            Said::Usage(usage) => io.emit(AgentEvent::Used(usage)),
            Said::Done => return Ok(()),
            Said::Error(message) => return Err(Broken::Told(shown(&message, TAIL_CHARS))),
            Said::Unknown(kind) => {
                tracing::debug!(kind = shown(&kind, HEAD_CHARS), "the agent's program sent an unknown message");
            }
        }
    }
}

/// A text of the program as it can be shown: no control characters, in one line, not too long.
fn shown(text: &str, most: usize) -> String {
    let plain: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    let plain = plain.trim();
    let head = text::head(plain, most);
    if head.len() < plain.len() { format!("{head}…") } else { head.to_owned() }
}

/// The last lines of standard error.
#[derive(Default)]
struct LastWords(Mutex<VecDeque<String>>);

impl LastWords {
    fn push(&self, line: &str) {
        let line = shown(line, TAIL_LINE);
        if line.is_empty() {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// ` Its last words: …`, or nothing. If it is too much, the end is what counts.
    fn sentence(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return String::new();
        }
        let all = lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ");
        let surplus = all.chars().count().saturating_sub(TAIL_CHARS);
        let end: String = all.chars().skip(surplus).collect();
        format!(" Its last words: {end}")
    }
}
