//! Servers that are programs of this machine.

use super::fate::Fate;
use super::problem;
use super::session::{MOMENT, Opened, Session};
use crate::adapters::process::{Child, Command, Processes, pump_lines};
use crate::domain::mcp::connect::{Budgets, ConnectError};
use crate::domain::output::Tail;
use crate::ports::mcp::Stop;
use rmcp::transport::async_rw::AsyncRwTransport;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How long a program may take to end, once without and once with being told to.
const GRACE: Duration = Duration::from_secs(2);

/// How long is waited for what a program wrote before its end. Somebody else may hold the other end of the pipe.
const DRAIN: Duration = Duration::from_millis(500);

/// How much of a line of standard error is read, in bytes. Far more than is kept, since secrets are looked for before.
const LINE: usize = 128 * 1024;

/// Starts a program and connects to it.
pub(super) async fn connect(
    processes: &Processes,
    tasks: &TaskTracker,
    command: &Command,
    budgets: Budgets,
    fate: Arc<Fate>,
    tail: Arc<Tail>,
    stop: Stop,
) -> Result<Session, ConnectError> {
    // The system may take its time, too: a program can be on a disk that does not answer.
    let starting = timeout(budgets.start, Program::start(processes, tasks, command, Arc::clone(&tail)));
    let (program, stdin, stdout) =
        starting.await.map_err(|_| ConnectError::StartTimedOut { limit: budgets.start, last_lines: Vec::new() })??;
    let shaking_hands = async {
        // Lines that are no messages are ignored, and none of more than 16 MiB is kept.
        let transport = AsyncRwTransport::new_client(stdout, stdin);
        let opening = timeout(budgets.start, Opened::open(transport, fate)).await;
        let started = opening
            .map_err(|_| Some(ConnectError::StartTimedOut { limit: budgets.start, last_lines: tail.to_vec() }))?;
        let opened = started.map_err(|error| problem::of_initialize(&error))?;
        let tools = opened.tools(budgets.handshake).await?;
        Ok((opened, tools))
    };
    let exits = program.exits();
    let failed = tokio::select! {
        biased;
        result = shaking_hands => match result {
            Ok((opened, tools)) => return Ok(opened.into_session(tools, Some(program), tasks)),
            Err(error) => error,
        },
        how = exits.how() => Some(ConnectError::Exited { how, last_lines: tail.to_vec() }),
        () = stop => Some(ConnectError::Lost("it was given up".to_owned())),
    };
    let error = match failed {
        Some(error) => error,
        // The end of its output is seen before its own end.
        None => match timeout(MOMENT, exits.how()).await {
            Ok(how) => ConnectError::Exited { how, last_lines: tail.to_vec() },
            Err(_) => ConnectError::Lost("the program closed its output".to_owned()),
        },
    };
    program.stop().await;
    Err(error)
}

/// A program that was started. Dropping it kills it, and whatever it started.
pub(super) struct Program {
    exits: Exits,
    stop: CancellationToken,
    _kill: DropGuard,
}

impl Program {
    async fn start(
        processes: &Processes,
        tasks: &TaskTracker,
        command: &Command,
        tail: Arc<Tail>,
    ) -> Result<(Self, ChildStdin, ChildStdout), ConnectError> {
        let started = processes.start(command).await;
        let mut child = started.map_err(|error| ConnectError::NotStarted(error.to_string()))?;
        let Some((stdin, stdout, stderr)) = child.take_pipes() else {
            return Err(ConnectError::NotStarted("the program has no standard streams".to_owned()));
        };
        let (ended, how) = watch::channel(None);
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let exits = Exits { how, tail: Arc::clone(&tail) };
        tasks.spawn(watch_over(child, stderr, tail, ended, stop.clone(), kill.clone()));
        Ok((Self { exits, stop, _kill: kill.drop_guard() }, stdin, stdout))
    }

    pub fn exits(&self) -> Exits {
        self.exits.clone()
    }

    /// Ends it in order; whoever has its standard input closes it meanwhile. When this returns, nothing of it is alive.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.exits.how().await;
    }
}

/// Owns the child until its end.
async fn watch_over(
    mut child: Child,
    stderr: ChildStderr,
    tail: Arc<Tail>,
    ended: watch::Sender<Option<String>>,
    stop: CancellationToken,
    kill: CancellationToken,
) {
    let living = async {
        tokio::select! {
            exit = child.wait() => return exit,
            () = stop.cancelled() => {}
        }
        child.stop(GRACE).await
    };
    let mut reading = std::pin::pin!(pump_lines(stderr, LINE, |line| tail.push(&line)));
    let (mut living, mut at_end) = (std::pin::pin!(living), false);
    let exit = loop {
        tokio::select! {
            biased;
            () = kill.cancelled() => break None,
            exit = &mut living => break Some(exit),
            _ = &mut reading, if !at_end => at_end = true,
        }
    };
    if exit.is_some() && !at_end {
        let _ = timeout(DRAIN, reading).await;
    }
    ended.send_replace(Some(exit.map_or_else(|| "was killed".to_owned(), |exit| exit.to_string())));
    // Dropping the child kills it, if that is what was wanted.
}

/// Tells how a program ended.
#[derive(Clone)]
pub(super) struct Exits {
    how: watch::Receiver<Option<String>>,
    tail: Arc<Tail>,
}

impl Exits {
    /// `exited with status 1`, once that is so, and all that it wrote to standard error is read.
    async fn how(&self) -> String {
        let mut how = self.how.clone();
        let told = how.wait_for(Option::is_some).await;
        // Nobody tells any more when the runtime ends.
        told.ok().and_then(|how| how.clone()).unwrap_or_else(|| "ended".to_owned())
    }

    /// The same in a sentence, with its last words.
    pub async fn wait(&self) -> String {
        let how = self.how().await;
        let lines = self.tail.to_vec();
        let words = if lines.is_empty() { String::new() } else { format!("; its last words: {}", lines.join(" | ")) };
        format!("the program {how}{words}")
    }
}
