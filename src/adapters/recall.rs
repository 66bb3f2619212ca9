//! The two ways of finding memories again: by their words and by their meaning.

pub mod lexical;
mod matrix;
pub mod semantic;
