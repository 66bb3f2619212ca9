//! Runs the program: a place for its files, its process, and what it writes.

#![expect(clippy::disallowed_methods, reason = "the program under test is a child process")]

use super::client::Client;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that anything may take here, however slow the machine is. Nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at that cannot be waited for.
const GLANCE: Duration = Duration::from_millis(2);

/// A home directory of the test's own. It outlives the servers that use it.
pub struct Place {
    folder: TempDir,
    database_url: Option<String>,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), database_url: None }
    }

    /// The same, whose servers keep everything in that database unless they are told otherwise.
    pub fn with_database(url: &str) -> Self {
        Self { database_url: Some(url.to_owned()), ..Self::new() }
    }

    /// A path in this place.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the servers of this place keep what they keep.
    pub fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// The token of the last server that was started here.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("access_token")).unwrap()
    }

    /// The program with these arguments, in this place. Nothing of the environment of the tests reaches it.
    pub fn program(&self, arguments: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pawport"));
        command.args(arguments);
        self.prepare(command)
    }

    /// The same with the data directory of this place. That is a flag, which must not be among the arguments.
    pub fn program_with_data(&self, arguments: &[&str]) -> Program {
        let mut program = self.program(arguments);
        program.0.arg("--data-dir").arg(self.data_dir());
        program
    }

    /// The same after a line of shell, for what a process inherits and `Command` cannot set.
    pub fn program_after(&self, line: &str, arguments: &[&str]) -> Program {
        let mut command = Command::new("sh");
        command.args(["-c", &format!(r#"{line}; exec "$0" "$@""#), env!("CARGO_BIN_EXE_pawport")]);
        command.args(arguments).arg("--data-dir").arg(self.data_dir());
        self.prepare(command)
    }

    /// The same for a terminal: whatever its standard input is becomes the terminal whose Ctrl-C it gets.
    pub fn program_in_terminal(&self, arguments: &[&str]) -> Program {
        let mut command = Command::new("setsid");
        command.args(["-c", env!("CARGO_BIN_EXE_pawport")]).args(arguments).arg("--data-dir").arg(self.data_dir());
        self.prepare(command).env("TERM", "xterm")
    }

    /// A server on a free port. More flags may be given.
    #[track_caller]
    pub fn serve(&self, flags: &[&str]) -> Server {
        self.program_with_data(&[&["serve", "--port", "0"], flags].concat()).start()
    }

    fn prepare(&self, mut command: Command) -> Program {
        command
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.env("HOME", self.path("home"));
        if let Some(url) = &self.database_url {
            command.env("PAWPORT_DATABASE_URL", url);
        }
        // The tests are strangers who ask a lot, unless they say otherwise.
        command.env("PAWPORT_LOCALHOST_AUTH_BYPASS", "false");
        for tier in ["API", "AUTH", "WS", "KEY"] {
            command.env(format!("PAWPORT_RATE_LIMIT_{tier}"), "0");
        }
        Program(command)
    }
}

/// The program, not started yet.
pub struct Program(Command);

impl Program {
    /// Sets a variable in its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.0.env(name, value.as_ref());
        self
    }

    /// Takes a variable out of its environment.
    pub fn without_env(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    /// Gives it something to read from standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.0.stdin(stdin);
        self
    }

    /// Gives it another standard output than one that is collected.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.0.stdout(stdout);
        self
    }

    /// Gives it another standard error than one that is collected.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.0.stderr(stderr);
        self
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.spawn().end()
    }

    /// Starts it as a server and waits until it says where it listens.
    #[track_caller]
    pub fn start(self) -> Server {
        let process = self.spawn();
        let line = process.stdout().wait_for_end_or(|text| text.contains('\n'));
        let address = line.lines().next().and_then(|line| line.strip_prefix("listening on http://"));
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("it wrote {line:?} and no address"));
        Server { process, address }
    }

    /// Starts it.
    pub fn spawn(mut self) -> Process {
        let mut child = self.0.spawn().unwrap();
        let stdout = child.stdout.take().map(Output::of);
        let stderr = child.stderr.take().map(Output::of);
        Process { child, stdout, stderr }
    }
}

/// What a process writes, as it comes.
#[derive(Clone)]
pub struct Output(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    /// Collects what can be read, until the end or an error: a terminal ends with one.
    pub fn of(mut source: impl Read + Send + 'static) -> Self {
        let output = Self(Arc::default());
        let shared = Arc::clone(&output.0);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let length = source.read(&mut buffer).unwrap_or(0);
                let mut written = shared.0.lock().unwrap();
                written.bytes.extend_from_slice(&buffer[..length]);
                written.ended = length == 0;
                shared.1.notify_all();
                if written.ended {
                    break;
                }
            }
        });
        output
    }

    /// What there is so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().bytes).into_owned()
    }

    /// Waits for a text that fulfils the condition, and gives it.
    #[track_caller]
    pub fn wait_until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let text = self.wait_for_end_or(&condition);
        assert!(condition(&text), "waited in vain until {what}; written so far: {text:?}");
        text
    }

    /// Waits for a text that fulfils the condition, or for the end, and gives what there is then.
    pub fn wait_for_end_or(&self, condition: impl Fn(&str) -> bool) -> String {
        let (written, changed) = &*self.0;
        let waiting = |written: &mut Written| !written.ended && !condition(&String::from_utf8_lossy(&written.bytes));
        let (written, _) = changed.wait_timeout_while(written.lock().unwrap(), PATIENCE, waiting).unwrap();
        String::from_utf8_lossy(&written.bytes).into_owned()
    }
}

/// A process. Killed when dropped, so that a failing test leaves none behind.
pub struct Process {
    child: Child,
    stdout: Option<Output>,
    stderr: Option<Output>,
}

/// What is left of a process.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The exit status; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl Process {
    /// Its standard output, which was not sent elsewhere.
    pub fn stdout(&self) -> &Output {
        self.stdout.as_ref().unwrap()
    }

    /// Its standard error, which was not sent elsewhere.
    pub fn stderr(&self) -> &Output {
        self.stderr.as_ref().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// The most memory that it has used until now, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    /// The memory that it uses now, in bytes.
    pub fn memory(&self) -> Option<u64> {
        self.status("VmRSS:")
    }

    /// How many files it has open, sockets included.
    pub fn open_files(&self) -> Option<usize> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?.count())
    }

    fn status(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(GLANCE);
        }
        let status = self.child.wait().unwrap();
        // What it wrote last may still be on its way to us.
        let rest = |output: &Option<Output>| output.as_ref().map(|output| output.wait_for_end_or(|_| false));
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(rest).map(Option::unwrap_or_default);
        Ended { status, stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = self.stderr.as_ref().map(Output::text).unwrap_or_default();
            eprintln!("--- standard error of the program:\n{text}");
        }
    }
}

/// A running server.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    /// A client with the token that the server made for `place`.
    pub fn client(&self, place: &Place) -> Client {
        Client::new(self.address, &place.token())
    }

    /// Stops it as a person or a service manager would, and expects that all went well.
    #[track_caller]
    pub fn stop(self) -> Ended {
        self.process.signal(Signal::SIGTERM);
        let ended = self.process.end();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        ended
    }

    /// Ends it in the middle of whatever it does.
    #[track_caller]
    pub fn kill(self) {
        self.process.signal(Signal::SIGKILL);
        let ended = self.process.end();
        assert_eq!(ended.code(), None, "{ended:?}");
    }
}
