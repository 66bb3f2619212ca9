//! Whether requests can be served.

pub mod service;
