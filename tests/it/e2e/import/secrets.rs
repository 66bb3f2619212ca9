//! Encrypted secrets, and where none may show.

use super::home::{MACHINE, TOKEN, counts, import, query, sample};
use crate::e2e::binary::Place;

/// Everything in the sample that is secret.
const SECRETS: [&str; 8] = [
    "123456:AAHdummydummydummydummydummydummydum",
    "xapp-1-DUMMY",
    "dummy-issue-token",
    "HKxbd1kb6Ydh26ZazkbL7rWIso12SS0gbjrpzIuAIeA",
    "vWbC-vi-7vOs1Ht13fCZcwTZq6WI4mSy_WXEQBGmltE",
    "ppat_Svnp5NegqkFhabJVGWprQ-rN53HGlq_pRrnTqCR5H4Y",
    "pprt_L39tFf6U9ROqAJ6CaVlmUFFdDwscpfwwhwrTHwOizg4",
    TOKEN,
];

#[test]
fn secrets_are_opened_sealed_and_never_shown() {
    let place = Place::new();
    let home = sample(&place);
    std::fs::create_dir(home.join("oauth")).unwrap();
    let token = r#"{"service":"gmail","access_token":"ya29-dummy","refresh_token":null,"scopes":["mail"],"extra":{}}"#;
    std::fs::write(home.join("oauth/gmail.json"), token).unwrap();
    std::fs::create_dir(home.join("mcp_oauth")).unwrap();
    let sign_in = r#"{"tokens":{"access_token":"mcp-dummy","scope":"read"},"client_info":{"client_id":"me"}}"#;
    std::fs::write(home.join("mcp_oauth/remote-docs.json"), sign_in).unwrap();
    let ended = import(&place, &home, &MACHINE);
    assert_eq!(counts(&ended, "Secrets"), [2, 0, 0]);
    assert_eq!((counts(&ended, "Tokens for services"), counts(&ended, "MCP sign-ins")), ([1, 0, 0], [1, 0, 0]));
    let sealed = "SELECT kind || ' ' || id AS line FROM kept WHERE sealed_secret IS NOT NULL ORDER BY kind, id";
    assert_eq!(query(&place, sealed), ["service_token gmail"]);
    let sealed = "SELECT name AS line FROM settings WHERE sealed_secret IS NOT NULL ORDER BY name";
    assert_eq!(query(&place, sealed), ["slack_app_token", "telegram_bot_token"]);
    let sealed =
        "SELECT name AS line FROM mcp_servers UNION ALL SELECT 'sign-in ' || server FROM mcp_sign_ins ORDER BY 1";
    assert_eq!(query(&place, sealed), ["filesystem", "issues", "remote-docs", "sign-in remote-docs"]);
    let database = std::fs::read(place.data_dir().join("pawport.db")).unwrap();
    for secret in SECRETS.into_iter().chain([
        "ya29-dummy",
        "mcp-dummy",
        "docs.example/mcp",
        "server-filesystem",
        "dummy-issue-token",
    ]) {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret} is shown");
        assert!(!database.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in the clear");
    }
}

#[test]
fn secrets_of_another_machine_are_named_by_channel() {
    let place = Place::new();
    let home = sample(&place);
    let wrong = ["--machine-id", "ffffffffffffffffffffffffffffffff", "--login", "ana"];
    let ended = import(&place, &home, &wrong);
    // The file, and the channels that are configured.
    assert_eq!(counts(&ended, "Secrets"), [0, 0, 4], "{}", ended.stdout);
    for words in [
        "it cannot be decrypted with what is known of the machine that it was made on (1 tried)",
        "discord is configured and needs discord_bot_token again",
        "slack is configured and needs slack_bot_token, slack_app_token again",
        "telegram is configured and needs telegram_bot_token again",
    ] {
        assert!(ended.stdout.contains(words), "no {words:?} in {}", ended.stdout);
    }
    assert_eq!(counts(&ended, "Messages"), [20, 0, 0]);
    // With the right key they come later.
    assert_eq!(counts(&import(&place, &home, &MACHINE), "Secrets"), [2, 0, 0]);
}

#[test]
fn the_older_form_is_opened() {
    let place = Place::new();
    let home = sample(&place);
    let salt = hex::decode("00112233445566778899aabbccddeeff").unwrap();
    std::fs::write(home.join(".salt"), salt).unwrap();
    let token = "gAAAAABlU_EAEaVpB4Ljznfs7VZ2sB7DZbOVroz7Ar2qf7LqXsK5_BWCOdPvqMAcNudOQweBKLGHBnt3-qGmT26N7LzHi03pNT2EgrpVNJXucaDB4OUKjUyaF5OwQh1vSB6q5AJJ4FXH";
    std::fs::write(home.join("secrets.enc"), token).unwrap();
    let ended = import(&place, &home, &["--machine-id", "feedface", "--login", "ana"]);
    assert_eq!(counts(&ended, "Secrets"), [1, 0, 0], "{}", ended.stdout);
    assert_eq!(
        query(&place, "SELECT name AS line FROM settings WHERE sealed_secret IS NOT NULL"),
        ["discord_bot_token"]
    );
}
