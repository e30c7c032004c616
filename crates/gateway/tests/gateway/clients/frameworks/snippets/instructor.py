import os

import instructor
from openai import OpenAI
from pydantic import BaseModel


class Hours(BaseModel):
    place: str
    closes_at: int


client = instructor.from_openai(OpenAI(base_url=os.environ["WELLSPRING_URL"] + "/v1"))


def ask(question, context, sources, model="gpt-4o-mini"):
    return client.chat.completions.create(
        model=model,
        response_model=Hours,
        messages=[{"role": "user", "content": f"Context:\n{context}\n\nQuestion: {question}"}],
        extra_body={"wellspring": {"question": question, "sources": sources}},
    )
