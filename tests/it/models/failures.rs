//! What goes wrong with providers, and what the user is told.

use super::*;
use pawport::domain::agent::model::{MAX_ANSWER, MAX_ARGUMENTS, MAX_CALLS};
use std::time::Duration;

const KIND: AgentKind = AgentKind::OpenAiCompatible;

async fn busy(answer: Answer) -> Option<Duration> {
    for kind in [KIND, AgentKind::Anthropic] {
        match ask_kind(kind, answer.clone()).await.0 {
            Err(ModelError::Busy { retry_after, .. }) if kind == AgentKind::Anthropic => return retry_after,
            Err(ModelError::Busy { .. }) => {}
            other => panic!("{kind:?} is not busy: {other:?}"),
        }
    }
    None
}

#[tokio::test]
async fn statuses_that_may_pass() {
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 529] {
        assert_eq!(busy(Answer::status(status, "Later")).await, None, "{status}");
    }
    let late = || Answer::status(429, "Later");
    assert_eq!(busy(late().header("retry-after", "7")).await, Some(Duration::from_secs(7)));
    assert_eq!(
        busy(late().header("retry-after-ms", "1500").header("retry-after", "9")).await,
        Some(Duration::from_millis(1500))
    );
    let dated = late().header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let dated = dated.header("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT");
    assert_eq!(busy(dated).await, Some(Duration::from_secs(30)));
    assert_eq!(busy(late().header("retry-after", "soon")).await, None);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let say = async |kind, answer| refused(ask_kind(kind, answer).await.0);
    let wrong = || Answer::status(401, &format!("Incorrect API key {KEY} \u{1b}[31m"));
    let message = say(KIND, wrong()).await;
    assert!(message.contains("openai_compatible_api_key") && message.contains("PAWPORT_MODEL_API_KEY"), "{message}");
    assert!(message.contains("Incorrect API key ***"), "{message}");
    let message = say(AgentKind::Anthropic, wrong()).await;
    assert!(message.contains("anthropic_api_key"), "{message}");
    let message = say(KIND, Answer::status(404, "model 'm' not found, try pulling it first")).await;
    assert!(message.contains("has no model “m”") && message.contains("pulling"), "{message}");
    let message = say(KIND, Answer::status(400, "This model's maximum context length is 8192 tokens")).await;
    assert!(message.contains("maximum context length"), "{message}");
    let unpaid = json!({ "error": { "message": "You exceeded your quota", "code": "insufficient_quota" } });
    let message = say(KIND, Answer::whole(&unpaid).with_status(429)).await;
    assert!(message.contains("wants to be paid") && message.contains("exceeded"), "{message}");
    // Errors of other forms, and none at all.
    for (body, said) in [
        (r#"{"detail":[{"msg":"bad"}]}"#, "bad"),
        (r#"{"error":"plain"}"#, "plain"),
        (r#"{"object":"error","message":"older"}"#, "older"),
        ("just text", "just text"),
        ("<html>page", "did not accept"),
        ("", "did not accept"),
    ] {
        let message = say(KIND, Answer::raw("text/plain").bytes(body).with_status(422)).await;
        assert!(message.contains(said) && !message.contains("<html"), "{message}");
    }
    let message = say(KIND, Answer::status(403, "not from here")).await;
    assert!(message.contains("does not allow this") && message.contains("not from here"), "{message}");
    // Long texts are cut, and the key is not cut in half.
    let long = format!("{}{KEY}", "x".repeat(490));
    let message = say(KIND, Answer::status(400, &long)).await;
    assert!(!message.contains("sk-test") && message.chars().count() < 700, "{message}");
}

#[tokio::test]
async fn an_address_without_its_path() {
    let server =
        ModelServer::start([Answer::status(404, "404 page not found"), Answer::raw("text/html").bytes("<html>")]).await;
    let model = open(&choice(KIND, &server.origin()));
    for _ in 0..2 {
        let message = refused(ask(&*model, &question()).await.0);
        assert!(message.contains(&format!("try {}/v1", server.origin())), "{message}");
    }
    assert_eq!(server.requests()[0].line, "POST /chat/completions");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = ModelServer::start([]).await;
    let location = format!("{}/v1/chat/completions?token=hidden", other.origin());
    for status in [301, 302, 307, 308] {
        let (result, _) = ask_kind(KIND, Answer::status(status, "moved").header("location", &location)).await;
        let message = refused(result);
        assert!(message.contains(&other.origin()) && !message.contains("hidden"), "{message}");
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn nobody_is_there() {
    let url = "http://127.0.0.1:1/secret/v1";
    for kind in [KIND, AgentKind::Anthropic] {
        let model = open(&choice(kind, url));
        let Err(ModelError::Unreachable { address, why }) = ask(&*model, &question()).await.0 else {
            panic!("reached")
        };
        assert_eq!(address, "http://127.0.0.1:1");
        assert!(why.contains("refused") && !why.contains("secret"), "{why}");
        assert!(soon(model.models()).await.unwrap_err().may_pass());
    }
}

#[tokio::test]
async fn connections_that_are_lost() {
    // Before the status, before the first word, and in the middle of a call.
    for answer in [
        Answer::begin().cut(),
        Answer::begin(),
        Answer::begin().bytes("data: {\"choi").cut(),
        Answer::begin().bytes("data: {\"choi"),
        Answer::begin().call(0, "x", "one", "{").cut(),
        Answer::whole(&json!({})).cut(),
    ] {
        let (result, told) = ask_kind(KIND, answer.clone()).await;
        assert!(is_unreachable(&result), "{answer:?} gave {result:?}");
        assert!(told.is_empty());
    }
    for answer in [
        Answer::begin().say("Well").cut(),
        Answer::begin().say("Well"),
        Answer::begin().say("Well").bytes("data: {\"choi"),
        Answer::begin().say("Well").bytes("data: nonsense\n\n").end("stop"),
        Answer::begin().delta(&json!({ "reasoning": "hm" })).say("Well").cut(),
    ] {
        let (result, told) = ask_kind(KIND, answer.clone()).await;
        assert!(matches!(result, Err(ModelError::BrokeOff(_))), "{answer:?} gave {result:?}");
        assert_eq!(told.text(), "Well");
    }
}

#[tokio::test]
async fn an_error_within_a_stream() {
    let error = |code: &Value| json!({ "error": { "message": format!("Upstream {KEY}\n failed"), "code": code } });
    for code in [json!(502), json!("rate_limit_exceeded")] {
        let (result, _) = ask_kind(KIND, Answer::events(&[error(&code)])).await;
        assert!(matches!(result, Err(ModelError::Busy { .. })), "{result:?}");
    }
    let (result, _) = ask_kind(KIND, Answer::events(&[error(&json!(400))])).await;
    assert!(refused(result).contains("Upstream *** failed"));
    let (result, told) = ask_kind(KIND, Answer::begin().say("Well").event(&error(&json!(502)))).await;
    assert_eq!(result, Err(ModelError::BrokeOff("Upstream *** failed".to_owned())));
    assert_eq!(told.text(), "Well");
    let (result, _) = ask_kind(KIND, Answer::whole(&error(&Value::Null))).await;
    assert!(refused(result).contains("Upstream"));
}

#[tokio::test]
async fn what_is_no_answer() {
    for answer in [
        Answer::whole(&json!({ "hello": KEY })),
        Answer::raw("application/json").bytes("not json"),
        Answer::begin().bytes(format!("data: nonsense {KEY}\n\n")).say("a"),
    ] {
        let message = refused(ask_kind(KIND, answer).await.0);
        assert!(message.contains("was not understood"), "{message}");
    }
    let (result, _) = ask_kind(KIND, Answer::begin().bytes("Internal error\n")).await;
    assert!(is_unreachable(&result), "{result:?}");
}

#[tokio::test]
async fn an_answer_of_ten_megabytes() {
    let piece = "ä".repeat(16_000);
    let large = (0..320).fold(Answer::begin(), |answer, _| answer.say(&piece)).end("stop");
    let (result, told) = ask_kind(KIND, large).await;
    assert_eq!(result, Err(ModelError::TooLarge));
    assert_eq!(told.text().len(), MAX_ANSWER);
    // The same in one event, in an event that does not end, in thoughts, and without a stream.
    let ten = "x".repeat(10_000_000);
    for answer in [
        Answer::begin().say(&ten),
        Answer::begin().bytes(format!("data: {ten}")),
        Answer::begin().delta(&json!({ "reasoning": "x".repeat(2_000_000) })),
        Answer::whole(&json!({ "choices": [{ "message": { "content": ten } }] })),
    ] {
        let (result, told) = ask_kind(KIND, answer).await;
        assert_eq!(result, Err(ModelError::TooLarge));
        assert!(told.text().len() <= MAX_ANSWER);
    }
    // And as a refusal.
    assert!(refused(ask_kind(KIND, Answer::status(400, &ten)).await.0).len() < 1000);
}

#[tokio::test]
async fn too_many_calls_and_too_large_ones() {
    let many = (0..=MAX_CALLS).fold(Answer::begin(), |answer, at| answer.call(at, "", "one", "{}")).end("stop");
    assert_eq!(ask_kind(KIND, many).await.0, Err(ModelError::TooLarge));
    let large = "x".repeat(MAX_ARGUMENTS);
    let large = Answer::begin().call(0, "", "one", &large).call(0, "", "", "x").end("stop");
    assert_eq!(ask_kind(KIND, large).await.0, Err(ModelError::TooLarge));
}

#[tokio::test]
async fn a_request_that_is_dropped_ends_the_connection() {
    let endless = Answer::begin().say("a").pause(Duration::from_secs(600)).end("stop");
    let server = ModelServer::start([endless]).await;
    let model = open(&choice(KIND, &server.base_url()));
    let told = Told::default();
    let (question, another) = (question(), question());
    let asking = tokio::time::timeout(Duration::from_millis(300), model.answer(&question, &told));
    assert!(asking.await.is_err());
    assert_eq!(told.text(), "a");
    server.then(Answer::says(&["b"]));
    assert_eq!(ask(&*model, &another).await.0.unwrap().text, "b");
}
