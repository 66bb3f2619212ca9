//! Pawport: the control plane of a self-hosted AI agent.
//!
//! The crate is a hexagon. [`domain`] holds the rules and knows nobody but [`ports`], the traits through which it reaches
//! the world. [`adapters`] implement the ports and do not know each other. [`http`] drives the domain. [`app`] is the only
//! place that sees all of it and puts it together as [`config`] says. `tests/architecture.rs` holds this.

pub mod adapters;
pub mod app;
pub mod config;
pub mod domain;
pub mod http;
pub mod ports;
