//! The rules of Pawport, free of I/O.
//!
//! Every area has a model (values that are checked once, where they enter) and a `service` (the use cases, over the
//! ports). The model knows no runtime, no wire format and no storage; a value that exists is valid.
//!
//! Reading order: [`time`] and [`text`] are the small values all others are made of; [`session`] is what is kept of a
//! conversation; [`webhook`] is how a message comes in; [`agent`] is how it is answered; [`audit`] and [`auth`] say who
//! did what and who may; [`memory`] is what is remembered for long; [`settings`] is what the user chose at run
//! time; [`tunnel`] is how others reach the server; [`event`] is what an observer hears of it; [`import`] is what comes from
//! another program. [`output`] and [`backoff`] serve whoever watches over programs and servers.

#![warn(missing_docs)]

pub mod agent;
pub mod audit;
pub mod auth;
pub mod backoff;
pub mod event;
pub mod id;
pub mod import;
pub mod mcp;
pub mod memory;
pub mod network;
pub mod output;
pub mod readiness;
pub mod session;
pub mod settings;
pub mod text;
pub mod time;
pub mod tunnel;
pub mod webhook;
