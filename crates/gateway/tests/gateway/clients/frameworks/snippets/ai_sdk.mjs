import { createOpenAI } from "@ai-sdk/openai";
import { stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const openai = createOpenAI({ baseURL: `${process.env.WELLSPRING_URL}/v1` });

export const search = tool({
  description: "Searches the documents.",
  inputSchema: z.object({ query: z.string() }),
  execute: async ({ query }) => "The café in Mill Street closes at 18:00.",
});

export function run(question, sources) {
  return streamText({
    model: openai("gpt-4o-mini"),
    prompt: question,
    tools: { search },
    stopWhen: stepCountIs(5),
    headers: {
      "Wellspring-Question": encodeURIComponent(question),
      "Wellspring-Sources": sources
        .map(({ id, version }) => `${encodeURIComponent(id)}@${encodeURIComponent(version)}`)
        .join(),
    },
  });
}
