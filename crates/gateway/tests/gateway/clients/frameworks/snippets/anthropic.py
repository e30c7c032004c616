import os

from anthropic import Anthropic

client = Anthropic(base_url=os.environ["WELLSPRING_URL"])


def ask(question, context, sources):
    message = client.messages.create(
        model="claude-sonnet-5",
        max_tokens=1024,
        messages=[{"role": "user", "content": f"Context:\n{context}\n\nQuestion: {question}"}],
        extra_body={"wellspring": {"question": question, "sources": sources}},
    )
    return message.content[0].text
