//! What is remembered for long: facts about people and their work, found again by their words or by their meaning.
//!
//! A memory belongs to somebody, and whoever is not its owner does not see it: that is decided in the stores, by [`Owners`].
//! Its tags stand apart from its text. Reading order: this file; [`words`] and [`ranking`] are how memories are found;
//! [`embedding`] is what their meaning is made with; [`credentials`] is what is never remembered; [`tools`] and [`learning`]
//! are how the agent remembers; [`service`] is all of it together.

pub mod credentials;
pub mod embedding;
pub mod learning;
pub mod ranking;
pub mod service;
pub mod tools;
pub mod words;

use super::text::{self, TextRejected};
use super::time::Timestamp;
use std::fmt;

/// Names a memory, for ever: 1 to [`MemoryId::MAX_CHARS`] characters, no NUL. Those made here are version 7 UUIDs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoryId(String);

impl MemoryId {
    /// The longest id, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Checks an id that somebody gives.
    ///
    /// # Errors
    /// If no memory can have this id.
    pub fn parse(id: &str) -> Result<Self, TextRejected> {
        text::bounded(id, Self::MAX_CHARS).map(Self)
    }

    /// The id of a new memory.
    #[must_use]
    pub fn new(id: uuid::Uuid) -> Self {
        Self(id.to_string())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemoryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is remembered: trimmed, 1 to [`MemoryText::MAX_CHARS`] characters, no NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryText(String);

impl MemoryText {
    /// The longest text, in characters.
    pub const MAX_CHARS: usize = 10_000;

    /// Trims and checks a text.
    ///
    /// # Errors
    /// Says which rule was broken, in words for the user.
    pub fn parse(text: &str) -> Result<Self, TextRejected> {
        text::bounded(text, Self::MAX_CHARS).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tags: at most [`Tags::MAX`], each once, in the order given. A tag is trimmed, without the `#` that people write before it,
/// and has 1 to [`Tags::MAX_CHARS`] characters, none of them NUL. Compared exactly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<String>);

impl Tags {
    /// The most tags of one memory.
    pub const MAX: usize = 50;

    /// The longest tag, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Checks tags. What comes twice is taken once.
    ///
    /// # Errors
    /// Says which rule was broken, in words for the user.
    pub fn parse<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut checked: Vec<String> = Vec::new();
        for tag in tags {
            let tag = Self::parse_one(tag).map_err(|why| format!("a tag {why}"))?;
            if !checked.contains(&tag) {
                checked.push(tag);
            }
        }
        if checked.len() > Self::MAX {
            return Err(format!("there may be at most {} tags", Self::MAX));
        }
        Ok(Self(checked))
    }

    /// Checks one tag.
    ///
    /// # Errors
    /// Says which rule was broken, in words for the user.
    pub fn parse_one(tag: &str) -> Result<String, TextRejected> {
        text::bounded(tag.trim().trim_start_matches('#'), Self::MAX_CHARS)
    }

    /// The tags.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// Whose a memory is: 1 to [`Owner::MAX_CHARS`] characters, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(String);

impl Owner {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Trims and checks a name.
    ///
    /// # Errors
    /// Says which rule was broken, in words for the user.
    pub fn parse(name: &str) -> Result<Self, TextRejected> {
        text::bounded(name, Self::MAX_CHARS).map(Self)
    }

    /// The one who runs this server; `default` in PocketPaw, too.
    #[must_use]
    pub fn me() -> Self {
        Self("default".to_owned())
    }

    /// Nobody in particular: what everybody sees, such as daily notes.
    #[must_use]
    pub fn everybody() -> Self {
        Self("shared".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whose memories are meant. The stores leave out all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// Everybody's.
    All,
    /// Those of one.
    Of(Owner),
    /// Those that one may see: their own, and [everybody's](Owner::everybody).
    SeenBy(Owner),
}

impl Owners {
    /// The names, or none if all are meant.
    #[must_use]
    pub fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::All => None,
            Self::Of(owner) => Some(vec![owner.0.clone()]),
            Self::SeenBy(owner) => Some(vec![owner.0.clone(), Owner::everybody().0]),
        }
    }

    /// Whether those of `owner` are meant.
    #[must_use]
    pub fn include(&self, owner: &Owner) -> bool {
        self.names().is_none_or(|names| names.contains(&owner.0))
    }
}

/// What a memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemoryKind {
    /// A fact that stays until somebody removes it.
    LongTerm,
    /// A note of one day, which [`service::Memories::prune`] removes when it is old.
    Daily,
}

impl MemoryKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::LongTerm, Self::Daily];

    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LongTerm => "long_term",
            Self::Daily => "daily",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Who put a memory down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Author {
    /// A person or their program.
    User,
    /// The agent, with its tool `remember`.
    Agent,
    /// The agent, after a turn and without being asked: see [`learning`].
    Learned,
    /// Another program, from which it was taken over.
    Import,
}

impl Author {
    const ALL: [Self; 4] = [Self::User, Self::Agent, Self::Learned, Self::Import];

    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::Learned => "learned",
            Self::Import => "import",
        }
    }

