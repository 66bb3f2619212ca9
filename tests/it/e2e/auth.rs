//! Credentials, as the clients of the running program meet them: over sockets, from several addresses, with a database that
//! is a file, and over restarts.

mod bypass;
mod limits;
mod memory;
mod pairing;
#[cfg(target_os = "linux")]
mod proxies;
mod regeneration;
mod revocation;
mod rotation;
mod tricks;
