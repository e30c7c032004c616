"""The official Python clients against a gateway before a fake upstream: stream and not, miss and hit."""

import json
import os

import anthropic
import openai

URL = os.environ["WELLSPRING_URL"]
QUESTION = "When does the café close?"

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="openai-key", max_retries=0)
claude = anthropic.Anthropic(base_url=URL, api_key="anthropic-key", max_retries=0)


def user(text):
    return [{"role": "user", "content": text}]


def twice(call):
    """The results of a miss and of the hit after it."""
    first, second = call(), call()
    assert first[0] == "miss", first
    assert second[0] == "exact", second
    return first[1], second[1]


def raw(api, **request):
    response = api.with_raw_response.create(**request)
    return response.headers["wellspring-tier"], response.parse()


def chunks(api, **request):
    response = api.with_raw_response.create(stream=True, **request)
    return response.headers["wellspring-tier"], list(response.parse())


def openai_chat():
    asked = {"model": "good", "messages": user(QUESTION)}
    miss, hit = twice(lambda: raw(client.chat.completions, **asked))
    assert miss == hit and "café" in hit.choices[0].message.content
    assert hit.usage.total_tokens == 18
    # The same answer as a stream, with usage.
    tier, told = chunks(client.chat.completions, stream_options={"include_usage": True}, **asked)
    text = "".join(c.choices[0].delta.content or "" for c in told if c.choices)
    assert (tier, text) == ("exact", hit.choices[0].message.content)
    assert told[-1].usage.total_tokens == 18 and told[-2].choices[0].finish_reason == "stop"


def openai_chat_stream():
    asked = {"model": "good", "messages": user("And on Sundays?")}
    miss, hit = twice(lambda: chunks(client.chat.completions, **asked))
    assert miss == hit and len(hit) > 5
    tier, whole = raw(client.chat.completions, **asked)
    text = "".join(c.choices[0].delta.content or "" for c in hit)
    assert (tier, whole.choices[0].message.content) == ("exact", text)


def openai_tools():
    tool = {"type": "function", "function": {"name": "opening_hours", "parameters": {"type": "object"}}}
    asked = {"model": "tools", "messages": user(QUESTION), "tools": [tool]}
    with client.chat.completions.stream(**asked) as stream:
        first = stream.get_final_completion()
    with client.chat.completions.stream(**asked) as stream:
        second = stream.get_final_completion()
    assert first.id == second.id
    tier, whole = raw(client.chat.completions, **asked)
    call = whole.choices[0].message.tool_calls[0]
    assert tier == "exact" and json.loads(call.function.arguments) == {"place": "café"}
    assert call.id == first.choices[0].message.tool_calls[0].id


def openai_responses():
    miss, hit = twice(lambda: raw(client.responses, model="good", input=QUESTION))
    assert miss.output_text == hit.output_text and "café" in hit.output_text
    with client.responses.stream(model="good", input=QUESTION) as stream:
        events = list(stream)
        assert stream.get_final_response().output_text == hit.output_text
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == hit.output_text
    miss, hit = twice(lambda: chunks(client.responses, model="good", input="A streamed one?"))
    assert miss == hit and hit[-1].type == "response.completed"


def openai_others():
    miss, hit = twice(lambda: raw(client.completions, model="good", prompt=QUESTION))
    assert miss == hit and "café" in hit.choices[0].text
    miss, hit = twice(lambda: chunks(client.completions, model="good", prompt="A streamed one?"))
    assert miss == hit
    miss, hit = twice(lambda: raw(client.embeddings, model="e", input=["a"], encoding_format="float"))
    assert miss == hit and len(hit.data[0].embedding) == 2
    assert [model.id for model in client.models.list()] == ["good"]


def openai_errors():
    for _ in range(2):
        try:
            client.chat.completions.create(model="429", messages=user(QUESTION))
            raise AssertionError("no error")
        except openai.RateLimitError as error:
            assert error.response.headers["retry-after"] == "7" and error.code == "slow_down", error
            assert error.request_id == "req-failed"
    try:
        list(client.chat.completions.create(model="abort", messages=user(QUESTION), stream=True))
        raise AssertionError("no error")
    except Exception as error:  # Which one depends on the version of the HTTP library.
        assert not isinstance(error, AssertionError), error
    try:
        client.chat.completions.create(
            model="good", messages=user("x"), extra_body={"wellspring": {"qestion": "y"}}
        )
        raise AssertionError("no error")
    except openai.BadRequestError as error:
        assert "qestion" in error.message


def openai_rag():
    def ask(context):
        return raw(
            client.chat.completions,
            model="good",
            messages=user(f"{context}\n\n{QUESTION}"),
            extra_body={"wellspring": {"question": QUESTION, "sources": [{"id": "hours", "version": "1"}]}},
        )

    assert ask("Some passages.")[0] == "miss"
    assert ask("Others.")[0] == "exact"


def anthropic_messages():
    asked = {"model": "good", "max_tokens": 100, "messages": user(QUESTION)}
    miss, hit = twice(lambda: raw(claude.messages, **asked))
    assert miss == hit and hit.usage.output_tokens == 7
    with claude.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == hit.content[0].text and final.usage.input_tokens == 11 and final.stop_reason == "end_turn"
    asked["messages"] = user("A streamed one?")
    miss, hit = twice(lambda: chunks(claude.messages, **asked))
    assert miss == hit and hit[-1].type == "message_stop"


def anthropic_tools_and_errors():
    tools = [{"name": "opening_hours", "input_schema": {"type": "object"}}]
    asked = {"model": "tools", "max_tokens": 100, "messages": user(QUESTION), "tools": tools}
    for _ in range(2):
        with claude.messages.stream(**asked) as stream:
            assert stream.get_final_message().content[0].input == {"place": "café"}
    tier, whole = raw(claude.messages, **asked)
    assert tier == "exact" and whole.content[0].input == {"place": "café"}
    try:
        claude.messages.create(model="429", max_tokens=1, messages=user(QUESTION))
        raise AssertionError("no error")
    except anthropic.RateLimitError as error:
        assert error.response.headers["retry-after"] == "7"


for check in [
    openai_chat,
    openai_chat_stream,
    openai_tools,
    openai_responses,
    openai_others,
    openai_errors,
    openai_rag,
    anthropic_messages,
    anthropic_tools_and_errors,
]:
    check()
    print(f"ok {check.__name__}")
