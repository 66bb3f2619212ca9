//! The files of the folder: opened for reading only, and never outside of it.

use super::elements::{self, Cut};
use super::{Area, Reader, Step, Stopped};
use anyhow::Context;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Files that are read as a whole may be this long. Those that PocketPaw writes are a thousandth of it.
const LONGEST: u64 = 32 * 1024 * 1024;

/// Files up to this length are read at once, which is quicker than a piece at a time.
const SHORT: u64 = 4 * 1024 * 1024;

/// Everything below one folder.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
}

/// A file that can be read.
pub(super) struct Opened {
    pub file: BufReader<File>,
    /// When it was last changed, in milliseconds since the Unix epoch.
    pub modified: i64,
    pub length: u64,
}

/// What is in a folder.
#[derive(Default)]
pub(super) struct Listed {
    /// The names relative to the root, in order.
    pub names: Vec<String>,
    /// What cannot be listed, and why.
    pub problems: Vec<(String, String)>,
}

impl Files {
    pub fn below(path: &Path) -> anyhow::Result<Self> {
        let root = path.canonicalize().with_context(|| format!("{} cannot be read", path.display()))?;
        root.read_dir().with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a name below the root leads. `None` if there is nothing.
    fn real(&self, name: &str) -> Result<Option<PathBuf>, String> {
        let real = match self.root.join(name).canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound && self.root.join(name).is_symlink() => {
                return Err("it is a link to nothing".to_owned());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| unreadable(&error))?,
        };
        if !real.starts_with(&self.root) {
            return Err("it is a link that leads out of the folder".to_owned());
        }
        Ok(Some(real))
    }

    /// Opens the file of that name below the root. `None` if there is none.
    ///
    /// # Errors
    /// Why it is not read, in words.
    pub fn open(&self, name: &str) -> Result<Option<Opened>, String> {
        let Some(real) = self.real(name)? else { return Ok(None) };
        // Asked before it is opened: opening a pipe would wait for somebody to write.
        if !real.metadata().map_err(|error| unreadable(&error))?.is_file() {
            return Err("it is no file".to_owned());
        }
        let file = File::open(real).map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0);
        Ok(Some(Opened { file: BufReader::with_capacity(64 * 1024, file), modified, length: metadata.len() }))
    }

    /// What is in a folder. Nothing if there is no such folder.
    pub fn list(&self, folder: &str) -> Listed {
        let mut listed = Listed::default();
        let entries = match self.real(folder) {
            Ok(Some(real)) => real.read_dir().map_err(|error| unreadable(&error)),
            Ok(None) => return listed,
            Err(why) => Err(why),
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(why) => {
                listed.problems.push((folder.to_owned(), why));
                return listed;
            }
        };
        let below = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        for entry in entries {
            match entry.map(|entry| entry.file_name().into_string()) {
                Ok(Ok(name)) => listed.names.push(below(&name)),
                Ok(Err(name)) => {
                    let problem = "its name is not UTF-8: rename it, and import again".to_owned();
                    listed.problems.push((below(&name.to_string_lossy()), problem));
                }
                Err(error) => listed.problems.push((folder.to_owned(), unreadable(&error))),
            }
        }
        listed.names.sort_unstable();
        listed
    }

    /// The names in a folder that end in `suffix`, whatever may be wrong with others.
    pub fn ending(&self, folder: &str, suffix: &str) -> Vec<String> {
        let mut names = self.list(folder).names;
        names.retain(|name| name.ends_with(suffix));
        names
    }
}

