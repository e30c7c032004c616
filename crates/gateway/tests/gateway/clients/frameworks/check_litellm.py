import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import litellm
import openai

from harness import QUESTION, change, load, main, rag, sources

snippet = load("litellm")
URL = os.environ["WELLSPRING_URL"]
USER = [{"role": "user", "content": QUESTION}]


def completion():
    rag(snippet.ask)


def anthropic():
    def ask(question, context, sources):
        response = litellm.completion(
            model="anthropic/claude-sonnet-5",
            api_base=URL,
            messages=[{"role": "user", "content": context}],
            wellspring={"question": question, "sources": sources},
        )
        return response.choices[0].message.content

    rag(ask)


def stream():
    change()

    def run(**more):
        told = litellm.completion(
            model="openai/gpt-4o-mini",
            api_base=f"{URL}/v1",
            messages=USER,
            stream=True,
            wellspring={"question": QUESTION, "sources": sources()},
            **more,
        )
        return list(told)

    def text(told):
        return "".join(piece.choices[0].delta.content or "" for piece in told if piece.choices)

    assert text(run()) == text(run()) != ""
    # Recorded without its usage, it is made again for a caller that asks for it, and serves everyone from then on.
    first, second = (run(stream_options={"include_usage": True}) for _ in range(2))
    assert text(first) == text(second) == text(run())
    for told in [first, second]:
        usages = [piece.usage for piece in told if getattr(piece, "usage", None)]
        assert usages[-1].total_tokens == 18, told


def responses():
    change()
    seen = [
        litellm.responses(
            model="openai/gpt-4o-mini",
            api_base=f"{URL}/v1",
            input=text,
            extra_body={"wellspring": {"question": QUESTION, "sources": sources()}},
        )
        .output[0]
        .content[0]
        .text
        for text in ["One.", "Two."]
    ]
    assert seen[0] == seen[1]


async def asynchronous():
    change()
    named = {"question": QUESTION, "sources": sources()}
    answers = [
        await litellm.acompletion(
            model="openai/gpt-4o-mini", api_base=f"{URL}/v1", messages=USER, wellspring=named
        )
        for _ in range(2)
    ]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content


def proxy():
    """LiteLLM's proxy before the gateway: what its callers add reaches it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "config.yaml"
        parameters = {"model": "openai/gpt-4o-mini", "api_base": f"{URL}/v1", "api_key": "key"}
        models = [{"model_name": "gpt-4o-mini", "litellm_params": parameters}]
        key = f"sk-{secrets.token_hex(32)}"
        config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": key}}))
        command = [pathlib.Path(sys.executable).parent / "litellm", "--config", config, "--host", "127.0.0.1"]
        log = open(pathlib.Path(folder) / "log", "w+")
        running = subprocess.Popen([*command, "--port", str(port)], cwd=folder, stdout=log, stderr=log)
        try:
            wait(port, running, log)
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key)

            def ask(question, context, sources):
                response = client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": context}],
                    extra_body={"wellspring": {"question": question, "sources": sources}},
                )
                return response.choices[0].message.content

            rag(ask)
        finally:
            running.terminate()
            running.wait()
            log.close()


def wait(port, running, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness").close()
            return
        except OSError:
            time.sleep(0.2)
    log.seek(0)
    raise AssertionError(f"the proxy does not answer: {log.read()}")


main([completion, anthropic, stream, responses, asynchronous, proxy])
