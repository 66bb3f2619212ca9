//! What the operator is told at the end.

use crate::adapters::pocketpaw::{Area, Remark};
use crate::config::keys;
use crate::domain::import::Outcome;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many places are named of those with the same remark.
const NAMED: usize = 5;

/// How many different remarks are told apart in one area; a damaged disk can make any number.
const REMARKS: usize = 100;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    imported: u64,
    already_there: u64,
    skipped: u64,
}

/// The same remark of several places.
#[derive(Default)]
struct Remarks {
    count: u64,
    places: Vec<String>,
}

/// Counts and remarks.
pub(super) struct Summary {
    dry_run: bool,
    zone: String,
    counts: BTreeMap<Area, Counts>,
    /// By area, whether something was skipped, and why.
    remarks: BTreeMap<(Area, bool, String), Remarks>,
    configuration: Vec<String>,
    last_session: String,
}

impl Summary {
    pub fn new(dry_run: bool, zone: &str) -> Self {
        Self {
            dry_run,
            zone: zone.to_owned(),
            counts: BTreeMap::new(),
            remarks: BTreeMap::new(),
            configuration: Vec::new(),
            last_session: String::new(),
        }
    }

    pub fn count(&mut self, area: Area, outcome: Outcome) {
        let counts = self.counts.entry(area).or_default();
        match outcome {
            Outcome::Imported | Outcome::Session { .. } => counts.imported += 1,
            Outcome::AlreadyThere => counts.already_there += 1,
            Outcome::Conflict => counts.skipped += 1,
        }
    }

    /// A part of a session with so many messages. Parts of one session follow each other.
    pub fn session(&mut self, id: &str, is_new: bool, added: u64, messages: u64) {
        if self.last_session != id {
            id.clone_into(&mut self.last_session);
            self.count(Area::Sessions, if is_new { Outcome::Imported } else { Outcome::AlreadyThere });
        }
        let counts = self.counts.entry(Area::Messages).or_default();
        counts.imported += added;
        counts.already_there += messages - added;
    }

    pub fn remark(&mut self, remark: Remark) {
        let Remark { area, skipped, place, why } = remark;
        if skipped {
            self.counts.entry(area).or_default().skipped += 1;
        }
        let is_full =
            self.remarks.range((area, false, String::new())..).filter(|(key, _)| key.0 == area).count() >= REMARKS;
        let mut key = (area, skipped, why);
        if is_full && !self.remarks.contains_key(&key) {
            "other reasons".clone_into(&mut key.2);
        }
        let remarks = self.remarks.entry(key).or_default();
        remarks.count += 1;
        if remarks.places.len() < NAMED {
            remarks.places.push(place);
        }
    }

    /// A setting that is no record but belongs into our own configuration.
    pub fn own_setting(&mut self, name: &str, value: &Value) {
        if let Some(line) = configuration_line(name, value) {
            self.configuration.push(line);
        }
    }

    pub fn imported_something(&self) -> bool {
        self.counts.values().any(|counts| counts.imported > 0)
    }

    /// How much was imported, by area, for the audit log.
    pub fn counts(&self) -> Value {
        let imported = self.counts.iter().filter(|(_, counts)| counts.imported > 0);
        Value::Object(
            imported.map(|(area, counts)| (name(*area).to_lowercase(), json!(counts.imported))).collect::<Map<_, _>>(),
        )
    }

