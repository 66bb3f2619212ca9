//! What becomes of a change that somebody wants: all of it, or nothing.

use super::agents::{self, REMOTES};
use super::members::{self, Guard, Kind, Member, PROTECTED_NAMES};
use super::{SettingChange, Stored, StoredValue};
use crate::domain::agent::choice::{AgentKind, AgentSettings, BaseUrl};
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use thiserror::Error;

/// What a change is held against.
#[derive(Debug)]
pub struct Situation<'a> {
    /// What is set.
    pub stored: &'a Stored,
    /// What configuration says of the agent.
    pub configured: &'a AgentSettings,
    /// What configuration says of the server, by the names of settings.
    pub server: &'a Map<String, Value>,
    /// Whether whoever wants it may do everything.
    pub is_admin: bool,
}

/// What is to be stored.
#[derive(Debug, Default, PartialEq)]
pub struct Planned {
    /// The changes. None for what is as it was.
    pub changes: Vec<SettingChange>,
    /// What whoever wanted it should know.
    pub warnings: Vec<String>,
}

/// Why nothing was changed. The wording is for whoever wanted it, and holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// These cannot be changed while the server runs, by whatever way.
    #[error("Field(s) {} cannot be modified via the API", .0.join(", "))]
    Protected(Vec<String>),
    /// These decide what others may do.
    #[error("Field(s) {} can only be modified with the scope admin", .0.join(", "))]
    NeedsAdmin(Vec<String>),
    /// This is a key of the configuration.
    #[error(
        "Field(s) {member} cannot be modified via the API: set {key} in the configuration (see pawport config show) and start the server again"
    )]
    Configured {
        /// The setting.
        member: String,
        /// The key.
        key: &'static str,
    },
    /// A value is not allowed.
    #[error("{member}: {why}")]
    Invalid {
        /// The setting.
        member: String,
        /// What it should be.
        why: String,
    },
}

/// All settings that are no secrets, as they are shown. Those of the webhook slots are for others to fill in.
#[must_use]
pub fn view(stored: &Stored, configured: &AgentSettings, server: &Map<String, Value>) -> Map<String, Value> {
    let mut agent = agents::shown(stored, configured);
    let visible = members::all().iter().filter(|member| !member.is_secret());
    let shown = visible.map(|member| {
        let value = match member.guard {
            Guard::Configured(_) | Guard::Protected if member.name != "agent_command" => {
                server.get(member.name).cloned()
            }
            _ => agent.remove(member.name).or_else(|| stored.plain(member.name).cloned()),
        };
        (member.name.to_owned(), value.unwrap_or_else(|| member.default()))
    });
    shown.collect()
}

/// What is to be stored if somebody wants these changes.
///
/// # Errors
/// [`Refused`] if any of them is not allowed.
pub fn plan(wanted: &Map<String, Value>, situation: &Situation<'_>) -> Result<Planned, Refused> {
    let before = view(situation.stored, situation.configured, situation.server);
    check_guards(wanted, &before, situation.is_admin)?;
    let mut planned = Planned::default();
    let mut keys: Vec<(&Member, Value)> = Vec::new();
    for (name, value) in wanted {
        let Some(member) = members::find(name) else {
            planned.warnings.push(format!("There is no setting {:?}", crate::domain::text::head(name, 100)));
            continue;
        };
        if value.is_null() {
            if situation.stored.0.contains_key(name) {
                planned.changes.push(SettingChange { name: name.clone(), value: None });
            }
            continue;
        }
        let invalid = |why| Refused::Invalid { member: name.clone(), why };
        let checked = member.check(value).map_err(invalid)?;
        if member.is_secret() {
            // Forms send what was not filled in.
            if checked != "" {
                keys.push((member, checked));
            }
        } else if before.get(name) != Some(&checked) {
            let value = Some(StoredValue::Plain(checked));
            planned.changes.push(SettingChange { name: name.clone(), value });
        }
    }
    // The address that a key is for is known only now.
    let after = situation.stored.with(&planned.changes);
    for (member, key) in &keys {
        let text = key.as_str().unwrap_or_default();
        let remote = REMOTES.iter().find(|remote| remote.api_key == member.name);
        if remote.is_some() && !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "Input should be printable ASCII characters without spaces".to_owned();
            return Err(Refused::Invalid { member: member.name.to_owned(), why });
        }
        planned.warnings.extend(odd_key(member.name, text));
        let address = remote.map(|remote| remote.address(remote.base_url(&after, situation.configured).as_ref()));
        let value = Some(StoredValue::Secret { text: SecretString::from(text), address });
        planned.changes.push(SettingChange { name: member.name.to_owned(), value });
    }
    drop_keys_of_old_addresses(&mut planned, &after, situation);
    warn_of_what_is_lacking(&mut planned, situation);
    Ok(planned)
}

