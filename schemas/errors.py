"""Errors that reach a user as one or two lines, with the exit code that belongs to each."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TrackloreError(Exception):
    """Something a person can mend. The message names the file, row or key, and the way out."""

    exit_code = 1


class DataError(TrackloreError):
    """The data fails a check: a leak, a wrong checksum, a table that is not what its schema says."""

    exit_code = 1


class UsageError(TrackloreError):
    """Wrong usage or configuration: an unknown key, a missing file, a directory that belongs to another."""

    exit_code = 2


class StoreFailedError(OSError):
    """A remote store did not do what was asked, for no reason that lies in what was asked: the same command goes on
    from there. Exit code 1."""


def fault_of_file(error: Exception) -> str:
    """What is wrong with a file that could not be read, on one line; for whoever takes an `OSError` for its fault.

    Raises:
        StoreFailedError: the error is one, which says nothing of the file.
    """
    if isinstance(error, StoreFailedError):
        raise error
    return " ".join(str(error).split()) or type(error).__name__


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` when `word` is close to one of `known`, or list them when they are few."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if names and len(names) <= 12:
        return f"; known: {', '.join(names)}"
    return ""
