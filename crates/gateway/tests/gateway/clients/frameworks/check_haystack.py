import os

from haystack.components.agents import Agent
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool

from harness import QUESTION, change, load, loop, main, rag, sources

snippet = load("haystack")
BASE = os.environ["WELLSPRING_URL"] + "/v1"
searches = []


@tool
def search(query: str) -> str:
    """Searches the documents."""
    searches.append(query)
    return "It closes at 18:00."


def pipeline():
    rag(snippet.ask)


def responses():
    llm = OpenAIResponsesChatGenerator(model="gpt-4o-mini", api_base_url=BASE)

    def ask(question, context, sources):
        named = {"extra_body": {"wellspring": {"question": question, "sources": sources}}}
        return llm.run([ChatMessage.from_user(context)], generation_kwargs=named)["replies"][0].text

    rag(ask)


def stream():
    change()

    def run(context):
        pieces = []
        named = {"extra_body": {"wellspring": {"question": QUESTION, "sources": sources()}}}
        llm = OpenAIChatGenerator(
            model="gpt-4o-mini",
            api_base_url=BASE,
            streaming_callback=lambda piece: pieces.append(piece.content),
        )
        llm.run([ChatMessage.from_user(context)], generation_kwargs=named)
        return "".join(pieces)

    text = run("One.")
    assert text == run("Two.") != ""
    assert snippet.ask(QUESTION, "Three.", sources()) == text


def agent():
    llm = OpenAIChatGenerator(model="gpt-4o-mini", api_base_url=BASE)
    agent = Agent(chat_generator=llm, tools=[search])

    def run(question, sources):
        named = {"extra_body": {"wellspring": {"question": question, "sources": sources}}}
        result = agent.run([ChatMessage.from_user(question)], generation_kwargs=named)
        return result["messages"][-1].text

    loop(run, searches)


def embeddings():
    model = OpenAITextEmbedder(model="gpt-e", api_base_url=BASE)
    assert model.run("a")["embedding"] == model.run("a")["embedding"]


main([pipeline, responses, stream, agent, embeddings])