    /// The author of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|author| author.as_str() == name)
    }
}

/// Where a memory comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Who put it down.
    pub author: Author,
    /// The session in which it was said, if it was said in one.
    pub session: Option<String>,
    /// The id of the message in which it was said.
    pub message: Option<String>,
}

impl Source {
    /// Put down by `author`, outside of any session.
    #[must_use]
    pub fn by(author: Author) -> Self {
        Self { author, session: None, message: None }
    }

    /// Said in that message of that session.
    #[must_use]
    pub fn said(author: Author, session: &str, message: &str) -> Self {
        Self { author, session: Some(session.to_owned()), message: Some(message.to_owned()) }
    }
}

/// Something remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its name, for ever.
    pub id: MemoryId,
    /// The id by which clients of another program knew it, if it was taken over from there: it finds this memory as well.
    pub legacy_id: Option<MemoryId>,
    /// What it is.
    pub kind: MemoryKind,
    /// Whose it is.
    pub owner: Owner,
    /// What it says.
    pub text: MemoryText,
    /// Its tags.
    pub tags: Tags,
    /// When it was put down. Never changes.
    pub created: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
    /// Where it comes from; after a change of its text, where that comes from.
    pub source: Source,
}

impl Memory {
    /// The words by which it is found: those of its text and of its tags.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        words::of_memory(self.text.as_str(), self.tags.as_slice())
    }
}

/// What becomes of a memory. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryChange {
    /// What it says from now on, and where that comes from.
    pub text: Option<(MemoryText, Source)>,
    /// Its tags from now on.
    pub tags: Option<Tags>,
    /// The moment of the change.
    pub at: Timestamp,
}

/// Which memories are meant. All conditions hold at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryFilter {
    /// Whose.
    pub owners: Owners,
    /// Which kind; `None` for all.
    pub kind: Option<MemoryKind>,
    /// One with this tag.
    pub tag: Option<String>,
    /// One whose text contains this, in [folded](text::fold) form and taken literally.
    pub text: Option<String>,
    /// One that was created before this.
    pub created_before: Option<Timestamp>,
}

impl MemoryFilter {
    /// All of these owners.
    #[must_use]
    pub fn of(owners: Owners) -> Self {
        Self { owners, kind: None, tag: None, text: None, created_before: None }
    }

    /// Whether a memory is meant.
    #[must_use]
    pub fn takes(&self, memory: &Memory) -> bool {
        self.owners.include(&memory.owner)
            && self.kind.is_none_or(|kind| kind == memory.kind)
            && self.tag.as_ref().is_none_or(|tag| memory.tags.as_slice().contains(tag))
            && self.text.as_ref().is_none_or(|needle| text::fold(memory.text.as_str()).contains(needle))
            && self.created_before.is_none_or(|before| memory.created < before)
    }
}

/// How many memories there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryCounts {
    /// Facts.
    pub long_term: u64,
    /// Daily notes.
    pub daily: u64,
}

/// Tags, and which of them stand at the same memories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagGraph {
    /// Tags and how many memories have them: the most frequent first, then by name.
    pub tags: Vec<(String, u64)>,
    /// Pairs of those tags, the lesser name first, and how many memories have both: the most frequent first, then by name.
    pub pairs: Vec<(String, String, u64)>,
}

#[cfg(test)]
pub(crate) mod tests;
