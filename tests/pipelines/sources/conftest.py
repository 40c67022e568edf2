from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.sources.base import SourceContext
from schemas.store import Store

RATE = 16_000


def sound(seconds: float, pitch: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def encode_m4a(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        resampler: Any = av.AudioResampler("fltp", "mono", RATE, frame_size=1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@pytest.fixture(scope="session")
def play() -> Callable[..., Path]:
    """Write a tone in the format that the name says, with no tags."""

    def write(path: Path, seconds: float = 0.6, pitch: float = 440.0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = sound(seconds, pitch)
        match path.suffix.lower():
            case ".m4a":
                encode_m4a(path, samples)
            case ".opus":
                soundfile.write(path, samples, RATE, format="OGG", subtype="OPUS")
            case ".oga":
                soundfile.write(path, samples, RATE, format="OGG", subtype="VORBIS")
            case _:
                soundfile.write(path, samples, RATE, format=path.suffix[1:].upper())
        return path

    return write


@pytest.fixture
def context(tmp_path: Path) -> SourceContext:
    """A source's context with a dataset directory of its own."""
    return SourceContext(Store(str(tmp_path / "out")), None, Engine(), Reporter(quiet=True))


@dataclass(frozen=True)
class Audited:
    """A dataset that was built and audited through the command line."""

    out: Path
    schemes: dict[str, Any]
    said: str
    strict: int
    error: str

    def shared(self, scheme: str, what: str) -> int:
        """How many artists or recordings a scheme shares between its splits."""
        return int(self.schemes[scheme]["shared"][what]["count"])

    def sizes(self, scheme: str) -> dict[str, int]:
        """How many tracks each split of a scheme has."""
        return {name: split["tracks"] for name, split in self.schemes[scheme]["splits"].items()}

    def table(self, name: str) -> list[dict[str, Any]]:
        """A table's rows, as any reader of Parquet has them."""
        rows: list[dict[str, Any]] = pq.read_table(self.out / f"{name}.parquet").to_pylist()
        return rows


@pytest.fixture
def audited(command: Callable[..., Any], tmp_path: Path) -> Callable[..., Audited]:
    """Build tags and splits by a shipped manifest from a folder of published files, and audit what came out."""

    def run(manifest: str, files: Path, *settings: str) -> Audited:
        out = tmp_path / "built"
        given = [word for setting in (f"source.path={files}", *settings) for word in ("--set", setting)]
        built = command("build", manifest, "--out", out, "--only", "tags,splits", "--workers", "1", *given)
        assert built.code == 0, built.err
        strict = command("audit", out, "--strict")
        content = json.loads((out / "audit.json").read_text("utf-8"))
        schemes = {entry["scheme"]: entry for entry in content["schemes"]}
        return Audited(out, schemes, built.out + built.err, strict.code, strict.err)

    return run


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder
