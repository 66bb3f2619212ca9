//! What implements the ports. No adapter knows another.

pub mod agents;
pub mod backup_file;
pub mod cloudflared;
pub mod data_dir;
pub mod embedding;
pub mod events;
pub mod fake;
pub mod host;
pub mod in_memory;
pub mod mcp;
pub mod mcp_supervision;
pub mod pocketpaw;
pub mod presets;
pub mod process;
pub mod recall;
pub mod sql;
pub mod tunnel_supervision;
pub mod vault;
