//! The keys about who answers.

use super::{Key, Kind};

/// Who answers.
pub static AGENT: Key = Key {
    name: "agent",
    flag: Some("agent"),
    variable: "PAWPORT_AGENT",
    in_file: true,
    placeholder: "AGENT",
    help: "Who answers, unless the settings say otherwise: builtin (needs no model), openai_compatible, anthropic or command",
    default: None,
    allowed: "builtin, openai_compatible, anthropic or command",
    kind: Kind::Plain,
};

/// Its model.
pub static MODEL: Key = Key {
    name: "model",
    flag: Some("model"),
    variable: "PAWPORT_MODEL",
    in_file: true,
    placeholder: "NAME",
    help: "Model of the agent openai_compatible or anthropic, as its provider calls it",
    default: None,
    allowed: "a name of 1 to 200 characters such as llama3.2",
    kind: Kind::Plain,
};

/// Where the model is.
pub static MODEL_BASE_URL: Key = Key {
    name: "model_base_url",
    flag: Some("model-base-url"),
    variable: "PAWPORT_MODEL_BASE_URL",
    in_file: true,
    placeholder: "URL",
    help: "Where the model is, if it is not at OpenAI or Anthropic themselves",
    default: None,
    allowed: "an address such as http://127.0.0.1:11434/v1, without user, password, query and fragment",
    kind: Kind::Plain,
};

/// What opens it.
pub static MODEL_API_KEY: Key = Key {
    name: "model_api_key",
    flag: None,
    variable: "PAWPORT_MODEL_API_KEY",
    in_file: true,
    placeholder: "KEY",
    help: "Key of the model's provider; sent to model_base_url and nowhere else",
    default: None,
    allowed: "1 to 10000 printable ASCII characters without spaces",
    kind: Kind::Secret,
};

/// That key, from a file.
pub static MODEL_API_KEY_FILE: Key = Key {
    name: "model_api_key_file",
    flag: None,
    variable: "PAWPORT_MODEL_API_KEY_FILE",
    in_file: true,
    placeholder: "FILE",
    help: "File that holds the key of the model's provider, and nothing else",
    default: None,
    allowed: "a file that holds 1 to 10000 printable ASCII characters without spaces",
    kind: Kind::Plain,
};

/// The program that answers.
pub static AGENT_COMMAND: Key = Key {
    name: "agent_command",
    flag: Some("agent-command"),
    variable: "PAWPORT_AGENT_COMMAND",
    in_file: true,
    placeholder: "COMMAND",
    help: "Program and arguments of the agent command, in the words and quotes of a shell, though none is used",
    default: None,
    allowed: "a program and its arguments, with every quote closed",
    kind: Kind::Plain,
};

/// The model that makes vectors of memories on this machine.
pub static EMBEDDING_MODEL_DIR: Key = Key {
    name: "embedding_model_dir",
    flag: Some("embedding-model-dir"),
    variable: "PAWPORT_EMBEDDING_MODEL_DIR",
    in_file: true,
    placeholder: "FOLDER",
    help: "Folder with a sentence-transformers model, for finding memories by meaning without network",
    default: None,
    allowed: "a folder (a leading ~ is the shell's and means nothing here)",
    kind: Kind::Plain,
};

/// How the agent is to behave.
pub static SYSTEM_PROMPT_FILE: Key = Key {
    name: "system_prompt_file",
    flag: Some("system-prompt-file"),
    variable: "PAWPORT_SYSTEM_PROMPT_FILE",
    in_file: true,
    placeholder: "FILE",
    help: "File that says how the agent is to behave, unless the settings say otherwise",
    default: None,
    allowed: "a file that holds a text of 1 to 32000 characters",
    kind: Kind::Plain,
};
