//! The API as clients see it, in process: every endpoint, what it answers, and what it refuses.
//!
//! Whole answers are inline snapshots. Errors are compared as a whole too.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod access;
mod agent;
mod audit;
mod auth;
mod bodies;
mod chat;
mod cors;
mod deliveries;
mod errors;
mod events;
mod gate;
mod health;
mod mcp;
mod memory;
mod openapi;
mod remote;
mod sessions;
mod settings;
mod webhooks;
mod ws;
