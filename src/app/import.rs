//! Taking over what a PocketPaw left: reading its folder and storing what is found, a batch at a time.

mod size;
mod summary;
mod target;

use super::progress::bar;
use crate::adapters::host::{OsEntropy, SystemClock};
use crate::adapters::pocketpaw::{Area, Found, Home, KeyMaterial, Options, Remark};
use crate::config::{self, Config};
use crate::domain::audit::service::Audit;
use crate::domain::audit::{AuditEntry, Happening};
use crate::domain::import::{Item, Outcome, SessionPart};
use crate::domain::session::SessionId;
use crate::ports::entropy::Entropy;
use anyhow::{Context, bail};
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use std::collections::HashSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use summary::Summary;
use target::Target;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

/// How much is stored in one transaction: items and messages, and bytes of messages.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How much may be read and not yet taken: what is found, and bytes of it.
const READ_AHEAD: usize = 16;
const READ_AHEAD_BYTES: usize = 16 * 1024 * 1024;

/// How many entries of the audit log a dry run remembers.
const REMEMBERED: usize = 1_000_000;

/// What the operator asks for.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The folder of PocketPaw's.
    pub folder: PathBuf,
    /// Whether to say only what would be done.
    pub dry_run: bool,
    /// Whether to go on although the other program seems to run.
    pub although_running: bool,
    /// The zone of times without one, by its IANA name; else that of this machine.
    pub zone: Option<String>,
    /// Where the folder was when it was used, if not where it is.
    pub home_was: Option<PathBuf>,
    /// What secrets were encrypted with, where it is not what this machine says.
    pub machine_id: Option<String>,
    /// The same for the hardware.
    pub hardware_id: Option<String>,
    /// The same for the login name.
    pub login: Option<String>,
}

/// Takes over what is in the folder, and gives what to tell the operator.
///
/// Cut short at any moment it has stored a part; run again it stores the rest.
///
/// # Errors
/// If the folder cannot be read, somebody uses it or the data directory, or the storage fails. What was stored stays.
pub async fn import(config: &Config, options: ImportOptions) -> anyhow::Result<String> {
    let home = Home::open(&options.folder)?;
    if !options.although_running {
        refuse_if_running(&home)?;
    }
    let zone = zone(options.zone.as_deref())?;
    let reading =
        Options { zone: zone.clone(), keys: key_material(&options, &home), home_was: options.home_was.clone() };
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let target = Target::open(config, options.dry_run, &entropy).await?;
    let audit = Audit::new(Arc::clone(&target.stores.audit), Arc::new(SystemClock), entropy);
    let source = home.root().display().to_string();
    let bar = bar("Reading", home.size(), "{bytes} of {total_bytes}, {bytes_per_sec}");

    let (sender, mut found) = mpsc::channel(READ_AHEAD);
    let (room, runtime) = (Arc::new(Semaphore::new(READ_AHEAD_BYTES)), Handle::current());
    let reader = tokio::task::spawn_blocking(move || {
        home.read(&reading, &mut |found| {
            let bytes = if let Found::Item(_, item) = &found { size::weight(item).1 } else { 0 };
            let bytes = u32::try_from(bytes.min(READ_AHEAD_BYTES)).unwrap_or(u32::MAX);
            let Ok(taken) = runtime.block_on(Arc::clone(&room).acquire_many_owned(bytes)) else { return false };
            sender.blocking_send((found, taken)).is_ok()
        });
    });
    let mut import = Import {
        target,
        began: audit.entry(Happening::command("data_import_began", &source)),
        batch: Vec::new(),
        weight: 0,
        bytes: 0,
        current: None,
        previewed: HashSet::new(),
        summary: Summary::new(options.dry_run, zone.iana_name().unwrap_or("UTC")),
    };
    while let Some((found, _taken)) = found.recv().await {
        import.take(config, found, &bar).await?;
    }
    reader.await.context("reading ended in the middle")?;
    import.store().await?;
    bar.finish_and_clear();
    if import.summary.imported_something() && !options.dry_run {
        let counts = import.summary.counts();
        audit.record(Happening::command("data_imported", &source).with("imported", counts)).await?;
    }
    Ok(import.summary.text(&source))
}

/// The state of one import.
struct Import {
    target: Target,
    began: AuditEntry,
    batch: Vec<(Area, Label, Item)>,
    weight: usize,
    bytes: usize,
    /// The session whose parts come, with the ids of the messages that it had before.
    current: Option<(SessionId, HashSet<String>)>,
    /// The ids of audit entries that a dry run has met.
    previewed: HashSet<Uuid>,
    summary: Summary,
}

impl Import {
    async fn take(&mut self, config: &Config, found: Found, bar: &ProgressBar) -> anyhow::Result<()> {
        match found {
            Found::Progress(bytes) => bar.inc(bytes),
            Found::Remark(remark) => self.summary.remark(remark),
            Found::OwnSetting(name, value) => self.summary.own_setting(name, &value),
            Found::AccessToken(token) => match self.target.keep_access_token(config, &token).await? {
                Ok(outcome) => self.summary.count(Area::AccessToken, outcome),
                Err(why) => self.summary.remark(Remark {
                    area: Area::AccessToken,
                    skipped: true,
                    place: "access_token".to_owned(),
                    why,
                }),
            },
            Found::Item(area, item) => self.take_item(area, item).await?,
        }
        Ok(())
    }

