use super::*;
use crate::domain::agent::choice::{AgentKind, AgentSettings};

#[tokio::test]
async fn who_chose_an_agent_is_left_alone() {
    let mut configured = AgentSettings::builtin();
    configured.choice.kind = AgentKind::Anthropic;
    assert_eq!(first_model(&Settings::new(configured), ADDRESS).await, None);
    assert_eq!(first_model(&Settings::new(AgentSettings::builtin()), ADDRESS).await, None, "nobody to ask");
}

#[test]
fn the_command_can_be_pasted() {
    assert_eq!(
        arguments("llama3.2:latest", ADDRESS),
        "serve --agent openai_compatible --model llama3.2:latest --model-base-url http://127.0.0.1:11434/v1"
    );
    assert!(arguments("a b'$(x)", ADDRESS).contains(r"--model 'a b'\''$(x)' --"));
}
