//! What the domain needs of the world, as traits. Adapters implement them; nobody else names an adapter.
//!
//! The vocabulary of the stores is the same everywhere: `insert` fails with [`store::StoreError::Conflict`] if the key
//! exists; `find` gives an `Option`; `recent` and `list` are ordered and limited; `append` adds to a sequence; `set_…` and
//! `remove` say whether the thing was there. Absence is a value, not an error.
//!
//! **One method is one atomic change.** A change that the audit log must know takes its entry along, and both are stored or
//! neither is; if nothing was changed, the entry is not stored either.

#![warn(missing_docs)]

pub mod agent;
pub mod api_keys;
pub mod archive;
pub mod audit;
pub mod auth_sessions;
pub mod clock;
pub mod credentials;
pub mod entropy;
pub mod events;
pub mod imports;
pub mod mcp;
pub mod memory;
pub mod oauth;
pub mod recall;
pub mod sessions;
pub mod settings;
pub mod store;
pub mod timer;
pub mod tunnel;
pub mod turns;
pub mod vault;
pub mod webhooks;
