//! Files with one JSON object a line.

use super::{Area, Found, Reader, Step};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};

/// A line may be this long. What follows is passed over.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A line that is an object.
pub(super) struct Line<'a> {
    pub place: &'a str,
    pub bytes: &'a [u8],
    pub object: Map<String, Value>,
}

impl Reader<'_> {
    /// Hands every line on, with its place. Lines that are no objects are reported.
    pub(super) fn lines(&mut self, area: Area, name: &str, each: fn(&mut Self, Line<'_>) -> Step) -> Step {
        let Some(mut opened) = self.open(area, name)? else { return Ok(()) };
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let place = format!("{name}, line {number}");
            let read = match opened.file.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(read) => read as u64,
                Err(error) => return self.skipped(area, &place, format!("it cannot be read: {error}")),
            };
            self.hand_on(Found::Progress(read))?;
            if read == LONGEST && line.last() != Some(&b'\n') {
                self.skipped(area, &place, "the line is longer than 4 MiB")?;
                if opened.file.skip_until(b'\n').is_err() {
                    break;
                }
                continue;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(Value::Object(object)) => each(self, Line { place: &place, bytes: line.trim_ascii(), object })?,
                _ => self.skipped(area, &place, "the line is no JSON object")?,
            }
        }
        Ok(())
    }
}
