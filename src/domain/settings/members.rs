//! Every setting there is: its name, what it may be, and who may change it.
//!
//! The names are those of PocketPaw, whose clients read and write them; most of them mean nothing to this program yet, and
//! are kept for the clients. The import and the API share this table.

mod table;

use crate::domain::agent::choice::{AgentKind, BaseUrl};
use crate::domain::agent::tools::{Allowance, Pattern};
use serde_json::{Value, json};

/// The longest text, in characters, unless its row says otherwise.
const MAX_TEXT: usize = 10_000;

/// The longest list.
const MAX_LIST: usize = 1_000;

/// The largest object, in bytes of JSON.
const MAX_OBJECT: usize = 100_000;

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// True or false.
    Switch(bool),
    /// A whole number: default, least, most.
    Whole(i64, i64, i64),
    /// A number: default, least, most.
    Number(f64, f64, f64),
    /// A text without NUL: default, and how many characters it may have.
    Text(&'static str, usize),
    /// A list of names and whole numbers: default. One text with commas is taken for it.
    List(&'static [&'static str]),
    /// A JSON object of at most 100,000 bytes.
    Object,
    /// A text that is never shown.
    Secret,
    /// The name of an agent: see [`AgentKind`].
    Backend,
    /// Nothing, or a [`BaseUrl`]: default.
    BaseUrl(&'static str),
    /// One of these names, the first of which is the default.
    Choice(&'static [&'static str]),
    /// What an origin may use: see [`Allowance::parse`].
    Allowance,
    /// A list of [`Pattern`]s.
    Patterns,
    /// The webhook slots: shown here, changed elsewhere.
    Webhooks,
}

/// Who may change a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Whoever may change settings.
    Open,
    /// Only the owner: it decides what others may do.
    Admin,
    /// Nobody, while the server runs.
    Protected,
    /// Nobody: it is the key of that name in this server's configuration.
    Configured(&'static str),
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Who may change it.
    pub guard: Guard,
    /// Whether it is null unless it is set.
    pub nullable: bool,
    /// Whether PocketPaw does not have it.
    pub is_own: bool,
}

/// Names that are no settings here, and that nobody may set all the same.
pub const PROTECTED_NAMES: [&str; 2] = ["guardian_enabled", "trust_level"];

/// All settings: those of PocketPaw by name, then our own.
#[must_use]
pub fn all() -> &'static [Member] {
    table::ROWS
}

/// The setting of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Member> {
    table::ROWS.iter().find(|member| member.name == name)
}

/// These send what is remembered to a model.
const NOT_IMPORTED: [&str; 3] = ["memory_backend", "file_vector_enabled", "file_auto_learn"];

/// The setting of that name if an import may set it. Not those that decide who answers, or what others may do: that is for
/// the user to say here, and by itself nothing should reach anybody else after an import.
#[must_use]
pub fn importable(name: &str) -> Option<&'static Member> {
    let may_be = |guard| matches!(guard, Guard::Open | Guard::Admin);
    let is_free = |member: &&Member| !NOT_IMPORTED.contains(&member.name) && !member.is_own;
    find(name).filter(|member| may_be(member.guard) && member.kind.is_importable()).filter(is_free)
}

const fn special(name: &'static str, kind: Kind) -> Member {
    Member { name, kind, guard: Guard::Open, nullable: false, is_own: false }
}

const fn switch(name: &'static str, default: bool) -> Member {
    special(name, Kind::Switch(default))
}

const fn whole(name: &'static str, default: i64, least: i64, most: i64) -> Member {
    special(name, Kind::Whole(default, least, most))
}

const fn number(name: &'static str, default: f64, least: f64, most: f64) -> Member {
    special(name, Kind::Number(default, least, most))
}

const fn text(name: &'static str, default: &'static str) -> Member {
    special(name, Kind::Text(default, MAX_TEXT))
}

const fn long_text(name: &'static str, most: usize) -> Member {
    special(name, Kind::Text("", most))
}

/// Only the owner says where things are sent.
const fn address(name: &'static str, default: &'static str) -> Member {
    special(name, Kind::BaseUrl(default)).for_admin()
}

