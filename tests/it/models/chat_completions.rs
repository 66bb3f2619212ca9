//! The chat completions API.

use super::*;
use pawport::adapters::agents::openai_compatible::OpenAiCompatible;
use pawport::domain::agent::model::{AnswerEnd, TokenUsage};
use std::time::Duration;

const KIND: AgentKind = AgentKind::OpenAiCompatible;

async fn answered(answer: Answer) -> (ModelAnswer, Told) {
    let (result, told) = ask_kind(KIND, answer).await;
    (result.unwrap(), told)
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

#[tokio::test]
async fn an_answer_in_pieces_and_what_was_asked() {
    let server = ModelServer::start([Answer::says(&["Hel", "lo ", "日本"])]).await;
    let model = open(&choice(KIND, &server.base_url()));
    let (result, told) = ask(&*model, &conversation()).await;
    let usage = Some(TokenUsage { input: 11, output: 7 });
    let expected = ModelAnswer { text: "Hello 日本".to_owned(), calls: Vec::new(), end: AnswerEnd::Done, usage };
    assert_eq!(result.unwrap(), expected);
    assert_eq!(told.0.lock().unwrap().len(), 3);

    let asked = &server.requests()[0];
    assert_eq!(asked.line, "POST /v1/chat/completions");
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(
        asked.body,
        json!({
            "model": "m",
            "stream": true,
            "stream_options": { "include_usage": true },
            "max_tokens": 100,
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "Light!" },
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "call_0", "type": "function",
                      "function": { "name": "mcp_home__lamp", "arguments": "{\"on\":true}" } },
                    { "id": "call_1", "type": "function",
                      "function": { "name": "mcp_home__lamp", "arguments": "{\"not_json\":\"{\\\"on\\\":\"}" } },
                ] },
                { "role": "tool", "tool_call_id": "call_0", "content": "on" },
                { "role": "tool", "tool_call_id": "call_1", "content": "Error: no JSON" },
                { "role": "assistant", "content": "It is on." },
                { "role": "user", "content": "Thanks" },
            ],
            "tools": [{ "type": "function", "function": {
                "name": "mcp_home__lamp",
                "description": "Switches a lamp",
                "parameters": { "type": "object", "properties": { "on": { "type": "boolean" } } },
            } }],
        })
    );
}

#[tokio::test]
async fn without_key_system_and_tools_nothing_of_them_is_sent() {
    let server = ModelServer::start([Answer::says(&["ok"])]).await;
    let model = open(&AgentChoice { api_key: None, ..choice(KIND, &server.base_url()) });
    ask(&*model, &ModelRequest { system: String::new(), ..question() }).await.0.unwrap();
    let asked = &server.requests()[0];
    assert!(!asked.headers.contains_key("authorization"), "{asked:?}");
    assert_eq!(asked.body["messages"], json!([{ "role": "user", "content": "Hi" }]));
    assert_eq!(asked.body.get("tools"), None);
}

#[tokio::test]
async fn a_stream_cut_at_every_byte() {
    let whole = Answer::begin()
        .say("né 🐾")
        .call(0, "a", "tool", "{\"x\":")
        .delta(&json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "\"日\"}" } }] }))
        .end("tool_calls");
    let size = whole.body().len();
    let server = ModelServer::start((0..=size).map(|at| whole.clone().split_at(at))).await;
    let model = open(&choice(KIND, &server.base_url()));
    for at in 0..=size {
        let answer = ask(&*model, &question()).await.0.unwrap();
        assert_eq!(answer.text, "né 🐾", "cut at {at}");
        assert_eq!(answer.calls, [call("a", "tool", "{\"x\":\"日\"}")], "cut at {at}");
    }
}

