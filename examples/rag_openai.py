"""Retrieval-augmented generation with the `openai` client through Wellspring.

    pip install openai
    wellspring serve &
    OPENAI_API_KEY=... python examples/rag_openai.py

A question is answered from the passages that are retrieved for it. When it is asked again, it is answered from the
cache. Then one document is edited, and the next answer is made again; answers from other documents are kept.
"""

import hashlib
import json
import os
import re
import urllib.request

from openai import OpenAI

GATEWAY = os.environ.get("WELLSPRING_URL", "http://127.0.0.1:7331")
ADMIN = os.environ.get("WELLSPRING_ADMIN_URL", "http://127.0.0.1:7332")
MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")

client = OpenAI(base_url=f"{GATEWAY}/v1")

documents = {
    "hours.md": "The café in Mill Street is open from 8:00 to 18:00, and closed on Mondays.",
    "parking.md": "Guests park behind the house. The first hour costs nothing.",
    "menu.md": "Soup of the day 6.50, cake 4.20. Every dish is vegetarian.",
}


def version(name):
    """The version of a document: the hash of its text."""
    return hashlib.sha256(documents[name].encode()).hexdigest()


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def retrieve(question):
    """The document that has most words in common with the question, with the version that was read."""
    name = max(documents, key=lambda name: len(words(question) & words(documents[name])))
    return [(name, version(name), documents[name])]


def ask(question):
    passages = retrieve(question)
    context = "\n".join(text for _, _, text in passages)
    response = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Answer in one sentence, from the context only."},
            {"role": "user", "content": f"Context:\n{context}\n\nQuestion: {question}"},
        ],
        extra_body={
            # The question is the key, not the context; the sources say what the answer depends on.
            "wellspring": {
                "question": question,
                "sources": [{"id": name, "version": version} for name, version, _ in passages],
                "content_type": "documentation",
            }
        },
    )
    answer = response.parse().choices[0].message.content
    print(f"[{response.headers['wellspring-tier']}] {question}\n    {answer}")


def edit(name, text):
    """Changes a document, then reports it to the gateway after retrieval sees the change."""
    documents[name] = text
    change = {"documents": [{"id": name, "version": version(name)}]}
    request = urllib.request.Request(
        f"{ADMIN}/v1/documents/changed",
        data=json.dumps(change).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {os.environ.get('WELLSPRING_TOKEN', '')}",
        },
    )
    with urllib.request.urlopen(request) as response:
        print(f"{name} changed, {json.load(response)['dropped']} answers dropped")


ask("When is the café in Mill Street open?")
ask("When is the café in Mill Street open?")
ask("Where do guests park?")
edit("hours.md", "The café in Mill Street is open from 9:00 to 20:00, every day.")
ask("Where do guests park?")
ask("When is the café in Mill Street open?")
