//! What is said to the server instead of the agent.

use super::*;

#[tokio::test]
async fn a_chat_is_removed_once_what_was_stopped_has_ended() {
    let fixture = answered_by([ModelScript::says("Hi!"), ModelScript::nothing().calling("mcp_files__hang", "{}")]);
    fixture.say("Hello").await;
    fixture.answer().await;
    fixture.say("Go on").await;
    let (end, said) = tokio::join!(fixture.answer(), async {
        while fixture.tools.called().is_empty() {
            tokio::task::yield_now().await;
        }
        fixture.say("/delete").await
    });
    assert_eq!(end, TurnEnd::Stopped);
    assert!(matches!(&said, Said::Command { text, .. } if text.starts_with("The chat was removed.")), "{said:?}");
    let history = fixture.storage.history(&session(), PageLimit::clamped(100)).await.unwrap();
    assert_eq!(history, []);
}

#[tokio::test]
async fn commands_are_obeyed_at_once_and_stored_nowhere() {
    let fixture = answered_by([ModelScript::says("Hi!")]);
    let said = |said: Said| match said {
        Said::Command { text, session } => (text, session),
        other => panic!("{other:?}"),
    };
    fixture.say("Hello there").await;
    fixture.answer().await;
    let (help, _) = said(fixture.say("/help").await);
    assert!(help.contains("/resume N"), "{help}");
    let (list, _) = said(fixture.say("/sessions").await);
    assert!(list.starts_with("1. Hello there (2 messages, websocket_a)\n"), "{list}");
    let (text, new) = said(fixture.say("/new").await);
    assert_eq!(text, format!("A new chat: {new}"));
    assert_ne!(new, session());
    assert_eq!(said(fixture.say("/resume 1").await), ("Going on with “Hello there”.".to_owned(), session()));
    let (text, _) = said(fixture.say("/resume 9").await);
    assert_eq!(text, "Say /resume with a number from 1 to 1, or an id that /sessions lists.");
    assert_eq!(said(fixture.say("/rename My chat").await).0, "This chat is called “My chat” now.");
    assert_eq!(said(fixture.say("/status").await).0, "idle: 0 of 5 chats in work, up for 0 s");
    assert!(said(fixture.say("/tools").await).0.contains("mcp_files__write – Does write"));
    assert_eq!(said(fixture.say("/stop").await).0, "Nothing is being answered in this chat.");
    let history = fixture.storage.history(&session(), PageLimit::clamped(100)).await.unwrap();
    assert_eq!(history.len(), 2);
    let (text, new) = said(fixture.say("/delete").await);
    assert_eq!(text, format!("The chat was removed. A new chat: {new}"));
    assert_eq!(said(fixture.say("/sessions").await).0, "There are no chats yet.");
}

#[tokio::test]
async fn commands_do_no_more_than_the_credential_may() {
    let fixture = answered_by([]);
    for (command, scope) in [("/sessions", "sessions"), ("/delete", "sessions"), ("/model x", "settings:write")] {
        let Said::Command { text, .. } = fixture.say_as(&client(), command).await else { panic!("{command}") };
        assert_eq!(text, format!("This needs a credential with the scope {scope}."));
    }
}
