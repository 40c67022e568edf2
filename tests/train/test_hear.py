"""A model that is given files hears what the shards hold."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

import train
from pipelines import cli as pipelines_cli
from pipelines.features.base import feature_of
from pipelines.features.media import MediaRef
from schemas.errors import DataError, UsageError
from schemas.manifest import FeatureSection
from schemas.store import Store
from schemas.tables import TRACKS
from train import cli
from train.data.dataset import Dataset
from train.evaluate.embed import Embedder
from train.hear import Ear
from train.run import Run

RATE = 16_000


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> npt.NDArray[np.float32]:
    """A tone and some noise."""
    at = np.arange(int(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * 110 * (1 + seed) * at)
    return (tone + 0.05 * np.random.default_rng(seed).normal(size=len(at))).astype(np.float32)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound files of several lengths, rates and channels, one artist each."""
    root = tmp_path_factory.mktemp("music")
    for number in range(12):
        rate = (RATE, 44_100)[number % 2]
        sound = noise((3.2, 4.45, 31.0)[number % 3], rate, number)
        folder = root / f"artist{number:02d}"
        folder.mkdir()
        channels = np.stack([sound, 0.5 * sound], axis=1) if number % 4 == 0 else sound
        soundfile.write(folder / f"song {number:02d}.flac", channels, rate, subtype="PCM_16")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, music: Path, small: tuple[str, ...]) -> tuple[Path, Path]:
    """A dataset that the pipelines built of the files, and a run trained on it."""
    root = tmp_path_factory.mktemp("heard")
    pipelines_cli.build("folder", str(root / "data"), settings=[f"source.path={music}"])
    settings = [*small, "training.epochs=1", "training.batch_size=4"]
    cli.train("demo", str(root / "data"), str(root / "run"), settings=settings)
    return root / "data", root / "run"


def test_files_give_the_embeddings_of_their_shards(music: Path, run: tuple[Path, Path], tmp_path: Path) -> None:
    data, trained = run
    cli.export(str(trained), str(tmp_path / "model"))
    model = train.load(tmp_path / "model")
    dataset = Dataset(str(data))
    rows = dataset.read(TRACKS, ["track_id", "audio_uri"])
    files = dict(zip(rows["track_id"], rows["audio_uri"], strict=True))
    reader = dataset.reader("ttmr")
    tracks = list(reader.clips)
    assert len(tracks) == 12
    ear = Ear("ttmr", model.feature_spec)
    for track in tracks:
        (clip,) = ear.of_file(music / files[track])
        assert np.array_equal(clip, reader.clip(reader.clips[track][0])), track
    expected = Embedder(Run.at(str(trained))).tracks(reader, tracks)
    found = model.embed_audio([music / files[track] for track in tracks])
    assert np.allclose(found, expected, atol=1e-5)
    assert not np.allclose(found[:1], found[1:2], atol=1e-4)
    samples, rate = soundfile.read(music / files[tracks[0]], dtype="float32")
    for given in (samples, samples.astype(np.float64)):
        assert np.allclose(model.embed_audio(given, rate=rate), expected[:1], atol=1e-5)
    link = tmp_path / "link.flac"
    link.symlink_to(music / files[tracks[1]])
    assert np.allclose(model.embed_audio(str(link)), expected[1:2], atol=1e-5)


SECTIONS: list[dict[str, Any]] = [
    {"kind": "log_mel", "preset": "mulap"},
    {
        "kind": "log_mel",
        "preset": "custom",
        "mel": {"rate": 8000, "n_fft": 256, "hop": 128, "mels": 20, "scale": "ln", "dtype": "float32"},
        "segments": {"segment_s": 1.5},
        "min_s": 0.5,
    },
    {"kind": "waveform", "segments": {"span_s": 4, "count": 2, "segment_s": 2}},
]


@pytest.mark.parametrize("content", SECTIONS, ids=lambda content: content.get("preset", content["kind"]))
def test_every_feature_of_sound_is_computed_as_its_specification_says(
    content: dict[str, Any], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(7.3), RATE, subtype="FLOAT")
    feature = feature_of("mine", FeatureSection.model_validate(content), "test")
    made = feature.spec()
    spec = json.loads(json.dumps({"dtype": made.dtype, "shape": list(made.shape), **made.settings}))
    feature.prepare()
    expected = feature.clips(Store(str(tmp_path)), MediaRef("a", "a.wav"))
    ear = Ear("mine", spec)
    for clips in (ear.of_file(tmp_path / "a.wav"), ear.of_samples(noise(7.3), RATE)):
        assert len(clips) == len(expected) > 1
        for clip, wanted in zip(clips, expected, strict=True):
            assert clip.dtype == wanted.data.dtype and np.array_equal(clip, wanted.data)


def test_what_cannot_be_heard_is_said_with_the_way_out(
    run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train.load(run[1])

    def refused(sound: Any, kind: type[Exception], words: str, **more: Any) -> None:
        with pytest.raises(kind, match=words) as caught:
            model.embed_audio(sound, **more)
        assert len(str(caught.value).splitlines()) == 1

    refused(tmp_path / "no.wav", DataError, "no.wav: missing_file")
    soundfile.write(tmp_path / "short.wav", noise(0.5), RATE)
    refused(tmp_path / "short.wav", DataError, "short.wav: too_short: 0.50 s")
    (tmp_path / "text.mp3").write_text("words " * 99)
    refused(tmp_path / "text.mp3", DataError, "text.mp3: not_audio|text.mp3: decode_error")
    refused(np.zeros(RATE * 5), DataError, "the samples: silent", rate=RATE)
    refused(np.zeros((2, RATE * 5), np.float32), UsageError, r"\(samples, channels\)", rate=RATE)
    refused(np.zeros(RATE * 5, np.int16), UsageError, "give floats of full scale 1", rate=RATE)
    refused(noise(4), UsageError, "rate 0", rate=0)
    spec = dict(model.feature_spec)
    for changed, words in (
        ({"preset_version": 99}, "was computed with preset_version: 99, and this version of Tracklore computes it"),
        ({"kind": "log_cqt"}, "no feature 'log_cqt'"),
        ({"deform": {"kind": "white_noise"}}, "was deformed track by track"),
        ({"hop": "wide"}, "was computed with hop: wide"),
    ):
        with pytest.raises(UsageError, match=words):
            Ear("ttmr", {**spec, **changed})
    monkeypatch.setitem(sys.modules, "pipelines.features.base", None)  # as an import that fails leaves it
    with pytest.raises(UsageError, match=r"pip install 'tracklore\[features\]', or give the feature's own arrays"):
        Ear("ttmr", spec)
