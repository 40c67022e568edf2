"""Names of artists, albums and titles: drawn from word lists, distinct, and safe as parts of a path."""

from __future__ import annotations

import re
import unicodedata

from schemas.digests import stable_hash

TWO_WAYS = ("Café Lumière!", "cafe lumiere")
"""One artist, written in two ways: accents, case and punctuation differ, the normalised name does not."""

_FIRST = (
    "Amber", "Arctic", "Brass", "Cobalt", "Copper", "Crimson", "Distant", "Electric", "Ember", "Frost", "Gentle",
    "Golden", "Hollow", "Indigo", "Iron", "Ivory", "Jade", "Lantern", "Little", "Lunar", "Marble", "Midnight",
    "Mossy", "Northern", "Paper", "Quiet", "Rusty", "Saffron", "Scarlet", "Silver", "Sólar", "Velvet", "Wandering",
    "Winter",
)  # fmt: skip
_SECOND = (
    "Anchors", "Badgers", "Bridges", "Candles", "Cartographers", "Comets", "Corners", "Falcons", "Ferries",
    "Foxes", "Gardeners", "Harbours", "Herons", "Islands", "Kites", "Ladders", "Lighthouses", "Meadows", "Mirrors",
    "Nomads", "Orchards", "Otters", "Owls", "Pilots", "Ravens", "Rivers", "Sailors", "Sparrows", "Swallows",
    "Tides", "Trams", "Wolves",
)  # fmt: skip
_ALBUM = ("After Hours", "First Light", "Long Roads", "Open Windows", "Rooms", "Seasons", "Small Hours", "The Map")
_TITLE_FIRST = (
    "Across the", "After the", "Behind the", "Beyond the", "Letters from the", "Mornings at the", "Nights at the",
    "Notes from the", "One More", "Return to the", "Song of the", "The Last", "The Other", "Under the",
    "Waiting for the",
)  # fmt: skip
_TITLE_SECOND = (
    "Attic", "Avenue", "Beach", "Canal", "Clock", "Courtyard", "Ferry", "Field", "Fountain", "Gate", "Hill",
    "Island", "Kitchen", "Lake", "Library", "Market", "Moon", "Mountain", "Museum", "Night Train", "Orchard",
    "Pier", "Rain", "Rooftop", "Square", "Staircase", "Station", "Tower", "Valley", "Window",
)  # fmt: skip


def normalised(name: str) -> str:
    """Fold case, accents and punctuation, so that spellings of one name are equal."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9]+", " ", bare.casefold()).strip()


def slug(name: str) -> str:
    """Return a name as a part of a path: ASCII letters, digits and spaces, in title case."""
    return normalised(name).title()


def artist_names(count: int, seed: int) -> list[str]:
    """Return `count` names, distinct after normalisation; the first is the one written in two ways."""
    plain = [f"{first} {second}" for first in _FIRST for second in _SECOND]
    plain.sort(key=lambda name: stable_hash(f"artist {name}", seed))
    names = [TWO_WAYS[0]]
    for number in range(count - 1):
        round_, place = divmod(number, len(plain))
        name = plain[place] if round_ == 0 else f"{plain[place]} {round_ + 1}"
        names.append(f"The {name}" if stable_hash(name, seed) % 2 else name)
    return names


def album_of(artist: str, number: int, seed: int) -> str:
    """Return the title of an artist's album `number` (0, 1, …)."""
    start = stable_hash(f"album {artist}", seed)
    round_, place = divmod(number, len(_ALBUM))
    title = _ALBUM[(start + place) % len(_ALBUM)]
    return title if round_ == 0 else f"{title} {round_ + 1}"


def title_of(number: int, seed: int) -> str:
    """Return the title of track `number`; the first 450 differ."""
    count = len(_TITLE_FIRST) * len(_TITLE_SECOND)
    round_, place = divmod(number, count)
    # 197 shares no factor with 450: neighbours in the corpus get unlike titles.
    place = (place * 197 + stable_hash("title", seed)) % count
    title = f"{_TITLE_FIRST[place % len(_TITLE_FIRST)]} {_TITLE_SECOND[place // len(_TITLE_FIRST)]}"
    return title if round_ == 0 else f"{title}, Part {round_ + 1}"
