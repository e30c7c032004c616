import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["WELLSPRING_URL"] + "/v1")


def ask(question, context, sources):
    response = client.responses.create(
        model="gpt-4o-mini",
        input=f"Context:\n{context}\n\nQuestion: {question}",
        extra_body={"wellspring": {"question": question, "sources": sources}},
    )
    return response.output_text
