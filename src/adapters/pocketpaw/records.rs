//! The audit log, and records that are kept as they are: reports, Mission Control, identity texts, reminders.

use super::files::{Files, element, stem};
use super::jsonl::Line;
use super::times::moment_of;
use super::{Area, Reader, Step, kept};
use crate::domain::audit::{AuditEntry, Severity};
use crate::domain::import::Item;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What Mission Control keeps: the file, the kind, and what it is counted as.
const MISSION_CONTROL: [(&str, &str, Area); 7] = [
    ("mission_control/agents.json", "mission_control.agent", Area::Agents),
    ("mission_control/tasks.json", "mission_control.task", Area::Tasks),
    ("mission_control/projects.json", "mission_control.project", Area::Projects),
    ("mission_control/documents.json", "mission_control.document", Area::Documents),
    ("mission_control/messages.json", "mission_control.message", Area::TaskMessages),
    ("mission_control/activities.json", "mission_control.activity", Area::Activities),
    ("mission_control/notifications.json", "mission_control.notification", Area::Notifications),
];

/// The longest id that an entry of the audit log keeps, in bytes.
const LONGEST_ID: usize = 100;

/// The audit logs, oldest first: the archives have their time in their names.
pub(super) fn audit_logs(files: &Files) -> Vec<String> {
    with_the_newest(files.ending("", ".jsonl"))
}

fn with_the_newest(mut logs: Vec<String>) -> Vec<String> {
    logs.retain(|name| name.starts_with("audit-"));
    logs.push("audit.jsonl".to_owned());
    logs
}

pub(super) fn read(reader: &mut Reader<'_>) -> Step {
    for name in with_the_newest(reader.names(Area::AuditEntries, "", ".jsonl")?) {
        reader.lines(Area::AuditEntries, &name, read_entry)?;
    }
    for name in reader.names(Area::AuditReports, "audit_reports", ".json")? {
        let Some(report) = reader.json(Area::AuditReports, &name)? else { continue };
        let date = stem(&name, "audit_reports/", ".json");
        if report.is_object() {
            reader.keep(Area::AuditReports, &name, kept("audit_report", date, &report))?;
        } else {
            reader.skipped(Area::AuditReports, &name, "it holds no object")?;
        }
    }
    for (name, kind, area) in MISSION_CONTROL {
        reader.list(area, name, &mut |reader, number, raw| {
            read_record(reader, area, &element(name, number), kind, raw)
        })?;
    }
    for name in ["IDENTITY", "SOUL", "STYLE", "INSTRUCTIONS", "USER"] {
        let place = format!("identity/{name}.md");
        let Some(opened) = reader.open(Area::IdentityTexts, &place)? else { continue };
        if let Some(text) = reader.text(Area::IdentityTexts, &place, opened)? {
            reader.keep(Area::IdentityTexts, &place, kept("identity", name, &json!({ "text": text })))?;
        }
    }
    let name = "reminders.json";
    match reader.json(Area::Reminders, name)?.map(|mut file| file["reminders"].take()) {
        Some(Value::Array(reminders)) => {
            for (number, reminder) in (1..).zip(reminders) {
                let place = element(name, number);
                match reminder["id"].as_str() {
                    Some(id) => reader.keep(Area::Reminders, &place, kept("reminder", id, &reminder))?,
                    None => reader.skipped(Area::Reminders, &place, "it has no id")?,
                }
            }
        }
        Some(_) => reader.skipped(Area::Reminders, name, "it has no list of reminders")?,
        None => {}
    }
    Ok(())
}

/// A record, kept to the letter.
fn read_record(reader: &mut Reader<'_>, area: Area, place: &str, kind: &str, raw: &RawValue) -> Step {
    match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::Object(record)) => match record.get("id").and_then(Value::as_str) {
            Some(id) => reader.keep(area, place, kept(kind, id, raw.get())),
            None => reader.skipped(area, place, "it has no id"),
        },
        _ => reader.skipped(area, place, "it is no object"),
    }
}

fn read_entry(reader: &mut Reader<'_>, line: Line<'_>) -> Step {
    let Line { place, bytes, object: mut entry } = line;
    let area = Area::AuditEntries;
    let Some(at) = entry.get("timestamp").and_then(|at| moment_of(at, &reader.options.zone)) else {
        return reader.skipped(area, place, "it has no time that can be read");
    };
    let mut text = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| Some(entry.get(*name)?.as_str()?.replace('\0', "")));
        for name in names {
            entry.remove(name);
        }
        found
    };
    // The second of two is the name in the documentation, which the program itself does not write.
    let (action, target) = (text(["action", "event"]), text(["target", "tool"]));
    let (id, actor) = (text(["id", "id"]), text(["actor", "actor"]));
    let (severity, status) = (text(["severity", "severity"]), text(["status", "status"]));
    let Some(action) = action else { return reader.skipped(area, place, "it does not say what was done") };
    let severity = severity.unwrap_or_else(|| "info".to_owned());
    let severity = match Severity::parse(&severity) {
        Some(severity) => severity,
        None => {
            reader.changed(area, place, "its severity is not known; it got warning")?;
            Severity::Warning
        }
    };
    entry.remove("timestamp");
    let mut context = match entry.remove("context") {
        Some(Value::Object(context)) => context,
        _ => Map::new(),
    };
    for (name, value) in entry {
        context.entry(name).or_insert(value);
    }
    let made = |from: &[u8]| Uuid::new_v5(&Uuid::NAMESPACE_DNS, from).to_string();
    let id = match id.filter(|id| !id.is_empty()) {
        // Databases index it, and refuse what is too long for that.
        Some(id) if id.len() > LONGEST_ID => {
            reader.changed(area, place, "its id is too long; it got a new one")?;
            made(id.as_bytes())
        }
        Some(id) => id,
        None => made(bytes),
    };
    let entry = AuditEntry {
        id,
        at,
        severity,
        actor: actor.unwrap_or_default(),
        action,
        target: target.unwrap_or_default(),
        status: status.unwrap_or_default(),
        context,
    };
    reader.item(area, Item::Audit(entry))
}
