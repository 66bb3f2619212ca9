//! Text that a child writes, line by line.

use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Hands each line of `reader` to `each`, without its end, until the stream ends. A last line without an end is one, too.
///
/// At most `limit` bytes of a line are kept, however long it is; the rest is dropped, and the line ends with `…`. Bytes
/// that are no UTF-8 become `\u{FFFD}`. Nothing is read ahead of `each` but a buffer of 8 KiB, so whoever writes faster has
/// to wait.
///
/// # Errors
/// If the stream cannot be read further. The line that had begun is dropped.
pub async fn pump_lines(reader: impl AsyncRead + Unpin, limit: usize, mut each: impl FnMut(String)) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    let (mut line, mut is_cut) = (Vec::new(), false);
    loop {
        let read = reader.fill_buf().await?;
        let at_end = read.is_empty();
        let newline = read.iter().position(|&byte| byte == b'\n');
        let part = &read[..newline.unwrap_or(read.len())];
        let room = limit - line.len();
        is_cut |= part.len() > room;
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(newline.is_some());
        reader.consume(used);
        if newline.is_some() || (at_end && (is_cut || !line.is_empty())) {
            each(text_of(&line, is_cut));
            line.clear();
            is_cut = false;
        }
        if at_end {
            return Ok(());
        }
    }
}

fn text_of(line: &[u8], is_cut: bool) -> String {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
    if !is_cut {
        return text.into_owned();
    }
    // The cut may have gone through a sign of several bytes.
    text.trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned() + "…"
}
