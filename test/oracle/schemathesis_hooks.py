"""Tells Schemathesis what a schema cannot say: numbers and flags are read as Pydantic reads them by default.

A body that is wrong by the document only because a number is text or a flag, or a flag is text or a number, may be accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import schemathesis

KINDS = {"integer", "number", "boolean"}


def kinds_of(schema: Any) -> set[str]:
    """The types that a field's schema names, in it or in what it is any of."""
    if not isinstance(schema, dict):
        return set()
    own = schema.get("type")
    names = {own} if isinstance(own, str) else set(own or [])
    return names.union(*(kinds_of(each) for each in schema.get("anyOf", [])))


def fields_of(schema: Any) -> Iterator[tuple[str, set[str]]]:
    """All fields of a schema, and of schemas in it, with their types."""
    if isinstance(schema, list):
        for each in schema:
            yield from fields_of(each)
    elif isinstance(schema, dict):
        for name, field in (schema.get("properties") or {}).items():
            yield name, kinds_of(field)
        for each in schema.values():
            yield from fields_of(each)


def is_lax(value: Any, kinds: set[str]) -> bool:
    """Whether a value is of another type than a field's, but of one that Pydantic reads as that type."""
    wanted = kinds & KINDS
    if isinstance(value, bool):
        return bool(wanted) and "boolean" not in wanted
    if isinstance(value, (int, float)):
        return wanted == {"boolean"}
    return isinstance(value, str) and bool(wanted) and "string" not in kinds


def has_lax(body: Any, fields: dict[str, list[set[str]]]) -> bool:
    if isinstance(body, list):
        return any(has_lax(each, fields) for each in body)
    if not isinstance(body, dict):
        return False
    return any(
        any(is_lax(value, kinds) for kinds in fields.get(name, [])) or has_lax(value, fields)
        for name, value in body.items()
    )


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    if type(failure).__name__ != "AcceptedNegativeData":
        return True
    document = case.operation.schema.raw_schema["components"]["schemas"]
    fields: dict[str, list[set[str]]] = {}
    for name, kinds in fields_of(document):
        fields.setdefault(name, []).append(kinds)
    return not has_lax(case.body, fields)
