//! What implements the ports. No adapter knows another.

pub mod agents;
pub mod data_dir;
pub mod events;
pub mod fake;
pub mod host;
pub mod in_memory;
pub mod sql;
pub mod vault;