    async fn take_item(&mut self, area: Area, mut item: Item) -> anyhow::Result<()> {
        let label = Label::of(&item);
        match &mut item {
            Item::Session(part) => self.leave_out_what_is_there(part).await?,
            Item::Audit(entry) if self.was_previewed(&entry.id) => {
                self.summary.count(area, Outcome::AlreadyThere);
                return Ok(());
            }
            _ => {}
        }
        let (weight, bytes) = size::weight(&item);
        self.weight += weight;
        self.bytes += bytes;
        self.batch.push((area, label, item));
        if self.weight >= BATCH || self.bytes >= BATCH_BYTES {
            self.store().await?;
        }
        Ok(())
    }

    /// Removes the messages that the session has. It is asked once: all parts of a session follow each other, and no id is
    /// in two of them.
    async fn leave_out_what_is_there(&mut self, part: &mut SessionPart) -> anyhow::Result<()> {
        if self.current.as_ref().is_none_or(|current| current.0 != part.id) {
            let there = self.target.stores.imports.message_ids(&part.id).await?;
            self.current = Some((part.id.clone(), there));
        }
        if let Some((_, there)) = &self.current {
            part.messages.retain(|message| !there.contains(&message.id));
        }
        Ok(())
    }

    /// Whether this is a dry run that has met the entry. A preview keeps nothing, so the next batch would not find it.
    fn was_previewed(&mut self, id: &str) -> bool {
        if !self.target.dry_run {
            return false;
        }
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
        if self.previewed.len() < REMEMBERED { !self.previewed.insert(id) } else { self.previewed.contains(&id) }
    }

    /// Stores what was gathered.
    async fn store(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch).into_iter();
        let (labels, items): (Vec<_>, Vec<Item>) = batch.map(|(area, label, item)| ((area, label), item)).unzip();
        (self.weight, self.bytes) = (0, 0);
        if items.is_empty() {
            return Ok(());
        }
        let outcomes = self.target.import(items, &self.began).await;
        let outcomes = outcomes.context("what was stored until now stays; run the command again to go on")?;
        for ((area, label), outcome) in labels.into_iter().zip(outcomes) {
            match (label, outcome) {
                (Label::Session(id, messages), Outcome::Session { is_new, added }) => {
                    self.summary.session(&id, is_new, added, messages);
                }
                (Label::Named(place, why), Outcome::Conflict) => {
                    self.summary.remark(Remark { area, skipped: true, place, why: why.to_owned() });
                }
                (_, outcome) => self.summary.count(area, outcome),
            }
        }
        Ok(())
    }
}

/// What is said of an item after it was given away.
enum Label {
    Session(String, u64),
    /// What it is called, and why it is not stored if it is a conflict.
    Named(String, &'static str),
    Nothing,
}

impl Label {
    fn of(item: &Item) -> Self {
        let with_secret = "there is another one of that name or id here, with another secret";
        match item {
            Item::Session(part) => Self::Session(part.id.to_string(), part.messages.len() as u64),
            Item::Webhook(webhook) => Self::Named(format!("webhook {}", webhook.name.as_str()), with_secret),
            Item::ApiKey(key) => Self::Named(format!("API key {}", key.id.as_str()), with_secret),
            Item::McpServer(server) => Self::Named(
                format!("MCP server {}", server.name.as_str()),
                "there is another one of that name here, which is started or reached in another way",
            ),
            Item::McpSignIn(sign_in) => Self::Named(
                format!("sign-in to {}", sign_in.server.as_str()),
                "the server of that name here is at another address",
            ),
            Item::Setting(setting) => {
                Self::Named(format!("setting {}", setting.name), "it is set here to something else")
            }
            Item::Memory(_) | Item::Audit(_) | Item::Kept(_) => Self::Nothing,
        }
    }
}

/// Whoever writes into the folder meanwhile would be read halfway. The folder has no lock, but the program has an address.
fn refuse_if_running(home: &Home) -> anyhow::Result<()> {
    let (host, port) = home.address();
    // Where it listens on all addresses it listens on this one.
    let host = if matches!(host.as_str(), "0.0.0.0" | "::" | "") { "127.0.0.1".to_owned() } else { host };
    let addresses = (host.as_str(), port).to_socket_addrs().into_iter().flatten();
    for address in addresses {
        if TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok() {
            bail!(
                "something listens on {address}, where the program that uses {} would: stop it first, or give --although-running if it is something else",
                home.root().display()
            );
        }
    }
    Ok(())
}

fn zone(name: Option<&str>) -> anyhow::Result<TimeZone> {
    match name {
        Some(name) => TimeZone::get(name)
            .with_context(|| format!("there is no time zone {name:?}; give a name such as Europe/Lisbon or UTC")),
        // A machine that does not say is one in UTC, as containers are.
        None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
    }
}

fn key_material(options: &ImportOptions, home: &Home) -> KeyMaterial {
    let variables = config::foreign_variables();
    let variable = |name: &str| variables.get(name).filter(|text| !text.is_empty()).cloned();
    let logins = options.login.clone().map_or_else(
        || {
            let of_folder = home.root().parent().and_then(|parent| Some(parent.file_name()?.to_str()?.to_owned()));
            let known = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(variable).chain(of_folder);
            let mut logins: Vec<String> = Vec::new();
            for login in known.chain(["root", "pocketpaw"].map(str::to_owned)) {
                if !logins.contains(&login) {
                    logins.push(login);
                }
            }
            logins
        },
        |login| vec![login],
    );
    let mut material = KeyMaterial::of_this_machine(logins);
    if let Some(machine) = &options.machine_id {
        material.machines = vec![machine.clone()];
    }
    let is_ci = ["CI", "GITHUB_ACTIONS"].into_iter().any(|name| variable(name).as_deref() == Some("true"));
    if let Some(hardware) = &options.hardware_id {
        material.hardware = vec![hardware.clone()];
    } else if let Some(id) = variable("CI_ENVIRONMENT_ID").filter(|_| is_ci) {
        material.hardware.insert(0, id);
    }
    material
}
