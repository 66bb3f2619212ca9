//! Long-term memories and daily notes, which are Markdown.

use super::files::stem;
use super::{Area, Reader, Step};
use crate::domain::import::Item;
use crate::domain::memory::{Author, Memory, MemoryId, MemoryKind, MemoryText, Owner, Source, Tags, credentials};
use crate::domain::time::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use std::collections::HashSet;
use uuid::Uuid;

/// A section of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub header: &'a str,
    /// Trimmed, tags included.
    pub body: &'a str,
}

/// The sections of a file: it splits before each line that begins with `##` (or more) and a space. The first line of a
/// section is its header; sections without a body do not count.
pub(super) fn sections(text: &str) -> Vec<Section<'_>> {
    let begins = |rest: &str| {
        let level = rest.bytes().take_while(|byte| *byte == b'#').count();
        level >= 2 && rest.as_bytes().get(level) == Some(&b' ')
    };
    let ends = text.match_indices('\n').map(|(at, _)| at + 1).filter(|at| begins(&text[*at..]));
    let mut start = 0;
    let mut found = Vec::new();
    for end in ends.chain([text.len()]) {
        let section = text[start..end].trim();
        let (header, body) = section.split_once('\n').unwrap_or((section, ""));
        let (header, body) = (header.trim_start_matches('#').trim(), body.trim());
        if !body.is_empty() {
            found.push(Section { header, body });
        }
        start = end;
    }
    found
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Every `#word` of a body, once, in order.
pub(super) fn tags(body: &str) -> Vec<&str> {
    let mut tags: Vec<&str> = Vec::new();
    for piece in body.split('#').skip(1) {
        let tag = piece.split(|character| !is_word(character)).next().unwrap_or_default();
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// A body without the lines at its end that are made of tags only.
pub(super) fn content(body: &str) -> &str {
    let is_tag = |word: &str| word.strip_prefix('#').is_some_and(|tag| !tag.is_empty() && tag.chars().all(is_word));
    let mut content = body.trim_end();
    loop {
        let (before, last) = content.rsplit_once('\n').unwrap_or(("", content));
        if !last.split_whitespace().all(is_tag) || before.trim().is_empty() {
            return content;
        }
        content = before.trim_end();
    }
}

/// The id that PocketPaw gives an entry, which depends on where its folder is.
pub(super) fn legacy_id(path: &str, section: &Section<'_>) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{path}:{}:{}", section.header, section.body).as_bytes())
}

/// When a daily note was made: the date in the name of its file, and the time in its header, which is UTC.
fn noted(date: civil::Date, header: &str) -> Option<i64> {
    let time = header.parse::<civil::Time>().unwrap_or(civil::Time::midnight());
    let at = TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()?;
    Some(at.as_millisecond())
}

pub(super) fn read(reader: &mut Reader<'_>) -> Step {
    read_file(reader, "memory/MEMORY.md", Area::Memories, Some("default"))?;
    for folder in reader.names(Area::Memories, "memory/users", "")? {
        let owner = stem(&folder, "memory/users/", "").to_owned();
        read_file(reader, &format!("{folder}/MEMORY.md"), Area::Memories, Some(&owner))?;
    }
    for name in reader.names(Area::DailyNotes, "memory", ".md")? {
        if name != "memory/MEMORY.md" {
            read_file(reader, &name, Area::DailyNotes, None)?;
        }
    }
    Ok(())
}

fn read_file(reader: &mut Reader<'_>, name: &str, area: Area, owner: Option<&str>) -> Step {
    let Some(opened) = reader.open(area, name)? else { return Ok(()) };
    let date: Option<civil::Date> = stem(name, "memory/", ".md").parse().ok();
    if owner.is_none() && date.is_none() {
        return reader.skipped(area, name, "its name is no date");
    }
    let modified = opened.modified;
    let Some(text) = reader.text(area, name, opened)? else { return Ok(()) };
    let found = sections(&text);
    if found.is_empty() && !text.trim().is_empty() {
        return reader.skipped(area, name, "it has no section with a text");
    }
    let root = reader.options.home_was.as_deref().unwrap_or(reader.files.root());
    let path = root.join(name).to_string_lossy().into_owned();
    let mut seen = HashSet::new();
    for (number, section) in (1..).zip(&found) {
        // The same wherever the folder is, so that a copy elsewhere holds the same memories.
        let id = legacy_id(name, section);
        if !seen.insert(id) {
            reader.skipped(area, &format!("{name}, section {number}"), "it says the same as one before it")?;
            continue;
        }
        let place = || format!("{name}, section {number}");
        let says = content(section.body);
        if let Some(what) = credentials::find(says) {
            reader.skipped(area, &place(), format!("it looks like {what}, which is not remembered"))?;
            continue;
        }
        let Ok(text) = MemoryText::parse(says) else {
            let why = format!("it is longer than {} characters, or has a NUL", MemoryText::MAX_CHARS);
            reader.skipped(area, &place(), why)?;
            continue;
        };
        let found = tags(section.body);
        let is_tag = |tag: &&&str| Tags::parse_one(tag).is_ok();
        let kept: Vec<&str> = found.iter().filter(is_tag).take(Tags::MAX).copied().collect();
        if kept.len() < found.len() {
            reader.changed(area, &place(), "it has more or longer tags than are kept")?;
        }
        let created = Timestamp(date.and_then(|date| noted(date, section.header)).unwrap_or(modified));
        let memory = Memory {
            id: MemoryId::new(id),
            legacy_id: Some(MemoryId::new(legacy_id(&path, section))),
            kind: if date.is_some() { MemoryKind::Daily } else { MemoryKind::LongTerm },
            owner: owner.and_then(|owner| Owner::parse(owner).ok()).unwrap_or_else(Owner::everybody),
            text,
            tags: Tags::parse(kept).unwrap_or_default(),
            created,
            changed: created,
            source: Source::by(Author::Import),
        };
        reader.item(area, Item::Memory(memory))?;
    }
    Ok(())
}
