import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

llm = OpenAI(model="gpt-4o-mini", api_base=os.environ["WELLSPRING_URL"] + "/v1")


def ask(question, context, sources):
    prompt = ChatMessage(role="user", content=f"Context:\n{context}\n\nQuestion: {question}")
    named = {"wellspring": {"question": question, "sources": sources}}
    return llm.chat([prompt], extra_body=named).message.content
