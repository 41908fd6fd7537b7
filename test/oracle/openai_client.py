"""Tests `resonant serve` with OpenAI's own client; the default model continues bytes.

OPENAI_BASE_URL and OPENAI_API_KEY name the server and one of its keys, as that client has it. With the argument
`chat`, against a model with a chat template. Prints what was seen as JSON; ends with a traceback where an answer is
not what it should be.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Any

import requests
from openai import (
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    OpenAI,
)
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

PROMPT = "ROMEO:"
TOKENS = 24

client = OpenAI(max_retries=0, timeout=120)
model = client.models.list().data[0].id
settings: dict[str, Any] = {"model": model, "prompt": PROMPT, "max_tokens": TOKENS, "seed": 7}
conversation: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Who are you?"}]},
]
chat_settings: dict[str, Any] = {"model": model, "messages": conversation, "max_tokens": TOKENS, "seed": 7}


def complete(**more: Any) -> Completion:
    completion: Completion = client.completions.create(**{**settings, **more})
    return completion


def text_of(completion: Completion) -> str:
    [choice] = completion.choices
    return choice.text


@cache
def usual() -> str:
    return text_of(complete())


def models() -> dict[str, Any]:
    [listed] = client.models.list().data
    assert client.models.retrieve(listed.id) == listed
    assert listed.object == "model" and listed.created > 0
    return {"id": listed.id, "owned_by": listed.owned_by}


def plain() -> dict[str, Any]:
    completion = complete()
    [choice] = completion.choices
    assert completion.object == "text_completion" and completion.model == model
    assert completion._request_id
    assert choice.index == 0 and choice.finish_reason == "length" and choice.logprobs is None
    usage = completion.usage
    assert usage is not None
    assert usage.prompt_tokens == len(PROMPT) and usage.completion_tokens == TOKENS
    assert usage.total_tokens == len(PROMPT) + TOKENS
    defaults = client.completions.create(model=model, prompt=PROMPT).usage
    assert defaults is not None and defaults.completion_tokens == 16
    return {"text": choice.text, "usage": usage.to_dict()}


def seeds() -> dict[str, Any]:
    other = text_of(complete(seed=8))
    assert text_of(complete()) == usual() != other
    greedy = text_of(complete(temperature=0))
    assert greedy == text_of(complete(extra_body={"top_k": 1}, seed=9))
    return {"other": other, "greedy": greedy}


def choices() -> dict[str, Any]:
    both = complete(n=2)
    assert [choice.index for choice in both.choices] == [0, 1]
    first, second = (choice.text for choice in both.choices)
    assert first != second and first == usual()
    assert both.usage is not None
    assert both.usage.prompt_tokens == len(PROMPT) and both.usage.completion_tokens == 2 * TOKENS
    return {"texts": [first, second]}


def stops() -> dict[str, Any]:
    whole = usual()
    stop = whole[9:12]
    for given in (stop, ["never said", stop]):
        stopped = complete(stop=given)
        assert text_of(stopped) == whole[: whole.index(stop)]
        assert stopped.choices[0].finish_reason == "stop"
    return {"before": stop}


def logprobs() -> dict[str, Any]:
    [choice] = complete(logprobs=3).choices
    told = choice.logprobs
    assert told and told.tokens and told.token_logprobs and told.top_logprobs and told.text_offset
    assert choice.text == usual()
    assert "".join(told.tokens) == choice.text and len(told.tokens) == TOKENS
    assert told.text_offset == list(range(told.text_offset[0], told.text_offset[0] + TOKENS))
    for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs, strict=True):
        assert logprob is not None and logprob <= 0
        assert len(top) in (3, 4) and max(top.values()) >= logprob == top[token]
    return {"tokens": told.tokens[:3], "logprobs": told.token_logprobs[:3]}


def echo() -> dict[str, Any]:
    [choice] = complete(echo=True, logprobs=1).choices
    told = choice.logprobs
    assert choice.text == PROMPT + usual()
    assert told and told.tokens and told.token_logprobs and told.text_offset
    assert "".join(told.tokens) == choice.text
    assert told.text_offset == list(range(len(choice.text)))
    assert told.token_logprobs[0] is None
    assert all(logprob is not None and logprob <= 0 for logprob in told.token_logprobs[1:])
    scored = complete(echo=True, logprobs=1, max_tokens=0)
    assert text_of(scored) == PROMPT
    assert scored.usage is not None and scored.usage.completion_tokens == 0
    return {"prompt_logprobs": told.token_logprobs[: len(PROMPT)]}


def streams() -> dict[str, Any]:
    whole = complete(n=2)
    texts = ["", ""]
    reasons: list[str | None] = [None, None]
    usage = None
    chunks = 0
    for chunk in complete_stream(n=2, stream_options={"include_usage": True}):
        assert usage is None, "the usage comes last"
        chunks += 1
        usage = chunk.usage
        assert len(chunk.choices) == (0 if usage else 1)
        for choice in chunk.choices:
            assert reasons[choice.index] is None, "nothing comes after the reason"
            texts[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == ["length", "length"]
    assert usage == whole.usage
    assert all(chunk.usage is None for chunk in complete_stream())
    assert chunks > TOKENS
    return {"chunks": chunks}


def complete_stream(**more: Any) -> Any:
    return client.completions.create(**{**settings, **more}, stream=True)


def prompts() -> dict[str, Any]:
    names = [PROMPT, "JULIET:\n"]
    each = [[choice.text for choice in complete(prompt=name, n=2).choices] for name in names]
    together = complete(prompt=names, n=2)
    assert [choice.index for choice in together.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in together.choices] == each[0] + each[1]
    assert together.usage is not None
    assert together.usage.prompt_tokens == sum(map(len, names))
    tokens = [list(name.encode()) for name in names]
    assert text_of(complete(prompt=tokens[0])) == each[0][0]
    of_tokens = complete(prompt=tokens)
    assert [choice.text for choice in of_tokens.choices] == [each[0][0], each[1][0]]
    return {"texts": each}


async def crowd() -> dict[str, Any]:
    """Checks that concurrent requests give the same text as alone."""
    alone = {seed: text_of(complete(seed=seed)) for seed in range(4)}
    async with AsyncOpenAI(max_retries=0, timeout=120) as many:
        asked = [many.completions.create(**{**settings, "seed": seed}) for seed in alone]
        assert [text_of(completion) for completion in await asyncio.gather(*asked)] == list(alone.values())
    return {"requests": len(alone)}


def refused(kind: type[APIStatusError], ask: Callable[[], object]) -> APIStatusError:
    try:
        ask()
    except kind as error:
        assert error.request_id and error.type
        return error
    raise AssertionError(f"no {kind.__name__}")


def errors() -> dict[str, Any]:
    stranger = OpenAI(api_key="a stranger's", max_retries=0)
    seen = {
        "model": refused(NotFoundError, lambda: complete(model="gpt-9")),
        "retrieved": refused(NotFoundError, lambda: client.models.retrieve("gpt-9")),
        "temperature": refused(BadRequestError, lambda: complete(temperature=5)),
        "max_tokens": refused(BadRequestError, lambda: complete(max_tokens=10**6)),
        "logprobs": refused(BadRequestError, lambda: complete(logprobs=21, stream=True)),
        "messages": refused(BadRequestError, chat),
        "key": refused(AuthenticationError, lambda: stranger.completions.create(**settings)),
        "key_of_list": refused(AuthenticationError, lambda: stranger.models.list()),
    }
    assert "no chat template" in seen["messages"].message and "/v1/completions" in seen["messages"].message
    for name in ("temperature", "max_tokens", "logprobs", "messages"):
        assert seen[name].param == name and seen[name].type == "invalid_request_error"
    assert seen["model"].param == "model"
    assert seen["key"].code == "invalid_api_key"
    return {name: error.message for name, error in seen.items()}


def gauge(name: str) -> float:
    lines = requests.get(str(client.base_url.join("/metrics")), timeout=30).text.splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith(f"resonant_{name} ")]
    return float(value)


def leaving() -> dict[str, Any]:
    """Checks that a stream closed by its reader is not computed to its end."""
    before = gauge("generation_tokens_total")
    with complete_stream(max_tokens=2048) as stream:
        heard = "".join(chunk.choices[0].text for chunk in islice(stream, 3))
        assert gauge("num_requests_running") == 1
    end = time.monotonic() + 30
    while gauge("num_requests_running") > 0:
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.05)
    computed = gauge("generation_tokens_total") - before
    assert 3 <= computed < 2048
    assert heard and usual().startswith(heard)
    return {"heard": heard, "tokens": computed}


def chat(**more: Any) -> ChatCompletion:
    completion: ChatCompletion = client.chat.completions.create(**{**chat_settings, **more})
    return completion


def said(completion: ChatCompletion) -> list[str]:
    assert [choice.index for choice in completion.choices] == list(range(len(completion.choices)))
    return [choice.message.content or "" for choice in completion.choices]


def chat_plain() -> dict[str, Any]:
    completion = chat()
    [choice] = completion.choices
    assert completion.object == "chat.completion" and completion.model == model and completion._request_id
    assert choice.message.role == "assistant" and choice.message.content and choice.message.tool_calls is None
    assert choice.finish_reason in ("stop", "length") and choice.logprobs is None
    usage = completion.usage
    assert usage is not None and 0 < usage.completion_tokens <= TOKENS < usage.prompt_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert said(chat()) == [choice.message.content] != said(chat(seed=8))
    answered = [*conversation, {"role": "assistant", "content": choice.message.content}, conversation[1]]
    longer = chat(messages=answered).usage
    assert longer is not None and longer.prompt_tokens > usage.total_tokens
    return {"text": choice.message.content, "usage": usage.to_dict()}


def chat_choices() -> dict[str, Any]:
    both = chat(n=2)
    first, second = said(both)
    assert first != second and [first] == said(chat())
    return {"texts": [first, second]}


def chat_streams() -> dict[str, Any]:
    whole = chat(n=2)
    texts = ["", ""]
    reasons: list[str | None] = [None, None]
    roles: list[str | None] = [None, None]
    usage = None
    stream: Any = chat(n=2, stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        assert chunk.object == "chat.completion.chunk"
        assert usage is None, "the usage comes last"
        usage = chunk.usage
        assert len(chunk.choices) == (0 if usage else 1)
        for choice in chunk.choices:
            assert reasons[choice.index] is None, "nothing comes after the reason"
            roles[choice.index] = roles[choice.index] or choice.delta.role
            assert roles[choice.index] == "assistant", "the role comes first"
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason
    assert texts == said(whole)
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage
    # The client's own sum of the chunks.
    with client.chat.completions.stream(**chat_settings) as summed:
        summed.until_done()
        assert said(summed.current_completion_snapshot) == said(chat())
    return {"texts": texts}


def chat_logprobs() -> dict[str, Any]:
    [choice] = chat(logprobs=True, top_logprobs=3).choices
    told = choice.logprobs
    assert told and told.content
    assert b"".join(bytes(each.bytes or []) for each in told.content).decode(errors="replace") == said(chat())[0]
    for each in told.content:
        likeliest = [top.logprob for top in each.top_logprobs]
        assert len(likeliest) == 3 and likeliest == sorted(likeliest, reverse=True)
        assert 0 >= likeliest[0] >= each.logprob
    return {"tokens": [each.token for each in told.content[:3]]}


def chat_errors() -> dict[str, Any]:
    backwards = [*conversation, conversation[0]]
    tool: dict[str, Any] = {"type": "function", "function": {"name": "f"}}
    seen = {
        "messages": refused(BadRequestError, lambda: chat(messages=backwards)),
        "top_logprobs": refused(BadRequestError, lambda: chat(top_logprobs=2)),
        "tools": refused(BadRequestError, lambda: chat(tools=[tool])),
    }
    assert "A system message must come first" in seen["messages"].message
    assert all(error.param == name for name, error in seen.items())
    return {name: error.message for name, error in seen.items()}


def main() -> None:
    chats = [chat_plain, chat_choices, chat_streams, chat_logprobs, chat_errors]
    texts = [models, plain, seeds, choices, stops, logprobs, echo, streams, prompts, errors, leaving]
    chatting = sys.argv[1:] == ["chat"]
    summary = {check.__name__: check() for check in (chats if chatting else texts)}
    if not chatting:
        summary["crowd"] = asyncio.run(crowd())
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
