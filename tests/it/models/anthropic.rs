//! Anthropic's Messages API.

use super::*;
use pawport::domain::agent::model::{AnswerEnd, TokenUsage};

const KIND: AgentKind = AgentKind::Anthropic;

fn start() -> Value {
    json!({ "type": "message_start", "message": { "usage": {
        "input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1,
    } } })
}

fn block(index: u64, block: &Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u64, delta: &Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn text(piece: &str) -> Value {
    delta(0, &json!({ "type": "text_delta", "text": piece }))
}

fn stop(reason: &str) -> [Value; 2] {
    let usage = json!({ "output_tokens": 9 });
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": usage }),
        json!({ "type": "message_stop" }),
    ]
}

/// Everything that a stream can have.
fn everything() -> Answer {
    let input = |index, piece: &str| delta(index, &json!({ "type": "input_json_delta", "partial_json": piece }));
    let tool = |index, id: &str| block(index, &json!({ "type": "tool_use", "id": id, "name": "lamp", "input": {} }));
    let mut events = vec![
        start(),
        json!({ "type": "ping" }),
        block(0, &json!({ "type": "thinking", "thinking": "" })),
        delta(0, &json!({ "type": "thinking_delta", "thinking": "hm" })),
        delta(0, &json!({ "type": "signature_delta", "signature": "abc" })),
        json!({ "type": "content_block_stop", "index": 0 }),
        block(1, &json!({ "type": "text", "text": "" })),
        text("né "),
        text("🐾"),
        tool(2, "toolu_1"),
        input(2, "{\"on\":"),
        tool(3, "toolu_2"),
        input(2, "true}"),
        input(3, ""),
        json!({ "type": "something_new" }),
    ];
    events.extend(stop("tool_use"));
    Answer::events(&events)
}

fn check_everything(answer: &ModelAnswer, told: &Told) {
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "lamp".to_owned(),
        arguments: arguments.to_owned(),
    };
    let expected = ModelAnswer {
        text: "né 🐾".to_owned(),
        calls: vec![call("toolu_1", "{\"on\":true}"), call("toolu_2", "")],
        end: AnswerEnd::Calls,
        usage: Some(TokenUsage { input: 123, output: 9 }),
    };
    assert_eq!(*answer, expected);
    assert_eq!(told.thoughts(), "hm");
}

#[tokio::test]
async fn an_answer_in_pieces_and_what_was_asked() {
    let server = ModelServer::start([everything()]).await;
    let (result, told) = ask(&*open(&choice(KIND, &server.origin())), &conversation()).await;
    check_everything(&result.unwrap(), &told);
    let asked = &server.requests()[0];
    assert_eq!(asked.line, "POST /v1/messages");
    assert_eq!(asked.headers["x-api-key"], KEY);
    assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
    assert!(!asked.headers.contains_key("authorization"));
    assert_eq!(
        asked.body,
        json!({
            "model": "m",
            "max_tokens": 100,
            "stream": true,
            "system": "Be brief.",
            "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "Light!" }] },
                { "role": "assistant", "content": [
                    { "type": "tool_use", "id": "call_0", "name": "mcp_home__lamp", "input": { "on": true } },
                    { "type": "tool_use", "id": "call_1", "name": "mcp_home__lamp",
                      "input": { "not_json": "{\"on\":" } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "call_0", "content": "on", "is_error": false },
                    { "type": "tool_result", "tool_use_id": "call_1", "content": "no JSON", "is_error": true },
                ] },
                { "role": "assistant", "content": [{ "type": "text", "text": "It is on." }] },
                { "role": "user", "content": [{ "type": "text", "text": "Thanks" }] },
            ],
            "tools": [{
                "name": "mcp_home__lamp",
                "description": "Switches a lamp",
                "input_schema": { "type": "object", "properties": { "on": { "type": "boolean" } } },
            }],
        })
    );
}

#[tokio::test]
async fn a_stream_cut_at_every_byte() {
    let size = everything().body().len();
    let server = ModelServer::start((0..=size).map(|at| everything().split_at(at))).await;
    let model = open(&choice(KIND, &server.origin()));
    for _ in 0..=size {
        let (result, told) = ask(&*model, &question()).await;
        check_everything(&result.unwrap(), &told);
    }
}

