import asyncio
import os
from urllib.parse import quote

import anthropic

from harness import QUESTION, change, load, main, rag, sources

snippet = load("anthropic")
MODEL = "claude-sonnet-5"


def messages():
    rag(snippet.ask)


def counting():
    """What is counted is not answered from the cache."""
    asked = [{"role": "user", "content": QUESTION}]
    counted = snippet.client.messages.count_tokens(model=MODEL, messages=asked)
    assert counted.input_tokens == 11


def prompt_caching():
    """Marks for the cache of the vendor: the last message is parts, and matched exactly if it is not named."""
    change()

    def ask(context, **more):
        message = snippet.client.messages.create(
            model=MODEL,
            max_tokens=100,
            system=[{"type": "text", "text": "Answer.", "cache_control": {"type": "ephemeral"}}],
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": context, "cache_control": {"type": "ephemeral"}},
                        {"type": "text", "text": QUESTION},
                    ],
                }
            ],
            **more,
        )
        return message.content[0].text

    assert ask("One.") == ask("One.") != ask("Two.")
    named = {"wellspring": {"question": QUESTION, "sources": sources()}}
    assert ask("Three.", extra_body=named) == ask("Four.", extra_body=named)


def betas():
    """Callers who ask for a beta have their own answers."""

    def ask(betas):
        asked = [{"role": "user", "content": QUESTION}]
        message = snippet.client.beta.messages.create(
            model=MODEL, max_tokens=100, messages=asked, betas=betas
        )
        return message.content[0].text

    plain = ask([])
    assert plain == ask([]) != ask(["context-1m-2025-08-07"])


def concurrent():
    async def stream(client):
        asked = [{"role": "user", "content": "A question that is streamed?"}]
        async with client.messages.stream(model=MODEL, max_tokens=100, messages=asked) as told:
            return await told.get_final_text()

    async def all_at_once():
        async with anthropic.AsyncAnthropic(base_url=os.environ["WELLSPRING_URL"]) as client:
            return await asyncio.gather(*[stream(client) for _ in range(8)])

    assert len(set(asyncio.run(all_at_once()))) == 1


def tool_loop():
    tools = [
        {"name": "search", "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}}}
    ]

    def run():
        version = sources()[0]["version"]
        headers = {"Wellspring-Question": quote(QUESTION), "Wellspring-Sources": f"hours.md@{version}"}
        asked = [{"role": "user", "content": "Find out."}]
        for step in range(5):
            message = snippet.client.messages.create(
                model=MODEL, max_tokens=100, messages=asked, tools=tools, extra_headers=headers
            )
            if message.stop_reason == "end_turn":
                return step, message.content[0].text
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": "18:00"}
                for block in message.content
            ]
            asked += [
                {"role": "assistant", "content": [block.model_dump() for block in message.content]},
                {"role": "user", "content": results},
            ]
        raise AssertionError("the loop does not end")

    change()
    first = run()
    assert first[0] == 1 and run() == first
    change()
    assert run()[1] != first[1]


main([messages, counting, prompt_caching, betas, concurrent, tool_loop])
