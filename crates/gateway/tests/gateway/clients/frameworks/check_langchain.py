import os
from urllib.parse import quote

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from harness import QUESTION, change, load, main, rag, sources

snippet = load("langchain")
URL = os.environ["WELLSPRING_URL"]


class Hours(BaseModel):
    """When a place is open."""

    closes_at: int


def named(question=QUESTION):
    return {"wellspring": {"question": question, "sources": sources()}}


def chat():
    rag(snippet.ask)


def responses():
    model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{URL}/v1", use_responses_api=True)

    def ask(question, context, sources):
        return model.invoke(
            f"{context} {question}", extra_body={"wellspring": {"question": question, "sources": sources}}
        ).text

    rag(ask)


def anthropic():
    """LangChain's Anthropic model takes the names as headers."""
    model = ChatAnthropic(model="claude-sonnet-5", base_url=URL)

    def ask(question, context, sources):
        headers = {
            "Wellspring-Question": quote(question),
            "Wellspring-Sources": ",".join(f"{s['id']}@{s['version']}" for s in sources),
        }
        return model.invoke(f"{context} {question}", extra_headers=headers).text

    rag(ask)


def stream():
    """A stream with its usage, a hit on what was answered at once and the other way round."""
    change()
    model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{URL}/v1", stream_usage=True)
    told = list(model.stream("One passage.", extra_body=named()))
    again = list(model.stream("Another passage.", extra_body=named()))
    whole = model.invoke("A third.", extra_body=named())
    text = "".join(piece.text for piece in told)
    assert text and text == "".join(piece.text for piece in again) == whole.text
    assert whole.usage_metadata["total_tokens"] == 18
    assert sum((piece.usage_metadata or {}).get("total_tokens", 0) for piece in again) == 18
    # A stream that was requested without its usage serves a whole answer without usage.
    change()
    text = "".join(piece.text for piece in snippet.model.stream("One.", extra_body=named()))
    assert snippet.model.invoke("Two.", extra_body=named()).text == text


async def asynchronous():
    change()
    first = await snippet.model.ainvoke("One passage.", extra_body=named())
    second = [piece async for piece in snippet.model.astream("Another.", extra_body=named())]
    assert first.text == "".join(piece.text for piece in second)
    batch = await snippet.model.abatch(["a", "b"], extra_body=named())
    assert {answer.text for answer in batch} == {first.text}


def structured():
    """`bind` comes last: `with_structured_output` forgets what was bound before."""
    change()
    for method in ["json_schema", "function_calling"]:
        model = snippet.model.with_structured_output(Hours, method=method).bind(extra_body=named())
        assert model.invoke("One passage.") == model.invoke("Another.")


def tools():
    """The loop by hand: the second step is not answered by the first one's call."""
    change()
    bound = snippet.model.bind_tools([Hours], parallel_tool_calls=True)

    def run():
        turns = [HumanMessage("Find out.")]
        call = bound.invoke(turns, extra_body=named())
        turns += [call, {"role": "tool", "tool_call_id": call.tool_calls[0]["id"], "content": "18"}]
        return bound.invoke(turns, extra_body=named())

    first, second = run(), run()
    assert first.text and first.text == second.text and not first.tool_calls


def embeddings():
    model = OpenAIEmbeddings(model="gpt-e", base_url=f"{URL}/v1", check_embedding_ctx_length=False)
    first, second = model.embed_query("a"), model.embed_query("a")
    assert first == second and len(first) == 2


main([chat, responses, anthropic, stream, asynchronous, structured, tools, embeddings])