impl Opened {
    /// All of it.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn bytes(mut self) -> Result<Vec<u8>, String> {
        if self.length > LONGEST {
            return Err(format!("it has more than {} MiB", LONGEST / 1024 / 1024));
        }
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        Ok(bytes)
    }

    /// All of it as text.
    pub fn text(self) -> Result<String, String> {
        String::from_utf8(self.bytes()?).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// All of it as JSON.
    pub fn json(self) -> Result<Value, String> {
        serde_json::from_slice(&self.bytes()?).map_err(|error| not_json(&error))
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// What is wrong with a text that should be JSON, without showing any of it.
pub(super) fn not_json(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Io => "it cannot be read".to_owned(),
        Category::Eof => format!("it is cut off ({place})"),
        Category::Syntax => format!("it is not JSON ({place})"),
        Category::Data => "it holds something else than expected".to_owned(),
    }
}

/// The same for a text that should be a JSON array.
fn no_list(error: &serde_json::Error) -> String {
    if error.classify() == Category::Data { "it holds no list".to_owned() } else { not_json(error) }
}

impl Reader<'_> {
    /// Opens a file; reports what cannot be opened.
    pub(super) fn open(&mut self, area: Area, name: &str) -> Result<Option<Opened>, Stopped> {
        match self.files.open(name) {
            Ok(opened) => Ok(opened),
            Err(why) => self.skipped(area, name, why).map(|()| None),
        }
    }

    /// The names in a folder that end in `suffix`; reports what cannot be listed.
    pub(super) fn names(&mut self, area: Area, folder: &str, suffix: &str) -> Result<Vec<String>, Stopped> {
        let Listed { mut names, problems } = self.files.list(folder);
        for (place, why) in problems {
            if place == folder || place.ends_with(suffix) {
                self.skipped(area, &place, why)?;
            }
        }
        names.retain(|name| name.ends_with(suffix));
        Ok(names)
    }

    /// All of a file as text; reports what is no UTF-8 and had to be replaced.
    pub(super) fn text(&mut self, area: Area, name: &str, opened: Opened) -> Result<Option<String>, Stopped> {
        match opened.bytes().map(String::from_utf8) {
            Ok(Ok(text)) => Ok(Some(text)),
            Ok(Err(error)) => {
                self.changed(area, name, "it is not UTF-8; each part that is not became \u{fffd}")?;
                Ok(Some(String::from_utf8_lossy(error.as_bytes()).into_owned()))
            }
            Err(why) => self.skipped(area, name, why).map(|()| None),
        }
    }

    /// The JSON in a file, if it is there and whole.
    pub(super) fn json(&mut self, area: Area, name: &str) -> Result<Option<Value>, Stopped> {
        let Some(opened) = self.open(area, name)? else { return Ok(None) };
        match opened.json() {
            Ok(value) => Ok(Some(value)),
            Err(why) => self.skipped(area, name, why).map(|()| None),
        }
    }

    /// The elements of the list in a file, and whether there is such a list. If it is not whole none is handed on: that is
    /// looked at first.
    pub(super) fn list(
        &mut self,
        area: Area,
        name: &str,
        each: &mut dyn FnMut(&mut Self, usize, &RawValue) -> Step,
    ) -> Result<bool, Stopped> {
        let Some(first) = self.open(area, name)? else { return Ok(false) };
        if first.length <= SHORT {
            let bytes = match first.bytes() {
                Ok(bytes) => bytes,
                Err(why) => return self.skipped(area, name, why).map(|()| false),
            };
            let list: Vec<&RawValue> = match serde_json::from_slice(&bytes) {
                Ok(list) => list,
                Err(error) => return self.skipped(area, name, no_list(&error)).map(|()| false),
            };
            return (1..).zip(list).try_for_each(|(number, element)| each(self, number, element)).map(|()| true);
        }
        if let Err(error) = elements::check(first.file) {
            return self.skipped(area, name, no_list(&error)).map(|()| false);
        }
        let Some(second) = self.open(area, name)? else { return Ok(false) };
        let (area_of_one, is_session) = if area == Area::Sessions { (Area::Messages, true) } else { (area, false) };
        let handed_on = elements::split(second.file, is_session, &mut |number, bytes| {
            let Some(bytes) = bytes else {
                let why = format!("it is longer than {} MiB", elements::LONGEST / 1024 / 1024);
                return self.skipped(area_of_one, &element(name, number), why);
            };
            match serde_json::from_slice::<&RawValue>(bytes) {
                Ok(raw) => each(self, number, raw),
                Err(error) => self.skipped(area_of_one, &element(name, number), not_json(&error)),
            }
        });
        match handed_on {
            Ok(()) => Ok(true),
            Err(Cut::Stopped) => Err(Stopped),
            Err(Cut::Broken(why)) => {
                self.skipped(area, name, format!("it changed while it was read: {why}"))?;
                Ok(true)
            }
        }
    }
}

/// Where an element is.
pub(super) fn element(name: &str, number: usize) -> String {
    format!("{name}, element {number}")
}

/// What is between the folder and the ending of a name.
pub(super) fn stem<'a>(name: &'a str, folder: &str, suffix: &str) -> &'a str {
    let name = name.strip_prefix(folder).unwrap_or(name);
    name.strip_suffix(suffix).unwrap_or(name)
}