#[tokio::test]
async fn results_of_several_messages_are_one_message() {
    let server = ModelServer::start([Answer::events(&[text("ok"), stop("end_turn")[0].clone()])]).await;
    let mut request = conversation();
    let ModelMessage::ToolResults(outcomes) = request.messages[2].clone() else { panic!("not the results") };
    request.messages.truncate(2);
    request.messages.extend(outcomes.into_iter().map(|outcome| ModelMessage::ToolResults(vec![outcome])));
    request.messages.push(ModelMessage::Assistant { text: " ".to_owned(), calls: Vec::new() });
    request.messages.push(ModelMessage::User("And?".to_owned()));
    ask(&*open(&choice(KIND, &server.origin())), &request).await.0.unwrap();
    let messages = server.bodies()[0]["messages"].clone();
    let kinds: Vec<_> = messages[2]["content"].as_array().unwrap().iter().map(|block| block["type"].clone()).collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "text"]);
    assert_eq!(messages.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn ends_of_every_kind() {
    for (reason, end) in [
        ("end_turn", AnswerEnd::Done),
        ("stop_sequence", AnswerEnd::Done),
        ("max_tokens", AnswerEnd::Length),
        ("refusal", AnswerEnd::Filtered),
    ] {
        let events = [vec![start(), text("a")], stop(reason).to_vec()].concat();
        let answer = ask_kind(KIND, Answer::events(&events)).await.0.unwrap();
        assert_eq!((answer.text.as_str(), answer.end), ("a", end), "{reason}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream() {
    let whole = json!({
        "type": "message",
        "content": [
            { "type": "text", "text": "Hello" },
            { "type": "tool_use", "id": "x", "name": "lamp", "input": { "on": true } },
        ],
        "stop_reason": "tool_use",
        "usage": { "input_tokens": 1, "output_tokens": 2 },
    });
    let (result, told) = ask_kind(KIND, Answer::whole(&whole)).await;
    let answer = result.unwrap();
    assert_eq!(told.text(), "Hello");
    assert_eq!(answer.calls[0].arguments, "{\"on\":true}");
    assert_eq!(answer.usage, Some(TokenUsage { input: 1, output: 2 }));
}

#[tokio::test]
async fn errors_in_the_stream() {
    let error = |kind: &str| json!({ "type": "error", "error": { "type": kind, "message": "Too much to do" } });
    let (result, _) = ask_kind(KIND, Answer::events(&[start(), error("overloaded_error")])).await;
    let Err(ModelError::Busy { message, retry_after: None }) = result else { panic!("{result:?}") };
    assert!(message.contains("Too much to do"), "{message}");
    let (result, _) = ask_kind(KIND, Answer::events(&[start(), error("invalid_request_error")])).await;
    assert!(refused(result).contains("Too much to do"));
    let (result, told) = ask_kind(KIND, Answer::events(&[start(), text("Well"), error("overloaded_error")])).await;
    assert_eq!(result, Err(ModelError::BrokeOff("Too much to do".to_owned())));
    assert_eq!(told.text(), "Well");
}

#[tokio::test]
async fn connections_that_are_lost() {
    assert!(is_unreachable(&ask_kind(KIND, Answer::events(&[start()]).cut()).await.0));
    assert!(is_unreachable(&ask_kind(KIND, Answer::events(&[start()])).await.0));
    for answer in [Answer::events(&[start(), text("Well")]).cut(), Answer::events(&[start(), text("Well")])] {
        let (result, told) = ask_kind(KIND, answer).await;
        assert!(matches!(result, Err(ModelError::BrokeOff(_))), "{result:?}");
        assert_eq!(told.text(), "Well");
    }
}

#[tokio::test]
async fn models_are_listed() {
    let server = ModelServer::start([]).await;
    let model = open(&choice(KIND, &server.origin()));
    assert_eq!(soon(model.models()).await.unwrap(), ["test-model"]);
    let asked = &server.requests()[0];
    assert_eq!(asked.line, "GET /v1/models?limit=1000");
    assert_eq!(asked.headers["x-api-key"], KEY);
}

#[tokio::test]
async fn an_address_that_ends_too_late() {
    let server = ModelServer::start([Answer::status(404, "Not found")]).await;
    let message = refused(ask(&*open(&choice(KIND, &server.base_url())), &question()).await.0);
    assert!(message.contains("before /v1"), "{message}");
}
