//! The real program, started as a process of its own and used over a socket.
//!
//! Here is what cannot be seen from inside: start and end of the process, its streams, its files, signals, and what is
//! left after a kill. Everything else is tested closer to where it is decided.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod auth;
mod backup;
mod binary;
mod boot;
mod chat;
mod cli;
mod client;
mod import;
mod mcp;
mod memory;
mod migrate;
mod postgres;
mod refusals;
mod restart;
mod resumed;
mod secrets;
mod shutdown;
mod sockets;
mod story;
mod terminal;
mod tunnel;
mod webhook_to_sse;
mod wire;
