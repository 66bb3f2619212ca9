//! A language model that follows a script.

use crate::domain::agent::model::{AnswerEnd, Delta, ModelAnswer, ModelError, ModelRequest, TokenUsage, ToolCall};
use crate::ports::agent::{ChatModel, ModelOutput};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What the model does when it is asked once.
#[derive(Debug, Clone)]
pub struct ModelScript {
    pieces: Vec<Delta>,
    calls: Vec<ToolCall>,
    end: AnswerEnd,
    usage: Option<TokenUsage>,
    error: Option<ModelError>,
    hangs: bool,
}

impl ModelScript {
    /// Says `text` in one piece, with 10 tokens read and 2 written.
    #[must_use]
    pub fn says(text: &str) -> Self {
        Self {
            pieces: vec![Delta::Text(text.to_owned())],
            calls: Vec::new(),
            end: AnswerEnd::Done,
            usage: Some(TokenUsage { input: 10, output: 2 }),
            error: None,
            hangs: false,
        }
    }

    /// Says nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { pieces: Vec::new(), ..Self::says("") }
    }

    /// Gives no answer.
    #[must_use]
    pub fn fails(error: ModelError) -> Self {
        Self { error: Some(error), ..Self::nothing() }
    }

    /// Thinks `text` aloud first.
    #[must_use]
    pub fn thinking(mut self, text: &str) -> Self {
        self.pieces.insert(0, Delta::Thinking(text.to_owned()));
        self
    }

    /// Wants the tool `name` to be run as well. Calls have the ids `1`, `2` …
    #[must_use]
    pub fn calling(mut self, name: &str, arguments: &str) -> Self {
        let id = (self.calls.len() + 1).to_string();
        self.calls.push(ToolCall { id, name: name.to_owned(), arguments: arguments.to_owned() });
        self.end = AnswerEnd::Calls;
        self
    }

    /// Ends like this.
    #[must_use]
    pub fn ending(self, end: AnswerEnd) -> Self {
        Self { end, ..self }
    }

    /// Then breaks off.
    #[must_use]
    pub fn breaking(self, error: ModelError) -> Self {
        Self { error: Some(error), ..self }
    }

    /// Then says nothing more, for ever.
    #[must_use]
    pub fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }
}

/// Follows one script after the other, and remembers what it was asked.
#[derive(Default)]
pub struct ScriptedModel {
    scripts: Mutex<VecDeque<ModelScript>>,
    asked: Mutex<Vec<ModelRequest>>,
}

impl ScriptedModel {
    /// A model that refuses once no script is left.
    #[must_use]
    pub fn following(scripts: impl IntoIterator<Item = ModelScript>) -> Self {
        Self { scripts: Mutex::new(scripts.into_iter().collect()), asked: Mutex::default() }
    }

    /// Follows these afterwards.
    pub fn follow(&self, scripts: impl IntoIterator<Item = ModelScript>) {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).extend(scripts);
    }

    /// What it was asked, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<ModelRequest> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ChatModel for ScriptedModel {
    fn name(&self) -> &'static str {
        "scripted_model"
    }

    async fn answer(&self, request: &ModelRequest, output: &dyn ModelOutput) -> Result<ModelAnswer, ModelError> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let script = self.scripts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let no_script = || ModelError::Refused("the scripted model has no script left".to_owned());
        let script = script.ok_or_else(no_script)?;
        let mut text = String::new();
        for piece in script.pieces {
            if let Delta::Text(piece) = &piece {
                text.push_str(piece);
            }
            output.tell(piece);
        }
        if script.hangs {
            std::future::pending::<()>().await;
        }
        match script.error {
            Some(error) => Err(error),
            None => Ok(ModelAnswer { text, calls: script.calls, end: script.end, usage: script.usage }),
        }
    }

    async fn models(&self) -> Result<Vec<String>, ModelError> {
        Ok(vec!["scripted".to_owned()])
    }
}
