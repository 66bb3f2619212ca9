//! Who can answer.

pub mod builtin;
