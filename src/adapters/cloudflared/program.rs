//! Finding the program, asking for its version, and how to install it.

use super::NAME;
use crate::adapters::process::{Command, Processes, StartError, pump_lines};
use crate::domain::tunnel::{Program, Unusable};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long it may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks for the program.
pub(super) struct Finder {
    processes: Processes,
    configured: Option<PathBuf>,
    path: Option<OsString>,
    /// The one that was asked for its version. One who looks at a time, so that it is asked once.
    known: Mutex<Option<Known>>,
}

/// What came of asking a program for its version.
struct Known {
    path: String,
    /// When the file was changed last; it is asked again when it is another.
    changed: Option<SystemTime>,
    asked: Instant,
    answer: Result<Program, Unusable>,
}

/// One that cannot be used is asked again after this: it is not always the file that is wrong.
const FORGET: Duration = Duration::from_secs(60);

impl Finder {
    pub fn new(processes: Processes, configured: Option<PathBuf>, path: Option<OsString>) -> Self {
        Self { processes, configured, path, known: Mutex::default() }
    }

    /// See [`TunnelProvider::program`](crate::ports::tunnel::TunnelProvider::program).
    pub async fn program(&self) -> Result<Program, Unusable> {
        let path = locate(self.configured.as_deref(), self.path.as_deref())?;
        let changed = std::fs::metadata(&path).and_then(|file| file.modified()).ok();
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && (&known.path, known.changed) == (&path, changed)
            && (known.answer.is_ok() || known.asked.elapsed() < FORGET)
        {
            return known.answer.clone();
        }
        let answer = match self.version(&path).await {
            Ok(version) => Ok(Program { path: path.clone(), version }),
            Err(reason) => Err(Unusable::Broken { path: path.clone(), reason }),
        };
        let asked = Instant::now();
        known.insert(Known { path, changed, asked, answer }).answer.clone()
    }

    async fn version(&self, path: &str) -> Result<String, String> {
        let command = Command {
            program: path.to_owned(),
            arguments: vec!["--version".to_owned()],
            environment: Vec::new(),
            folder: None,
        };
        let started = self.processes.start(&command).await;
        let mut child = started.map_err(|error: StartError| error.to_string())?;
        let Some((_, stdout, stderr)) = child.take_pipes() else {
            return Err("it has no standard streams".to_owned());
        };
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let told = async {
            tokio::join!(
                pump_lines(stdout, 500, |line| keep_first(&mut said, line)),
                pump_lines(stderr, 500, |line| keep_first(&mut complained, line)),
                child.wait(),
            )
        };
        let told = timeout(PATIENCE, told).await;
        let Ok((_, _, exit)) = told else {
            child.terminate(Duration::ZERO).await;
            return Err(format!("it did not tell its version within {} seconds", PATIENCE.as_secs()));
        };
        match version_in(&said) {
            Some(version) => Ok(version),
            None => {
                let words = said.into_iter().chain(complained).next().unwrap_or_default();
                Err(format!("asked for --version it {exit}, and said {words:?} instead of the version of {NAME}"))
            }
        }
    }
}

/// The program's file: the configured one, or else what is found in `path`, which is what `PATH` says.
///
/// # Errors
/// If there is none.
pub fn locate(configured: Option<&Path>, path: Option<&OsStr>) -> Result<String, Unusable> {
    // A relative path is seen from where we are.
    let named = configured.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    let found = match &named {
        Some(file) => which::which_in(file, None::<&OsStr>, "/"),
        None => which::which_in(NAME, path, "/"),
    };
    match (found, named) {
        (Ok(found), _) => Ok(found.to_string_lossy().into_owned()),
        (Err(_), Some(file)) => Err(Unusable::Broken {
            path: file.display().to_string(),
            reason: "it is not there, or is no program; see PAWPORT_CLOUDFLARED".to_owned(),
        }),
        (Err(_), None) => Err(not_installed()),
    }
}

fn keep_first(lines: &mut Vec<String>, line: String) {
    if lines.len() < 5 && !line.trim().is_empty() {
        lines.push(line);
    }
}

