//! Sessions with their messages, and the aliases of chats.

use super::files::{Files, element, stem};
use super::times::{moment, moment_of};
use super::{Area, Found, Reader, Step, Stopped, kept};
use crate::domain::import::{Item, SessionPart};
use crate::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId, SessionTitle};
use crate::domain::time::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

const FOLDER: &str = "memory/sessions";

/// How much of a session is handed on at once.
const PART_MESSAGES: usize = 1_000;
const PART_BYTES: usize = 1024 * 1024;

/// What the index says of a session.
#[derive(Default)]
struct Indexed {
    user_title: Option<SessionTitle>,
    created: Option<Timestamp>,
}

/// The files with sessions.
pub(super) fn names(files: &Files) -> Vec<String> {
    without_others(files.ending(FOLDER, ".json"))
}

fn without_others(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !is_other(name));
    names
}

/// Whether a file of the folder holds no session.
fn is_other(name: &str) -> bool {
    name.starts_with("memory/sessions/_") || name.ends_with("_compaction.json")
}

pub(super) fn read(reader: &mut Reader<'_>) -> Step {
    read_aliases(reader)?;
    let mut index = read_index(reader)?;
    for name in reader.files.ending(FOLDER, "_compaction.json") {
        reader.skipped(Area::OtherFiles, &name, "summaries that are made anew when needed are not taken")?;
    }
    for name in without_others(reader.names(Area::Sessions, FOLDER, ".json")?) {
        let key = stem(&name, "memory/sessions/", ".json").to_owned();
        let indexed = index.remove(&key).unwrap_or_default();
        match SessionId::parse(&key) {
            Ok(id) => read_session(reader, &name, &id, indexed)?,
            Err(_) => reader.skipped(Area::Sessions, &name, "its name cannot be that of a session")?,
        }
    }
    Ok(())
}

fn read_aliases(reader: &mut Reader<'_>) -> Step {
    let name = "memory/sessions/_aliases.json";
    let Some(aliases) = reader.json(Area::Aliases, name)? else { return Ok(()) };
    let Value::Object(aliases) = aliases else { return reader.skipped(Area::Aliases, name, "it holds no object") };
    for (from, to) in aliases {
        let place = format!("{name}, {from:?}");
        match to.as_str() {
            Some(to) => {
                let body = json!({ "from": from, "to": to });
                reader.keep(Area::Aliases, &place, kept("session_alias", from, &body))?;
            }
            None => reader.skipped(Area::Aliases, &place, "it does not name a session")?,
        }
    }
    Ok(())
}

fn read_index(reader: &mut Reader<'_>) -> Result<HashMap<String, Indexed>, Stopped> {
    let name = "memory/sessions/_index.json";
    let opened = match reader.files.open(name) {
        Ok(opened) => opened.map(super::files::Opened::json).transpose(),
        Err(why) => Err(why),
    };
    let index = match opened {
        Ok(Some(Value::Object(index))) => index,
        Ok(None) => return Ok(HashMap::new()),
        Ok(Some(_)) | Err(_) => {
            let why = "it cannot be read: titles that were given to sessions by hand are lost";
            reader.skipped(Area::OtherFiles, name, why)?;
            return Ok(HashMap::new());
        }
    };
    let zone = &reader.options.zone;
    let indexed = |entry: &Value| Indexed {
        user_title: entry["user_title"].as_str().and_then(|title| {
            let title = crate::domain::text::head(title.trim(), SessionTitle::MAX_CHARS);
            SessionTitle::parse(title).ok()
        }),
        created: entry["created"].as_str().and_then(|text| moment(text, zone)),
    };
    Ok(index.iter().map(|(key, entry)| (key.clone(), indexed(entry))).collect())
}

/// The part of a session that is being gathered.
struct Gathering<'a> {
    id: &'a SessionId,
    name: &'a str,
    indexed: Indexed,
    modified: Timestamp,
    messages: Vec<NewMessage>,
    bytes: usize,
    is_handed_on: bool,
    last: Option<Timestamp>,
    /// The ids so far, in 16 bytes each.
    seen: HashSet<Uuid>,
}

