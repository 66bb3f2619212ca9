//! What a credential may be used for.

use thiserror::Error;

/// A group of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything, the other scopes included.
    Admin,
    /// Channels and what links their accounts.
    Channels,
    /// Talking to the agent.
    Chat,
    /// Long-term memory.
    Memory,
    /// The stored sessions.
    Sessions,
    /// Reading settings.
    SettingsRead,
    /// Reading and changing settings.
    SettingsWrite,
}

impl Scope {
    /// All scopes, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::Admin,
        Self::Channels,
        Self::Chat,
        Self::Memory,
        Self::Sessions,
        Self::SettingsRead,
        Self::SettingsWrite,
    ];

    /// The name in stores and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Channels => "channels",
            Self::Chat => "chat",
            Self::Memory => "memory",
            Self::Sessions => "sessions",
            Self::SettingsRead => "settings:read",
            Self::SettingsWrite => "settings:write",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

/// Names that are no scopes, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Invalid scopes: {}", .0.join(", "))]
pub struct UnknownScopes(pub Vec<String>);

impl Scopes {
    /// No scope at all: opens only what needs none.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self::of(&[Scope::Admin]);
    /// What a new API key may do unless told otherwise.
    pub const DEFAULT: Self = Self::of(&[Scope::Chat, Scope::Sessions]);

    /// A set of these.
    #[must_use]
    pub const fn of(scopes: &[Scope]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < scopes.len() {
            bits |= scopes[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// The set of these names; the same name twice counts once.
    ///
    /// # Errors
    /// [`UnknownScopes`] with every name that is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownScopes> {
        let mut bits = 0;
        let mut unknown = Vec::new();
        for name in names {
            match Scope::parse(name) {
                Some(scope) => bits |= scope.bit(),
                None => unknown.push(name.to_owned()),
            }
        }
        if unknown.is_empty() { Ok(Self(bits)) } else { Err(UnknownScopes(unknown)) }
    }

    /// Whether the set opens what needs `scope`: it is in the set, or the set has [`Scope::Admin`].
    #[must_use]
    pub fn allows(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether everything this set opens is opened by `other` too.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.iter().all(|scope| other.allows(scope))
    }

    /// What the set opens and `other` opens too, as a set of scopes.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        let both = Scope::ALL.into_iter().filter(|scope| self.allows(*scope) && other.allows(*scope));
        let both = both.fold(0, |bits, scope| bits | scope.bit());
        // Who may do everything needs no list of it.
        if both & Scope::Admin.bit() == 0 { Self(both) } else { Self::ALL }
    }

    /// The scopes of the set, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// The names of the scopes of the set, in order.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Scope::as_str).collect()
    }
}

#[cfg(test)]
mod tests;
