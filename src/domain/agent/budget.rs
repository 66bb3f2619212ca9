//! What of a conversation is sent to a model: as much as fits.
//!
//! Older turns are left out whole, the oldest first: a summary would be cheaper to carry, but takes a model to write, and
//! what it leaves out is gone without a trace. Nothing is lost here; the stored session stays as it is.

use super::choice::mark_of;
use super::model::{ModelMessage, ToolOffer};
use super::transcript::{Transcript, cut};
use super::{NOTHING_SAID, Origin};
use crate::domain::session::{Message, Role};
use serde_json::Value;

/// To how many characters the older results of the current turn are cut when it does not fit by itself.
const CUT_RESULT: usize = 500;

/// About how many tokens a text is. Providers count differently; most texts have fewer.
#[must_use]
pub fn estimate(text: &str) -> usize {
    text.len().div_ceil(3)
}

/// What a message costs besides its texts: the marks around it.
const PER_MESSAGE: usize = 8;

fn cost(message: &ModelMessage) -> usize {
    let texts = match message {
        ModelMessage::User(text) => estimate(text),
        ModelMessage::Assistant { text, calls } => {
            let calls = calls.iter().map(|call| estimate(&call.name) + estimate(&call.arguments) + PER_MESSAGE);
            estimate(text) + calls.sum::<usize>()
        }
        ModelMessage::ToolResults(outcomes) => {
            outcomes.iter().map(|outcome| estimate(&outcome.content) + PER_MESSAGE).sum()
        }
    };
    texts + PER_MESSAGE
}

/// What messages cost, in tokens.
#[must_use]
pub fn cost_of(messages: &[ModelMessage]) -> usize {
    messages.iter().map(cost).sum()
}

/// What the tools cost.
#[must_use]
pub fn cost_of_tools(tools: &[ToolOffer]) -> usize {
    let one = |tool: &ToolOffer| {
        estimate(&tool.name) + estimate(&tool.description) + Value::Object(tool.schema.clone()).to_string().len() / 3
    };
    tools.iter().map(|tool| one(tool) + PER_MESSAGE).sum()
}

/// Stored messages, as a model sees them, one group for every message of the user and what followed. Answers that failed say
/// nothing that a model should believe it has said. What others than the owner said is [marked](mark_of), and left out if it
/// had no answer: it would become one with the owner's next message.
#[must_use]
pub fn groups(history: &[Message]) -> Vec<Vec<ModelMessage>> {
    let mut groups: Vec<Vec<ModelMessage>> = Vec::new();
    let mut is_strange = false;
    for message in history {
        let text = message.content.text.as_str();
        let metadata: Value = serde_json::from_str(message.content.metadata.as_json()).unwrap_or_default();
        match message.content.role {
            Role::User => {
                leave_out_unanswered(&mut groups, is_strange);
                let mark = metadata["origin"].as_str().and_then(Origin::parse).and_then(mark_of);
                is_strange = mark.is_some();
                groups.push(vec![ModelMessage::User(mark.map_or(text.to_owned(), |mark| format!("{mark}\n{text}")))]);
            }
            Role::Assistant => {
                let steps = Transcript::from_json(&metadata["steps"]).filter(|transcript| !transcript.is_empty());
                let said = match steps {
                    Some(transcript) => transcript.messages(),
                    None if metadata["error"] == true || text.is_empty() || text == NOTHING_SAID => Vec::new(),
                    None => vec![ModelMessage::Assistant { text: text.to_owned(), calls: Vec::new() }],
                };
                // What comes before any question, as in a session that was cut, has no place in a conversation.
                if let Some(group) = groups.last_mut() {
                    group.extend(said);
                }
            }
            Role::System => {}
        }
    }
    leave_out_unanswered(&mut groups, is_strange);
    groups
}

fn leave_out_unanswered(groups: &mut Vec<Vec<ModelMessage>>, is_strange: bool) {
    if is_strange && groups.last().is_some_and(|group| group.len() == 1) {
        groups.pop();
    }
}

/// The newest of the `earlier` groups that fit into `budget` tokens together with the `current` turn, then the current turn.
/// If that does not fit by itself, its results are cut, the older ones first; its question never is. Messages of the user
/// that follow each other become one.
#[must_use]
pub fn fit(earlier: &[Vec<ModelMessage>], mut current: Vec<ModelMessage>, budget: usize) -> Vec<ModelMessage> {
    let last = current.iter().rposition(|message| matches!(message, ModelMessage::ToolResults(_)));
    for at in 0..last.unwrap_or(0) {
        if cost_of(&current) <= budget {
            break;
        }
        if let ModelMessage::ToolResults(outcomes) = &mut current[at] {
            for outcome in outcomes {
                outcome.content = cut(&outcome.content, CUT_RESULT).unwrap_or_else(|| outcome.content.clone());
            }
        }
    }
    cut_newest(&mut current, budget);
    let mut left = budget.saturating_sub(cost_of(&current));
    let mut first = earlier.len();
    while first > 0 && cost_of(&earlier[first - 1]) <= left {
        first -= 1;
        left -= cost_of(&earlier[first]);
    }
    joined(earlier[first..].iter().flatten().cloned().chain(current))
}

/// Cuts the newest results evenly, if the turn does not fit otherwise.
fn cut_newest(current: &mut [ModelMessage], budget: usize) {
    let over = cost_of(current).saturating_sub(budget);
    let newest = current.iter_mut().rev().find_map(|message| match message {
        ModelMessage::ToolResults(outcomes) => Some(outcomes),
        _ => None,
    });
    let Some(newest) = newest.filter(|_| over > 0) else { return };
    let cost: usize = newest.iter().map(|outcome| estimate(&outcome.content)).sum();
    let each = cost.saturating_sub(over) * 3 / newest.len().max(1);
    for outcome in newest {
        // Characters instead of bytes: a text of others than ASCII stays longer, and the provider says so if it is too long.
        outcome.content = cut(&outcome.content, each.max(CUT_RESULT)).unwrap_or_else(|| outcome.content.clone());
    }
}

/// The same with messages of the user that follow each other made one: some providers refuse two.
fn joined(messages: impl Iterator<Item = ModelMessage>) -> Vec<ModelMessage> {
    let mut joined: Vec<ModelMessage> = Vec::new();
    for message in messages {
        match (joined.last_mut(), message) {
            (Some(ModelMessage::User(before)), ModelMessage::User(text)) => {
                before.push_str("\n\n");
                before.push_str(&text);
            }
            (_, message) => joined.push(message),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
