// The official JavaScript clients against a gateway before a fake upstream: stream and not, miss and hit.
"use strict";

const assert = require("node:assert/strict");
const { OpenAI } = require("openai");
const { Anthropic } = require("@anthropic-ai/sdk");

const url = process.env.WELLSPRING_URL;
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "openai-js-key", maxRetries: 0 });
const claude = new Anthropic({ baseURL: url, apiKey: "anthropic-js-key", maxRetries: 0 });
const QUESTION = "When does the café close?";
const user = (content) => [{ role: "user", content }];

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

// The results of a miss and of the hit after it.
async function twice(call) {
  const results = [];
  for (const tier of ["miss", "exact"]) {
    const { data, response } = await call().withResponse();
    assert.equal(response.headers.get("wellspring-tier"), tier);
    results.push(data[Symbol.asyncIterator] ? await collect(data) : data);
  }
  assert.deepEqual(results[1], results[0]);
  return results[1];
}

async function openaiChat() {
  const asked = { model: "good", messages: user(QUESTION) };
  const hit = await twice(() => openai.chat.completions.create(asked));
  assert.match(hit.choices[0].message.content, /café/);
  const told = await collect(
    await openai.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } }),
  );
  const text = told.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, hit.choices[0].message.content);
  assert.equal(told.at(-1).usage.total_tokens, 18);
  const chunks = await twice(() =>
    openai.chat.completions.create({ model: "good", messages: user("A streamed one?"), stream: true }),
  );
  assert.ok(chunks.length > 5);
}

async function openaiTools() {
  const tools = [{ type: "function", function: { name: "opening_hours", parameters: { type: "object" } } }];
  const asked = { model: "tools", messages: user(QUESTION), tools };
  const first = await openai.chat.completions.stream(asked).finalChatCompletion();
  const second = await openai.chat.completions.create(asked);
  const call = (completion) => completion.choices[0].message.tool_calls[0];
  assert.equal(call(first).id, call(second).id);
  assert.deepEqual(JSON.parse(call(second).function.arguments), { place: "café" });
}

async function openaiOthers() {
  const hit = await twice(() => openai.responses.create({ model: "good", input: QUESTION }));
  assert.match(hit.output_text, /café/);
  const final = await openai.responses.stream({ model: "good", input: QUESTION }).finalResponse();
  assert.equal(final.output_text, hit.output_text);
  await twice(() => openai.responses.create({ model: "good", input: "A streamed one?", stream: true }));
  await twice(() => openai.completions.create({ model: "good", prompt: QUESTION }));
  await twice(() => openai.embeddings.create({ model: "e", input: "a", encoding_format: "float" }));
  assert.equal((await openai.models.list()).data[0].id, "good");
}

async function openaiErrors() {
  await assert.rejects(openai.chat.completions.create({ model: "429", messages: user(QUESTION) }), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    return error.headers.get("retry-after") === "7" && error.code === "slow_down";
  });
  const broken = await openai.chat.completions.create({ model: "abort", messages: user(QUESTION), stream: true });
  await assert.rejects(collect(broken));
}

async function anthropicMessages() {
  const asked = { model: "good", max_tokens: 100, messages: user(QUESTION) };
  const hit = await twice(() => claude.messages.create(asked));
  const final = await claude.messages.stream(asked).finalMessage();
  assert.deepEqual(final.content[0].text, hit.content[0].text);
  assert.equal(final.usage.input_tokens, 11);
  await twice(() => claude.messages.create({ ...asked, messages: user("A streamed one?"), stream: true }));
  const tools = [{ name: "opening_hours", input_schema: { type: "object" } }];
  for (let round = 0; round < 2; round += 1) {
    const told = await claude.messages.stream({ ...asked, model: "tools", tools }).finalMessage();
    assert.deepEqual(told.content[0].input, { place: "café" });
  }
  await assert.rejects(claude.messages.create({ ...asked, model: "429" }), Anthropic.RateLimitError);
}

(async () => {
  for (const check of [openaiChat, openaiTools, openaiOthers, openaiErrors, anthropicMessages]) {
    await check();
    console.log(`ok ${check.name}`);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
