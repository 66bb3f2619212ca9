use super::*;

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "mcp_time__now".to_owned(), arguments: "{}".to_owned() }
}

fn outcome(id: &str, content: &str) -> ToolOutcome {
    ToolOutcome { id: id.to_owned(), name: "mcp_time__now".to_owned(), content: content.to_owned(), is_error: false }
}

fn story() -> Transcript {
    let mut transcript = Transcript::default();
    assert_eq!(transcript.say("Let me "), "Let me ");
    assert_eq!(transcript.say("look."), "look.");
    transcript.call(call("1"));
    transcript.call(call("2"));
    transcript.end(outcome("1", "noon"));
    transcript.end(outcome("2", "midnight"));
    assert_eq!(transcript.say("It is noon."), "\n\nIt is noon.");
    transcript
}

#[test]
fn the_answer_is_what_was_told() {
    assert_eq!(story().text(), "Let me look.\n\nIt is noon.");
    assert_eq!(story().call_count(), 2);
}

#[test]
fn a_model_sees_calls_and_results_in_pairs() {
    let ModelMessage::Assistant { text, calls } = &story().messages()[0] else { panic!() };
    assert_eq!((text.as_str(), calls.len()), ("Let me look.", 2));
    assert_eq!(story().messages()[1], ModelMessage::ToolResults(vec![outcome("1", "noon"), outcome("2", "midnight")]));
    assert_eq!(story().messages()[2], ModelMessage::Assistant { text: "It is noon.".to_owned(), calls: Vec::new() });
}

#[test]
fn ids_that_a_model_uses_again_belong_to_the_newest_call() {
    let mut transcript = Transcript::default();
    for content in ["first", "second"] {
        transcript.call(call("0"));
        transcript.end(outcome("0", content));
    }
    let results: Vec<_> = transcript.messages().into_iter().skip(1).step_by(2).collect();
    assert_eq!(
        results,
        [
            ModelMessage::ToolResults(vec![outcome("0", "first")]),
            ModelMessage::ToolResults(vec![outcome("0", "second")])
        ]
    );
}

#[test]
fn json_brings_back_what_was_done() {
    let mut transcript = story();
    transcript.call(call("3"));
    assert_eq!(Transcript::from_json(&transcript.to_json()), Some(transcript.clone()));
    assert_eq!(transcript.open_calls(), [call("3")]);
    assert_eq!(Transcript::from_json(&json!([{ "text": 1 }])), None);
}

#[test]
fn a_call_in_which_the_server_ended_is_not_taken_for_one_that_did_nothing() {
    let mut transcript = Transcript::default();
    transcript.call(call("1"));
    let Some(ModelMessage::ToolResults(results)) = transcript.messages().pop() else { panic!() };
    assert!(results[0].is_error && results[0].content == INTERRUPTED);
}

#[test]
fn json_is_bounded_and_cut_from_the_oldest_on() {
    let mut transcript = Transcript::default();
    let long = "x".repeat(Transcript::MAX_RESULT);
    for number in 0..60 {
        transcript.call(call(&number.to_string()));
        transcript.end(outcome(&number.to_string(), &long));
    }
    let json = transcript.to_json();
    assert!(json.to_string().len() <= Transcript::MAX_JSON);
    let result = |step: usize| json[step]["calls"][0]["result"].as_str().unwrap().len();
    assert_eq!((result(0), result(59)), (CUT_RESULT + CUT_MARK.len(), long.len()));
    assert_eq!(json.as_array().unwrap().len(), 60);
}
