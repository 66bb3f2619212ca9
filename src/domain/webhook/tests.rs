use super::payload::{Payload, PayloadRejected, parse};
use super::signature::{Proof, ProofHeaders, ProofRejected, verify};
use super::*;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::from_stored(SecretString::from(text))
}

#[test]
fn names_are_letters_digits_hyphens_and_underscores() {
    assert_eq!(WebhookName::parse(" tmp\n").unwrap().as_str(), "tmp");
    assert_eq!(WebhookName::parse("  "), Err(WebhookNameRejected::Missing));
    for name in ["bad name!", "a.b", "a/b", "ünï", "a\0b"] {
        assert_eq!(WebhookName::parse(name), Err(WebhookNameRejected::Characters), "{name:?}");
    }
    assert!(WebhookName::parse(&"x".repeat(64)).is_ok());
    assert_eq!(WebhookName::parse(&"x".repeat(65)), Err(WebhookNameRejected::TooLong));
    for name in ["compaction", "nightly_compaction"] {
        assert_eq!(WebhookName::parse(name), Err(WebhookNameRejected::Reserved), "{name:?}");
    }
}

#[test]
fn a_secret_shows_its_last_four_characters_and_nothing_else() {
    let secret = WebhookSecret::generate([7; 32], Scheme::Any);
    assert_eq!(secret.expose().len(), 43);
    assert_eq!(secret.hint(), &secret.expose()[39..]);
    assert_eq!(format!("{secret:?}"), "[redacted]");
    let secret = WebhookSecret::generate([7; 32], Scheme::Standard);
    assert!(secret.expose().starts_with("whsec_"));
}

#[test]
fn the_timeout_is_bounded() {
    assert_eq!(SyncTimeout::from_secs(0), None);
    assert_eq!(SyncTimeout::from_secs(301), None);
    assert_eq!(SyncTimeout::from_secs(300).map(SyncTimeout::as_secs), Some(300));
}

/// The example of GitHub's documentation.
#[test]
fn githubs_own_test_vector_is_accepted() {
    let headers = ProofHeaders {
        hub_signature: Some("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
        ..ProofHeaders::default()
    };
    let secret = secret("It's a Secret to Everybody");
    for scheme in [Scheme::GitHub, Scheme::Any] {
        let proof = verify(scheme, &secret, &headers, b"Hello, World!", Timestamp(0));
        assert_eq!(proof, Ok(Proof { signed_id: None }));
        assert_eq!(verify(scheme, &secret, &headers, b"Hello, World?", Timestamp(0)), Err(ProofRejected));
    }
    assert_eq!(verify(Scheme::Standard, &secret, &headers, b"Hello, World!", Timestamp(0)), Err(ProofRejected));
}

/// The example of the Standard Webhooks libraries.
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const STANDARD_BODY: &[u8] = br#"{"test": 2432232314}"#;
const STANDARD_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const STANDARD_TIME: i64 = 1_614_265_330;

fn standard_headers<'a>(timestamp: &'a str, signature: &'a str) -> ProofHeaders<'a> {
    ProofHeaders {
        standard_id: Some(STANDARD_ID),
        standard_timestamp: Some(timestamp),
        standard_signature: Some(signature),
        ..ProofHeaders::default()
    }
}

#[test]
fn the_standard_webhooks_test_vector_is_accepted_within_five_minutes() {
    let secret = secret(STANDARD_SECRET);
    let time = STANDARD_TIME.to_string();
    let headers = standard_headers(&time, STANDARD_SIGNATURE);
    for (offset, accepted) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
        let now = Timestamp((STANDARD_TIME + offset) * 1_000);
        let proof = verify(Scheme::Standard, &secret, &headers, STANDARD_BODY, now);
        assert_eq!(proof.is_ok(), accepted, "{offset} s away");
        if let Ok(proof) = proof {
            assert_eq!(proof.signed_id.as_deref(), Some(STANDARD_ID));
        }
    }
}

#[test]
fn a_standard_signature_may_stand_among_others() {
    let secret = secret(STANDARD_SECRET);
    let (time, now) = (STANDARD_TIME.to_string(), Timestamp(STANDARD_TIME * 1_000));
    let rotated = format!("v1,Zm9v v1a,{} {STANDARD_SIGNATURE}", "x".repeat(20));
    assert!(verify(Scheme::Standard, &secret, &standard_headers(&time, &rotated), STANDARD_BODY, now).is_ok());
    for wrong in ["", "v1,", "v1", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,%%%"] {
        let headers = standard_headers(&time, wrong);
        assert_eq!(verify(Scheme::Standard, &secret, &headers, STANDARD_BODY, now), Err(ProofRejected), "{wrong:?}");
    }
}

