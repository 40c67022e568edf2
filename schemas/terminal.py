"""A console that shows text of others as text: no file's name moves the cursor, no address tells a password."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from schemas.plain import plain, without_secrets


class PlainConsole(Console):
    """See the module."""

    def render_str(self, text: str, **keys: Any) -> Text:
        """As rich does; control characters are written out before it is known how long the text is."""
        return super().render_str(plain(without_secrets(text)), **keys)