impl Gathering<'_> {
    fn hand_on(&mut self, reader: &mut Reader<'_>) -> Step {
        let messages = std::mem::take(&mut self.messages);
        let first = messages.first().map(|message| message.at);
        let created = self.indexed.created.into_iter().chain(first).min().unwrap_or(self.modified);
        let user_title = self.indexed.user_title.clone();
        self.bytes = 0;
        self.is_handed_on = true;
        let part = SessionPart { id: self.id.clone(), user_title, created, messages };
        reader.item(Area::Sessions, Item::Session(part))
    }

    fn add(&mut self, reader: &mut Reader<'_>, number: usize, raw: &RawValue) -> Step {
        let place = element(self.name, number);
        let message = match serde_json::from_str(raw.get()) {
            Ok(Value::Object(message)) => message,
            Ok(_) => return reader.skipped(Area::Messages, &place, "it is no object"),
            Err(_) => {
                return reader.skipped(Area::Messages, &place, "it holds text that is not Unicode, or is too deep");
            }
        };
        let Some(message) = self.message(reader, &place, message)? else { return Ok(()) };
        self.bytes += message.text.as_str().len() + message.metadata.as_json().len();
        self.last = Some(message.at);
        self.messages.push(message);
        if self.messages.len() >= PART_MESSAGES || self.bytes >= PART_BYTES {
            self.hand_on(reader)?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        reader: &mut Reader<'_>,
        place: &str,
        mut message: Map<String, Value>,
    ) -> Result<Option<NewMessage>, Stopped> {
        let area = Area::Messages;
        let role = match &message.get("role").unwrap_or(&Value::Null) {
            Value::Null => Some(Role::User),
            Value::String(role) => Role::parse(role),
            _ => None,
        };
        let Some(role) = role else {
            return reader.skipped(area, place, "nobody of that role can speak").map(|()| None);
        };
        let Some(Value::String(content)) = message.remove("content") else {
            return reader.skipped(area, place, "its content is no text").map(|()| None);
        };
        let stated = message.remove("timestamp").unwrap_or_default();
        let at = match moment_of(&stated, &reader.options.zone) {
            Some(at) => at,
            None => {
                reader.changed(area, place, "it has no time that can be read; it got that of the message before it")?;
                self.last.or(self.indexed.created).unwrap_or(self.modified)
            }
        };
        let id = self.id_of(message.get("id"), role, &stated, &content);
        let id = match id {
            Ok(id) => id,
            Err(id) => {
                reader.changed(area, place, "another message has its id; it got a new one")?;
                id
            }
        };
        let text = match MessageText::parse(content.as_str()) {
            Ok(text) => text,
            Err(why) => {
                reader.changed(area, place, format!("its text {why}; the rest was left out"))?;
                MessageText::lossy(&content)
            }
        };
        let metadata = match message.remove("metadata") {
            Some(Value::Object(metadata)) => metadata_of(metadata),
            _ => Metadata::empty(),
        };
        Ok(Some(NewMessage { id, role, text, at, metadata }))
    }

    /// The id of a message: its own, or one that a second reading makes again. `Err` with another one if it is taken.
    fn id_of(&mut self, own: Option<&Value>, role: Role, stated: &Value, content: &str) -> Result<String, String> {
        let own = own.and_then(Value::as_str).filter(|id| is_plain(id)).map(str::to_owned);
        let name = |id: &str| Uuid::parse_str(id).unwrap_or_else(|_| named(id));
        if let Some(id) = &own
            && self.seen.insert(name(id))
        {
            return Ok(id.clone());
        }
        for count in 0_u64.. {
            let made = named(&format!("{}:{}:{stated}:{count}:{content}", self.id, role.as_str()));
            if self.seen.insert(made) {
                return if own.is_some() { Err(made.to_string()) } else { Ok(made.to_string()) };
            }
        }
        Err(String::new())
    }
}

fn named(text: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, text.as_bytes())
}

/// Whether a text can be an id.
fn is_plain(id: &str) -> bool {
    (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Metadata without the data of media, which web chats put into it.
fn metadata_of(mut metadata: Map<String, Value>) -> Metadata {
    if let Some(Value::Array(media)) = metadata.get_mut("media") {
        for medium in media.iter_mut().filter_map(Value::as_object_mut) {
            medium.remove("data");
        }
    }
    Metadata::of(&metadata)
}

fn read_session(reader: &mut Reader<'_>, name: &str, id: &SessionId, indexed: Indexed) -> Step {
    let Some(opened) = reader.open(Area::Sessions, name)? else { return Ok(()) };
    let mut gathering = Gathering {
        id,
        name,
        indexed,
        modified: Timestamp(opened.modified),
        messages: Vec::new(),
        bytes: 0,
        is_handed_on: false,
        last: None,
        seen: HashSet::new(),
    };
    let (mut read, mut told) = (0, 0);
    // A file that is not whole gives nothing, so that nobody takes a part of it for the whole.
    let is_whole = reader.list(Area::Sessions, name, &mut |reader, number, raw| {
        read += raw.get().len() as u64;
        if read - told > 256 * 1024 {
            reader.hand_on(Found::Progress(read - told))?;
            told = read;
        }
        gathering.add(reader, number, raw)
    })?;
    if is_whole && (!gathering.messages.is_empty() || !gathering.is_handed_on) {
        gathering.hand_on(reader)?;
    }
    reader.hand_on(Found::Progress(opened.length.saturating_sub(told)))
}