/// `cloudflared version 2026.1.2 (built 2026-01-20-0956 UTC)`
fn version_in(lines: &[String]) -> Option<String> {
    let words = lines.iter().find_map(|line| line.strip_prefix("cloudflared version "))?;
    words.split_whitespace().next().map(str::to_owned)
}

fn not_installed() -> Unusable {
    let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let how_to_install = how_to_install(std::env::consts::OS, std::env::consts::ARCH, &os_release);
    Unusable::NotInstalled { program: NAME, how_to_install }
}

const DOWNLOADS: &str = "https://github.com/cloudflare/cloudflared/releases/latest/download/cloudflared-linux-";

/// What to do on a system: one command if there is one, and what if it is elsewhere already.
fn how_to_install(os: &str, arch: &str, os_release: &str) -> String {
    let value = |name: &str| {
        let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    let family = format!("{} {}", value("ID"), value("ID_LIKE"));
    let is_like = |names: &[&str]| family.split_whitespace().any(|name| names.contains(&name));
    let arch = match arch {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        "arm" => Some("arm"),
        "x86" => Some("386"),
        _ => None,
    };
    let command = match (os, arch) {
        ("macos", _) => Some("brew install cloudflared".to_owned()),
        ("freebsd", _) => Some("pkg install cloudflared".to_owned()),
        ("linux", _) if is_like(&["arch"]) => Some("sudo pacman -S cloudflared".to_owned()),
        ("linux", _) if is_like(&["nixos"]) => Some("nix-env -iA nixos.cloudflared".to_owned()),
        ("linux", Some(arch)) if is_like(&["debian", "ubuntu"]) => {
            Some(format!("curl -fL -o /tmp/cloudflared.deb {DOWNLOADS}{arch}.deb && sudo dpkg -i /tmp/cloudflared.deb"))
        }
        ("linux", Some(_)) if is_like(&["fedora", "rhel", "centos"]) => Some(
            "curl -fsSL https://pkg.cloudflare.com/cloudflared.repo | sudo tee /etc/yum.repos.d/cloudflared.repo && \
             sudo dnf install cloudflared"
                .to_owned(),
        ),
        ("linux", Some(arch)) => Some(format!(
            "sudo curl -fL -o /usr/local/bin/cloudflared {DOWNLOADS}{arch} && sudo chmod 755 /usr/local/bin/cloudflared"
        )),
        _ => None,
    };
    let install = match command {
        Some(command) => format!("Install it with: {command}"),
        None => "Get it from https://github.com/cloudflare/cloudflared/releases".to_owned(),
    };
    format!("{install} — or, if it is here already, give its path as PAWPORT_CLOUDFLARED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_to_install_it_is_one_command_where_there_is_one() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n";
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        for (os, arch, os_release, command) in [
            ("macos", "aarch64", "", "brew install cloudflared"),
            ("linux", "x86_64", debian, "cloudflared-linux-amd64.deb"),
            ("linux", "aarch64", mint, "cloudflared-linux-arm64.deb"),
            ("linux", "x86_64", "ID=fedora\n", "sudo dnf install cloudflared"),
            ("linux", "x86_64", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "sudo dnf install cloudflared"),
            ("linux", "x86_64", "ID=arch\n", "sudo pacman -S cloudflared"),
            ("linux", "arm", "ID=alpine\n", "/usr/local/bin/cloudflared https://github.com"),
            ("linux", "x86_64", "", "cloudflared-linux-amd64 &&"),
            ("linux", "riscv64", debian, "Get it from https://github.com/cloudflare/cloudflared/releases"),
            ("openbsd", "x86_64", "", "Get it from"),
        ] {
            let text = how_to_install(os, arch, os_release);
            assert!(text.contains(command), "{os} {arch}: {text}");
            assert!(text.ends_with("give its path as PAWPORT_CLOUDFLARED"), "{text}");
        }
    }

    #[test]
    fn the_version_is_a_word() {
        let lines = |text: &str| vec!["a warning".to_owned(), text.to_owned()];
        let said = lines("cloudflared version 2026.1.2 (built 2026-01-20-0956 UTC)");
        assert_eq!(version_in(&said).as_deref(), Some("2026.1.2"));
        assert_eq!(version_in(&lines("ngrok version 3")), None);
    }
}
