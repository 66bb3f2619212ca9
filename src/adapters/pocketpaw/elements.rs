//! The elements of a JSON list, one at a time: neither the length of the list nor that of an element costs memory.

use super::Step;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;
use std::io::{BufRead, Read};

/// An element may be this long, without the data of media. A message of a mebibyte has six times as much if all of it is
/// escaped.
pub(super) const LONGEST: usize = 8 * 1024 * 1024;

/// Where the data of media is: `metadata`, in it the list `media`, in each of its elements `data`. By depth, the file being 0.
const MEDIA: [(usize, &[u8]); 3] = [(2, b"metadata"), (3, b"media"), (5, b"data")];
const MEDIA_LIST: usize = 4;
const MEDIUM: usize = 5;

/// Checks that all of it is one JSON list.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(source: impl Read) -> Result<(), serde_json::Error> {
    struct Each;
    impl<'de> Visitor<'de> for Each {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_reader(source);
    (&mut deserializer).deserialize_seq(Each)?;
    deserializer.end()
}

/// Why the elements ended too early.
pub(super) enum Cut {
    /// Nobody wants more.
    Stopped,
    /// In words.
    Broken(String),
}

/// Hands every element of a list that was [checked](check) on, with its number (from 1); nothing in the place of those that
/// are too long. `drops_media` empties the data of media.
pub(super) fn split(
    mut source: impl BufRead,
    drops_media: bool,
    each: &mut dyn FnMut(usize, Option<&[u8]>) -> Step,
) -> Result<(), Cut> {
    let mut splitter = Splitter { drops_media, ..Splitter::default() };
    loop {
        let chunk = source.fill_buf().map_err(|error| Cut::Broken(error.to_string()))?;
        if chunk.is_empty() {
            return if splitter.is_over { Ok(()) } else { Err(Cut::Broken("it is cut off".to_owned())) };
        }
        let length = chunk.len();
        splitter.take(chunk, each).map_err(|_| Cut::Stopped)?;
        source.consume(length);
    }
}

/// Knows JSON no better than it must to find where elements end.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "they change one by one, at most one a byte")]
struct Splitter {
    drops_media: bool,
    element: Vec<u8>,
    is_too_long: bool,
    number: usize,
    /// How many lists and objects are open.
    depth: usize,
    is_over: bool,
    in_string: bool,
    is_escaped: bool,
    is_dropped: bool,
    /// Where in the element the text of the last string begins.
    string: usize,
    is_after_colon: bool,
    /// Whether the way leads to the data of media, by depth.
    is_media: [bool; MEDIUM + 1],
}

impl Splitter {
    fn take(&mut self, chunk: &[u8], each: &mut dyn FnMut(usize, Option<&[u8]>) -> Step) -> Step {
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            if self.in_string && !self.is_escaped {
                let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
                if plain > 0 {
                    self.push(&rest[..plain]);
                    rest = &rest[plain..];
                    continue;
                }
            }
            rest = after;
            if self.in_string {
                self.in_a_string(byte);
            } else {
                self.between_strings(byte, each)?;
            }
        }
        Ok(())
    }

    fn in_a_string(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else {
            self.in_string = false;
            self.is_dropped = false;
        }
        self.push(&[byte]);
    }

    fn between_strings(&mut self, byte: u8, each: &mut dyn FnMut(usize, Option<&[u8]>) -> Step) -> Step {
        let is_after_colon = self.is_after_colon && byte.is_ascii_whitespace();
        match byte {
            b'"' => {
                self.push(b"\"");
                self.in_string = true;
                self.string = self.element.len();
                self.is_dropped = self.drops_media
                    && self.is_after_colon
                    && self.depth == MEDIUM
                    && self.is_media[2..].iter().all(|is_media| *is_media);
            }
            b'[' | b'{' => {
                if self.depth > 0 {
                    self.push(&[byte]);
                }
                self.depth += 1;
                self.lead(byte == b'[' && self.depth == MEDIA_LIST);
            }
            b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.is_over = true;
                    return self.hand_on(each);
                }
                self.push(&[byte]);
            }
            b',' if self.depth == 1 => return self.hand_on(each),
            b',' => {
                self.push(b",");
                self.lead(self.depth == MEDIA_LIST && self.is_media[MEDIA_LIST]);
            }
            b':' => {
                let key = self.element.get(self.string..).and_then(|text| text.split(|byte| *byte == b'"').next());
                self.lead(MEDIA.into_iter().any(|(depth, name)| depth == self.depth && key == Some(name)));
                self.push(b":");
                self.is_after_colon = true;
                return Ok(());
            }
            _ if self.depth <= 1 && byte.is_ascii_whitespace() => {}
            _ => self.push(&[byte]),
        }
        self.is_after_colon = is_after_colon;
        Ok(())
    }

    /// Notes whether what comes at this depth may be on the way to the data of media.
    fn lead(&mut self, is_media: bool) {
        if let Some(here) = self.is_media.get_mut(self.depth) {
            *here = is_media;
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.is_dropped || self.is_too_long {
            return;
        }
        if self.element.len() + bytes.len() > LONGEST {
            self.is_too_long = true;
            self.element = Vec::new();
            return;
        }
        self.element.extend_from_slice(bytes);
    }

    fn hand_on(&mut self, each: &mut dyn FnMut(usize, Option<&[u8]>) -> Step) -> Step {
        self.is_after_colon = false;
        if self.is_too_long || !self.element.is_empty() {
            self.number += 1;
            each(self.number, (!self.is_too_long).then_some(&self.element[..]))?;
        }
        self.is_too_long = false;
        self.element.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
