//! Remembering: what a turn is told, the tools, the commands, and what is learned.

use super::*;
use crate::domain::agent::service::Answer;
use crate::domain::memory::service::NewMemory;
use crate::domain::memory::{Author, Memory, MemoryFilter, MemoryText, Source, Tags};
use crate::domain::settings::{SettingChange, StoredValue};
use crate::domain::webhook::WebhookName;
use crate::ports::settings::SettingsStore;

impl Fixture {
    async fn remember(&self, text: &str) -> Memory {
        let text = MemoryText::parse(text).unwrap();
        let new = NewMemory { owner: Owner::me(), text, tags: Tags::default(), source: Source::by(Author::User) };
        self.memories.remember(&Principal::on_this_machine(), new).await.unwrap()
    }

    async fn remembered(&self) -> Vec<Memory> {
        self.memories.page(&MemoryFilter::of(Owners::All), PageLimit::clamped(100), 0).await.unwrap()
    }

    async fn texts(&self) -> Vec<String> {
        self.remembered().await.into_iter().map(|memory| memory.text.as_str().to_owned()).collect()
    }

    async fn command_as(&self, principal: &Principal, text: &str) -> String {
        match self.say_as(principal, text).await {
            Said::Command { text, .. } => text,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_turn_of_the_owner_is_told_what_may_have_to_do_with_it_and_others_are_not() {
    let fixture = answered_by([ModelScript::says("Mia."), ModelScript::says("I cannot say.")]);
    fixture.remember("The cat is called Mia").await;
    fixture.remember("The bakery opens at seven").await;
    fixture.say("What is the name of my cat?").await;
    fixture.answer().await;
    fixture.say_as(&client(), "What is the name of the cat?").await;
    fixture.answer().await;
    let asked = fixture.model.asked();
    assert!(asked[0].system.contains("\n- The cat is called Mia"), "{}", asked[0].system);
    assert!(!asked[0].system.contains("bakery"));
    assert!(!asked[1].system.contains("Mia"));
    let offered = |at: usize| asked[at].tools.iter().any(|tool| tool.name == "recall");
    assert!(offered(0) && !offered(1));
}

#[tokio::test]
async fn the_model_remembers_recalls_and_forgets() {
    let fixture = answered_by([
        ModelScript::nothing()
            .calling("remember", r##"{"fact":"Ana is allergic to nuts","tags":["#food"]}"##)
            .calling("remember", r#"{"fact":"Ana is allergic to nuts"}"#)
            .calling("remember", r#"{"fact":"The password is hunter2"}"#)
            .calling("remember", r#"{"fact":" "}"#)
            .calling("recall", r#"{"query":"allergic"}"#)
            .calling("recall", r#"{"query":"tea"}"#),
        ModelScript::says("Noted."),
    ]);
    fixture.say("Ana must not eat nuts").await;
    fixture.answer().await;
    let [memory] = &fixture.remembered().await[..] else { panic!("not one memory") };
    assert_eq!((memory.source.author, memory.tags.as_slice()), (Author::Agent, &["food".to_owned()][..]));
    assert_eq!(memory.source.session.as_deref(), Some("websocket_a"));
    let asked = fixture.storage.history(&session(), PageLimit::clamped(1000)).await.unwrap()[0].content.id.clone();
    assert_eq!(memory.source.message, Some(asked));
    let results: Vec<String> = fixture.results(1).into_iter().map(|outcome| outcome.content).collect();
    assert_eq!(results[0], format!("Remembered as {}.", memory.id));
    assert_eq!(results[1], format!("That is remembered already, as {}.", memory.id));
    assert!(results[2].contains("looks like a password") && !results[2].contains("hunter2"));
    assert_eq!(results[3], "fact must not be blank");
    assert_eq!(results[4], format!("[{}] Ana is allergic to nuts #food", memory.id));
    assert_eq!(results[5], "Nothing was found.");

    let forgetting = ModelScript::nothing()
        .calling("forget", &format!(r#"{{"id":"[{}]"}}"#, memory.id))
        .calling("forget", r#"{"id":"nothing"}"#);
    fixture.model.follow([forgetting, ModelScript::says("Gone.")]);
    fixture.say("Forget it").await;
    fixture.answer().await;
    let results: Vec<bool> = fixture.results(3).into_iter().rev().take(2).map(|it| it.is_error).collect();
    assert_eq!((results, fixture.texts().await.len()), (vec![true, false], 0));
}

#[tokio::test]
async fn people_remember_recall_and_forget_in_chat() {
    let fixture = answered_by([]);
    let me = Principal::on_this_machine();
    let said = fixture.command_as(&me, "/remember The spare key is with Rosa").await;
    let id = said.strip_prefix("Remembered as ").unwrap().trim_end_matches('.').to_owned();
    let line = format!("[{id}] The spare key is with Rosa");
    assert_eq!(fixture.command_as(&me, "/recall key").await, line);
    assert_eq!(fixture.command_as(&me, "/recall").await, line);
    assert_eq!(fixture.command_as(&me, "/recall tea").await, "Nothing like that is remembered.");
    assert!(fixture.command_as(&me, "/remember").await.contains("must not be blank"));
    assert!(fixture.command_as(&me, "/remember pin: 4711").await.starts_with("Not remembered: "));
    assert_eq!(fixture.command_as(&me, &format!("/forget {id}")).await, "Forgotten.");
    assert!(fixture.command_as(&me, "/forget x").await.starts_with("Nothing is remembered"));
    for command in ["/remember x", "/recall x", "/forget x"] {
        let said = fixture.command_as(&client(), command).await;
        assert_eq!(said, "This needs a credential with the scope memory.");
    }
}

/// A fixture whose settings are what is stored.
async fn told(settings: &[(&str, Value)], scripts: Vec<ModelScript>) -> Fixture {
    let fixture = answered_by(scripts);
    let changes: Vec<SettingChange> = settings
        .iter()
        .map(|(name, value)| SettingChange { name: (*name).to_owned(), value: Some(StoredValue::Plain(value.clone())) })
        .collect();
    let entry = fixture.agent.audit.entry(crate::domain::audit::Happening::command("changed", "x"));
    fixture.storage.merge(&changes, &entry).await.unwrap();
    fixture.agent.settings.load().await.unwrap();
    fixture
}

impl Fixture {
    /// Answers what waits, and learns from it if that is wanted.
    async fn answer_and_learn(&self) -> Option<usize> {
        let claimed = self.agent.claim(1).await.unwrap().pop().expect("a turn that waits");
        let answer: Answer = self.agent.run(&claimed).await;
        self.agent.finish(&claimed, &answer).await.unwrap();
        match self.agent.may_learn(&claimed, &answer) {
            true => Some(self.agent.learn(&claimed, &answer).await.unwrap()),
            false => None,
        }
    }

    async fn deliver(&self, text: &str) {
        let name = WebhookName::parse("github").unwrap();
        let id = self.agent.new_turn_id();
        let submission = crate::domain::agent::service::Submission {
            id,
            session: session(),
            text: MessageText::parse(text).unwrap(),
            metadata: crate::domain::session::Metadata::empty(),
            key: None,
            happening: crate::domain::audit::Happening::command("delivered", name.as_str()),
            origin: Origin::Webhook,
        };
        self.agent.submit(submission, None).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_learned_unless_that_is_switched_on() {
    let fixture = answered_by([ModelScript::says("Nice!")]);
    fixture.say("I live in Lisbon").await;
    assert_eq!(fixture.answer_and_learn().await, None);
    assert_eq!(fixture.model.asked().len(), 1);
}

#[tokio::test]
async fn facts_are_learned_after_a_turn_and_brought_up_to_date() {
    let facts =
        r#"[{"fact":"The user lives in Lisbon","tags":["home"]},{"fact":"The key is sk-aaaabbbbccccddddeeeeffff"}]"#;
    let on = [("file_auto_learn", true.into())];
    let fixture = told(&on, vec![ModelScript::says("Nice!"), ModelScript::says(facts)]).await;
    fixture.say("I live in Lisbon").await;
    assert_eq!(fixture.answer_and_learn().await, Some(1));
    let [memory] = &fixture.remembered().await[..] else { panic!("not one memory") };
    assert_eq!(memory.text.as_str(), "The user lives in Lisbon");
    assert_eq!((memory.source.author, memory.source.session.as_deref()), (Author::Learned, Some("websocket_a")));
    assert!(memory.source.message.is_some());

    let known = format!(r#"[{{"fact":"The user lives in Porto","replaces":"{}"}}]"#, memory.id);
    fixture.model.follow([ModelScript::says("Oh!"), ModelScript::says(&known)]);
    fixture.say("I live in Porto now, not in Lisbon").await;
    assert_eq!(fixture.answer_and_learn().await, Some(1));
    assert_eq!(fixture.texts().await, ["The user lives in Porto"]);
    assert_eq!(fixture.remembered().await[0].id, memory.id);
    let asked = fixture.model.asked().pop().unwrap();
    let [ModelMessage::User(text)] = &asked.messages[..] else { panic!("{asked:?}") };
    assert!(text.contains(&format!("[{}] The user lives in Lisbon #home", memory.id)), "{text}");
}

#[tokio::test]
async fn nothing_is_learned_from_others_nor_from_webhooks_unless_that_is_allowed() {
    let script = || vec![ModelScript::says("Noted."), ModelScript::says(r#"["Deploys happen on Friday"]"#)];
    let fixture = told(&[("file_auto_learn", true.into())], script()).await;
    fixture.deliver("Deploys happen on Friday").await;
    assert_eq!(fixture.answer_and_learn().await, None);
    fixture.say_as(&client(), "Deploys happen on Friday").await;
    assert_eq!(fixture.answer_and_learn().await, None);
    let allowed = [("file_auto_learn", true.into()), ("memory_learn_from_webhooks", true.into())];
    let fixture = told(&allowed, script()).await;
    fixture.deliver("Deploys happen on Friday").await;
    assert_eq!(fixture.answer_and_learn().await, Some(1));
    assert_eq!(fixture.texts().await, ["Deploys happen on Friday"]);
}

#[tokio::test]
async fn what_was_not_answered_teaches_nothing() {
    let broken = ModelError::Refused("no".to_owned());
    let fixture = told(&[("file_auto_learn", true.into())], vec![ModelScript::fails(broken)]).await;
    fixture.say("I live in Lisbon").await;
    assert_eq!(fixture.answer_and_learn().await, None);
}
