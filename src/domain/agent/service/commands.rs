//! Doing what a command says.

use super::chat::{Chats, SayError, origin_of};
use crate::domain::agent::command::{Command, HELP};
use crate::domain::auth::Principal;
use crate::domain::auth::scope::Scope;
use crate::domain::memory::service::{NewMemory, NotRemembered, Remembered};
use crate::domain::memory::{Author, MemoryFilter, MemoryText, Owner, Owners, Source, Tags, tools};
use crate::domain::session::{SessionId, SessionSummary, SessionTitle};
use crate::domain::text::{PageLimit, head};
use futures_util::future::select;
use std::fmt::Write;
use std::time::Duration;

/// How many sessions `/sessions` lists.
const LISTED: i64 = 10;

/// How many memories `/recall` finds.
const RECALLED_HERE: usize = 10;

/// How long what was stopped may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How much of a description `/tools` shows, in characters.
const DESCRIPTION_CHARS: usize = 80;

impl Chats {
    /// Does what the command says. Gives the answer, and where the conversation goes on.
    pub(super) async fn obey(
        &self,
        principal: &Principal,
        command: Command,
        session: SessionId,
    ) -> Result<(String, SessionId), SayError> {
        let needed = match &command {
            Command::Sessions | Command::Resume(_) | Command::Rename(_) | Command::Delete => Some(Scope::Sessions),
            Command::Model(Some(_)) => Some(Scope::SettingsWrite),
            Command::Remember(_) | Command::Recall(_) | Command::Forget(_) => Some(Scope::Memory),
            _ => None,
        };
        if let Some(scope) = needed.filter(|scope| !principal.grant.scopes.allows(*scope)) {
            return Ok((format!("This needs a credential with the scope {}.", scope.as_str()), session));
        }
        let text = match command {
            Command::Help => HELP.to_owned(),
            Command::New => {
                let new = self.new_session();
                return Ok((format!("A new chat: {new}"), new));
            }
            Command::Sessions => self.list().await?,
            Command::Resume(which) => return self.resume(&which, session).await,
            Command::Rename(title) => match SessionTitle::parse(&title) {
                Err(why) => format!("The title {why}. Say /rename TITLE."),
                Ok(title) if self.sessions.rename(principal, &session, &title).await? => {
                    format!("This chat is called “{}” now.", title.as_str())
                }
                Ok(_) => "Nothing was said in this chat yet, so there is nothing to rename.".to_owned(),
            },
            Command::Delete => {
                if self.stop(principal, &session) {
                    // What is stored when it ends would begin the session anew.
                    let ended = self.agent.running.emptied(&session);
                    select(ended, self.agent.timer.sleep(END_LIMIT)).await;
                }
                let removed = self.sessions.remove(principal, &session).await?;
                let new = self.new_session();
                let what = if removed { "The chat was removed." } else { "Nothing was said in this chat yet." };
                return Ok((format!("{what} A new chat: {new}"), new));
            }
            Command::Stop if self.stop(principal, &session) => "Stopped.".to_owned(),
            Command::Stop => "Nothing is being answered in this chat.".to_owned(),
            Command::Status => self.status(),
            Command::Model(None) => self.model(),
            Command::Model(Some(name)) => match self.settings.choose_model(principal, &name).await {
                Ok(()) => self.model(),
                Err(why) => why,
            },
            Command::Tools => self.tools(principal),
            Command::Remember(fact) => self.remember(principal, &fact, &session).await?,
            Command::Recall(words) => self.recall(words.as_deref()).await?,
            Command::Forget(id) => self.forget(principal, &id).await?,
        };
        Ok((text, session))
    }

    async fn remember(&self, principal: &Principal, fact: &str, session: &SessionId) -> Result<String, SayError> {
        let text = match MemoryText::parse(fact) {
            Ok(text) => text,
            Err(why) => return Ok(format!("The fact {why}. Say /remember FACT.")),
        };
        let source = Source { session: Some(session.to_string()), ..Source::by(Author::User) };
        let new = NewMemory { owner: Owner::me(), text, tags: Tags::default(), source };
        match self.agent.memories.remember_once(principal, new, None).await {
            Ok(Remembered::New(memory)) => Ok(format!("Remembered as {}.", memory.id)),
            Ok(Remembered::Updated(memory)) => Ok(format!("This is what {} says now.", memory.id)),
            Ok(Remembered::Known(memory)) => Ok(format!("That is remembered already, as {}.", memory.id)),
            Err(NotRemembered::Store(error)) => Err(error.into()),
            Err(refused) => Ok(format!("Not remembered: {refused}.")),
        }
    }

