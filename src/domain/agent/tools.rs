//! The tools of MCP servers as a model sees them: their names there, and who may have which.

use super::Origin;
use super::model::ToolOffer;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use thiserror::Error;

/// The longest name that providers take.
pub const MAX_NAME: usize = 64;

/// The tool with which a model asks the user something.
pub const ASK_USER: &str = "ask_user";

/// The name under which a model knows a tool of an MCP server: `mcp_<server>__<tool>`. What providers do not take in a name
/// becomes an underscore; a name that is too long then, or that an underscore made the same as another's, ends with a part
/// of its hash.
#[must_use]
pub fn offered_name(server: &str, tool: &str, taken: &BTreeSet<String>) -> String {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-');
    let full = format!("mcp_{server}__{tool}");
    let name: String = full.chars().map(|it| if is_allowed(it) { it } else { '_' }).collect();
    if name.len() <= MAX_NAME && !taken.contains(&name) {
        return name;
    }
    let hash = hex::encode(&Sha256::digest(&full)[..4]);
    let head = &name[..name.len().min(MAX_NAME - 1 - hash.len())];
    format!("{head}_{hash}")
}

/// What an origin may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowance {
    /// Nothing.
    None,
    /// Tools that say of themselves that they change nothing (`readOnlyHint` of the MCP specification).
    ReadOnly,
    /// Everything.
    All,
    /// Tools whose name fits one of these patterns.
    Only(Vec<Pattern>),
}

/// Why a text is no allowance. The wording is for the one who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AllowanceRejected {
    /// A pattern has other characters than names and `*`, or is too long.
    #[error("must be none, read_only, all, or names of tools with commas between them, in which * stands for anything")]
    Pattern,
    /// More than [`Allowance::MAX_PATTERNS`].
    #[error("must have at most {} names", Allowance::MAX_PATTERNS)]
    TooMany,
}

impl Allowance {
    /// How many patterns there may be.
    pub const MAX_PATTERNS: usize = 200;

    /// Reads `none`, `read_only`, `all`, or patterns with commas between them.
    ///
    /// # Errors
    /// [`AllowanceRejected`]
    pub fn parse(text: &str) -> Result<Self, AllowanceRejected> {
        match text.trim() {
            "none" | "" => Ok(Self::None),
            "read_only" => Ok(Self::ReadOnly),
            "all" => Ok(Self::All),
            list => {
                let patterns: Option<Vec<Pattern>> = list.split(',').map(Pattern::parse).collect();
                let patterns = patterns.ok_or(AllowanceRejected::Pattern)?;
                if patterns.len() > Self::MAX_PATTERNS {
                    return Err(AllowanceRejected::TooMany);
                }
                Ok(Self::Only(patterns))
            }
        }
    }

    /// The text that [`Allowance::parse`] reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::ReadOnly => "read_only".to_owned(),
            Self::All => "all".to_owned(),
            Self::Only(patterns) => {
                let texts: Vec<&str> = patterns.iter().map(Pattern::as_str).collect();
                texts.join(",")
            }
        }
    }

    /// Whether the tool is among what is allowed.
    #[must_use]
    pub fn allows(&self, tool: &ToolOffer) -> bool {
        match self {
            Self::None => false,
            Self::ReadOnly => tool.read_only,
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.fits(&tool.name)),
        }
    }
}

/// A name of tools in which `*` stands for any characters, also none: 1 to 128 letters, digits, underscores, hyphens and
/// asterisks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    const MAX_LEN: usize = 128;

    /// Checks a pattern. White space around it is left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'*');
        let is_pattern = !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(is_allowed);
        is_pattern.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` fits.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        // Between the first and the last piece, the earliest place is as good as any.
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// Who may use what. What is denied is denied to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolAccess {
    /// For [`Origin::Owner`].
    pub owner: Allowance,
    /// For [`Origin::Client`].
    pub client: Allowance,
    /// For [`Origin::Webhook`].
    pub webhook: Allowance,
    /// For [`Origin::Channel`].
    pub channel: Allowance,
    /// If there are any, only these, for everybody.
    pub allowed: Vec<Pattern>,
    /// Never these.
    pub denied: Vec<Pattern>,
}

impl Default for ToolAccess {
    /// The owner may use everything; all others what changes nothing.
    fn default() -> Self {
        Self {
            owner: Allowance::All,
            client: Allowance::ReadOnly,
            webhook: Allowance::ReadOnly,
            channel: Allowance::ReadOnly,
            allowed: Vec::new(),
            denied: Vec::new(),
        }
    }
}

impl ToolAccess {
    /// Whether a turn of `origin` may use the tool.
    #[must_use]
    pub fn allows(&self, origin: Origin, tool: &ToolOffer) -> bool {
        let allowance = match origin {
            Origin::Owner => &self.owner,
            Origin::Client => &self.client,
            Origin::Webhook => &self.webhook,
            Origin::Channel => &self.channel,
        };
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(&tool.name));
        allowance.allows(tool) && (self.allowed.is_empty() || fits(&self.allowed)) && !fits(&self.denied)
    }
}

#[cfg(test)]
mod tests;
