//! What can be told the server itself, in any chat.

/// A message that is for the server and not for the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Lists the commands.
    Help,
    /// Goes on in a new session.
    New,
    /// Lists the newest sessions.
    Sessions,
    /// Goes on in another session: its number in that list, or its id.
    Resume(String),
    /// Gives the session a title.
    Rename(String),
    /// Removes the session, and goes on in a new one.
    Delete,
    /// Stops what the agent does in the session.
    Stop,
    /// Tells what the agent is doing.
    Status,
    /// Shows the agent and its model, or chooses another model.
    Model(Option<String>),
    /// Lists the tools that the agent may use here.
    Tools,
    /// Puts a fact down.
    Remember(String),
    /// Finds what is remembered; the newest if nothing is asked.
    Recall(Option<String>),
    /// Removes the memory with this id.
    Forget(String),
}

/// The commands as `/help` shows them.
pub const HELP: &str = "\
/help             shows this
/new              begins a new chat
/sessions         lists the newest chats
/resume N         goes on with chat N of that list; its id will do, too
/rename TITLE     gives this chat a title
/delete           removes this chat
/stop             stops the answer that is being written
/status           says what the agent is doing
/model            shows the agent and its model
/model NAME       chooses another model
/tools            lists the tools that the agent may use here
/remember FACT    remembers a fact
/recall WORDS     finds what is remembered; without words, the newest
/forget ID        removes what is remembered under that id

Everything else is for the agent.";

impl Command {
    /// The command that a message is. `None` if it is for the agent: also if it begins with a slash that begins no command,
    /// such as a path.
    #[must_use]
    pub fn parse(message: &str) -> Option<Self> {
        let message = message.trim();
        let (name, rest) = message.split_once(char::is_whitespace).unwrap_or((message, ""));
        let rest = rest.trim();
        let argument = || (!rest.is_empty()).then(|| rest.to_owned());
        match (name, rest) {
            ("/help", "") => Some(Self::Help),
            ("/new", "") => Some(Self::New),
            ("/sessions", "") => Some(Self::Sessions),
            ("/resume", _) => Some(Self::Resume(rest.to_owned())),
            ("/rename", _) => Some(Self::Rename(rest.to_owned())),
            ("/delete", "") => Some(Self::Delete),
            ("/stop", "") => Some(Self::Stop),
            ("/status", "") => Some(Self::Status),
            ("/model", _) => Some(Self::Model(argument())),
            ("/tools", "") => Some(Self::Tools),
            ("/remember", _) => Some(Self::Remember(rest.to_owned())),
            ("/recall", _) => Some(Self::Recall(argument())),
            ("/forget", _) => Some(Self::Forget(rest.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_messages() {
        assert_eq!(Command::parse(" /help "), Some(Command::Help));
        assert_eq!(Command::parse("/resume  2"), Some(Command::Resume("2".to_owned())));
        assert_eq!(Command::parse("/rename A new title"), Some(Command::Rename("A new title".to_owned())));
        assert_eq!(Command::parse("/model"), Some(Command::Model(None)));
        assert_eq!(Command::parse("/model llama3.2"), Some(Command::Model(Some("llama3.2".to_owned()))));
        for message in ["/etc/passwd", "/helpful", "help", "/stop it please", "", "/"] {
            assert_eq!(Command::parse(message), None, "{message:?}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for line in HELP.lines().filter(|line| line.starts_with('/')) {
            let command = line.split("  ").next().unwrap();
            assert!(Command::parse(command).is_some(), "{command}");
        }
    }
}
