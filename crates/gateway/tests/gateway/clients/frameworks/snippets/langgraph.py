import os

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver


@tool
def search(query: str) -> str:
    """Searches the documents."""
    return "The café in Mill Street closes at 18:00."


@wrap_model_call
def name_question(request, handler):
    extra_body = {"wellspring": request.runtime.context}
    return handler(
        request.override(model_settings={**request.model_settings, "extra_body": extra_body})
    )


model = ChatOpenAI(model="gpt-4o-mini", base_url=os.environ["WELLSPRING_URL"] + "/v1")
agent = create_agent(
    model, [search], middleware=[name_question], context_schema=dict, checkpointer=InMemorySaver()
)


def run(question, sources, thread):
    result = agent.invoke(
        {"messages": [("user", question)]},
        config={"configurable": {"thread_id": thread}},
        context={"question": question, "sources": sources},
    )
    return result["messages"][-1].text