const fn choice(name: &'static str, names: &'static [&'static str]) -> Member {
    special(name, Kind::Choice(names))
}

const fn list(name: &'static str, default: &'static [&'static str]) -> Member {
    special(name, Kind::List(default))
}

impl Kind {
    fn is_importable(self) -> bool {
        !matches!(self, Self::Backend | Self::Webhooks | Self::Patterns)
    }
}

impl Member {
    const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    const fn protected(self) -> Self {
        Self { guard: Guard::Protected, ..self }
    }

    const fn configured_by(self, key: &'static str) -> Self {
        Self { guard: Guard::Configured(key), ..self }
    }

    const fn for_admin(self) -> Self {
        Self { guard: Guard::Admin, ..self }
    }

    const fn own(self) -> Self {
        Self { is_own: true, ..self }
    }

    /// Whether it is never shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// What it is if nobody says otherwise. Null for a secret.
    #[must_use]
    pub fn default(&self) -> Value {
        if self.nullable {
            return Value::Null;
        }
        match self.kind {
            Kind::Switch(default) => default.into(),
            Kind::Whole(default, ..) => default.into(),
            Kind::Number(default, ..) => default.into(),
            Kind::Text(default, _) | Kind::BaseUrl(default) => default.into(),
            Kind::Choice(names) => names.first().copied().unwrap_or_default().into(),
            Kind::List(default) => json!(default),
            Kind::Object => json!({}),
            Kind::Secret => Value::Null,
            Kind::Backend => AgentKind::Builtin.as_str().into(),
            Kind::Allowance => Allowance::None.to_text().into(),
            Kind::Patterns | Kind::Webhooks => json!([]),
        }
    }

    /// Whether a value is of the right type; else what is wrong with it, in the words of an import.
    ///
    /// # Errors
    /// The words.
    pub fn check_type(&self, value: &Value) -> Result<(), &'static str> {
        if self.nullable && value.is_null() {
            return Ok(());
        }
        let (is_right, wrong) = match self.kind {
            Kind::Switch(_) => (value.is_boolean(), "it is not true or false"),
            Kind::Whole(..) => (value.is_i64() || value.is_u64(), "it is no whole number"),
            Kind::Number(..) => (value.is_number(), "it is no number"),
            Kind::Text(..) | Kind::Secret | Kind::Backend | Kind::BaseUrl(_) | Kind::Choice(_) | Kind::Allowance => {
                (value.is_string(), "it is no text")
            }
            Kind::List(_) | Kind::Patterns | Kind::Webhooks => {
                let is_item = |it: &Value| it.is_string() || it.is_i64();
                (value.as_array().is_some_and(|list| list.iter().all(is_item)), "it is no list of names or numbers")
            }
            Kind::Object => (value.is_object(), "it is no object"),
        };
        if is_right { Ok(()) } else { Err(wrong) }
    }

    /// The value as it is stored, of one that somebody gives. Not for null, which means the default.
    ///
    /// # Errors
    /// What it should be, in words for whoever gave it. They never hold the value.
    pub fn check(&self, value: &Value) -> Result<Value, String> {
        match self.kind {
            Kind::Switch(_) => match value {
                Value::Bool(_) => Ok(value.clone()),
                _ => Err("Input should be true or false".to_owned()),
            },
            Kind::Whole(_, least, most) => {
                let number = value.as_i64().filter(|number| (least..=most).contains(number));
                number.map(Value::from).ok_or_else(|| format!("Input should be a whole number from {least} to {most}"))
            }
            Kind::Number(_, least, most) => {
                let number = value.as_f64().filter(|number| (least..=most).contains(number));
                number.map(Value::from).ok_or_else(|| format!("Input should be a number from {least} to {most}"))
            }
            Kind::Text(_, most) => checked_text(value, most).map(Value::from),
            Kind::Secret => checked_text(value, MAX_TEXT).map(|text| text.trim().into()),
            Kind::List(_) => list_of(value).map(Value::from),
            Kind::Patterns => {
                let items = list_of(value)?;
                let is_pattern = |it: &Value| it.as_str().is_some_and(|it| Pattern::parse(it).is_some());
                let is_right = items.len() <= Allowance::MAX_PATTERNS && items.iter().all(is_pattern);
                let wrong = || {
                    let most = Allowance::MAX_PATTERNS;
                    format!("Input should be at most {most} names of tools, in which * stands for anything")
                };
                is_right.then(|| Value::from(items)).ok_or_else(wrong)
            }
            Kind::Object => {
                let is_right = value.is_object() && value.to_string().len() <= MAX_OBJECT && !has_nul(value);
                is_right
                    .then(|| value.clone())
                    .ok_or_else(|| format!("Input should be an object of at most {MAX_OBJECT} bytes"))
            }
            Kind::Backend => {
                let name = checked_text(value, MAX_TEXT)?;
                let kind = agent_kind(name.trim()).ok_or_else(unknown_agent)?;
                Ok(kind.as_str().into())
            }
            Kind::Choice(names) => {
                let name = value.as_str().map(str::trim).filter(|name| names.contains(name));
                name.map(Value::from).ok_or_else(|| format!("Input should be one of: {}", names.join(", ")))
            }
            Kind::BaseUrl(_) => {
                let text = checked_text(value, BaseUrl::MAX_LEN)?;
                if text.trim().is_empty() {
                    return Ok("".into());
                }
                let url = BaseUrl::parse(&text).map_err(|error| format!("Input {error}"))?;
                Ok(url.as_str().into())
            }
            Kind::Allowance => {
                let text = checked_text(value, 100_000)?;
                let allowance = Allowance::parse(&text).map_err(|error| format!("Input {error}"))?;
                Ok(allowance.to_text().into())
            }
            Kind::Webhooks => Err("The webhook slots are changed at /api/v1/webhooks".to_owned()),
        }
    }
}

/// The agent of that name, here or in PocketPaw, where it means only one of ours.
fn agent_kind(name: &str) -> Option<AgentKind> {
    match name {
        "claude_agent_sdk" => Some(AgentKind::Anthropic),
        "openai_agents" => Some(AgentKind::OpenAiCompatible),
        name => AgentKind::parse(name),
    }
}

fn unknown_agent() -> String {
    let names = AgentKind::ALL.map(AgentKind::as_str).join(", ");
    format!(
        "Input should be one of: {names}; what speaks the API of OpenAI, such as Ollama or LiteLLM, is openai_compatible with its address in openai_compatible_base_url"
    )
}

fn checked_text(value: &Value, most: usize) -> Result<String, String> {
    let is_right = |text: &&str| !text.contains('\0') && text.chars().count() <= most;
    let text = value.as_str().filter(is_right);
    text.map(str::to_owned).ok_or_else(|| format!("Input should be a text of at most {most} characters without NUL"))
}

/// The items of a list, or of a text with commas.
fn list_of(value: &Value) -> Result<Vec<Value>, String> {
    let items: Vec<Value> = match value {
        Value::Array(items) => items.clone(),
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
        }
        _ => return Err(not_a_list()),
    };
    let is_item = |it: &Value| it.is_i64() || checked_text(it, MAX_TEXT).is_ok();
    if items.len() <= MAX_LIST && items.iter().all(is_item) { Ok(items) } else { Err(not_a_list()) }
}

fn not_a_list() -> String {
    format!("Input should be a list of at most {MAX_LIST} texts or whole numbers")
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
