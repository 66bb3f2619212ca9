//! What programs write, as it may be shown: without secrets, and not too much of it.

use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What stands where a secret was.
pub const MASK: &str = "***";

/// How many lines of a program are kept.
pub const LINES: usize = 20;

/// How much of a line is kept, in bytes.
pub const LINE_BYTES: usize = 500;

/// Texts shorter than this are no secrets, whatever they are called: `1`, `on` ….
const MIN_LEN: usize = 4;

/// Lines of a secret that are shorter than this are no secrets by themselves.
const MIN_LINE_LEN: usize = 12;

/// Knows secrets, and removes them from texts.
#[derive(Clone, Default)]
pub struct Masks(Vec<String>);

impl Masks {
    /// Masks for these secrets. Those of less than four bytes are none. Of a secret of several lines each long one is a
    /// secret, too.
    #[must_use]
    pub fn new(mut secrets: Vec<String>) -> Self {
        let lines = secrets.iter().filter(|secret| secret.contains('\n')).flat_map(|secret| secret.lines());
        let lines: Vec<String> = lines.filter(|line| line.len() >= MIN_LINE_LEN).map(str::to_owned).collect();
        secrets.extend(lines);
        secrets.retain(|secret| secret.len() >= MIN_LEN);
        // A secret that contains another is replaced as a whole.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// `text` without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        })
    }

    /// Removes secrets from every text in `value`. Names of members stay.
    pub fn value(&self, value: &mut Value) {
        match value {
            _ if self.0.is_empty() => {}
            Value::String(text) => self.in_place(text),
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.value(element)),
            Value::Object(members) => members.values_mut().for_each(|member| self.value(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn knows(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    fn in_place(&self, text: &mut String) {
        if self.knows(text) {
            *text = self.text(text);
        }
    }
}

/// The last lines that a program wrote, without its secrets. What is older is forgotten, so a flood costs
/// nothing.
#[derive(Default)]
pub struct Tail {
    masks: Masks,
    lines: Mutex<VecDeque<String>>,
}

impl Tail {
    /// No lines yet; `masks` will keep secrets out.
    #[must_use]
    pub fn new(masks: Masks) -> Self {
        Self { masks, lines: Mutex::default() }
    }

    /// Adds a line. Control characters are left out, so that no program can paint somebody's terminal.
    pub fn push(&self, line: &str) {
        // Masked before it is cut: half a secret is one, too.
        let line: String = self.masks.text(line).chars().filter(|character| !character.is_control()).collect();
        let end = line.floor_char_boundary(LINE_BYTES);
        let mut lines = self.lines();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line[..end].to_owned());
    }

    /// The lines, oldest first.
    #[must_use]
    pub fn to_vec(&self) -> Vec<String> {
        self.lines().iter().cloned().collect()
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