fn check_guards(wanted: &Map<String, Value>, before: &Map<String, Value>, is_admin: bool) -> Result<(), Refused> {
    let is = |name: &str, guard: Guard| members::find(name).is_some_and(|member| member.guard == guard);
    let names = |refused: &dyn Fn(&str) -> bool| -> Vec<String> {
        let names: BTreeSet<&String> = wanted.keys().filter(|name| refused(name)).collect();
        names.into_iter().cloned().collect()
    };
    let protected = names(&|name| PROTECTED_NAMES.contains(&name) || is(name, Guard::Protected));
    if !protected.is_empty() {
        return Err(Refused::Protected(protected));
    }
    let is_other = |name: &str| before.get(name) != wanted.get(name);
    let admin = names(&|name| !is_admin && is(name, Guard::Admin) && is_other(name));
    if !admin.is_empty() {
        return Err(Refused::NeedsAdmin(admin));
    }
    for name in wanted.keys().filter(|name| is_other(name)) {
        if let Some(Member { guard: Guard::Configured(key), .. }) = members::find(name) {
            return Err(Refused::Configured { member: name.clone(), key });
        }
    }
    Ok(())
}

/// A key belongs to its address: one that was given for another would be shown to strangers.
fn drop_keys_of_old_addresses(planned: &mut Planned, after: &Stored, situation: &Situation<'_>) {
    for remote in REMOTES {
        let address = |stored: &Stored| remote.address(remote.base_url(stored, situation.configured).as_ref());
        let is_given = planned.changes.iter().any(|change| change.name == remote.api_key);
        if is_given || address(after) == address(situation.stored) {
            continue;
        }
        if situation.stored.secret(remote.api_key).is_some() {
            planned.changes.push(SettingChange { name: remote.api_key.to_owned(), value: None });
            planned.warnings.push(format!(
                "{} was removed, because it belongs to the address that {} had before; set it again if the new address needs one",
                remote.api_key, remote.base_url
            ));
        } else if agents::choice_of(remote.kind, situation.stored, situation.configured).api_key.is_some() {
            planned.warnings.push(format!(
                "The configured key is not sent to the new address; set {} if that needs one",
                remote.api_key
            ));
        }
    }
}

/// Says of an agent that was just chosen what it cannot answer without.
fn warn_of_what_is_lacking(planned: &mut Planned, situation: &Situation<'_>) {
    if !planned.changes.iter().any(|change| change.name == "agent_backend") {
        return;
    }
    let after = situation.stored.with(&planned.changes);
    let choice = agents::agent_settings(&after, situation.configured).choice;
    let name = choice.kind.as_str();
    planned.warnings.extend(agents::lacks(&choice).iter().map(|lack| format!("{name} lacks {lack}")));
}

/// How keys begin, and what they are called.
const KEYS: [(&str, &str, &str); 6] = [
    ("anthropic_api_key", "Anthropic API key", "sk-ant-"),
    ("openai_api_key", "OpenAI API key", "sk-"),
    ("openrouter_api_key", "OpenRouter API key", "sk-or-"),
    ("slack_app_token", "Slack app token", "xapp-"),
    ("slack_bot_token", "Slack bot token", "xoxb-"),
    ("tavily_api_key", "Tavily API key", "tvly-"),
];

fn odd_key(name: &str, key: &str) -> Option<String> {
    let (_, label, start) = KEYS.iter().find(|known| known.0 == name).filter(|known| !key.starts_with(known.2))?;
    Some(format!(
        "{label} doesn't match expected format (expected format: {start}...). Double-check for typos or truncation."
    ))
}

/// What an import may set, of what it found; the address is where the setting `openai_compatible_base_url` says there.
/// `None` if it says no more than the default.
///
/// # Errors
/// Why not, in words for the user.
pub fn imported(name: &str, value: &Value, address: Option<&str>) -> Result<Option<super::StoredSetting>, String> {
    let member = members::importable(name).ok_or("it is no setting that is taken over")?;
    if *value == member.default() {
        return Ok(None);
    }
    let checked = member.check(value)?;
    let value = match (member.kind, REMOTES.iter().find(|remote| remote.api_key == name)) {
        (Kind::Secret, remote) => {
            let text = checked.as_str().filter(|text| !text.is_empty()).ok_or("it is empty")?;
            let address = remote.map(|remote| {
                let url = address.filter(|_| remote.kind == AgentKind::OpenAiCompatible);
                remote.address(url.and_then(|url| BaseUrl::parse(url).ok()).as_ref())
            });
            StoredValue::Secret { text: SecretString::from(text), address }
        }
        _ => StoredValue::Plain(checked),
    };
    Ok(Some(super::StoredSetting { name: name.to_owned(), value }))
}

#[cfg(test)]
mod tests;
