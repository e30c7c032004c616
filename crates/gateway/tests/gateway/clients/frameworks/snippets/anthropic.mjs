import { Anthropic } from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.WELLSPRING_URL });

export async function ask(question, context, sources) {
  const message = await client.messages.create({
    model: "claude-sonnet-5",
    max_tokens: 1024,
    messages: [{ role: "user", content: `Context:\n${context}\n\nQuestion: ${question}` }],
    wellspring: { question, sources },
  });
  return message.content[0].text;
}
