from __future__ import annotations

import pytest

from schemas.emotion_maps import EmotionMaps, load_emotion_maps
from schemas.errors import UsageError

# Table 5.5 of Won's thesis as printed: original, VA, W2V, manual.
TABLE = {
    "alm": """
        anger      | angry    | angry  | angry
        fearful    | sad      | scary  | scary
        happy      | happy    | happy  | exciting, funny, happy
        sad        | sad      | sad    | sad
        surprised  | exciting | happy  | exciting""",
    "isear": """
        anger      | angry    | angry  | angry
        disgust    | angry    | angry  | angry, scary
        fear       | angry    | angry  | scary
        guilt      | sad      | angry  | angry, sad
        joy        | exciting | tender | exciting, funny, happy
        sadness    | sad      | tender | sad
        shame      | angry    | sad    | angry, sad""",
}


@pytest.mark.parametrize("text", sorted(TABLE))
def test_the_maps_are_those_of_the_thesis(text: str) -> None:
    maps = load_emotion_maps().texts[text]
    rows = [[cell.strip() for cell in line.split("|")] for line in TABLE[text].strip().splitlines()]
    # The table prints Alm's label as a noun once; everywhere else it is angry.
    names = ["angry" if (text, row[0]) == ("alm", "anger") else row[0] for row in rows]
    for column, found in enumerate((maps.va, maps.w2v, maps.manual), start=1):
        assert found == {name: row[column].split(", ") for name, row in zip(names, rows, strict=True)}


def test_the_moods_are_those_of_audioset() -> None:
    assert sorted(load_emotion_maps().moods) == ["angry", "exciting", "funny", "happy", "sad", "scary", "tender"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"va": {"a": ["x"]}, "w2v": {"a": ["x"]}, "manual": {"b": ["x"]}}, "do not map the same emotions: a, b"),
        ({"va": {"a": ["y"]}, "w2v": {"a": ["x"]}, "manual": {"a": ["x"]}}, r"t\.a: \['y'\] is no mood"),
        ({"va": {"a": []}, "w2v": {"a": ["x"]}, "manual": {"a": ["x"]}}, r"t\.a: nothing is no mood"),
    ],
)
def test_a_wrong_map_is_refused(content: dict[str, dict[str, list[str]]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        EmotionMaps.model_validate({"moods": ["x"], "texts": {"t": content}})


def test_unknown_maps_name_the_known() -> None:
    with pytest.raises(UsageError, match="no emotion maps 'other' in manifests/emotions; known: won_thesis"):
        load_emotion_maps("other")
