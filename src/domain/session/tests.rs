use super::*;
use proptest::prelude::*;

#[test]
fn ids_are_accepted_in_all_forms_and_kept_with_underscores() {
    for form in ["discord:dm:987", "discord_dm_987", "discord/dm/987"] {
        let id = SessionId::parse(form).unwrap();
        assert_eq!(id.as_str(), "discord_dm_987");
        assert_eq!((id.channel(), id.chat()), ("discord", "dm_987"));
        assert_eq!(id.key(), "discord:dm_987");
    }
}

#[test]
fn the_channel_is_read_back_even_if_its_name_has_an_underscore() {
    let id = SessionId::parse("google_chat_spaces_A1").unwrap();
    assert_eq!((id.channel(), id.chat()), ("google_chat", "spaces_A1"));
    let id = SessionId::parse("google_chats").unwrap();
    assert_eq!((id.channel(), id.chat()), ("google", "chats"));
    let id = SessionId::parse("plain").unwrap();
    assert_eq!((id.channel(), id.chat()), ("plain", ""));
}

#[test]
fn reserved_and_unsafe_names_are_not_sessions() {
    for name in
        ["", "_index", "_aliases", "websocket_x_compaction", ":index", "a b", "a\0", "a\"b", "ü", "a\nb", "a\\b"]
    {
        assert_eq!(SessionId::parse(name), Err(NotASessionId), "{name:?}");
    }
    assert!(SessionId::parse(&"x".repeat(200)).is_ok());
    assert!(SessionId::parse(&"x".repeat(201)).is_err());
}

#[test]
fn a_new_chat_has_twelve_hexadecimal_digits() {
    assert_eq!(SessionId::new_chat([0, 1, 2, 0xab, 0xcd, 0xff]).as_str(), "websocket_000102abcdff");
}

fn message(role: Role, text: &str, at: i64) -> NewMessage {
    NewMessage {
        id: "m".to_owned(),
        role,
        text: MessageText::parse(text).unwrap(),
        at: Timestamp(at),
        metadata: Metadata::empty(),
    }
}

#[test]
fn the_title_is_the_users_else_the_first_words_else_new_chat() {
    let id = SessionId::parse("websocket_1").unwrap();
    let session = SessionSummary::new(id, Timestamp(5));
    assert_eq!(session.title(), "New Chat");
    let session = session.with(&message(Role::Assistant, "Hello!", 6)).with(&message(Role::User, &"é".repeat(100), 7));
    assert_eq!(session.title(), "é".repeat(80));
    let mut session = session.with(&message(Role::User, "later", 8));
    assert_eq!(session.title(), "é".repeat(80));
    session.user_title = Some(SessionTitle::parse(" Mine ").unwrap());
    assert_eq!(session.title(), "Mine");
    assert_eq!((session.preview.as_str(), session.message_count), ("later", 3));
}

#[test]
fn a_clock_set_back_does_not_make_a_session_older() {
    let id = SessionId::parse("websocket_1").unwrap();
    let session = SessionSummary::new(id, Timestamp(5)).with(&message(Role::User, "x", 3));
    assert_eq!(session.last_activity, Timestamp(5));
}

#[test]
fn message_text_is_bounded_or_made_to_fit() {
    assert_eq!(MessageText::parse("a\0b"), Err(TextRejected::Nul));
    assert!(MessageText::parse("x".repeat(MessageText::MAX_BYTES + 1)).is_err());
    assert_eq!(MessageText::lossy("a\0b").as_str(), "ab");
    let long = format!("x{}", "🐾".repeat(MessageText::MAX_BYTES / 4));
    assert_eq!(MessageText::lossy(&long).as_str().len(), MessageText::MAX_BYTES - 3);
}

proptest! {
    #[test]
    fn a_parsed_id_parses_to_itself(text in ".{0,60}") {
        if let Ok(id) = SessionId::parse(&text) {
            prop_assert_eq!(SessionId::parse(id.as_str()), Ok(id.clone()));
            prop_assert!(id.as_str().starts_with(id.channel()) && id.as_str().ends_with(id.chat()));
        }
    }
}
