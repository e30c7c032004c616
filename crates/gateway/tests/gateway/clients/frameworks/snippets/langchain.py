import os

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="gpt-4o-mini", base_url=os.environ["WELLSPRING_URL"] + "/v1")
prompt = ChatPromptTemplate([("user", "Context:\n{context}\n\nQuestion: {question}")])


def ask(question, context, sources):
    named = model.bind(extra_body={"wellspring": {"question": question, "sources": sources}})
    return (prompt | named).invoke({"context": context, "question": question}).text
