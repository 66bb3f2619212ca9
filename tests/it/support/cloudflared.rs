//! The stand-in for cloudflared, `tests/tunnel/cloudflared.py`, as a program that the production code starts.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::mcp_servers;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The name of a tunnel that [`up`] gives.
pub const HOST: &str = "steep-mountain-abc123.trycloudflare.com";

/// A program of the test's own, in a folder of its own.
pub struct StandIn {
    folder: TempDir,
}

/// What it was started with.
#[derive(Debug, Deserialize)]
pub struct Run {
    pub pid: u32,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
}

impl Run {
    /// The value of one of its flags.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == name)?;
        self.arguments.get(at + 1).map(String::as_str)
    }
}

/// The steps of a run that works, and whatever follows then.
pub fn up(host: &str, then: &[Value]) -> Value {
    let works = [json!(["listen"]), json!(["hostname", host]), json!(["ready", true])];
    works.iter().chain(then).cloned().collect()
}

impl StandIn {
    /// Does these steps in each of its runs, and those of the last one in all that follow.
    pub fn new(runs: &[Value]) -> Self {
        let stand_in = Self { folder: tempfile::tempdir().unwrap() };
        stand_in.plan(&json!({ "runs": runs }));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tunnel/cloudflared.py");
        let (script, folder) = (script.display(), stand_in.folder.path().display());
        // Without having been installed, that of the system; isolated from the environment and from packages.
        let python = Some(mcp_servers::python()).filter(|python| python.exists()).unwrap_or_else(|| "python3".into());
        let python = python.display();
        let program = format!("#!/bin/sh\nexec '{python}' -I -S '{script}' '{folder}' \"$@\"\n");
        std::fs::write(stand_in.program(), program).unwrap();
        std::fs::set_permissions(stand_in.program(), Permissions::from_mode(0o755)).unwrap();
        stand_in
    }

    /// One that works at once.
    pub fn working() -> Self {
        Self::new(&[up(HOST, &[])])
    }

    /// Another plan from now on: see the script.
    pub fn plan(&self, plan: &Value) {
        std::fs::write(self.path("plan.json"), plan.to_string()).unwrap();
    }

    /// The folder that is to be in `PATH` for it to be found.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file to start.
    pub fn program(&self) -> PathBuf {
        self.path("cloudflared")
    }

    /// Lets a run go on that waits for that name.
    pub fn go_on(&self, name: &str) {
        std::fs::write(self.path(name), "").unwrap();
    }

    /// Its runs so far, the oldest first.
    pub fn runs(&self) -> Vec<Run> {
        let lines = std::fs::read_to_string(self.path("runs.jsonl")).unwrap_or_default();
        // The last one may be being written.
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How often it was asked for its version.
    pub fn versions_told(&self) -> usize {
        std::fs::read_to_string(self.path("versions")).unwrap_or_default().lines().count()
    }

    /// The ids of its living processes, those that it started included.
    pub fn alive(&self) -> Vec<u32> {
        let folder = self.folder.path().to_str().unwrap();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // What has ended and was not noticed by its parent has no arguments any more.
        let is_ours = |id: &u32| {
            std::fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|arguments| arguments.contains(folder))
        };
        ids.filter(is_ours).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
