//! With real processes. A test that waits asks again and again, and gives up after a while; no pause proves anything.

use super::group::Group;
use super::{Child, Command, Exit, Processes, StartError, facts, pump_lines};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use secrecy::SecretString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

const GRACE: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);
/// The leader and what it starts ignore the signal TERM and the end of their input.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo ready; wait; wait";
/// The same with a leader that ends.
const ORPHANING: &str = "(trap '' TERM; exec env -i /bin/sleep 1000) & echo ready; exit 7";
/// Names the folder of the ledger for a test that runs in a process of its own.
const INNER: &str = "PAWPORT_TEST_LEDGER";

struct Setup {
    folder: TempDir,
    processes: Processes,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let processes = processes_on(&folder.path().join("ledger"));
        Self { folder, processes }
    }

    /// As the next run would see it.
    fn next_run(&self) -> Processes {
        processes_on(&self.folder.path().join("ledger"))
    }

    fn entry(&self, group: u32) -> std::path::PathBuf {
        self.folder.path().join("ledger").join(group.to_string())
    }

    /// Starts a script and waits until it has said `ready`.
    async fn start_ready(&self, script: &str) -> Child {
        let mut child = self.processes.start(&shell(script)).await.unwrap();
        let (input, output, _) = child.take_pipes().unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await.unwrap();
        assert_eq!(line, "ready\n");
        drop(input);
        child
    }
}

fn processes_on(ledger: &Path) -> Processes {
    let inherited = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("ALLOWED", "inherited")];
    let inherited = inherited.map(|(name, value)| (name.to_owned(), value.into()));
    Processes::new(ledger.to_owned(), inherited.into()).unwrap()
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    Command { program: program.to_owned(), arguments, environment: Vec::new(), folder: None }
}

fn shell(script: &str) -> Command {
    command("sh", &["-c", script])
}

fn group(id: u32) -> Group {
    Group::of(id.try_into().unwrap()).unwrap()
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap())
}

/// How many members have not ended.
fn living(id: u32) -> usize {
    facts::all().iter().filter(|process| process.group == group(id) && !process.is_zombie).count()
}

/// Waits for what must become true.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(20), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn assert_gone(setup: &Setup, id: u32) {
    assert_eq!(living(id), 0);
    assert!(!setup.entry(id).exists(), "still in the ledger");
}

