"""Text of others, as it is shown: no control characters, no passwords."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from schemas.plain import one_line, plain, without_secrets
from schemas.terminal import PlainConsole


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_shown_moves_no_cursor_and_can_be_encoded(text: str) -> None:
    shown = plain(text)
    assert not [c for c in shown if (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160]
    shown.encode("utf-8")
    assert "\n" not in one_line(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\u202e")))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@host/x", "http://…@host/x"),
        ("at https://pw@host: no", "at https://…@host: no"),
        ("s3://KEY:SECRET@bucket/d", "s3://…@bucket/d"),
        ("http://h/?v=1&access_token=pw&x=2", "http://h/?v=1&access_token=…&x=2"),
        ("http://h/?X-Amz-Signature=ab#f", "http://h/?X-Amz-Signature=…#f"),
        ("http://h/?key=pw", "http://h/?key=…"),
        ("http://h/watch?v={id}&list=a", "http://h/watch?v={id}&list=a"),
        ("mail@host, a://b/c@d", "mail@host, a://b/c@d"),
        ("a?token and b", "a?token and b"),
    ],
)
def test_secrets_of_addresses_are_left_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_console_writes_control_characters_out() -> None:
    written = io.StringIO()
    console = PlainConsole(file=written, width=80)
    table = Table()
    table.add_column("title")
    table.add_row("a\x1b[2Jb\x07")
    console.print(table)
    console.print("c\x1b]0;t\x07d http://me:pw@h/", markup=False)
    assert "\x1b" not in written.getvalue() and "\x07" not in written.getvalue()
    assert "\\x1b[2Jb" in written.getvalue()
    assert "http://…@h/" in written.getvalue()
