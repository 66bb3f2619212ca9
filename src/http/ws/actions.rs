//! What clients of a socket can ask for.

use super::socket::Socket;
use super::{health, host};
use crate::domain::agent::command::Command;
use crate::domain::agent::service::chat::{Said, Saying};
use crate::domain::auth::scope::Scope;
use crate::domain::session::SessionId;
use crate::http::chat::{content, decide_on, existing_session, say};
use serde_json::{Map, Value, json};

/// A message as it came.
type Members = Map<String, Value>;

fn text<'a>(message: &'a Members, name: &str) -> &'a str {
    message.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Socket<'_> {
    /// Does what a message asks for.
    pub(super) async fn act(&mut self, message: &Members) {
        match text(message, "action") {
            "chat" => self.chat(message).await,
            "stop" => self.stop(),
            "new_session" => self.new_session(),
            "switch_session" => self.switch_session(text(message, "session_id")).await,
            "get_settings" => self.show_settings(),
            "settings" => self.change_settings(message).await,
            "save_api_key" => self.save_api_key(message).await,
            "tool" => self.tool(text(message, "tool")),
            "toggle_agent" => self.push(&json!({
                "type": "notification", "content": "The agent is always on: there is nothing to switch."
            })),
            action @ ("navigate" | "browse") => self.browse(message, action == "browse"),
            "get_health" | "run_health_check" => {
                let data = health::report(&self.state).await;
                self.push(&json!({ "type": "health_update", "data": data }));
            }
            "get_health_errors" => self.push(&json!({ "type": "health_errors", "errors": [] })),
            "get_reminders" => self.push(&json!({ "type": "reminders", "reminders": [] })),
            "add_reminder" | "delete_reminder" => {
                self.push(&json!({ "type": "reminder_error", "content": "Reminders are not available yet" }));
            }
            "get_intentions" => self.push(&json!({ "type": "intentions", "intentions": [] })),
            "create_intention" | "update_intention" | "delete_intention" | "toggle_intention" | "run_intention" => {
                self.error("Intentions are not available yet");
            }
            "get_skills" => self.push(&json!({ "type": "skills", "skills": [] })),
            "run_skill" => self.error("Skills are not available yet"),
            "approve_plan" => self.decide(message, true),
            "reject_plan" => self.decide(message, false),
            // Whoever is here has shown what they have; and that they are here, nobody needs to be told.
            "ping" | "authenticate" => {}
            "" => self.error("A message needs an action."),
            unknown => {
                let shown: String = unknown.chars().take(50).collect();
                self.error(&format!("Unknown action: {shown}"));
            }
        }
    }

    /// Whether the client may do what needs this scope; if not, it is told.
    pub(super) fn is_allowed(&mut self, scope: Scope) -> bool {
        let allowed = self.may(scope);
        if !allowed {
            self.error(&format!("This needs a credential with the scope {}.", scope.as_str()));
        }
        allowed
    }

    async fn chat(&mut self, message: &Members) {
        // Something is being answered already, and its end is still to come.
        let was_streaming = self.is_streaming;
        self.begin_stream();
        let has_media = message.get("media").and_then(Value::as_array).is_some_and(|media| !media.is_empty());
        let said = text(message, "message");
        match self.say(said, has_media).await {
            Err(why) => {
                self.error(&why);
                if !was_streaming {
                    self.end_stream();
                }
            }
            // Its news come by the feed.
            Ok(Said::Turn { .. } | Said::Reply { .. }) => {}
            Ok(Said::Command { text, session }) => {
                self.push(&json!({ "type": "message", "content": text, "is_stream_chunk": false }));
                if !was_streaming {
                    self.end_stream();
                }
                if session != self.session {
                    let resumes = matches!(Command::parse(said), Some(Command::Resume(_)));
                    self.go_to(session, resumes).await;
                }
            }
        }
    }

    async fn say(&mut self, message: &str, has_media: bool) -> Result<Said, String> {
        let text = content(message, has_media)?;
        let saying = Saying { session: Some(self.session.clone()), text, file_context: None };
        let state = &self.state;
        let said = say(&state.tasks, &state.chats, &self.proven.principal, saying, None).await;
        said.map_err(|error| error.text())
    }

    fn stop(&mut self) {
        // If something is stopped, the feed tells of its end.
        if !self.state.chats.stop(&self.proven.principal, &self.session) {
            self.is_streaming = true;
            self.end_stream();
        }
    }

    fn new_session(&mut self) {
        self.end_stream();
        self.session = self.state.chats.new_session();
        self.push(&json!({ "type": "new_session", "id": self.session.as_str() }));
    }

    /// Goes on in another session.
    async fn go_to(&mut self, session: SessionId, is_old: bool) {
        self.end_stream();
        if !is_old {
            self.session = session;
            return self.push(&json!({ "type": "new_session", "id": self.session.as_str() }));
        }
        match self.history(&session).await {
            Some(history) => {
                self.session = session;
                self.push(&history);
            }
            // The client waits for a history, whatever is in it.
            None => {
                self.error("The session cannot be read at the moment; try again later");
                let id = session.as_str();
                self.push(&json!({ "type": "session_history", "session_id": id, "messages": [] }));
            }
        }
    }

    /// Answers for every id: the client waits for it.
    async fn switch_session(&mut self, id: &str) {
        let nothing = json!({ "type": "session_history", "session_id": id, "messages": [] });
        if !self.is_allowed(Scope::Sessions) {
            return self.push(&nothing);
        }
        match existing_session(&self.state.sessions, id).await {
            Ok(Some(session)) => self.go_to(session, true).await,
            // One that was made and in which nothing was said yet is as good as any.
            Ok(None) => {
                if let Ok(session) = SessionId::parse(id)
                    && session.channel() == "websocket"
                    && !session.chat().is_empty()
                {
                    self.end_stream();
                    self.session = session;
                }
                self.push(&nothing);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a session could not be read");
                self.error("The session cannot be read at the moment; try again later");
                self.push(&nothing);
            }
        }
    }

    fn tool(&mut self, tool: &str) {
        if !self.is_allowed(Scope::Admin) {
            return;
        }
        match tool {
            "status" => self.push(&json!({ "type": "status", "content": host::status() })),
            "panic" => {
                let content = match self.state.chats.stop_all() {
                    true => "Stopped everything the agent was doing, and what waited for it.",
                    false => "The agent was doing nothing.",
                };
                self.push(&json!({ "type": "message", "content": content, "is_stream_chunk": false }));
            }
            "screenshot" | "fetch" => self.error(&format!("The tool {tool} is not available here")),
            unknown => {
                let shown: String = unknown.chars().take(50).collect();
                self.error(&format!("Unknown tool: {shown}"));
            }
        }
    }

    fn browse(&mut self, message: &Members, echoes: bool) {
        if !self.is_allowed(Scope::Admin) {
            return;
        }
        let mut answer = json!({ "type": "files", "error": "Browsing files is not available yet" });
        if let Some(context) = message.get("context").filter(|_| echoes) {
            answer["context"] = context.clone();
        }
        self.push(&answer);
    }

    fn decide(&mut self, message: &Members, approved: bool) {
        let key = message.get("session_key").and_then(Value::as_str);
        match (decide_on(&self.state.chats, &self.proven.principal, key, approved), approved) {
            (Some(session), true) => self.push(&json!({ "type": "plan_approved", "session_key": session.key() })),
            (Some(session), false) => self.push(&json!({ "type": "plan_rejected", "session_key": session.key() })),
            (None, true) => self.error("No active plan to approve"),
            (None, false) => self.error("No active plan to reject"),
        }
    }
}