async fn output_of(child: &mut Child) -> String {
    let (_input, mut output, _) = child.take_pipes().unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn an_obedient_child_ends_with_its_input() {
    let setup = Setup::new();
    let mut child = setup.processes.start(&command("cat", &[])).await.unwrap();
    assert_eq!(living(child.id()), 1);
    let mode = setup.entry(child.id()).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(child.take_pipes().unwrap().0);
    assert!(child.take_pipes().is_none());
    assert_eq!(child.stop(LONG).await, Exit { code: Some(0), signal: None });
    assert_gone(&setup, child.id());
    assert_eq!(child.stop(LONG).await.code, Some(0), "once more");
    assert_eq!(child.wait().await.code, Some(0), "once more");
}

#[tokio::test]
async fn input_that_nobody_took_is_closed_by_stop() {
    let setup = Setup::new();
    let mut child = setup.processes.start(&command("cat", &[])).await.unwrap();
    assert_eq!(child.stop(LONG).await.code, Some(0));
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn a_child_that_keeps_running_gets_term() {
    let setup = Setup::new();
    // Some shells report that the signal ended the pause, which would end them when nobody listens.
    let script = "exec 2>/dev/null; trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = setup.start_ready(script).await;
    assert_eq!(child.stop(GRACE).await.code, Some(3));
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn a_group_that_ignores_term_is_killed_by_stop() {
    let setup = Setup::new();
    let mut child = setup.start_ready(STUBBORN).await;
    assert_eq!(living(child.id()), 2);
    let exit = child.stop(GRACE).await;
    assert_eq!(exit.signal, Some(9));
    assert_eq!(exit.to_string(), "was ended by signal 9 (KILL)");
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn what_a_stopped_child_leaves_behind_is_killed() {
    let setup = Setup::new();
    let mut child = setup.start_ready("(trap '' TERM; exec sleep 1000) & echo ready; exec sleep 1000").await;
    until("both run", || living(child.id()) == 2);
    assert_eq!(child.stop(GRACE).await.signal, Some(15));
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn a_dropped_group_is_killed() {
    let setup = Setup::new();
    let child = setup.start_ready(STUBBORN).await;
    let id = child.id();
    drop(child);
    until("the group is gone", || living(id) == 0);
    assert_gone(&setup, id);
}

#[tokio::test]
async fn the_end_of_the_leader_is_seen_though_others_hold_the_pipes() {
    let setup = Setup::new();
    let mut child = setup.processes.start(&shell(ORPHANING)).await.unwrap();
    let pipes = child.take_pipes().unwrap();
    let exit = child.wait().await;
    assert_eq!((exit.code, exit.to_string()), (Some(7), "exited with status 7".to_owned()));
    assert_gone(&setup, child.id());
    drop(pipes);
}

#[tokio::test]
async fn a_group_is_killed_though_nobody_saw_its_leader_end() {
    let setup = Setup::new();
    let child = setup.start_ready(ORPHANING).await;
    let id = child.id();
    until("the leader has ended", || facts::of(pid(id)).is_some_and(|leader| leader.is_zombie));
    assert_eq!(living(id), 1);
    drop(child);
    until("the group is gone", || living(id) == 0);
    assert_gone(&setup, id);
}

#[tokio::test]
async fn waiting_can_be_given_up_and_taken_up() {
    let setup = Setup::new();
    let mut child = setup.start_ready(STUBBORN).await;
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(1), child.wait()).await.is_err());
    }
    kill(pid(child.id()), Signal::SIGKILL).unwrap();
    assert_eq!(child.wait().await.signal, Some(9));
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let setup = Setup::new();
    let file = setup.folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let file = file.to_str().unwrap();
    let start = async |command: &Command| setup.processes.start(command).await.unwrap_err();

    let error = start(&command("pawport-none", &[])).await;
    assert!(matches!(error, StartError::NotFound { .. }));
    let text = "the command \"pawport-none\" was not found; install it or give its full path";
    assert_eq!(error.to_string(), text);

    let error = start(&command(file, &[])).await;
    assert!(matches!(error, StartError::NotPermitted { .. }), "{error}");
    assert!(error.to_string().contains(file), "{error}");

    for folder in ["/nowhere/at/all", file] {
        let error = start(&Command { folder: Some(folder.into()), ..shell("true") }).await;
        assert!(matches!(error, StartError::Folder { .. }), "{error}");
        assert!(error.to_string().contains(folder), "{error}");
    }

    let error = start(&command("sh", &["nul \0 byte"])).await;
    assert!(matches!(error, StartError::Failed(_)), "{error}");
    assert!(!error.to_string().contains("byte \0"), "{error}");
    assert_eq!(setup.entry(0).parent().unwrap().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_program_is_searched_for_where_the_child_would() {
    let setup = Setup::new();
    let program = setup.folder.path().join("only-here");
    std::fs::write(&program, "#!/bin/sh\npwd").unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut only = command("only-here", &[]);
    assert!(matches!(setup.processes.start(&only).await, Err(StartError::NotFound { .. })));
    let path = setup.folder.path().to_str().unwrap().to_owned();
    only.environment = vec![("PATH".to_owned(), path.clone().into())];
    only.folder = Some("/".into());
    let mut child = setup.processes.start(&only).await.unwrap();
    assert_eq!(output_of(&mut child).await, "/\n");
    assert_eq!(child.wait().await.code, Some(0));
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn a_child_sees_what_it_was_given_and_nothing_else() {
    let setup = Setup::new();
    let own = [("PATH", "/bin:/usr/bin"), ("KEY", "first"), ("KEY", "s3cret")];
    let environment = own.map(|(name, value)| (name.to_owned(), SecretString::from(value))).into();
    let env = Command { environment, ..command("env", &[]) };
    let mut child = setup.processes.start(&env).await.unwrap();
    let output = output_of(&mut child).await;
    let mut lines: Vec<_> = output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["ALLOWED=inherited", "KEY=s3cret", "PATH=/bin:/usr/bin"]);
    child.wait().await;
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn no_value_is_shown() {
    let setup = Setup::new();
    let environment = vec![("KEY".to_owned(), SecretString::from("s3cret"))];
    let command = Command { environment, ..command("sh", &["-c", "s3cret"]) };
    let mut child = setup.processes.start(&command).await.unwrap();
    let shown = format!("{command:?} {:?} {child:?}", setup.processes);
    assert!(shown.contains("KEY") && shown.contains("ALLOWED"), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("inherited\"]"), "{shown}");
    child.wait().await;
    assert_gone(&setup, child.id());
}

#[tokio::test]
async fn lines_come_without_their_ends_and_are_cut() {
    let lines = async |text: &[u8], limit| {
        let mut lines = Vec::new();
        pump_lines(text, limit, |line| lines.push(line)).await.unwrap();
        lines
    };
    assert_eq!(lines(b"", 9).await, [""; 0]);
    assert_eq!(lines(b"a\r\n\nb", 9).await, ["a", "", "b"]);
    assert_eq!(lines(b"123\n1234\n123", 3).await, ["123", "123…", "123"]);
    assert_eq!(lines(b"1234", 0).await, ["…"]);
    assert_eq!(lines("ab€\nab€\n".as_bytes(), 4).await, ["ab…", "ab…"]);
    assert_eq!(lines(b"\xff\n", 9).await, ["\u{FFFD}"]);
}

#[tokio::test]
async fn a_flood_is_held_back() {
    let setup = Setup::new();
    // One line of 64 MiB, then 2 MiB of short ones.
    let script = "head -c 67108864 /dev/zero | tr '\\0' x; echo; yes | head -c 2097152";
    let mut child = setup.processes.start(&shell(script)).await.unwrap();
    let (_input, output, _) = child.take_pipes().unwrap();
    let before = resident();
    let (mut count, mut longest) = (0, 0);
    let each = |line: String| (count, longest) = (count + 1, longest.max(line.len()));
    pump_lines(output, 1000, each).await.unwrap();
    assert_eq!((count, longest), (1 + 1_048_576, 1000 + "…".len()));
    // Other tests run at the same time, so this is not sharp.
    assert!(resident() < before + 32 * 1024 * 1024);
    assert_eq!(child.wait().await.code, Some(0));
    assert_gone(&setup, child.id());
}

/// The memory of this process in bytes, where that is easily told.
fn resident() -> u64 {
    #[cfg(target_os = "linux")]
    return procfs::process::Process::myself().unwrap().statm().unwrap().resident * procfs::page_size();
    #[cfg(not(target_os = "linux"))]
    return 0;
}

/// Whether some process is in the folder.
#[cfg(target_os = "linux")]
fn somebody_is_in(folder: &Path) -> bool {
    let mut processes = procfs::process::all_processes().unwrap().flatten();
    processes.any(|process| process.cwd().is_ok_and(|cwd| cwd == folder))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_start_that_cannot_be_noted_leaves_nothing() {
    let setup = Setup::new();
    let folder = setup.folder.path().canonicalize().unwrap();
    std::fs::remove_dir(folder.join("ledger")).unwrap();
    let sleep = Command { folder: Some(folder.clone()), ..command("sleep", &["1000"]) };
    let error = setup.processes.start(&sleep).await.unwrap_err();
    assert!(matches!(error, StartError::NotNoted(_)), "{error}");
    until("it is killed", || !somebody_is_in(&folder));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_start_that_nobody_waits_for_leaves_nothing() {
    let setup = Setup::new();
    let folder = setup.folder.path().canonicalize().unwrap();
    let sleep = Command { folder: Some(folder.clone()), ..command("sleep", &["1000"]) };
    for _ in 0..5 {
        drop(tokio::time::timeout(Duration::ZERO, setup.processes.start(&sleep)).await);
    }
    // Starts happen one after another, so those above are over after this one.
    let mut last = setup.processes.start(&command("true", &[])).await.unwrap();
    last.wait().await;
    until("all are killed", || !somebody_is_in(&folder));
    until("none is noted", || setup.entry(0).parent().unwrap().read_dir().unwrap().count() == 0);
}

#[test]
fn a_child_outlives_the_runtime_and_is_dropped_without_one() {
    let setup = Setup::new();
    let start = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(setup.start_ready(STUBBORN))
    };
    // Of the threads that had to do with it, only the starter is left.
    let child = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
    let Setup { folder, processes } = setup;
    drop(processes);
    let id = child.id();
    assert_eq!(living(id), 2);
    drop(child);
    until("the group is gone", || living(id) == 0);
    assert!(!folder.path().join("ledger").join(id.to_string()).exists());
}

/// Starts a script, and ends our part in it as a killed server would.
async fn leave_behind(setup: &Setup, script: &str) -> u32 {
    let child = setup.start_ready(script).await;
    let id = child.id();
    std::mem::forget(child);
    id
}

#[tokio::test]
async fn a_sweep_kills_what_an_earlier_run_left() {
    let setup = Setup::new();
    let whole = leave_behind(&setup, STUBBORN).await;
    let headless = leave_behind(&setup, ORPHANING).await;
    // Reaped, as the system does it for the children of a process that has ended.
    waitpid(pid(headless), None).unwrap();
    until("its remainder runs", || living(headless) == 1);
    let over = leave_behind(&setup, "echo ready").await;
    waitpid(pid(over), None).unwrap();

    let next = setup.next_run();
    assert_eq!(next.sweep().unwrap(), 2);
    for id in [whole, headless, over] {
        assert_gone(&setup, id);
    }
    assert_eq!(next.sweep().unwrap(), 0, "nothing is left to do");
}

#[tokio::test]
async fn a_sweep_leaves_others_alone() {
    let setup = Setup::new();
    let mut ids = Vec::new();
    for (script, member, value) in [
        // The id was given away again.
        (STUBBORN, "started", serde_json::json!(1)),
        // The machine was started again.
        (STUBBORN, "epoch", serde_json::json!("another")),
        // The id was given away again, and the new leader has ended.
        (ORPHANING, "session", serde_json::json!(i32::MAX)),
        (ORPHANING, "started", serde_json::json!(u64::MAX)),
    ] {
        let id = leave_behind(&setup, script).await;
        if script == ORPHANING {
            waitpid(pid(id), None).unwrap();
        }
        let mut note: serde_json::Value = serde_json::from_slice(&std::fs::read(setup.entry(id)).unwrap()).unwrap();
        note[member] = value;
        std::fs::write(setup.entry(id), note.to_string()).unwrap();
        ids.push(id);
    }
    assert_eq!(setup.next_run().sweep().unwrap(), 0);
    for id in ids {
        assert!(living(id) > 0);
        assert!(!setup.entry(id).exists());
        assert!(group(id).end());
        assert_eq!(living(id), 0);
    }
}

#[test]
fn a_sweep_removes_what_is_no_entry() {
    let setup = Setup::new();
    let ledger = setup.folder.path().join("ledger");
    assert_eq!(ledger.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let own = nix::unistd::getpgrp().as_raw();
    let session = nix::unistd::getsid(None).unwrap().as_raw();
    let note = serde_json::json!({ "epoch": facts::epoch(), "started": 0, "session": session }).to_string();
    // Signals to the groups 0, 1 and our own would hit us and everybody.
    let files = ["0", "1", "-1", &own.to_string(), "text", "99999999999"].map(|name| (name.to_owned(), note.clone()));
    let garbage = ["4194000", "4194001"].map(|name| (name.to_owned(), "{ half".to_owned()));
    for (name, content) in files.iter().chain(&garbage) {
        std::fs::write(ledger.join(name), content).unwrap();
    }
    assert_eq!(setup.processes.sweep().unwrap(), 0);
    assert_eq!(ledger.read_dir().unwrap().count(), 0);
}

/// Not a test by itself: what [`a_killed_server_takes_its_children_along`] starts and kills.
#[tokio::test]
#[ignore = "runs in a process of its own, for another test"]
async fn a_server_with_a_child() {
    #[expect(clippy::disallowed_methods, reason = "tells this process from an ordinary run of the ignored tests")]
    let Some(ledger) = std::env::var_os(INNER) else { return };
    let _child = processes_on(Path::new(&ledger)).start(&shell(STUBBORN)).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_server_takes_its_children_along() {
    let setup = Setup::new();
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut server = tokio::process::Command::new(std::env::current_exe().unwrap());
    server.args(["--exact", &format!("{module}::a_server_with_a_child"), "--ignored"]);
    server.env(INNER, setup.folder.path().join("ledger")).stdout(std::process::Stdio::null()).kill_on_drop(true);
    let mut server = server.spawn().unwrap();
    let mut id = None;
    until("the child is noted", || {
        let files = setup.entry(0).parent().unwrap().read_dir().unwrap();
        id = files.flatten().find_map(|file| file.file_name().to_str()?.parse().ok());
        id.is_some()
    });
    let id: u32 = id.unwrap();
    until("the child has started another", || living(id) == 2);

    server.kill().await.unwrap();
    if cfg!(target_os = "linux") {
        until("the child is gone", || facts::of(pid(id)).is_none_or(|leader| leader.is_zombie));
        assert_eq!(living(id), 1, "what it started lives on");
    }
    assert_eq!(setup.processes.sweep().unwrap(), 1);
    assert_gone(&setup, id);
}
