from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.titles import title_key
from pipelines.words import tidy, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don't Stop Believin'", "DONT STOP BELIEVIN"),
        ("Crazy In Love (feat. Jay-Z)", "Crazy in Love"),
        ("Crazy In Love ft. Jay-Z", "Crazy in Love"),
        ("Crazy In Love (Featuring JAY-Z) [Live]", "crazy in love (live)"),
        ("Crazy In Love feat. Jay-Z (Live)", "crazy in love - live"),
        ("Rock & Roll", "Rock and Roll"),
        ("Déjà Vu", "Deja Vu"),
        ("Thriller (Album Version)", "Thriller"),
        ("Thriller (LP Version)", "Thriller"),
        ("Thriller (Album Version (Explicit))", "Thriller"),
        ("Thriller - 2009 Remaster", "Thriller"),
        ("Thriller [Digitally Remastered]", "Thriller"),
        ("Thriller (Remastered Album Version)", "THRILLER."),
        ("99 Luftballons", "99 luftballons"),
        ("Ｔｈｒｉｌｌｅｒ", "Thriller"),
        ("What’s Going On", "What's going on"),
    ],
)
def test_spellings_of_one_recording_are_one(one: str, other: str) -> None:
    assert title_key(one) == title_key(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Thriller (Live)", "Thriller"),
        ("Thriller (Remix)", "Thriller"),
        ("Thriller (Acoustic Version)", "Thriller"),
        ("Thriller (Demo)", "Thriller"),
        ("Thriller - Instrumental", "Thriller"),
        ("Thriller (Radio Edit)", "Thriller"),
        ("Thriller (Single Version)", "Thriller"),
        ("Part 1", "Part 2"),
        ("Remaster", "Live"),
        ("Defeat", "De"),
        ("Left (feat. A)", "Right (feat. A)"),
        ("!!!", "???"),
        ("(Album Version)", "(LP Version)"),
    ],
)
def test_other_recordings_stay_apart(one: str, other: str) -> None:
    assert title_key(one) != title_key(other)


@given(st.text())
def test_a_key_is_its_own_key_and_only_nothing_has_none(title: str) -> None:
    key = title_key(title)
    assert bool(key) == bool(tidy(title))
    assert key == tidy(key)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="([fF-&"), max_size=30))
def test_plain_titles_are_read_as_all_words_are(title: str) -> None:
    """What is quick for ASCII gives what the general rule gives."""
    assert title_key(title) == (words_of(tidy(title)) or tidy(title))
