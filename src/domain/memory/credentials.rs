//! What looks like a credential and is therefore never remembered: memories are shown to models, and to whoever reads them.

use regex::RegexSet;
use std::sync::LazyLock;

/// Well-known forms, and what they are. Most are those that GitHub's secret scanning looks for
/// (<https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns>).
const FORMS: [(&str, &str); 24] = [
    (r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----", "a private key"),
    (r"\bAGE-SECRET-KEY-1[0-9A-Z]{20,}", "a private key"),
    (r"\bsk-ant-[A-Za-z0-9_-]{16,}", "an Anthropic API key"),
    (r"\bsk-or-[A-Za-z0-9_-]{16,}", "an OpenRouter API key"),
    (r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}", "an OpenAI API key"),
    (r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})", "a GitHub token"),
    (r"\bglpat-[A-Za-z0-9_-]{16,}", "a GitLab token"),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "an AWS access key"),
    (r"\bAIza[A-Za-z0-9_-]{30,}", "a Google API key"),
    (r"\bya29\.[A-Za-z0-9_-]{20,}", "a Google access token"),
    (r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", "a Slack token"),
    (r"\bxapp-[A-Za-z0-9-]{10,}", "a Slack token"),
    (r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}", "a Slack webhook"),
    (r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b", "a Telegram bot token"),
    (r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}", "a Stripe key"),
    (r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "a SendGrid key"),
    (r"\bnpm_[A-Za-z0-9]{30,}", "an npm token"),
    (r"\bpypi-[A-Za-z0-9_-]{30,}", "a PyPI token"),
    (r"\bhf_[A-Za-z0-9]{30,}", "a Hugging Face token"),
    (r"\b(?:tvly|pplx|gsk|xai|r8)[-_][A-Za-z0-9_-]{20,}", "an API key"),
    (r"\bpp[a-z]?_[A-Za-z0-9_-]{30,}", "an API key of this server"),
    (r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", "a JSON Web Token"),
    (r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@", "an address with a password"),
    // A word for a secret, then the secret. "is" only before what is no plain word.
    (
        r#"(?i)\b(?:pass(?:word|phrase|code|wd)|passwort|contraseña|mot de passe|senha|secret(?: key)?|api[ _-]?key|access[ _-]?token|bearer|pin(?: code)?)\b["']?\s*(?:[:=]\s*["']?[^\s"']{4,}|is\s+["']?[^\s"']*(?:[0-9][^\s"']*[A-Za-z_!@#$%^&*-]|[A-Za-z_!@#$%^&*-][^\s"']*[0-9]|[0-9]{4,}|[!@#$%^&*])[^\s"']*)"#,
        "a password",
    ),
];

static SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| RegexSet::new(FORMS.map(|(form, _)| form)).ok());

/// What in `text` looks like a credential, in words such as "a GitHub token". `None` if nothing does.
///
/// It knows well-known forms and no others: a password that looks like a word is a word.
#[must_use]
pub fn find(text: &str) -> Option<&'static str> {
    // Without the set nothing could be told apart. A test holds that there is one.
    let first = SET.as_ref()?.matches(text).into_iter().next()?;
    FORMS.get(first).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_well_formed() {
        assert!(SET.is_some());
    }

    #[test]
    fn well_known_forms_are_found() {
        // Put together here, so that nobody's scanner takes this file for a leak.
        let long = "a1B2".repeat(12);
        for (text, what) in [
            (format!("my key is sk-ant-{long}"), "an Anthropic API key"),
            (format!("sk-proj-{long}"), "an OpenAI API key"),
            (format!("token ghp_{long}."), "a GitHub token"),
            (format!("github_pat_{long}"), "a GitHub token"),
            (format!("AKIA{}", "ABCD1234".repeat(2)), "an AWS access key"),
            (format!("AIza{long}"), "a Google API key"),
            (format!("xoxb-{long}"), "a Slack token"),
            (format!("123456789:{}", &long[..35]), "a Telegram bot token"),
            (format!("-----BEGIN {} PRIVATE KEY-----", "OPENSSH"), "a private key"),
            (format!("eyJ{long}.eyJ{long}.{long}"), "a JSON Web Token"),
            ("postgres://ana:hunter2@db.example.org/paw".to_owned(), "an address with a password"),
            ("The Wi-Fi password: correcthorse".to_owned(), "a password"),
            ("my password is hunter2".to_owned(), "a password"),
            ("PIN is 4711".to_owned(), "a password"),
            ("api_key=abcdef".to_owned(), "a password"),
            ("Passwort = Geheim".to_owned(), "a password"),
        ] {
            assert_eq!(find(&text), Some(what), "{text}");
        }
    }

    #[test]
    fn what_is_said_about_secrets_is_none() {
        for text in [
            "The spare key hangs in the hall",
            "Passwords are in the blue KeePass file",
            "The password is kept by Inês",
            "Prefers API keys over OAuth",
            "Server at https://paw.example.org:8443/status",
            "sk-skiing is at 10:30",
            "Task-list: https://example.org/a@b",
            "The secret is patience",
            "Meets Ana at 10:00: bring the token of thanks",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
