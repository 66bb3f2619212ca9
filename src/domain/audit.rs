//! Who did what: the entries of the audit log.
//!
//! A change of state and its entry are stored together or not at all: the stores take the entry with the change. What an
//! entry says about itself never holds a secret, only the kind and id of the credential that was used.

pub mod service;

use super::auth::Principal;
use super::time::Timestamp;
use serde_json::{Map, Value, json};

/// How much attention an entry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Business as usual.
    Info,
    /// Worth a look.
    Warning,
    /// Something is wrong.
    Critical,
    /// Somebody was kept out, or should have been.
    Alert,
}

impl Severity {
    const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Critical, Self::Alert];

    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Alert => "alert",
        }
    }

    /// The severity of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }
}

/// One line of the log. The members are those the dashboard filters on.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// A UUID.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// How much attention it asks for.
    pub severity: Severity,
    /// Who: `dashboard_user`, `webhook`, `agent` ….
    pub actor: String,
    /// What: `webhook_added`, `session_removed` ….
    pub action: String,
    /// To what: a name or id.
    pub target: String,
    /// How it ended: `success`, `block`, `error`, `attempt`, `allow`.
    pub status: String,
    /// More about it; never a secret. `credential` holds kind and id of what proved the actor.
    pub context: Map<String, Value>,
}

/// What happened, before it has an id and a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    severity: Severity,
    actor: String,
    action: &'static str,
    target: String,
    status: &'static str,
    context: Map<String, Value>,
}

impl Happening {
    /// `principal` did `action` to `target`, and it worked.
    #[must_use]
    pub fn success(principal: &Principal, action: &'static str, target: &str) -> Self {
        Self::by(principal, Severity::Info, action, target, "success")
    }

    /// `principal` did `action` to `target`, and it did not work.
    #[must_use]
    pub fn failed(principal: &Principal, action: &'static str, target: &str) -> Self {
        Self::by(principal, Severity::Warning, action, target, "error")
    }

    /// Whoever can run the program here did `action` to `target` with a command, and it worked.
    #[must_use]
    pub fn command(action: &'static str, target: &str) -> Self {
        Self {
            severity: Severity::Info,
            actor: "operator".to_owned(),
            action,
            target: target.to_owned(),
            status: "success",
            context: Map::new(),
        }
    }

    /// `principal` may not do `action` to `target`.
    #[must_use]
    pub fn denied(principal: &Principal, action: &'static str, target: &str) -> Self {
        Self::by(principal, Severity::Warning, action, target, "block")
    }

    fn by(principal: &Principal, severity: Severity, action: &'static str, target: &str, status: &'static str) -> Self {
        let credential = json!({ "kind": principal.kind.as_str(), "id": principal.id });
        Self {
            severity,
            actor: principal.kind.actor().to_owned(),
            action,
            target: target.to_owned(),
            status,
            context: Map::from_iter([("credential".to_owned(), credential)]),
        }
    }

    /// Somebody without a valid proof tried `action` on `target`.
    #[must_use]
    pub fn refused(actor: &str, action: &'static str, target: &str) -> Self {
        Self {
            severity: Severity::Alert,
            actor: actor.to_owned(),
            action,
            target: target.to_owned(),
            status: "block",
            context: Map::new(),
        }
    }

    /// The same with a further member in the context. `value` must not be a secret.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.context.insert(name.to_owned(), value.into());
        self
    }

    /// The entry for the log.
    #[must_use]
    pub fn into_entry(self, id: String, at: Timestamp) -> AuditEntry {
        AuditEntry {
            id,
            at,
            severity: self.severity,
            actor: self.actor,
            action: self.action.to_owned(),
            // A stranger may have put anything into a path, and not every storage takes a NUL.
            target: self.target.replace('\0', "\u{fffd}"),
            status: self.status.to_owned(),
            context: self.context,
        }
    }
}
