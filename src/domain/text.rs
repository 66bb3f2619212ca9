//! Text that is bounded, and text that is compared.

use thiserror::Error;

/// How many items a page may hold: 1 to [`PageLimit::MAX`]; most routes allow less. Larger asks are cut, zero becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageLimit(u16);

impl PageLimit {
    /// The most items of any page.
    pub const MAX: u16 = 1000;

    /// The nearest allowed limit.
    #[must_use]
    pub fn clamped(asked: i64) -> Self {
        Self(u16::try_from(asked.clamp(1, i64::from(Self::MAX))).unwrap_or(Self::MAX))
    }

    /// The number itself, at least 1.
    #[must_use]
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// The same as databases count.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        i64::from(self.0)
    }
}

/// Why a text was refused. The wording is fit for the person who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextRejected {
    /// Nothing but white space.
    #[error("must not be blank")]
    Blank,
    /// More than the allowed number of characters (not bytes).
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// A NUL character, which PostgreSQL cannot store.
    #[error("must not contain a NUL character")]
    Nul,
}

/// Trims `text` and checks that 1 to `max_chars` characters remain and none of them is NUL.
///
/// # Errors
/// [`TextRejected`] says which rule was broken.
pub fn bounded(text: &str, max_chars: usize) -> Result<String, TextRejected> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TextRejected::Blank);
    }
    if text.contains('\0') {
        return Err(TextRejected::Nul);
    }
    // A character has at least one byte, so most texts are within bounds without counting.
    if text.len() > max_chars && text.chars().count() > max_chars {
        return Err(TextRejected::TooLong(max_chars));
    }
    Ok(text.to_owned())
}

/// The first `max_chars` characters of `text`.
#[must_use]
pub fn head(text: &str, max_chars: usize) -> &str {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// The form in which texts are compared when searching: Unicode lower case, character by character.
///
/// `str::to_lowercase` is not used because it looks at the neighbours of a Greek sigma, so that a part of a word would
/// fold differently from the whole; here both small sigmas become one.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        folded.extend(fold_char(character));
    }
    folded
}

fn fold_char(character: char) -> impl Iterator<Item = char> {
    character.to_lowercase().map(|lower| if lower == 'ς' { 'σ' } else { lower })
}

/// A piece of `text` of at most `max_chars` characters around the first place where it contains `folded_needle` (a text
/// made by [`fold`]), with `…` where something was cut off. The beginning of `text` if the needle is not in it.
#[must_use]
pub fn excerpt(text: &str, folded_needle: &str, max_chars: usize) -> String {
    let hit = find_folded(text, folded_needle).unwrap_or(0);
    let total = text.chars().count();
    if total <= max_chars {
        return text.to_owned();
    }
    let hit_chars = folded_needle.chars().count().min(max_chars);
    let before = (max_chars - hit_chars) / 2;
    let start = hit.saturating_sub(before).min(total - max_chars);
    let end = start + max_chars;
    // The marks are part of the allowance: each takes the place of one character.
    let mut piece: Vec<char> = text.chars().skip(start).take(max_chars).collect();
    if start > 0 {
        piece[0] = '…';
    }
    if end < total
        && let Some(last) = piece.last_mut()
    {
        *last = '…';
    }
    piece.into_iter().collect()
}

/// The index, in characters of `text`, at which its folded form first contains `folded_needle`.
fn find_folded(text: &str, folded_needle: &str) -> Option<usize> {
    let byte = fold(text).find(folded_needle)?;
    let mut folded_bytes = 0;
    for (index, character) in text.chars().enumerate() {
        if folded_bytes >= byte {
            return Some(index);
        }
        folded_bytes += fold_char(character).map(char::len_utf8).sum::<usize>();
    }
    None
}

#[cfg(test)]
mod tests;
