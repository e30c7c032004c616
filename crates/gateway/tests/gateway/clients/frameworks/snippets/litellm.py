import os

import litellm


def ask(question, context, sources):
    response = litellm.completion(
        model="openai/gpt-4o-mini",
        api_base=os.environ["WELLSPRING_URL"] + "/v1",
        messages=[{"role": "user", "content": f"Context:\n{context}\n\nQuestion: {question}"}],
        wellspring={"question": question, "sources": sources},
    )
    return response.choices[0].message.content
