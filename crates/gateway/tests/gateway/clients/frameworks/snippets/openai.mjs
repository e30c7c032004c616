import { OpenAI } from "openai";

const client = new OpenAI({ baseURL: `${process.env.WELLSPRING_URL}/v1` });

export async function ask(question, context, sources) {
  const response = await client.responses.create({
    model: "gpt-4o-mini",
    input: `Context:\n${context}\n\nQuestion: ${question}`,
    wellspring: { question, sources },
  });
  return response.output_text;
}
