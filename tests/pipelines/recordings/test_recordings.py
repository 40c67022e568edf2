"""One recording under several names: found by its sound, kept in one split, told by the audit."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import soundfile

Command = Callable[..., Any]
RATE = 22_050
FINGERPRINT = ("--set", "features={fp: {kind: fingerprint}}")


def piece(number: int, seconds: float = 26.0) -> npt.NDArray[np.float32]:
    """Notes of a melody of its own over a bass of its own."""
    draws = np.random.default_rng(number)
    y = 0.003 * draws.standard_normal(int(seconds * RATE))
    t = np.arange(int(0.8 * RATE)) / RATE
    for step in np.arange(0, seconds, 0.25):
        part = y[int(step * RATE) :][: len(t)]
        pitch = 110 * 2 ** (draws.integers(0, 40) / 12)
        tones = sum(np.sin(2 * np.pi * overtone * pitch * t) / overtone for overtone in range(1, 7))
        part += (0.1 * np.exp(-5 * t) * tones)[: len(part)]
    loudest: float = np.abs(y).max()
    return np.asarray(0.8 * y / loudest, np.float32)


def as_mp3(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """At 64 kbit/s."""
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


COPIES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "coded.mp3": ("The Beatles", lambda y: y),
    "vorbis.ogg": ("Beatles (remastered)", lambda y: y),
    "quiet.flac": ("Bítls", lambda y: y / 4),
    "trimmed.flac": ("V/A 1966", lambda y: y[int(3.7 * RATE) : -5 * RATE]),
}


def library(folder: Path, pieces: int = 12, copies: Mapping[str, Any] = COPIES) -> Path:
    """Pieces by an artist each, of which the first is in test, and copies of it under other names in train."""
    folder.mkdir()
    rows = []
    for number in range(pieces):
        soundfile.write(folder / f"piece{number}.flac", piece(number), RATE)
        rows.append([f"piece{number}", f"Artist {number}", f"Title {number}", f"piece{number}.flac"])
    for name, (artist, changed) in copies.items():
        samples = np.ascontiguousarray(changed(piece(0)))
        as_mp3(folder / name, samples) if name.endswith("mp3") else soundfile.write(folder / name, samples, RATE)
        rows.append([name.partition(".")[0], artist, f"Untitled {name}", name])
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["track_id", "artist", "title", "path", "split", "caption"])
        for row in rows:
            split = "test" if row[0] == "piece0" else "train"
            writer.writerow([*row, split, f"what {row[0]} sounds like"])
    return folder


def words(folder: Path, out: Path) -> list[Any]:
    settings = {
        "source.path": folder,
        "source.audio": folder,
        "source.columns.split": "split",
        "source.random": "null",
        "splits.ratios": "{train: 0.6, test: 0.4}",
        "pairs": "null",
    }
    typed = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return ["build", "production_music", *typed, "--out", out]


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_the_sound_tells_what_the_names_hide(tmp_path: Path, command: Command) -> None:
    folder, out = library(tmp_path / "music"), tmp_path / "out"
    hidden = command(*words(folder, out), "--only", "tags,splits")
    assert hidden.code == 0 and "shares" not in hidden.err
    hidden_splits = rows_of(out / "splits.parquet")
    ran = command(*words(folder, out), *FINGERPRINT)
    assert ran.code == 0, ran.err
    recordings = {row["track_id"]: row for row in rows_of(out / "recordings.parquet")}
    copies = {name.partition(".")[0] for name in COPIES}
    assert {recordings[name]["recording_id"] for name in copies} == {recordings["piece0"]["recording_id"]}
    assert len({row["recording_id"] for row in recordings.values()}) == 12
    assert {row["track_id"] for row in recordings.values() if row["partner"]} == copies | {"piece0"}
    for name in copies:
        assert recordings[name]["similarity"] > 0.85
        away = {"trimmed": 3.7}
        partner = recordings[name]["partner"]
        expected = away.get(name, 0) - away.get(partner, 0)
        assert recordings[name]["offset_s"] == pytest.approx(expected, abs=0.12)
    splits = rows_of(out / "splits.parquet")
    default = {row["track_id"]: row["split"] for row in splits if row["scheme"] == "default"}
    assert len({default[name] for name in copies | {"piece0"}}) == 1
    audit = {entry["scheme"]: entry["shared"] for entry in json.loads((out / "audit.json").read_text())["schemes"]}
    assert audit["default"]["recordings"]["count"] == 0
    assert audit["published"]["recordings"]["count"] == 1
    assert "the split 'published' shares 1 artists or recordings" in " ".join((ran.out + ran.err).split())
    leak = next(row for row in rows_of(out / "leaks.parquet") if row["kind"] == "recording")
    assert leak["splits"] == ["test", "train"] and leak["n_tracks"] == 5
    assert command("verify", out).code == 0
    assert "4 tracks repeat a recording" in (out / "report.html").read_text()
    assert "nothing to do" in command(*words(folder, out), *FINGERPRINT).out
    # Another dataset that has the piece by its name has what sounds like it, too.
    other = tmp_path / "other"
    assert command(*words(library(tmp_path / "few", 3, {}), other), "--only", "tags,splits").code == 0
    assert command("audit", out, "--against", other).code in (0, 1)
    by = {row["key"]: row["by"] for row in rows_of(out / "found_elsewhere.parquet") if row["kind"] == "track"}
    assert {by[name] for name in copies} == {"same_recording"}
    # The threshold changes who is one recording, and no fingerprint.
    strict = command(
        *words(folder, out), "--set", "features={fp: {kind: fingerprint, max_error: 0.0001}}", "--dry-run"
    )
    plan = [line.split()[:2] for line in strict.out.splitlines() if line.strip()]
    assert ["features.fp", "stands"] in plan and ["recordings", "make:"] in plan and ["splits", "make:"] in plan
    # Without the feature the split is what the names say, though the file may still lie there.
    assert command(*words(folder, out), "--only", "tags,splits").code == 0
    receipt = json.loads((out / "receipt.json").read_text())
    assert "recordings" not in receipt["stages"]
    assert rows_of(out / "splits.parquet") == hidden_splits


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{a: {kind: fingerprint}, b: {kind: fingerprint}}", "a, b are fingerprints"),
        ("{a: {kind: fingerprint, splits: [test]}}", "needed of all tracks"),
        ("{a: {kind: fingerprint, segments: {}}}", "span_s"),
        ("{a: {kind: fingerprint, max_error: 0.5}}", "features.a.max_error"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, command: Command, settings: str, said: str) -> None:
    (tmp_path / "captions.csv").write_text("track_id,artist,title,path,split,caption\n", "utf-8")
    ran = command(*words(tmp_path, tmp_path / "out"), "--set", f"features={settings}")
    assert ran.code == 2 and said in ran.err and "\n" not in ran.err.strip()
