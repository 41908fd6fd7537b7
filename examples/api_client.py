#!/usr/bin/env python3
"""A client of `resonant serve`, and a tour of its features.

    pip install requests
    npx resonant serve                                  # in another terminal
    python examples/api_client.py [http://localhost:8000]

An API key, if the server wants one, comes from the environment variable API_KEY.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import requests

Json = dict[str, Any]


class ResonantError(Exception):
    """The server's error response."""

    def __init__(self, status: int, body: Json, request_id: str | None = None) -> None:
        self.status = status
        """The HTTP status; 200 if a stream failed after its start."""
        self.body = body
        """The whole error object."""
        self.error: str = body.get("error", "unknown")
        """The kind of error, such as `validation_error`."""
        self.message: str = body.get("message", "")
        self.details: Json = body.get("details") or {}
        """Details, often with `field` and `value`."""
        self.request_id = request_id
        """The id of the request in the server's log."""
        super().__init__(f"{self.error}: {self.message}")


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    data: str


class TextStream:
    """Yields the pieces of a text as they are generated; afterwards, `response` is the whole answer.

    Leaving the `with` block early closes the connection, and the server stops generating.
    """

    def __init__(self, http: requests.Response) -> None:
        self._http = http
        self.response: Json | None = None

    def __iter__(self) -> Iterator[str]:
        # chunk_size=None: returns data as it arrives, without waiting for more.
        for event in parse_events(self._http.iter_content(chunk_size=None)):
            body = json.loads(event.data)
            if event.name == "message":
                yield body["text"]
            elif event.name == "done":
                self.response = body
                return
            elif event.name == "error":
                raise ResonantError(self._http.status_code, body, self._http.headers.get("X-Request-Id"))
        raise ConnectionError("the stream ended before its text did")

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


class ResonantClient:
    """A server's endpoints, one method each. All methods raise `ResonantError` if the server refuses the request."""

    def __init__(
        self, base_url: str = "http://localhost:8000", api_key: str | None = None, timeout: float = 600
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        """Maximum seconds without data; a response that does not stream sends none until it is complete."""
        self._session = requests.Session()
        if api_key:
            self._session.headers["Authorization"] = f"Bearer {api_key}"

    def health(self) -> Json:
        return self._json("GET", "/v1/health")

    def model_info(self) -> Json:
        return self._json("GET", "/v1/model/info")

    def generate(self, prompt: str, **options: Any) -> Json:
        """Continues `prompt`. Options are the request's other fields, such as `max_tokens=50`, `return_state=True`."""
        return self._json("POST", "/v1/generate", {"prompt": prompt, **options})

    def stream(self, prompt: str, **options: Any) -> TextStream:
        """Like `generate`, but yields the text in pieces."""
        body = {"prompt": prompt, **options, "stream": True}
        return TextStream(self._request("POST", "/v1/generate", body))

    def resume(self, state: str, prompt: str = "", **options: Any) -> Json:
        """Continues from the `state` of an earlier answer, after reading `prompt`, if any."""
        return self.generate(prompt, state=state, **options)

    def retrieve(self, context: str, needle: str, **options: Any) -> list[Json]:
        """Returns the passages of `context` most similar to `needle`, best first."""
        body = {"context": context, "needle": needle, **options}
        matches: list[Json] = self._json("POST", "/v1/retrieve", body)["matches"]
        return matches

    def _json(self, method: str, path: str, body: Json | None = None) -> Json:
        answer: Json = self._request(method, path, body).json()
        return answer

    def _request(self, method: str, path: str, body: Json | None = None) -> requests.Response:
        response = self._session.request(
            method,
            self.base_url + path,
            json=body,
            stream=bool(body and body.get("stream")),
            timeout=(5, self.timeout),
        )
        if response.ok:
            return response
        try:
            error = response.json()
        except ValueError:  # a proxy's page
            error = {"error": "unknown", "message": f"{response.status_code} {response.reason}"}
        raise ResonantError(response.status_code, error, response.headers.get("X-Request-Id"))


def parse_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Parses server-sent events by the HTML standard; a chunk may end anywhere."""
    name = ""
    data: list[str] = []
    for line in _lines(chunks):
        if line == "":
            if data:
                yield Event(name or "message", "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # Uses bytes, because a chunk may end within a character, and str.splitlines() accepts more line ends than the format.
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A final "\r" may be the first half of "\r\n".
        whole = len(rest) - rest.endswith(b"\r")
        *lines, last = re.split(rb"\r\n|\n|\r", rest[:whole])
        rest = last + rest[whole:]
        for line in lines:
            yield line.decode("utf-8")


def main() -> None:
    client = ResonantClient(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000", os.environ.get("API_KEY"))

    health = client.health()
    print(f"{health['status']}, up for {health['uptime_seconds']:.0f} s, version {health['version']}")

    info = client.model_info()
    print(f"{info['model_name']}: {info['num_afrb_layers']} blocks of width {info['hidden_size']} on {info['device']}")

    print("\n-- a text and its phase metrics")
    answer = client.generate("ROMEO:", max_tokens=60, seed=1, return_phase_metrics=True, return_memory_stats=True)
    print(answer["text"])
    print(f"[{answer['finish_reason']} after {answer['tokens_generated']} tokens, {answer['timing_ms']:.0f} ms]")
    print(f"[coherence {answer['phase_metrics']['phase_coherence']:.3f}]")
    print(f"[memory {answer['memory_stats']['total_memory_kb']} kB]")

    print("\n-- a stream")
    with client.stream("JULIET:", max_tokens=60, seed=2, return_state=True) as stream:
        for text in stream:
            print(text, end="", flush=True)
    assert stream.response is not None
    print(f"\n[{stream.response['finish_reason']}]")

    print("\n-- continued from its state, without sending the text again")
    state = stream.response["state"]
    print(f"[a state of {len(state)} characters]")
    print(client.resume(state, max_tokens=40)["text"])

    print("\n-- a search in a text")
    context = "The watch stood idle at the gate. " * 20 + "The password is marigold. " + "Rain fell on the walls. " * 20
    for match in client.retrieve(context, "password is marigold", top_k=3):
        print(f"{match['similarity']:.3f} at token {match['position']}: {match['text']!r}")

    print("\n-- an invalid request")
    try:
        client.generate("ROMEO:", max_tokens=0)
    except ResonantError as error:
        print(f"{error.status} {error} {error.details}")


if __name__ == "__main__":
    main()
