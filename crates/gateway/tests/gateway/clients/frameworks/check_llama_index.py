import os

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI, OpenAIResponses

from harness import QUESTION, change, load, loop, main, rag, sources

snippet = load("llama_index")
BASE = os.environ["WELLSPRING_URL"] + "/v1"


class Hours(BaseModel):
    """When a place is open."""

    closes_at: int


def named(question, sources):
    return {"wellspring": {"question": question, "sources": sources}}


def chat():
    rag(snippet.ask)


def responses():
    llm = OpenAIResponses(model="gpt-4o-mini", api_base=BASE)

    def ask(question, context, sources):
        turns = [ChatMessage(role="user", content=context)]
        return llm.chat(turns, extra_body=named(question, sources)).message.content

    rag(ask)


def stream():
    change()

    def run(context):
        turns = [ChatMessage(role="user", content=context)]
        told = snippet.llm.stream_chat(turns, extra_body=named(QUESTION, sources()))
        return "".join(piece.delta for piece in told)

    text = run("One.")
    assert text == run("Two.") != ""
    # Replayed without its usage, because no one asked for it.
    assert snippet.ask(QUESTION, "Three.", sources()) == text


def structured():
    change()
    llm = OpenAI(
        model="gpt-4o-mini", api_base=BASE, additional_kwargs={"extra_body": named(QUESTION, sources())}
    ).as_structured_llm(Hours)
    first, second = (llm.chat([ChatMessage(role="user", content=text)]).raw for text in ["One.", "Two."])
    assert first == second and isinstance(first.closes_at, int)


def agent():
    searches = []

    def search(query: str) -> str:
        """Searches the documents."""
        searches.append(query)
        return "It closes at 18:00."

    async def run(question, sources):
        llm = OpenAI(
            model="gpt-4o-mini", api_base=BASE, additional_kwargs={"extra_body": named(question, sources)}
        )
        return str(await FunctionAgent(tools=[search], llm=llm).run(question))

    loop(run, searches)


def embeddings():
    model = OpenAIEmbedding(api_base=BASE)
    first, second = model.get_text_embedding("a"), model.get_text_embedding("a")
    assert first == second and len(first) == 2


main([chat, responses, stream, structured, agent, embeddings])
