"""Text of others (names of files, ids, titles, answers of servers) as it may be shown on a terminal or in a log."""

from __future__ import annotations

import re

# What moves the cursor, changes colours or turns the direction of writing around; and halves of characters.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_USER = re.compile(r"(?<=://)[^/\s?#@]+@")
_KINDS = "token|secret|passw|pwd|api_?key|access_?key|auth|signature|credential|session|cookie"
_PARAMETER = re.compile(rf"(?<=[?&])([^=&?#\s;]*(?:{_KINDS})[^=&?#\s;]*|key|sig)=[^&#\s'\"]*", re.IGNORECASE)
HIDDEN = "…"


def plain(text: str) -> str:
    """The text with its control characters written out, but for tabs and ends of lines."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """As `plain`, the ends of lines written out too."""
    return plain(text).replace("\n", "\\n")


def without_secrets(text: str) -> str:
    """The text without the users and passwords of the addresses in it, and without what their parameters called
    token, key, password and the like say."""
    text = _USER.sub(f"{HIDDEN}@", text)
    return _PARAMETER.sub(lambda found: f"{found[1]}={HIDDEN}", text)


def last_line(error: BaseException | str) -> str:
    """The last line of what an error says, or what kind of error it is."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[-1].split()) if lines else type(error).__name__
