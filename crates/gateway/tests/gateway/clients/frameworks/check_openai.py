import asyncio
import os

import openai
import pydantic

from harness import QUESTION, change, load, main, rag, sources

snippet = load("openai")
URL = os.environ["WELLSPRING_URL"] + "/v1"


def responses():
    rag(snippet.ask)


def concurrent():
    """Those who ask at once share one call."""

    async def all_at_once():
        async with openai.AsyncOpenAI(base_url=URL) as client:
            asked = {"model": "slow", "messages": [{"role": "user", "content": QUESTION}]}
            return await asyncio.gather(*[client.chat.completions.create(**asked) for _ in range(8)])

    answers = asyncio.run(all_at_once())
    assert len({answer.id for answer in answers}) == 1, answers


def errors():
    """The client tries again what failed, and is not answered from the cache."""
    for model in ["429", "500"]:
        client = openai.OpenAI(base_url=URL, max_retries=0)
        for _ in range(2):
            try:
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}])
                raise AssertionError("no error")
            except openai.APIStatusError as error:
                assert error.status_code == int(model)


def choices():
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}
    two = [snippet.client.chat.completions.create(n=2, **asked) for _ in range(2)]
    assert len(two[0].choices) == 2 and two[0] == two[1], two
    one = snippet.client.chat.completions.create(**asked)
    assert len(one.choices) == 1 and one.id != two[0].id


def embeddings():
    """The client asks for base64 unasked; servers that do not know it answer with lists."""
    for model in ["gpt-e", "lists"]:
        first, second = (snippet.client.embeddings.create(model=model, input=["a", "b"]) for _ in range(2))
        assert len(first.data) == 2 and first.data[0].embedding[1] == 0.5
        assert first == second, (first, second)


def parallel_tools():
    tools = [
        {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}}
        for name in ["hours", "parking"]
    ]
    asked = {"model": "gpt-4o-mini", "input": [{"role": "user", "content": QUESTION}], "tools": tools}
    for is_parallel in [True, False]:
        first, second = (
            snippet.client.responses.create(parallel_tool_calls=is_parallel, **asked) for _ in range(2)
        )
        assert len(first.output) == (2 if is_parallel else 1) and first.id == second.id
    # The next step has its results, and is another request.
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "18:00"} for call in first.output
    ]
    asked["input"] = asked["input"] + [item.model_dump(exclude_none=True) for item in first.output] + results
    third = snippet.client.responses.create(parallel_tool_calls=True, **asked)
    assert third.output[0].name == "parking", third


def structured():
    class Hours(pydantic.BaseModel):
        closes_at: int

    change()
    named = {"wellspring": {"question": QUESTION, "sources": sources()}}
    seen = [
        snippet.client.responses.parse(model="gpt-4o-mini", input=text, text_format=Hours, extra_body=named)
        for text in ["one", "two"]
    ]
    assert seen[0].output_parsed == seen[1].output_parsed and seen[0].id == seen[1].id
    chat = snippet.client.chat.completions.parse(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "x"}],
        response_format=Hours,
        extra_body=named,
    )
    assert isinstance(chat.choices[0].message.parsed.closes_at, int)


main([responses, concurrent, errors, choices, embeddings, parallel_tools, structured])
