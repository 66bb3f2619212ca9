// A chat completions server over a small real model, for the job `just real-model`: enough of the protocol for one client.
//
//     node server.mjs MODEL.gguf
//
// prints the address that it listens on. When a request has tools and the conversation does not end with a tool's result, a
// grammar makes the model write a call of one of them: a model this small would rather chat. What it writes into the call is
// its own. Everything else is a plain streamed answer.

import { createServer } from "node:http";
import { getLlama, LlamaChatSession } from "node-llama-cpp";

const MODEL = "gemma3-270m";
const llama = await getLlama({ gpu: false, logLevel: "error" });
const model = await llama.loadModel({ modelPath: process.argv[2] });
// One thread: several wait for each other, and for ever while something else keeps a core busy.
const context = await model.createContext({ contextSize: 4096, threads: 1 });

/// The text of a message, whatever it is called in the protocol.
const textOf = (message) => typeof message.content === "string" ? message.content : "";

/// The conversation before the last message, as the model's library wants it.
function historyOf(messages) {
  const history = [];
  for (const message of messages) {
    if (message.role === "system") history.push({ type: "system", text: textOf(message) });
    else if (message.role === "user") history.push({ type: "user", text: textOf(message) });
    else if (message.role === "tool") history.push({ type: "user", text: `The tool says: ${textOf(message)}` });
    else if (textOf(message)) history.push({ type: "model", response: [textOf(message)] });
  }
  return history;
}

async function answer(body, tell) {
  const sequence = context.getSequence();
  try {
    const session = new LlamaChatSession({ contextSequence: sequence });
    const history = historyOf(body.messages);
    const last = history.pop();
    session.setChatHistory(history);
    const options = { temperature: 0, maxTokens: Math.min(body.max_tokens ?? 200, 200) };
    const wantsCall = body.tools?.length > 0 && body.messages.at(-1).role === "user";
    let result;
    if (wantsCall) {
      const calls = body.tools.map(({ function: { name, parameters } }) => ({
        type: "object",
        properties: { name: { const: name }, arguments: schemaOf(parameters) },
        required: ["name", "arguments"],
      }));
      const grammar = await llama.createGrammarForJsonSchema(calls.length === 1 ? calls[0] : { oneOf: calls });
      const offers = body.tools.map(({ function: { name, description } }) => `${name}: ${description}`).join("\n");
      const text = await session.prompt(`${last.text}\n\nAnswer with a JSON call of a tool.\n${offers}`, { ...options, grammar });
      const call = grammar.parse(text);
      const said = { name: call.name, arguments: JSON.stringify(call.arguments) };
      tell({ tool_calls: [{ index: 0, id: "call_0", type: "function", function: said }] });
      result = "tool_calls";
    } else {
      await session.prompt(last.text, { ...options, onTextChunk: (content) => tell({ content }) });
      result = "stop";
    }
    const meter = sequence.tokenMeter;
    return [result, { prompt_tokens: meter.usedInputTokens, completion_tokens: meter.usedOutputTokens }];
  } finally {
    sequence.dispose();
  }
}

/// What the grammar understands of a schema.
function schemaOf(parameters) {
  const properties = {};
  for (const [name, property] of Object.entries(parameters?.properties ?? {})) {
    properties[name] = { type: property.type ?? "string" };
  }
  return { type: "object", properties, required: Object.keys(properties) };
}

/// One answer at a time: there is one sequence.
let turn = Promise.resolve();

const server = createServer(async (request, response) => {
  if (request.method === "GET" && request.url === "/v1/models") {
    response.setHeader("content-type", "application/json");
    return response.end(JSON.stringify({ object: "list", data: [{ id: MODEL, object: "model" }] }));
  }
  if (request.method !== "POST" || request.url !== "/v1/chat/completions") {
    response.statusCode = 404;
    return response.end();
  }
  let text = "";
  for await (const piece of request) text += piece;
  const body = JSON.parse(text);
  response.setHeader("content-type", "text/event-stream");
  const chunk = (choice, rest = {}) => response.write(`data: ${JSON.stringify({
    id: "chat", object: "chat.completion.chunk", model: MODEL, choices: choice ? [{ index: 0, ...choice }] : [], ...rest,
  })}\n\n`);
  turn = turn.then(async () => {
    try {
      const [finish_reason, usage] = await answer(body, (delta) => chunk({ delta }));
      chunk({ delta: {}, finish_reason });
      chunk(null, { usage });
      response.end("data: [DONE]\n\n");
    } catch (error) {
      response.end(`data: ${JSON.stringify({ error: { message: String(error) } })}\n\n`);
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/v1`));