#[test]
fn odd_standard_headers_are_refused() {
    let secret = secret(STANDARD_SECRET);
    let now = Timestamp(STANDARD_TIME * 1_000);
    for time in ["", "x", "-1", "99999999999999999999", "9223372036854775807"] {
        let headers = standard_headers(time, STANDARD_SIGNATURE);
        assert_eq!(verify(Scheme::Standard, &secret, &headers, STANDARD_BODY, now), Err(ProofRejected), "{time:?}");
    }
    let time = STANDARD_TIME.to_string();
    let without_id = ProofHeaders { standard_id: None, ..standard_headers(&time, STANDARD_SIGNATURE) };
    assert_eq!(verify(Scheme::Standard, &secret, &without_id, STANDARD_BODY, now), Err(ProofRejected));
}

#[test]
fn each_scheme_takes_its_own_headers_only() {
    let key = secret("s3cret");
    let with_secret = ProofHeaders { secret: Some("s3cret"), ..ProofHeaders::default() };
    assert!(verify(Scheme::Any, &key, &with_secret, b"{}", Timestamp(0)).is_ok());
    assert!(verify(Scheme::GitHub, &key, &with_secret, b"{}", Timestamp(0)).is_err());
    assert!(verify(Scheme::Standard, &key, &with_secret, b"{}", Timestamp(0)).is_err());
    assert!(verify(Scheme::Any, &key, &ProofHeaders::default(), b"{}", Timestamp(0)).is_err());
    let wrong = ProofHeaders { secret: Some("s3cres"), ..ProofHeaders::default() };
    assert!(verify(Scheme::Any, &key, &wrong, b"{}", Timestamp(0)).is_err());
}

proptest! {
    #[test]
    fn a_signature_proves_exactly_its_body(body in ".{0,200}", other in ".{0,200}", key in "[!-~]{1,60}") {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let headers = ProofHeaders { signature: Some(&signature), ..ProofHeaders::default() };
        let key = secret(&key);
        prop_assert!(verify(Scheme::Any, &key, &headers, body.as_bytes(), Timestamp(0)).is_ok());
        prop_assert_eq!(
            verify(Scheme::Any, &key, &headers, other.as_bytes(), Timestamp(0)).is_ok(),
            body == other
        );
    }

    #[test]
    fn no_header_text_panics(text in "\\PC{0,80}", body in ".{0,40}") {
        let headers = ProofHeaders {
            secret: Some(&text), signature: Some(&text), hub_signature: Some(&text),
            standard_id: Some(&text), standard_timestamp: Some(&text), standard_signature: Some(&text),
        };
        for scheme in Scheme::ALL {
            let secret = WebhookSecret::generate([1; 32], scheme);
            prop_assert!(verify(scheme, &secret, &headers, body.as_bytes(), Timestamp(0)).is_err());
        }
    }
}

fn payload(body: &str) -> Result<Payload, PayloadRejected> {
    parse(&WebhookName::parse("github-events").unwrap(), body.as_bytes())
}

#[test]
fn content_is_the_message_else_the_whole_body() {
    assert_eq!(payload(r#"{"content":"summarise this"}"#).unwrap().text.as_str(), "summarise this");
    for body in [r#"{"action": "opened"}"#, r#"{"content": 5}"#, r#"{"content": " "}"#, r#"{"content": null}"#] {
        assert_eq!(payload(&format!(" {body}\n")).unwrap().text.as_str(), body);
    }
}

#[test]
fn members_of_another_form_belong_to_the_sender() {
    let body = r#"{"sender": {"login": "ana"}, "metadata": [1], "media_urls": "no"}"#;
    let payload = payload(body).unwrap();
    assert_eq!(payload.sender, "webhook:github-events");
    assert!(payload.metadata.is_empty() && payload.media_urls.is_empty());
}

#[test]
fn links_are_kept_if_they_are_links() {
    let body = r#"{"content":"x","sender":"ci","metadata":{"k":"v"},
        "media_urls":["https://example.org/a.png","file:///etc/passwd","javascript:x",7,"http://a b","http://ok"]}"#;
    let payload = payload(body).unwrap();
    assert_eq!(payload.media_urls, ["https://example.org/a.png", "http://ok"]);
    assert_eq!((payload.sender.as_str(), payload.metadata.len()), ("ci", 1));
}

#[test]
fn what_is_not_an_object_is_refused() {
    assert_eq!(payload("{"), Err(PayloadRejected::NotJson));
    assert_eq!(payload(""), Err(PayloadRejected::NotJson));
    assert_eq!(payload("[1,2]"), Err(PayloadRejected::NotAnObject));
    assert_eq!(payload(r#"{"content":"a\u0000b"}"#), Err(PayloadRejected::Content));
    assert_eq!(payload(&"[".repeat(100_000)), Err(PayloadRejected::NotJson));
    let slot = WebhookName::parse("x").unwrap();
    assert_eq!(parse(&slot, b"{\"content\":\"\xff\"}"), Err(PayloadRejected::NotJson));
}
