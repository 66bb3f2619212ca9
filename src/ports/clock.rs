//! What time it is.

use crate::domain::time::Timestamp;

/// The time as the rest of the world knows it. It may jump, back as well as forth.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}
