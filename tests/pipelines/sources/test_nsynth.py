from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.nsynth import NSynth, NSynthSettings
from schemas.errors import UsageError

Note = dict[str, Any]


def note(family: str, number: int, pitch: int, velocity: int = 100, sound: str = "acoustic") -> tuple[str, Note]:
    instrument = f"{family}_{sound}_{number:03d}"
    name = f"{instrument}-{pitch:03d}-{velocity:03d}"
    return name, {
        "qualities": [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        "pitch": pitch,
        "note": 201034,
        "instrument_source_str": sound,
        "velocity": velocity,
        "instrument_str": instrument,
        "instrument": 417,
        "sample_rate": 16000,
        "qualities_str": ["dark"],
        "instrument_source": 0,
        "note_str": name,
        "instrument_family": 4,
        "instrument_family_str": family,
    }


PARTS = {
    "train": [note("mallet", 62, 69), note("mallet", 62, 70, 25), note("bass", 33, 30, sound="synthetic")],
    "valid": [note("guitar", 14, 60)],
    "test": [note("guitar", 14, 61)],
}


def publish(folder: Path, parts: dict[str, list[tuple[str, Note]]]) -> Path:
    for part, notes in parts.items():
        (folder / f"nsynth-{part}").mkdir(parents=True, exist_ok=True)
        (folder / f"nsynth-{part}/examples.json").write_text(json.dumps(dict(notes), indent=4), "utf-8")
    return folder


def source(context: SourceContext, folder: Path, **keys: Any) -> NSynth:
    return NSynth(NSynthSettings(kind="nsynth", path=str(folder), **keys), context)


def test_notes_are_tracks_and_instruments_artists(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "nsynth", PARTS)).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    first = rows["mallet_acoustic_062-069-100"]
    assert (first["artist_id"], first["duration_s"]) == ("mallet_acoustic_062", 4.0)
    assert first["audio_uri"] == "nsynth-train/audio/mallet_acoustic_062-069-100.wav"
    assert rows["mallet_acoustic_062-070-025"]["artist_id"] == first["artist_id"]
    assert len({row["recording_id"] for row in rows.values()}) == len(rows) == 5
    assert [r["raw_tag"] for r in tables.annotations.to_pylist()] == [
        "bass",
        "guitar",
        "guitar",
        "mallet",
        "mallet",
    ]
    assert tables.targets is not None
    targets = {(r["track_id"], r["name"]): r["value"] for r in tables.targets.to_pylist()}
    assert targets["mallet_acoustic_062-070-025", "pitch"] == 70
    assert targets["mallet_acoustic_062-070-025", "velocity"] == 25
    assert tables.published is not None
    assert {r["track_id"]: r["split"] for r in tables.published.to_pylist()} == {
        name: part for part, notes in PARTS.items() for name, _ in notes
    }


def test_qualities_and_the_kind_of_sound_are_tags_when_asked_for(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "nsynth", PARTS), qualities=True).read()
    said = {(r["source"], r["raw_tag"]) for r in tables.annotations.to_pylist() if r["track_id"].startswith("bass")}
    assert said == {("instrument", "bass"), ("quality", "dark"), ("sound", "synthetic")}


def test_a_part_may_be_left_out_but_not_by_accident(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "nsynth", {part: PARTS[part] for part in ("valid", "test")})
    assert source(context, folder, parts=["valid", "test"]).read().tracks.num_rows == 2
    with pytest.raises(UsageError, match=r"has no nsynth-train/examples\.json; .*--set source\.parts="):
        source(context, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pitch": 400}, r"pitch is 400, and a number from 0 to 127"),
        ({"velocity": "loud"}, r"velocity is 'loud'"),
        ({"instrument_str": ""}, r"instrument_str is ''"),
        ({"instrument_family_str": None}, r"instrument_family_str is None"),
        ({"qualities_str": "dark"}, r"qualities_str is no list of text"),
    ],
)
def test_a_note_that_is_not_as_published_is_named(
    change: Note, message: str, tmp_path: Path, context: SourceContext
) -> None:
    name, content = note("organ", 1, 50)
    folder = publish(tmp_path / "nsynth", {**PARTS, "valid": [(name, content | change)]})
    with pytest.raises(UsageError, match=rf"nsynth-valid/examples\.json: '{name}': {message}"):
        source(context, folder).read()


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {', "<html>"])
def test_a_file_of_another_kind_is_named(content: str, tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "nsynth", PARTS)
    (folder / "nsynth-test/examples.json").write_text(content, "utf-8")
    with pytest.raises(UsageError, match=r"nsynth-test/examples\.json: ('a': )?is no"):
        source(context, folder).read()


def test_the_recipe_builds_and_tells_of_the_leaks(tmp_path: Path, audited: Callable[..., Any]) -> None:
    families = ("bass", "brass", "flute")
    parts: dict[str, list[tuple[str, Note]]] = {"train": [], "valid": [], "test": []}
    for number in range(24):
        part = "train" if number < 18 else "valid" if number < 21 else "test"
        parts[part] += [note(families[number % 3], number, pitch) for pitch in (40, 50)]
    # The published valid and test share instruments; here train and test do, too.
    parts["test"] += [note("bass", 18, 60), note("bass", 0, 60)]
    settings = ("splits.ratios={train: 0.7, valid: 0.15, test: 0.15}",)
    found = audited("nsynth", publish(tmp_path / "nsynth", parts), *settings)
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.shared("published", "recordings")) == (2, 0)
    assert found.strict == 1
