import os

import anthropic
import instructor
import openai

from harness import QUESTION, change, load, main, rag, sources

snippet = load("instructor")
URL = os.environ["WELLSPRING_URL"]


def tools():
    rag(lambda *asked: snippet.ask(*asked).model_dump_json())


def reasks():
    """An answer that does not fit is asked for again, and gotten past, also when both come from the cache."""
    client = openai.OpenAI(base_url=f"{URL}/v1")
    for mode in [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS_STRICT]:
        for conversation in [None, "one"]:
            change()
            named = {"question": QUESTION, "sources": sources()}
            if conversation:
                named["conversation"] = conversation
            asking = instructor.from_openai(client, mode=mode)
            seen = [
                asking.chat.completions.create(
                    model="gpt-careless",
                    response_model=snippet.Hours,
                    max_retries=3,
                    messages=[{"role": "user", "content": QUESTION}],
                    extra_body={"wellspring": named},
                )
                for _ in range(2)
            ]
            assert seen[0].closes_at == seen[1].closes_at and isinstance(seen[0].closes_at, int), (
                mode,
                conversation,
                seen,
            )


def claude():
    asking = instructor.from_anthropic(anthropic.Anthropic(base_url=URL))
    change()
    seen = [
        asking.messages.create(
            model="claude-careless",
            max_tokens=100,
            response_model=snippet.Hours,
            max_retries=3,
            messages=[{"role": "user", "content": QUESTION}],
            extra_body={"wellspring": {"question": QUESTION, "sources": sources()}},
        )
        for _ in range(2)
    ]
    assert seen[0].closes_at == seen[1].closes_at, seen


def stream():
    change()

    def run():
        pieces = snippet.client.chat.completions.create_partial(
            model="gpt-4o-mini",
            response_model=snippet.Hours,
            messages=[{"role": "user", "content": QUESTION}],
            extra_body={"wellspring": {"question": QUESTION, "sources": sources()}},
        )
        return list(pieces)[-1].closes_at

    assert run() == run() is not None


main([tools, reasks, claude, stream])
