"""A case: a named function that shows one documented behaviour of S3 with a fresh bucket; and the words in which it asserts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

CASES: list["Case"] = []
SEEN = threading.local()
"""`SEEN.last`: the last answer that this thread's case got, for the report of a failure."""


@dataclass
class Case:
    """`run` gets a `Bucket`; an exception is a failure."""

    group: str
    name: str
    run: Callable

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"


def case(function: Callable) -> Callable:
    """Registers a function; its name, with spaces, is what it shows."""
    CASES.append(Case(_group(function), _words(function), function))
    return function


def each(values: dict[str, object] | Iterable[str]) -> Callable:
    """Registers a function once for each of several documented things of a kind, such as the checksum algorithms. The function gets the thing as well."""
    named = values if isinstance(values, dict) else {v: v for v in values}

    def register(function: Callable) -> Callable:
        for label, value in named.items():
            CASES.append(Case(_group(function), f"{_words(function)} ({label})", lambda bucket, value=value: function(bucket, value)))
        return function

    return register


def _group(function: Callable) -> str:
    return function.__module__.rpartition(".")[2].removeprefix("cases_").replace("_", " ")


def _words(function: Callable) -> str:
    return function.__name__.replace("_", " ")


class Differs(AssertionError):
    """What S3 documents, and what came instead."""


def equal(got: object, want: object, what: str = ""):
    if got != want:
        raise Differs(f"{what + ': ' if what else ''}S3 says {shorten(want)}, got {shorten(got)}")


def one_of(got: object, *want: object):
    if got not in want:
        raise Differs(f"S3 says {' or '.join(shorten(w) for w in want)}, got {shorten(got)}")


def shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:120]}… ({len(text)} characters)"