    async fn recall(&self, words: Option<&str>) -> Result<String, SayError> {
        let owners = Owners::SeenBy(Owner::me());
        let memories = &self.agent.memories;
        let found = match words {
            Some(words) => memories.recall(words, &owners, RECALLED_HERE).await?,
            None => memories.page(&MemoryFilter::of(owners), PageLimit::clamped(LISTED), 0).await?,
        };
        Ok(match found.is_empty() {
            true => "Nothing like that is remembered.".to_owned(),
            false => tools::listed(&found),
        })
    }

    async fn forget(&self, principal: &Principal, id: &str) -> Result<String, SayError> {
        let is_removed = match tools::named(id) {
            Some(id) => self.agent.memories.remove(principal, &id).await?,
            None => false,
        };
        Ok(match is_removed {
            true => "Forgotten.".to_owned(),
            false => "Nothing is remembered under that id. Say /recall to see the ids.".to_owned(),
        })
    }

    async fn newest(&self) -> Result<Vec<SessionSummary>, SayError> {
        Ok(self.sessions.recent(PageLimit::clamped(LISTED), 0).await?.sessions)
    }

    async fn list(&self) -> Result<String, SayError> {
        let newest = self.newest().await?;
        if newest.is_empty() {
            return Ok("There are no chats yet.".to_owned());
        }
        let mut text = String::new();
        for (number, session) in (1..).zip(&newest) {
            let messages = if session.message_count == 1 { "message" } else { "messages" };
            let _ = writeln!(
                text,
                "{number}. {} ({} {messages}, {})",
                head(session.title(), SessionSummary::TITLE_CHARS),
                session.message_count,
                session.id
            );
        }
        text.push_str("\nSay /resume N to go on with one of them.");
        Ok(text)
    }

    async fn resume(&self, which: &str, current: SessionId) -> Result<(String, SessionId), SayError> {
        let newest = self.newest().await?;
        let by_number = which.parse::<usize>().ok().and_then(|number| newest.get(number.checked_sub(1)?));
        let by_id = || newest.iter().find(|session| SessionId::parse(which).is_ok_and(|id| id == session.id));
        match by_number.or_else(by_id) {
            Some(session) => Ok((format!("Going on with “{}”.", session.title()), session.id.clone())),
            None => {
                let why = match newest.len() {
                    0 => "There are no chats yet.".to_owned(),
                    count => format!("Say /resume with a number from 1 to {count}, or an id that /sessions lists."),
                };
                Ok((why, current))
            }
        }
    }

    fn status(&self) -> String {
        let status = self.agent.status();
        format!(
            "{}: {} of {} chats in work, up for {} s",
            status.state.as_str(),
            status.active_sessions,
            status.max_concurrent,
            status.uptime.as_secs()
        )
    }

    fn model(&self) -> String {
        let settings = self.settings.agent();
        let choice = &settings.choice;
        match (choice.model.as_str(), &choice.base_url) {
            ("", _) => format!("The agent is {}.", choice.kind.as_str()),
            (model, None) => format!("The agent is {} with the model {model}.", choice.kind.as_str()),
            (model, Some(url)) => {
                format!("The agent is {} with the model {model} at {}.", choice.kind.as_str(), url.origin())
            }
        }
    }

    fn tools(&self, principal: &Principal) -> String {
        let settings = self.settings.agent();
        let toolset = self.agent.toolset(origin_of(principal), &settings.rules);
        if toolset.offers.is_empty() {
            return "There are no tools that the agent may use here.".to_owned();
        }
        let mut text = String::new();
        for offer in toolset.offers.iter() {
            let first_line = offer.description.lines().next().unwrap_or_default();
            let _ = writeln!(text, "{} – {}", offer.name, head(first_line, DESCRIPTION_CHARS));
        }
        text.trim_end().to_owned()
    }
}
