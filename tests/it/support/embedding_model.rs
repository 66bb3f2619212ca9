//! The folder with a real sentence-transformers model, which `.ci/test` installs.

#![expect(clippy::disallowed_methods, reason = "CI says that it must be there")]

use std::io::Write;
use std::path::{Path, PathBuf};

const MISSING: &str = "there is no model in target/embedding-model: call .ci/test, which installs it";

/// The folder. `None` if there is none, which is said; where the tests must be complete, that is a failure.
pub fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/embedding-model");
    // Written when all else is there.
    let is_there = folder.join("installed").is_file();
    if !is_there {
        assert!(std::env::var_os("CI").is_none(), "{MISSING}");
        // Not `eprintln!`, which is shown for failing tests only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {MISSING}");
    }
    is_there.then_some(folder)
}
