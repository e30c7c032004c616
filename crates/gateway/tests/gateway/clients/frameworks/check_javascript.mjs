// The frameworks for JavaScript: what harness.py does, for the Vercel AI SDK and the official clients.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embed, generateObject, generateText, streamText } from "ai";
import { z } from "zod";
import * as aiSdk from "./snippets/ai_sdk.mjs";
import * as claude from "./snippets/anthropic.mjs";
import * as official from "./snippets/openai.mjs";

const url = process.env.WELLSPRING_URL;
const provider = createOpenAI({ baseURL: `${url}/v1` });
const QUESTION = "When does the café in Mill Street close?";
const OTHER_WORDS = "What time does the café in Mill Street close?";
const OTHER_QUESTION = "Where do guests of the café in Mill Street park?";

let version = 0;
const sources = () => [{ id: "hours.md", version: String(version) }];

async function change() {
  version += 1;
  const response = await fetch(`${process.env.WELLSPRING_ADMIN_URL}/v1/documents/changed`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ documents: sources() }),
  });
  assert.ok(response.ok, await response.text());
}

function names(question = QUESTION) {
  return {
    "Wellspring-Question": encodeURIComponent(question),
    "Wellspring-Sources": `hours.md@${version}`,
  };
}

async function rag(ask) {
  await change();
  const first = await ask(QUESTION, "It closes at 18:00.", sources());
  assert.ok(first);
  assert.equal(await ask(QUESTION, "Other passages.", sources()), first);
  assert.equal(await ask(OTHER_WORDS, "Other passages.", sources()), first);
  assert.notEqual(await ask(OTHER_QUESTION, "Guests park behind the house.", sources()), first);
  await change();
  const fresh = await ask(QUESTION, "It closes at 20:00.", sources());
  assert.notEqual(fresh, first);
  assert.equal(await ask(QUESTION, "It closes at 20:00.", sources()), fresh);
}

const checks = {
  openai: () => rag(official.ask),

  anthropic: () => rag(claude.ask),

  async answer() {
    const models = [
      provider("gpt-4o-mini"),
      provider.chat("gpt-4o-mini"),
      createAnthropic({ baseURL: `${url}/v1` })("claude-sonnet-5"),
    ];
    for (const model of models) {
      await rag(async (question, context) => {
        const { text } = await generateText({ model, prompt: context, headers: names(question) });
        return text;
      });
    }
  },

  async stream() {
    for (const model of [provider("gpt-4o-mini"), provider.chat("gpt-4o-mini")]) {
      await change();
      const run = async (prompt) => {
        const result = streamText({ model, prompt, headers: names() });
        return { text: await result.text, tokens: (await result.usage).totalTokens };
      };
      const [first, second] = [await run("One."), await run("Two.")];
      assert.deepEqual(second, first);
      assert.equal(first.tokens, 18);
      const whole = await generateText({ model, prompt: "Three.", headers: names() });
      assert.equal(whole.text, first.text);
    }
  },

  // The second step has the tool's result, and is not answered by the first one's call.
  async agent() {
    let searches = 0;
    const execute = aiSdk.search.execute;
    aiSdk.search.execute = (input) => ((searches += 1), execute(input));
    const run = async (question) => {
      searches = 0;
      const text = await aiSdk.run(question, sources()).text;
      assert.equal(searches, 1);
      assert.ok(text);
      return text;
    };
    await change();
    const first = await run(QUESTION);
    assert.equal(await run(QUESTION), first);
    // The first step came from the cache; the last one holds the question in its own words.
    const number = (text) => Number(text.match(/Answer (\d+)/)[1]);
    const other = await run(OTHER_WORDS);
    assert.equal(number(other), number(first) + 1);
    await change();
    assert.equal(number(await run(QUESTION)), number(other) + 2);
  },

  async structured() {
    const schema = z.object({ place: z.string(), closes_at: z.number() });
    for (const model of [provider("gpt-4o-mini"), provider.chat("gpt-4o-mini")]) {
      await change();
      const run = async (prompt) => (await generateObject({ model, schema, prompt, headers: names() })).object;
      assert.deepEqual(await run("One."), await run("Two."));
    }
  },

  async embeddings() {
    const model = provider.embedding("gpt-e");
    const [first, second] = [await embed({ model, value: "a" }), await embed({ model, value: "a" })];
    assert.deepEqual(first.embedding, second.embedding);
    assert.equal(first.embedding.length, 2);
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok ${name}`);
}
