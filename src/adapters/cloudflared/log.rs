//! Finding the address of a quick tunnel in what `cloudflared` writes.

use crate::domain::tunnel::PublicUrl;

/// Where quick tunnels are.
const DOMAIN: &str = ".trycloudflare.com";

/// Where `cloudflared` asks for one. It names that in its errors.
const API: &str = "api.trycloudflare.com";

const SCHEME: &str = "https://";

/// Whether it can be the address of a quick tunnel.
pub(super) fn is_quick(url: &PublicUrl) -> bool {
    url.host().ends_with(DOMAIN) && url.host() != API
}

/// Reads lines until one has the address in it. It may be broken over two of them, as in a box that is too narrow.
#[derive(Debug, Default)]
pub(super) struct AddressFinder {
    /// The end of the last line, if an address may have begun there.
    begun: Option<String>,
}

impl AddressFinder {
    /// The address, if it is in this line or ends in it.
    pub fn line(&mut self, line: &str) -> Option<PublicUrl> {
        if let Some(begun) = self.begun.take() {
            let joined = begun + head(text_of(line));
            if let Some(url) = address_in(&joined) {
                return Some(url);
            }
        }
        let found = line.match_indices(SCHEME).find_map(|(at, _)| address_in(head(&line[at..])));
        if found.is_none() {
            let end = line.trim_end_matches(['|', ' ']);
            let last = end.rfind(SCHEME).map(|at| &end[at..]);
            self.begun = last.filter(|last| head(last).len() == last.len()).map(str::to_owned);
        }
        found
    }
}

/// A line without its time, its level and its border: `2026-01-20T09:56:36Z INF |  text  |`.
fn text_of(line: &str) -> &str {
    let text = line.split_once(" INF ").map_or(line, |(_, text)| text);
    text.trim_start_matches(['|', ' '])
}

/// As much as can be an address.
fn head(text: &str) -> &str {
    let scheme = if text.starts_with(SCHEME) { SCHEME.len() } else { 0 };
    let is_outside = |byte: u8| !(byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    let end = text.bytes().skip(scheme).position(is_outside).map_or(text.len(), |end| scheme + end);
    &text[..end]
}

fn address_in(text: &str) -> Option<PublicUrl> {
    let url = PublicUrl::of_host(text.strip_prefix(SCHEME)?.trim_end_matches('.')).ok()?;
    is_quick(&url).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<String> {
        let mut finder = AddressFinder::default();
        lines.iter().find_map(|line| finder.line(line)).map(|url| url.to_string())
    }

    #[test]
    fn the_address_is_found_where_cloudflared_writes_it() {
        let boxed = [
            "2026-01-20T09:56:33Z INF Requesting new quick Tunnel on trycloudflare.com...",
            "2026-01-20T09:56:36Z INF |  Your quick Tunnel has been created! Visit it at (it may take some time):  |",
            "2026-01-20T09:56:36Z INF |  https://steep-mountain-abc123.trycloudflare.com                          |",
        ];
        let json = r#"{"level":"info","message":"|  https://Steep-Mountain-abc123.trycloudflare.com  |"}"#;
        let plain = "https://steep-mountain-abc123.trycloudflare.com";
        let in_a_sentence =
            "open https://developers.cloudflare.com or https://steep-mountain-abc123.trycloudflare.com.";
        for lines in [&boxed[..], &[json], &[plain], &[in_a_sentence]] {
            assert_eq!(read(lines).as_deref(), Some(plain), "{lines:?}");
        }
    }

    #[test]
    fn an_address_may_be_broken_over_two_lines() {
        let end = "2026-01-20T09:56:36Z INF | abc123.trycloudflare.com  |";
        for begin in ["2026-01-20T09:56:36Z INF |  https://steep-mountain- |", "at https://steep-mountain-", "https://"]
        {
            let url = read(&[begin, end]).unwrap_or_default();
            assert!(url.starts_with("https://") && url.ends_with("abc123.trycloudflare.com"), "{begin}: {url}");
        }
        assert_eq!(read(&["https://steep-", "something else", "abc123.trycloudflare.com"]), None);
    }

    #[test]
    fn other_addresses_are_not_taken_for_it() {
        for line in [
            r#"failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": dial tcp: lookup failed"#,
            "see https://developers.cloudflare.com/cloudflare-one/connections/connect-apps",
            "https://steep-mountain.trycloudflare.com.example.org",
            "https://trycloudflare.com",
            "http://steep-mountain.trycloudflare.com",
            "https://steep_mountain.trycloudflare.com",
            "https://",
            "",
        ] {
            assert_eq!(read(&[line]), None, "{line}");
        }
    }
}
