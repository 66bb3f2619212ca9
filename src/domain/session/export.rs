//! A session as a document to keep: what surrounds the messages and how each is written.
//!
//! A session can be larger than memory should be, so a document is made page by page, never as a whole.

use super::{Message, Role, SessionId};
use crate::domain::time::Timestamp;

/// The two forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Everything that is stored, for programs.
    Json,
    /// The conversation, for people.
    Markdown,
}

impl ExportFormat {
    /// The format called `json` or `md`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "md" => Some(Self::Markdown),
            _ => None,
        }
    }
}

/// What is said of the session as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportHead {
    /// The session.
    pub id: SessionId,
    /// How many messages follow. Messages stored after the export began are not part of it.
    pub message_count: u64,
    /// When the export was made.
    pub at: Timestamp,
}

impl ExportHead {
    /// A name for the file: `pocketpaw-session-`, the first 20 characters of the id with everything but letters,
    /// digits, `-`, `_` and `.` replaced, and the extension. Needs no quoting in any header or shell.
    #[must_use]
    pub fn file_name(&self, format: ExportFormat) -> String {
        let safe: String = self
            .id
            .as_str()
            .chars()
            .take(20)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
            .collect();
        let extension = match format {
            ExportFormat::Json => "json",
            ExportFormat::Markdown => "md",
        };
        format!("pocketpaw-session-{safe}.{extension}")
    }

    /// The beginning of the Markdown document. `minute` renders a moment as `YYYY-MM-DD HH:MM`.
    #[must_use]
    pub fn to_markdown(&self, minute: impl Fn(Timestamp) -> String) -> String {
        format!(
            "# Conversation Export\n**Session**: `{}` | **Messages**: {} | **Exported**: {}\n\n---\n",
            self.id,
            self.message_count,
            minute(self.at),
        )
    }
}

/// One message of the Markdown document. `minute` renders a moment as `YYYY-MM-DD HH:MM`; only the time is shown.
#[must_use]
pub fn message_to_markdown(message: &Message, minute: impl Fn(Timestamp) -> String) -> String {
    let speaker = match message.content.role {
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::System => "System",
    };
    let moment = minute(message.content.at);
    let clock = moment.rsplit(' ').next().unwrap_or(&moment);
    format!("\n**{speaker}** ({clock}):\n{}\n\n---\n", message.content.text.as_str())
}
