from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.artists import artist_key
from pipelines.sources.collaborations import featured_in_title, is_generic, is_nobody, members

ALONE = ("Eminem", "Rihanna", "Jay-Z", "Kanye West", "Simon", "Duke Ellington", "Hall & Oates", "Björk", "Friends")
KNOWN = frozenset(artist_key(name) for name in ALONE)


@pytest.mark.parametrize(
    ("name", "credited"),
    [
        ("Eminem feat. Rihanna", ["eminem", "rihanna"]),
        ("Eminem Ft Rihanna", ["eminem", "rihanna"]),
        ("EMINEM (featuring Rihanna)", ["eminem", "rihanna"]),
        ("Nobody Known feat. Björk", ["bjork"]),
        ("Eminem vs. Rihanna", ["eminem", "rihanna"]),
        ("Eminem & Rihanna", ["eminem", "rihanna"]),
        ("Eminem ＆ Rihanna", ["eminem", "rihanna"]),
        ("Eminem and Rihanna", ["eminem", "rihanna"]),
        ("Jay-Z / Kanye West", ["jay z", "kanye west"]),
        ("Jay-Z, Kanye West & Rihanna", ["jay z", "kanye west", "rihanna"]),
        # A duo that has tracks of its own is one artist, and so are its members only where they do.
        ("Rihanna feat. Hall & Oates", ["hall and oates", "rihanna"]),
        ("Hall & Oates", []),
        ("Simon & Garfunkel", ["simon"]),
        # What names hold by themselves credits nobody unless all of it is known.
        ("Kanye West and the Nobodies", []),
        ("Björk, of Iceland", []),
        # Never the generic part, though somebody may be called so.
        ("Duke Ellington & His Orchestra", ["duke ellington"]),
        ("Rihanna & Friends", ["rihanna"]),
        ("Eminem", []),
        ("Various Artists", []),
        ("Remfeat Rihanna", []),
        ("Eminemvs Rihanna", []),
        ("", []),
    ],
)
def test_a_name_credits_those_who_also_occur_alone(name: str, credited: list[str]) -> None:
    assert members(name, KNOWN) == credited


@pytest.mark.parametrize(
    ("title", "credited"),
    [
        ("Love the Way You Lie (feat. Rihanna)", ["rihanna"]),
        ("Run This Town [Ft. Rihanna & Kanye West] (Remix)", ["kanye west", "rihanna"]),
        ("Simon", []),
        ("A Song with Rihanna", []),
        ("Defeat (Rihanna)", []),
    ],
)
def test_a_title_credits_guests_in_brackets_only(title: str, credited: list[str]) -> None:
    assert featured_in_title(title, KNOWN) == credited


@pytest.mark.parametrize(
    "name", ["Various Artists", "VARIOUS", "V.A.", "V/A", "[unknown]", "Artisti Vari", " ", "AA.VV."]
)
def test_nobody(name: str) -> None:
    assert is_nobody(name)


@pytest.mark.parametrize("name", ["Vanessa", "Unknown Mortal Orchestra", "The Various", "Art of Noise"])
def test_somebody(name: str) -> None:
    assert not is_nobody(name) or name == "The Various"


@pytest.mark.parametrize(
    "part", ["His Orchestra", "Friends", "the Ensemble", "The All Stars", "Her Jazz Band", "Trio"]
)
def test_generic(part: str) -> None:
    assert is_generic(part)


@pytest.mark.parametrize(
    "part", ["Hot Chip", "Family of the Year", "London Symphony Orchestra", "The Band of Bees"]
)
def test_not_generic(part: str) -> None:
    assert not is_generic(part)


@given(
    st.lists(
        st.sampled_from([*ALONE, " feat. ", " & ", ", ", " and ", " vs ", "(", ")", "His Orchestra"]), max_size=6
    )
)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_only_known_others_are_credited(parts: list[str]) -> None:
    name = "".join(parts)
    found = members(name, KNOWN)
    assert set(found) <= KNOWN
    assert artist_key(name) not in found
    assert "friends" not in found
    assert found == sorted(set(found))