    pub fn text(&self, source: &str) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = self.write(&mut text, source);
        text
    }

    fn write(&self, text: &mut String, source: &str) -> std::fmt::Result {
        let done = if self.dry_run { "would import" } else { "imported" };
        writeln!(text, "{source}\n")?;
        writeln!(text, "{:<26}{done:>14}{:>16}{:>10}", "", "already there", "skipped")?;
        for (area, counts) in &self.counts {
            let Counts { imported, already_there, skipped } = counts;
            writeln!(text, "{:<26}{imported:>14}{already_there:>16}{skipped:>10}", name(*area))?;
        }
        if self.counts.is_empty() {
            writeln!(text, "There is nothing in it.")?;
        }
        writeln!(text, "\nTimes without a zone were taken as those of {}.", self.zone)?;
        for (skipped, heading) in [(true, "Skipped:"), (false, "Taken, but not as it stands there:")] {
            let remarks: Vec<_> = self.remarks.iter().filter(|(key, _)| key.1 == skipped).collect();
            if !remarks.is_empty() {
                writeln!(text, "\n{heading}")?;
            }
            for ((area, _, why), remarks) in remarks {
                writeln!(text, "  {}: {why}", name(*area))?;
                for place in &remarks.places {
                    writeln!(text, "      {place}")?;
                }
                let more = remarks.count - remarks.places.len() as u64;
                if more > 0 {
                    writeln!(text, "      and {more} more")?;
                }
            }
        }
        if !self.configuration.is_empty() {
            writeln!(
                text,
                "\nThese settings differ from Pawport's defaults. Put what you want to keep into its configuration file:"
            )?;
            for line in &self.configuration {
                writeln!(text, "  {line}")?;
            }
        }
        if self.dry_run {
            writeln!(text, "\nNothing was written.")?;
        }
        Ok(())
    }
}

/// The line of the configuration file for a setting, if it differs from the default.
fn configuration_line(name: &str, value: &Value) -> Option<String> {
    let (key, shown) = match name {
        "web_host" => (&keys::HOST, value.to_string()),
        "web_port" => (&keys::PORT, value.to_string()),
        "session_token_ttl_hours" => (&keys::SESSION_TOKEN_TTL_HOURS, value.to_string()),
        "localhost_auth_bypass" => (&keys::LOCALHOST_AUTH_BYPASS, value.to_string()),
        "max_concurrent_conversations" => (&keys::MAX_CONCURRENT, value.to_string()),
        "api_cors_allowed_origins" => (&keys::CORS_ORIGINS, value.to_string()),
        // So many a minute, all of them at once if need be.
        "api_rate_limit_per_key" => {
            let minute = value.as_u64()?;
            let second = format!("{}.{:02}", minute / 60, minute % 60 * 100 / 60);
            let second = second.trim_end_matches('0').trim_end_matches('.');
            (&keys::RATE_LIMIT_KEY, format!("\"{second}/{minute}\""))
        }
        "status_api_key" => {
            return Some(format!("{} = \"FILE\" # a file with what status_api_key was", keys::STATUS_KEY_FILE.name));
        }
        _ => return None,
    };
    let default = key.default.unwrap_or("[]");
    (shown.trim_matches('"') != default).then(|| format!("{} = {shown}", key.name))
}

fn name(area: Area) -> &'static str {
    match area {
        Area::Sessions => "Sessions",
        Area::Messages => "Messages",
        Area::Aliases => "Session aliases",
        Area::Memories => "Memories",
        Area::DailyNotes => "Daily notes",
        Area::Webhooks => "Webhooks",
        Area::McpServers => "MCP servers",
        Area::McpSignIns => "MCP sign-ins",
        Area::ChannelSettings => "Channel settings",
        Area::Settings => "Other settings",
        Area::Secrets => "Secrets",
        Area::AccessToken => "Access token",
        Area::ApiKeys => "API keys",
        Area::AppTokens => "Tokens of apps",
        Area::ServiceTokens => "Tokens for services",
        Area::AuditEntries => "Audit entries",
        Area::AuditReports => "Audit reports",
        Area::Agents => "Agents",
        Area::Tasks => "Tasks",
        Area::Projects => "Projects",
        Area::Documents => "Documents",
        Area::TaskMessages => "Messages about tasks",
        Area::Activities => "Activities",
        Area::Notifications => "Notifications",
        Area::IdentityTexts => "Identity texts",
        Area::Reminders => "Reminders",
        Area::OtherFiles => "Other files",
    }
}

#[cfg(test)]
mod tests;
