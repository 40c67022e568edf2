from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.sentences import NoiseRules, chosen_sentences, noise_rules, noisy_sentences
from schemas.errors import UsageError
from schemas.manifest import CaptionsSection
from schemas.tables import CAPTIONS, DROPPED_CAPTIONS

MULAP = noise_rules(CaptionsSection(kind="existing", noise="mulap"))
UPLIFTING = "An uplifting and reflective pop track featuring synth, electric guitar, and lyrics with male vocals."


def table(*texts: str) -> pa.Table:
    return CAPTIONS.from_rows(
        {"track_id": f"t{n:03d}", "number": 0, "source": "s", "caption": text} for n, text in enumerate(texts)
    )


def reason(text: str, rules: NoiseRules = MULAP) -> str | None:
    kept, dropped = noisy_sentences(table(text), rules)
    assert kept.num_rows + dropped.num_rows == 1
    return str(dropped.column("reason")[0]) if dropped.num_rows else None


def test_the_paper_s_example_passes_and_its_lengths_are_inclusive() -> None:
    assert len(UPLIFTING.split()) == 15
    assert reason(UPLIFTING) is None
    assert reason("a " + UPLIFTING) == "caption_too_long"
    assert reason("calm piano music") is None
    assert reason("calm piano") == "caption_too_short"
    assert reason("calm - piano !") == "caption_too_short"
    assert reason("") == "caption_too_short"
    assert reason("", noise_rules(CaptionsSection(kind="existing"))) == "caption_too_short"


@pytest.mark.parametrize(
    "text",
    [
        "See www.library.com for the full score",
        "write to office@library.com for more music",
        "PianoLoop final version.wav at 120 bpm",
        "Lorem ipsum dolor sit amet",
        "As above, without the lead guitar",
        "<b>Calm</b> piano with soft strings",
        "Alternative Mix Version 2",
        "30 seconds edit version",
        "Composed by John Smith in Paris",
        "Copyright of the library, all rights reserved",
        "Track no 12 of the album Dawn",
        "ABC1234 calm piano with strings",
        "calm piano ????? with strings",
        "No description for this track yet",
    ],
)
def test_what_bad_captions_have_is_noise(text: str) -> None:
    assert reason(text) == "caption_noise"


@pytest.mark.parametrize(
    "text",
    [
        UPLIFTING,
        "80s synth pop with a driving 4/4 beat",
        "A full mix of strings, brass and drums",
        "Dark drone; slow, heavy and without vocals",
        "Fast rock 'n' roll at 180 bpm... and loud!",
        "Main theme for piano & orchestra, in C-minor",
        "Rock track performed on acoustic instruments",
        "Unknown worlds: an ambient piece for test flights",
    ],
)
def test_what_describes_music_is_none(text: str) -> None:
    assert reason(text) is None


@given(st.lists(st.text("ab .-", max_size=12), max_size=12), st.integers(1, 3), st.integers(0, 3))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_every_sentence_stays_or_has_one_reason(texts: list[str], low: int, more: int) -> None:
    rules = NoiseRules(min_words=low, max_words=low + more, patterns=["aa", "^b"])
    kept, dropped = noisy_sentences(table(*texts), rules)
    assert dropped.schema.equals(DROPPED_CAPTIONS.schema)
    found = {row["track_id"]: row["reason"] for row in dropped.to_pylist()}
    assert kept.num_rows + dropped.num_rows == len(texts) == len(set(found)) + kept.num_rows
    for number, text in enumerate(texts):
        count = sum(any(c.isalnum() for c in word) for word in text.split())
        noisy = "aa" in text or text.startswith("b")
        expected = (
            "caption_too_short" if count < low
            else "caption_too_long" if count > low + more
            else "caption_noise" if noisy
            else None
        )  # fmt: skip
        assert found.get(f"t{number:03d}") == expected, text


def test_one_of_several_is_drawn_by_the_seed_and_all_are_drawn() -> None:
    ids = [f"t{n}" for n in range(400)]
    rows = [
        {"track_id": i, "number": n, "source": "s", "caption": f"{i} says {n}"} for i in ids[:399] for n in range(3)
    ]
    sentences = CAPTIONS.from_rows(rows)
    drawn = chosen_sentences(sentences, pa.array(ids[::-1]), 0).to_pylist()[::-1]
    assert drawn[399] is None
    assert all(
        text is not None and text.startswith(f"{i} says ") for i, text in zip(ids, drawn[:399], strict=False)
    )
    counts = Counter(text[-1] for text in drawn if text)
    assert min(counts.values()) > 100
    shuffled = sentences.take(list(range(sentences.num_rows))[::-1])
    assert chosen_sentences(shuffled, pa.array(ids), 0).to_pylist() == drawn
    assert chosen_sentences(sentences, pa.array(ids), 1).to_pylist() != drawn


def test_the_manifest_s_lengths_win_over_the_file_s() -> None:
    rules = noise_rules(CaptionsSection(kind="existing", noise="mulap", max_words=30))
    assert (rules.min_words, rules.max_words) == (3, 30)
    assert reason("a " + UPLIFTING, rules) is None
    with pytest.raises(UsageError, match=r"max_words 2 is below min_words 3"):
        noise_rules(CaptionsSection(kind="existing", noise="mulap", max_words=2))
    with pytest.raises(UsageError, match=r"captions\.noise: no 'other' in manifests/noise; known: isear, mulap"):
        noise_rules(CaptionsSection(kind="existing", noise="other"))
    with pytest.raises(ValueError, match="is no regular expression"):
        NoiseRules(patterns=["(a"])
