//! Reads the folder of a PocketPaw 0.4 (`~/.pocketpaw`). Nothing in it is ever written.
//!
//! The folder is read once, in a fixed order, file by file and element by element, so that its size makes no difference to
//! the memory that is needed. What is found is handed on as it comes; what is broken is reported and passed over.

mod credentials;
mod elements;
mod files;
mod jsonl;
mod mcp;
mod memory;
mod records;
mod secrets;
mod sessions;
mod settings;
mod times;

pub use secrets::KeyMaterial;

use crate::domain::auth::token::AccessToken;
use crate::domain::import::{Item, Kept};
use files::Files;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Area {
    Sessions,
    Messages,
    Aliases,
    Memories,
    DailyNotes,
    Webhooks,
    McpServers,
    McpSignIns,
    ChannelSettings,
    Settings,
    Secrets,
    AccessToken,
    ApiKeys,
    AppTokens,
    ServiceTokens,
    AuditEntries,
    AuditReports,
    Agents,
    Tasks,
    Projects,
    Documents,
    TaskMessages,
    Activities,
    Notifications,
    IdentityTexts,
    Reminders,
    OtherFiles,
}

/// Something that the operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What it belongs to.
    pub area: Area,
    /// Whether that something was not taken; else it was, but not as it stands there.
    pub skipped: bool,
    /// The file below the folder, and what in it.
    pub place: String,
    /// In words, without any secret.
    pub why: String,
}

/// What the reader hands on.
#[derive(Debug)]
pub enum Found {
    /// Something to take over.
    Item(Area, Item),
    /// The master token.
    AccessToken(AccessToken),
    /// A setting that Pawport reads from its own configuration.
    OwnSetting(&'static str, Value),
    /// Something to tell.
    Remark(Remark),
    /// So many bytes of those that [`Home::size`] counts have been read.
    Progress(u64),
}

/// Nobody wants more.
#[derive(Debug)]
pub(crate) struct Stopped;

type Step = Result<(), Stopped>;

/// What the reader has to be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The zone of local times.
    pub zone: TimeZone,
    /// What encrypted secrets can be opened with.
    pub keys: KeyMaterial,
    /// Where the folder was when it was used, if not where it is.
    pub home_was: Option<PathBuf>,
}

/// A folder of PocketPaw's.
#[derive(Debug)]
pub struct Home {
    files: Files,
}

/// By these a folder is known.
const MARKS: [&str; 8] = [
    "config.json",
    "access_token",
    "memory",
    "audit.jsonl",
    "api_keys.json",
    "mcp_servers.json",
    "mission_control",
    "secrets.enc",
];

/// What is there and not taken, and why.
const NOT_TAKEN: [(&str, &str); 10] = [
    ("health", "records of errors are not taken"),
    ("traces", "records of runs are not taken"),
    ("usage.jsonl", "records of runs are not taken"),
    ("kits", "kits are not part of Pawport"),
    ("soul", "the soul file is not part of Pawport"),
    ("media", "media files are not taken"),
    ("generated", "generated files are not taken"),
    ("skills", "skills are not part of Pawport"),
    ("audit.db", "it is not used by version 0.4"),
    ("identity_backup", "backups are not taken"),
];

impl Home {
    /// The folder at `path`.
    ///
    /// # Errors
    /// If it cannot be read or has none of the files of such a folder.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let files = Files::below(path)?;
        if !MARKS.iter().any(|mark| files.root().join(mark).exists()) {
            anyhow::bail!(
                "{} is no folder of PocketPaw: it has none of {}; name the folder that PocketPaw used, usually ~/.pocketpaw",
                path.display(),
                MARKS.join(", ")
            );
        }
        Ok(Self { files })
    }

    /// Where it is, without symbolic links.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.files.root()
    }

    /// Where the program that uses the folder listens, as its settings say.
    #[must_use]
    pub fn address(&self) -> (String, u16) {
        settings::address(&self.files)
    }

    /// How many bytes the sessions and audit logs have, which is nearly all.
    #[must_use]
    pub fn size(&self) -> u64 {
        let length = |name: &String| self.files.root().join(name).metadata().map_or(0, |metadata| metadata.len());
        sessions::names(&self.files).iter().chain(&records::audit_logs(&self.files)).map(length).sum()
    }

    /// Reads everything, and hands it to `sink`. Ends early once that says false.
    pub fn read(&self, options: &Options, sink: &mut dyn FnMut(Found) -> bool) {
        let mut reader = Reader { files: &self.files, options, sink };
        // Stopped or not, there is nothing left to do.
        let _ = reader.everything();
    }
}

/// The state of one reading.
struct Reader<'a> {
    files: &'a Files,
    options: &'a Options,
    sink: &'a mut dyn FnMut(Found) -> bool,
}

impl Reader<'_> {
    fn everything(&mut self) -> Step {
        credentials::read(self)?;
        settings::read(self)?;
        mcp::read(self)?;
        records::read(self)?;
        memory::read(self)?;
        sessions::read(self)?;
        for (name, why) in NOT_TAKEN {
            if self.files.root().join(name).exists() {
                self.skipped(Area::OtherFiles, name, why)?;
            }
        }
        Ok(())
    }

    fn hand_on(&mut self, found: Found) -> Step {
        if (self.sink)(found) { Ok(()) } else { Err(Stopped) }
    }

    fn item(&mut self, area: Area, item: Item) -> Step {
        self.hand_on(Found::Item(area, item))
    }

    /// Hands a kept record on, if it can have that name.
    fn keep(&mut self, area: Area, place: &str, kept: Kept) -> Step {
        if kept.id.is_empty() || kept.id.len() > Kept::MAX_NAME || kept.id.contains('\0') {
            return self.skipped(area, place, "its name is empty or too long");
        }
        let secret = kept.secret.as_ref().map_or(0, |secret| secret.expose_secret().len());
        if kept.body.len().max(secret) > Kept::MAX_BODY {
            let why = format!("it is longer than {} MiB", Kept::MAX_BODY / 1024 / 1024);
            return self.skipped(area, place, why);
        }
        self.item(area, Item::Kept(kept))
    }

    fn skipped(&mut self, area: Area, place: &str, why: impl Into<String>) -> Step {
        self.remark(area, true, place, why)
    }

    fn changed(&mut self, area: Area, place: &str, why: impl Into<String>) -> Step {
        self.remark(area, false, place, why)
    }

    fn remark(&mut self, area: Area, skipped: bool, place: &str, why: impl Into<String>) -> Step {
        self.hand_on(Found::Remark(Remark { area, skipped, place: place.to_owned(), why: why.into() }))
    }
}

/// A record without secrets that takes the place of an older one.
fn kept(kind: &str, id: impl Into<String>, body: &(impl ToString + ?Sized)) -> Kept {
    Kept { kind: kind.to_owned(), id: id.into(), body: body.to_string(), secret: None, replaces: true }
}

#[cfg(test)]
mod tests;
