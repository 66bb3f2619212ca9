use super::super::{Config, Flags, Values, resolve};
use super::*;
use secrecy::ExposeSecret;

fn from(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut environment: Values =
        pairs.iter().map(|(key, text)| (format!("PAWPORT_{}", key.to_uppercase()), (*text).to_owned())).collect();
    environment.insert("HOME".to_owned(), "/home/ada".to_owned());
    resolve(&Flags::default().0, &environment, None)
}

#[track_caller]
fn message(pairs: &[(&str, &str)]) -> String {
    from(pairs).unwrap_err().to_string()
}

#[test]
fn a_model_with_its_address_and_key_is_taken() {
    let config = from(&[
        ("agent", "openai_compatible"),
        ("model", "llama3.2"),
        ("model_base_url", "http://127.0.0.1:11434/v1/"),
        ("model_api_key", "hunter22"),
    ])
    .unwrap();
    let choice = config.agent.settings().choice;
    assert_eq!((choice.kind, choice.model.as_str()), (AgentKind::OpenAiCompatible, "llama3.2"));
    assert_eq!(choice.base_url.unwrap().as_str(), "http://127.0.0.1:11434/v1");
    assert_eq!(choice.api_key.unwrap().expose_secret(), "hunter22");
    assert!(!format!("{config:?} {}", config.effective_table()).contains("hunter22"));
}

#[test]
fn a_command_is_split_as_a_shell_does() {
    let config = from(&[("agent", "command"), ("agent_command", "/opt/paw -c 'a b' \"c\"")]).unwrap();
    assert_eq!(config.agent.settings().choice.command, ["/opt/paw", "-c", "a b", "c"]);
    let config = from(&[("agent_command", "paw --token hunter2")]).unwrap();
    assert_eq!(config.agent.settings().choice.kind, AgentKind::Builtin);
    assert!(!format!("{config:?}").contains("Some(\"--token\""));
}

#[test]
fn what_does_not_fit_is_refused_with_what_to_do() {
    insta::assert_snapshot!(message(&[("agent", "openai_compatible")]), @"agent openai_compatible (from environment variable PAWPORT_AGENT) needs model: give --model or PAWPORT_MODEL");
    insta::assert_snapshot!(message(&[("agent", "command")]), @"agent command (from environment variable PAWPORT_AGENT) needs agent_command: give --agent-command or PAWPORT_AGENT_COMMAND");
    insta::assert_snapshot!(message(&[("model", "gpt")]), @"model (from environment variable PAWPORT_MODEL) is given, but no agent that has a model: set agent to openai_compatible or anthropic");
    insta::assert_snapshot!(message(&[("agent", "builtin"), ("model_api_key", "k")]), @"model_api_key (from environment variable PAWPORT_MODEL_API_KEY) is given, but no agent that has a model: set agent to openai_compatible or anthropic");
    insta::assert_snapshot!(message(&[("agent", "gpt")]), @r#"invalid agent "gpt" from environment variable PAWPORT_AGENT: expected builtin, openai_compatible, anthropic or command"#);
    for (key, text) in [
        ("model_base_url", "localhost:11434"),
        ("model_base_url", "ftp://a/"),
        ("agent_command", "paw 'open"),
        ("agent_command", " "),
        ("model", " "),
        ("system_prompt_file", "~/prompt"),
    ] {
        assert!(message(&[(key, text)]).starts_with(&format!("invalid {key} ")), "{key} {text}");
    }
    assert!(!message(&[("model_base_url", "https://ada:hunter2@host/v1")]).contains("hunter2"));
    assert!(!message(&[("model_api_key", "hunter 2")]).contains("hunter"));
}

#[test]
fn anthropic_has_a_model_of_its_own() {
    let choice = from(&[("agent", "anthropic"), ("model_api_key", "sk-ant-x")]).unwrap().agent.settings().choice;
    assert_eq!((choice.kind, choice.model.as_str()), (AgentKind::Anthropic, ""));
}
