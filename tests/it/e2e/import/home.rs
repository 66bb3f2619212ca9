//! Folders to import, and what came of them.

use crate::e2e::binary::{Ended, Place};
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What the secrets of the sample were encrypted with.
pub const MACHINE: [&str; 4] = ["--machine-id", "0123456789abcdef0123456789abcdef", "--login", "ana"];

/// The access token of the sample.
pub const TOKEN: &str = "fe294fa7-e6aa-45ce-95f4-5d6cbd02fda8";

/// A copy of the sample in `place`, which a test may damage.
pub fn sample(place: &Place) -> PathBuf {
    let home = place.path("pocketpaw");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pocketpaw-home"), &home);
    home
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Imports `home` into the data directory of `place`, whoever listens on the port of the sample.
#[track_caller]
pub fn import(place: &Place, home: &Path, flags: &[&str]) -> Ended {
    let ended = run(place, home, &[&["--although-running"], flags].concat());
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    ended
}

/// The same, however it ends.
#[track_caller]
pub fn run(place: &Place, home: &Path, flags: &[&str]) -> Ended {
    let home = home.to_str().unwrap();
    place.program_with_data(&[&["import", home], flags].concat()).run()
}

/// The numbers of a line of the table: imported, already there, skipped.
#[track_caller]
pub fn counts(ended: &Ended, name: &str) -> [u64; 3] {
    let line = ended.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no line {name} in {}", ended.stdout));
    let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// Every file below a folder: content, time of the last change, mode.
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime, u32)> {
    let mut files = BTreeMap::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            files.extend(snapshot(&path));
        }
        let content = if metadata.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        files.insert(path, (content, metadata.modified().unwrap(), metadata.mode()));
    }
    files
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// What a query gives, a text a row.
pub fn query(place: &Place, sql: &str) -> Vec<String> {
    let mut connection = SqliteConnection::establish(place.data_dir().join("pawport.db").to_str().unwrap()).unwrap();
    let lines: Vec<Line> = diesel::sql_query(sql).load(&mut connection).unwrap();
    lines.into_iter().map(|line| line.line).collect()
}

/// Every row of every table that is not the search index or the list of migrations.
pub fn database(place: &Place) -> BTreeMap<String, Vec<String>> {
    let tables = query(
        place,
        "SELECT name AS line FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'search%' AND name NOT LIKE '\\_\\_%' ESCAPE '\\'",
    );
    let rows = |table: String| {
        let columns =
            query(place, &format!("SELECT 'quote(\"' || name || '\")' AS line FROM pragma_table_info('{table}')"));
        let rows = query(place, &format!("SELECT {} AS line FROM \"{table}\" ORDER BY 1", columns.join("||','||")));
        (table, rows)
    };
    tables.into_iter().map(rows).collect()
}

/// What was imported, without what differs between two imports of the same: the moment, and the seals of secrets.
pub fn imported(place: &Place) -> Vec<Vec<String>> {
    let queries = [
        "SELECT id || quote(user_title) || first_words || preview || created || ':' || last_activity || ':' || message_count AS line FROM sessions ORDER BY id",
        "SELECT sessions.id || number || messages.id || role || sent || metadata || content || folded AS line FROM messages JOIN sessions ON sessions.key = session_key ORDER BY sessions.id, number",
        "SELECT kind || id || body || (sealed_secret IS NULL) AS line FROM kept ORDER BY kind, id",
        "SELECT audit.key || id || happened || severity || actor || action || target || status || context AS line FROM audit WHERE key < 0 ORDER BY key",
        "SELECT id || hex(hash) || prefix || name || scopes || created || quote(expires) || quote(revoked) AS line FROM api_keys ORDER BY id",
        "SELECT name || enabled || body AS line FROM mcp_servers ORDER BY name",
        "SELECT server AS line FROM mcp_sign_ins ORDER BY server",
        "SELECT name || description || scheme || sync_timeout AS line FROM webhooks ORDER BY name",
        "SELECT id || quote(legacy_id) || kind || owner || created || tags || content || folded AS line FROM memories ORDER BY id",
        "SELECT id || term || frequency || length AS line FROM memory_terms JOIN memories ON key = memory_key ORDER BY id, term",
    ];
    queries.into_iter().map(|sql| query(place, sql)).collect()
}

/// How many memories a generated home has.
pub const MEMORIES: usize = 100;

/// A home with so many sessions of so many messages each.
pub fn generated(place: &Place, name: &str, sessions: usize, messages: usize) -> PathBuf {
    let home = place.path(name);
    std::fs::create_dir_all(home.join("memory/sessions")).unwrap();
    let mut audit = String::new();
    for session in 0..sessions {
        let message = |number: usize| {
            let role = ["user", "assistant"][number % 2];
            let second = number % 60;
            format!(
                r#"{{"id":"{session}-{number}","role":"{role}","content":"Text {number} of session {session}","timestamp":"2026-01-01T10:00:{second:02}","metadata":{{}}}}"#
            )
        };
        let messages: Vec<String> = (0..messages).map(message).collect();
        let path = home.join(format!("memory/sessions/websocket_{session}.json"));
        std::fs::write(path, format!("[{}]", messages.join(","))).unwrap();
        writeln!(
            audit,
            r#"{{"id":"entry-{session}","timestamp":"2026-01-01T10:00:00+00:00","severity":"info","actor":"a","action":"b","target":"c","status":"success","context":{{}}}}"#
        )
        .unwrap();
    }
    std::fs::write(home.join("audit.jsonl"), audit).unwrap();
    let mut memories = String::new();
    for number in 0..MEMORIES {
        write!(memories, "\n## Memory\n\nFact {number}\n\n#tag{}\n", number % 7).unwrap();
    }
    std::fs::write(home.join("memory/MEMORY.md"), memories).unwrap();
    home
}