#[tokio::test]
async fn several_calls_at_once() {
    let piece =
        |index: usize, piece: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] });
    let mixed = Answer::begin()
        .call(0, "x", "one", "")
        .call(1, "y", "two", "{\"b\"")
        .delta(&piece(0, "{\"a\":1}"))
        .delta(&piece(1, ":2}"))
        .end("tool_calls");
    let (answer, _) = answered(mixed).await;
    assert_eq!(answer.calls, [call("x", "one", "{\"a\":1}"), call("y", "two", "{\"b\":2}")]);
    assert_eq!(answer.end, AnswerEnd::Calls);

    let (answer, _) = answered(Answer::calls(&[("one", json!({ "a": 1 })), ("two", json!({}))])).await;
    assert_eq!(answer.calls, [call("call_a", "one", "{\"a\":1}"), call("call_b", "two", "{}")]);

    // No ids, and "stop" as the reason.
    let (answer, _) = answered(Answer::begin().call(0, "", "one", "{}").call(1, "", "two", "{}").end("stop")).await;
    assert_eq!(answer.calls, [call("call_0", "one", "{}"), call("call_1", "two", "{}")]);
    assert_eq!(answer.end, AnswerEnd::Calls);

    // All with the number 0, with ids and without.
    let (answer, _) = answered(Answer::begin().call(0, "p", "one", "{}").call(0, "q", "one", "{}").end("stop")).await;
    assert_eq!(answer.calls, [call("p", "one", "{}"), call("q", "one", "{}")]);
    let (answer, _) = answered(Answer::begin().call(0, "", "one", "{}").call(0, "", "two", "{}").end("stop")).await;
    assert_eq!(answer.calls, [call("call_0", "one", "{}"), call("call_1", "two", "{}")]);

    // No numbers, and arguments that are no text.
    let objects = json!({ "tool_calls": [
        { "function": { "name": "one", "arguments": { "a": 1 } } }, { "function": { "name": "two" } },
    ] });
    let (answer, _) = answered(Answer::begin().delta(&objects).end("tool_calls")).await;
    assert_eq!(answer.calls, [call("call_0", "one", "{\"a\":1}"), call("call_1", "two", "")]);
}

#[tokio::test]
async fn ids_that_the_conversation_has_already_are_not_given_again() {
    let server =
        ModelServer::start([Answer::begin().call(0, "", "a", "{}").call(1, "call_1", "b", "{}").end("stop")]).await;
    let answer = ask(&*open(&choice(KIND, &server.base_url())), &conversation()).await.0.unwrap();
    let ids: Vec<_> = answer.calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["call_2", "call_3"]);
}

#[tokio::test]
async fn malformed_arguments_are_passed_on_as_text() {
    let (answer, _) = answered(Answer::begin().call(0, "x", "one", "{\"a\": oops").end("tool_calls")).await;
    assert_eq!(answer.calls, [call("x", "one", "{\"a\": oops")]);
}

#[tokio::test]
async fn a_call_that_was_cut_off_by_the_limit_is_not_made() {
    let cut = Answer::begin().call(0, "x", "one", "{}").call(1, "y", "two", "").end("length");
    let (answer, _) = answered(cut).await;
    assert_eq!(answer.calls, [call("x", "one", "{}")]);
    assert_eq!(answer.end, AnswerEnd::Length);
}

#[tokio::test]
async fn thoughts_are_told_apart() {
    let thinking = Answer::begin()
        .delta(&json!({ "reasoning_content": "hm", "reasoning": "hm" }))
        .delta(&json!({ "reasoning": "m" }))
        .say("yes")
        .end("stop");
    let (answer, told) = answered(thinking).await;
    assert_eq!((answer.text.as_str(), told.thoughts().as_str()), ("yes", "hmm"));
}

