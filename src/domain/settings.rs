//! What the user chose at run time, over what is configured, over the defaults.

pub mod agents;
pub mod members;
pub mod memory;
pub mod rules;
pub mod service;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;

/// The value of a setting.
#[derive(Debug, Clone)]
pub enum StoredValue {
    /// What may be shown.
    Plain(Value),
    /// What may not.
    Secret {
        /// The secret.
        text: SecretString,
        /// The only address that it is sent to, if it is for one: a [`crate::domain::agent::choice::BaseUrl`].
        address: Option<String>,
    },
}

impl PartialEq for StoredValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(value), Self::Plain(others)) => value == others,
            (Self::Secret { text, address }, Self::Secret { text: other, address: others }) => {
                text.expose_secret() == other.expose_secret() && address == others
            }
            _ => false,
        }
    }
}

impl StoredValue {
    /// Whether an import has nothing to add: the same value, or the same secret, wherever it is sent.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret { text, .. }, Self::Secret { text: other, .. }) => {
                text.expose_secret() == other.expose_secret()
            }
            _ => self == other,
        }
    }
}

/// A setting that somebody set.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSetting {
    /// Its name, one of [`members::all`].
    pub name: String,
    /// Its value.
    pub value: StoredValue,
}

/// A change: the new value, or none for the default.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingChange {
    /// Which setting.
    pub name: String,
    /// What it is from now on.
    pub value: Option<StoredValue>,
}

/// All settings that somebody set, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored(BTreeMap<String, StoredValue>);

impl Stored {
    /// Of these.
    #[must_use]
    pub fn of(settings: Vec<StoredSetting>) -> Self {
        Self(settings.into_iter().map(|setting| (setting.name, setting.value)).collect())
    }

    /// The same after these changes.
    #[must_use]
    pub fn with(&self, changes: &[SettingChange]) -> Self {
        let mut settings = self.0.clone();
        for change in changes {
            match &change.value {
                Some(value) => settings.insert(change.name.clone(), value.clone()),
                None => settings.remove(&change.name),
            };
        }
        Self(settings)
    }

    /// The setting of that name, if it is no secret.
    #[must_use]
    pub fn plain(&self, name: &str) -> Option<&Value> {
        match self.0.get(name)? {
            StoredValue::Plain(value) => Some(value),
            StoredValue::Secret { .. } => None,
        }
    }

    /// The secret of that name, and the only address that it is sent to.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<(&SecretString, Option<&str>)> {
        match self.0.get(name)? {
            StoredValue::Secret { text, address } => Some((text, address.as_deref())),
            StoredValue::Plain(_) => None,
        }
    }
}
