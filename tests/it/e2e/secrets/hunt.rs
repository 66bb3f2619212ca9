//! Finds secrets where they should not be, in whatever form they were written.

use crate::e2e::client::Answer;
use crate::support::scan::{self, code_in};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Nothing shorter is looked for, and by so many bytes at the beginning it is found.
const START: usize = 8;

/// Secrets, and the forms in which they could be written down.
#[derive(Default)]
pub struct Secrets {
    known: HashSet<String>,
    /// By their beginning.
    forms: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
    /// Which two bytes one of them begins with, to pass over most of a text quickly.
    begins: Vec<bool>,
}

impl Secrets {
    pub fn add(&mut self, secret: &str) {
        if !self.known.insert(secret.to_owned()) {
            return;
        }
        // What tells its kind is no secret, and neither is the time in a session's token.
        let rest = ["whsec_", "pp_", "ppair_"].into_iter().find_map(|kind| secret.strip_prefix(kind));
        let rest = rest.unwrap_or(secret);
        let rest = rest.split_once(':').map_or(rest, |(_, hex)| hex);
        let raw = [hex::decode(rest).ok(), STANDARD.decode(rest).ok(), URL_SAFE_NO_PAD.decode(rest).ok()];
        let raw = raw.into_iter().flatten().filter(|raw| raw.len() >= 16);
        for bytes in raw.chain([rest.as_bytes().to_vec()]) {
            let hexadecimal = hex::encode(&bytes);
            let forms = base64_forms(&bytes).chain([hexadecimal.to_uppercase(), hexadecimal]).map(String::into_bytes);
            self.begins.resize(1 << 16, false);
            for form in forms.chain([bytes.clone()]) {
                self.begins[begin(&form)] = true;
                self.forms.entry(form[..START].to_vec()).or_default().insert(form);
            }
        }
    }

    /// Adds what an answer shows to the one who asked.
    pub fn learn(&mut self, answer: &Answer) {
        if answer.content_type == "image/png" {
            self.add(code_in(&scan::picture(&answer.bytes)));
        }
        if let Some(cookie) = answer.cookie().filter(|cookie| !cookie.is_empty()) {
            self.add(cookie);
        }
        if let Ok(body) = serde_json::from_str(&answer.text) {
            self.learn_members(&body);
        }
    }

    fn learn_members(&mut self, value: &Value) {
        for (name, member) in value.as_object().into_iter().flatten() {
            match (name.as_str(), member.as_str()) {
                // Where they are masked they are shorter.
                ("token" | "session_token" | "key" | "secret", Some(text)) if text.len() >= 32 => self.add(text),
                ("url", Some(text)) if text.contains("token=") => self.add(code_in(text)),
                _ => self.learn_members(member),
            }
        }
        value.as_array().into_iter().flatten().for_each(|item| self.learn_members(item));
    }

    #[track_caller]
    pub fn assert_absent(&self, place: &str, content: &[u8]) {
        for (at, start) in content.windows(START).enumerate() {
            if !self.begins[begin(start)] {
                continue;
            }
            let Some(forms) = self.forms.get(start) else { continue };
            if let Some(form) = forms.iter().find(|form| content[at..].starts_with(form)) {
                let around = &content[at.saturating_sub(200)..(at + form.len() + 100).min(content.len())];
                panic!("{place} holds a secret: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

/// The first two bytes as a number.
fn begin(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// What of the base64 of a longer text shows that `bytes` are in it, wherever they begin.
fn base64_forms(bytes: &[u8]) -> impl Iterator<Item = String> {
    let forms = (0..3).map(move |shift| {
        let mut encoded = STANDARD_NO_PAD.encode([&[0; 3][..shift], bytes].concat());
        if !(shift + bytes.len()).is_multiple_of(3) {
            // This one depends on what follows.
            encoded.pop();
        }
        encoded.split_off([0, 2, 3][shift])
    });
    forms.flat_map(|form| [form.replace('+', "-").replace('/', "_"), form])
}

#[test]
fn secrets_are_found_in_every_form() {
    let mut secrets = Secrets::default();
    secrets.add("pp_0123456789abcdefABCDEF");
    for (what, content) in [
        ("plain", "key=pp_0123456789abcdefABCDEF;".to_owned()),
        ("hexadecimal", format!("x{}y", hex::encode("0123456789abcdefABCDEF"))),
        ("base64", STANDARD.encode("Bearer pp_0123456789abcdefABCDEF, and more")),
        ("another base64", URL_SAFE_NO_PAD.encode(" Bearer pp_0123456789abcdefABCDEF, and more")),
    ] {
        let found = std::panic::catch_unwind(|| secrets.assert_absent(what, content.as_bytes()));
        assert!(found.is_err(), "{what}");
    }
    secrets.assert_absent("something else", b"pp_0123456789abcdef");
}