#[tokio::test]
async fn ends_of_every_kind() {
    for (reason, end) in
        [("stop", AnswerEnd::Done), ("length", AnswerEnd::Length), ("content_filter", AnswerEnd::Filtered)]
    {
        let (answer, _) = answered(Answer::begin().say("a").end(reason)).await;
        assert_eq!(answer.end, end);
    }
    // Without a count, without [DONE], without a reason, and with a loss when all was said.
    for answer in [
        Answer::begin().say("a").reason("stop"),
        Answer::begin().say("a").bytes("data: [DONE]\n\n"),
        Answer::begin().say("a").bytes("data: [DONE]"),
        Answer::begin().say("a").reason("stop").cut(),
    ] {
        let (answer, _) = answered(answer).await;
        assert_eq!((answer.text.as_str(), answer.end, answer.usage), ("a", AnswerEnd::Done, None));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream() {
    let whole = json!({
        "choices": [{ "message": {
            "role": "assistant",
            "content": "Hello",
            "tool_calls": [{ "id": "x", "type": "function", "function": { "name": "one", "arguments": "{}" } }],
        }, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 2 },
    });
    let (answer, told) = answered(Answer::whole(&whole)).await;
    assert_eq!(told.text(), "Hello");
    assert_eq!(answer.calls, [call("x", "one", "{}")]);
    assert_eq!(answer.usage, Some(TokenUsage { input: 1, output: 2 }));
}

#[tokio::test]
async fn members_that_a_provider_refuses_are_left_out() {
    let server = ModelServer::start([
        Answer::status(400, "Unrecognized request argument supplied: stream_options"),
        Answer::status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        Answer::says(&["a"]),
        Answer::says(&["b"]),
        Answer::status(400, "stream_options and max_completion_tokens, again"),
    ])
    .await;
    let model = open(&choice(KIND, &server.base_url()));
    assert_eq!(ask(&*model, &question()).await.0.unwrap().text, "a");
    // It is kept in mind.
    assert_eq!(ask(&*model, &question()).await.0.unwrap().text, "b");
    let forms: Vec<_> = server
        .bodies()
        .iter()
        .map(|body| ["stream_options", "max_tokens", "max_completion_tokens"].map(|name| body.get(name).is_some()))
        .collect();
    let last = [false, false, true];
    assert_eq!(forms, [[true, true, false], [false, true, false], last, last]);
    // Nobody is asked for ever.
    refused(ask(&*model, &question()).await.0);
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn the_next_turn_begins_as_the_last_one_was_understood() {
    let server = ModelServer::start([
        Answer::status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        Answer::says(&["a"]),
        Answer::says(&["b"]),
        Answer::says(&["c"]),
        Answer::status(400, "Unknown parameter: 'max_completion_tokens'"),
        Answer::says(&["d"]),
        Answer::says(&["e"]),
    ])
    .await;
    let lab = Lab::new();
    // As each turn does, on its own and in what another part of the program holds.
    let turn = async |agents: &AllAgents, name: &str| {
        let choice = AgentChoice { model: name.to_owned(), ..choice(KIND, &server.base_url()) };
        let asked = ModelRequest { model: name.to_owned(), ..question() };
        ask(&*open_with(agents, &choice), &asked).await.0.unwrap().text
    };
    let limits = || -> Vec<&str> {
        let name = |body: &Value| body.get("max_tokens").map_or("new", |_| "old");
        server.bodies().iter().map(name).collect()
    };
    assert_eq!(turn(&lab.agents, "m").await, "a");
    assert_eq!(turn(&lab.agents.clone(), "m").await, "b");
    assert_eq!(limits(), ["old", "new", "new"]);
    // Another model may be another provider's.
    assert_eq!(turn(&lab.agents, "other").await, "c");
    assert_eq!(limits()[3..], ["old"]);
    // What is behind the address has changed.
    assert_eq!(turn(&lab.agents, "m").await, "d");
    assert_eq!(turn(&lab.agents, "m").await, "e");
    assert_eq!(limits()[4..], ["new", "old", "old"]);
}

#[tokio::test]
async fn a_slow_first_word_is_waited_for() {
    let pause = Duration::from_millis(400);
    let slow = Answer::begin().pause(pause).bytes(": loading\n\n").pause(pause).say("ready").pause(pause).end("stop");
    assert_eq!(answered(slow).await.0.text, "ready");
}

#[tokio::test]
async fn models_are_listed() {
    let server = ModelServer::start([]).await;
    let model = open(&AgentChoice { model: String::new(), ..choice(KIND, &server.base_url()) });
    assert_eq!(soon(model.models()).await.unwrap(), ["test-model"]);
    assert_eq!(server.requests()[0].line, "GET /v1/models");
    // None was chosen.
    let message = refused(ask(&*model, &ModelRequest { model: String::new(), ..question() }).await.0);
    assert!(message.contains("PAWPORT_MODEL"), "{message}");
}

#[test]
fn debug_shows_no_key() {
    let choice = choice(KIND, "http://127.0.0.1:1/v1");
    let provider = OpenAiCompatible::new(http_client().unwrap(), &choice, Arc::default());
    let shown = format!("{choice:?} {:?}", provider.unwrap());
    assert!(!shown.contains(KEY), "{shown}");
}

#[test]
fn a_key_that_cannot_be_sent() {
    let bad = AgentChoice { api_key: Some(SecretString::from("a\nb")), ..choice(KIND, "http://127.0.0.1:1/v1") };
    let Err(error) = Lab::new().agents.open(&bad) else { panic!("it was opened") };
    assert!(error.0.contains("openai_compatible_api_key"), "{error}");
    // Nor can one that nobody gave.
    let none = AgentChoice { kind: AgentKind::Anthropic, ..AgentChoice::builtin() };
    let Err(error) = Lab::new().agents.open(&none) else { panic!("it was opened") };
    assert!(error.0.contains("anthropic_api_key"), "{error}");
}
