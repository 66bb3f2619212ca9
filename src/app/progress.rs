//! How far a long command has come, for whoever watches.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, if that is a terminal. `position` says how far it is.
pub(super) fn bar(what: &'static str, length: u64, position: &str) -> ProgressBar {
    let template = format!("{{msg}} [{{wide_bar}}] {position}, {{eta}} left");
    // A template that is wrong is seen at once, on any terminal.
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_message(what)
}
