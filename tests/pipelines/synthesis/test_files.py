from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import mutagen
import numpy as np
import pytest
import soundfile as sf

from pipelines.synthesis import SAMPLE_RATE, Corpus, DemoTrack, encode, render

DIGESTS = """
import hashlib, pipelines.synthesis as s
corpus = s.compose(artists=6, tracks=12, seed=3)
print(corpus)
for track in corpus.tracks[:6]:
    print(hashlib.sha256(s.encode(track)).hexdigest())
"""


def _defect(corpus: Corpus, name: str) -> DemoTrack:
    return next(track for track in corpus.tracks if track.defect == name)


def test_bytes_do_not_depend_on_process_hash_seed_or_thread(small: Corpus) -> None:
    def in_a_process(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", DIGESTS], env=environment, capture_output=True, text=True, check=True
        )
        return run.stdout

    with ThreadPoolExecutor(3) as pool:
        # Backwards, so that the notes that are kept were first made for other tracks.
        files = list(pool.map(encode, small.tracks[5::-1]))[::-1]
    here = "\n".join([repr(small), *(hashlib.sha256(data).hexdigest() for data in files)])
    assert len(files) == 6
    assert in_a_process("1").strip() == here
    assert in_a_process("2").strip() == here


def test_a_file_is_what_its_path_says(small: Corpus) -> None:
    seen = set()
    for track in small.tracks:
        if track.defect not in (None, "duplicate"):
            continue
        data = encode(track)
        with sf.SoundFile(io.BytesIO(data)) as file:
            assert f".{file.format.lower()}" == PurePosixPath(track.path).suffix
            assert (file.samplerate, file.channels) == (SAMPLE_RATE, 1)
            sound = file.read(dtype="float32")
        assert len(sound) / SAMPLE_RATE == pytest.approx(track.duration_s, abs=0.1)
        assert len(data) < 1_300_000
        seen.add(PurePosixPath(track.path).suffix)
    assert seen == {".flac", ".mp3"}


def test_a_flac_holds_the_rendered_sound(small: Corpus) -> None:
    track = next(track for track in small.tracks if track.path.endswith(".flac") and not track.defect)
    sound, _ = sf.read(io.BytesIO(encode(track)), dtype="float32")
    np.testing.assert_allclose(sound, render(track), atol=1.01 / 2**12)


def test_an_mp3_holds_the_rendered_sound(small: Corpus) -> None:
    track = next(track for track in small.tracks if track.path.endswith(".mp3") and not track.defect)
    sound, _ = sf.read(io.BytesIO(encode(track)), dtype="float32")
    rendered = render(track)
    n = min(len(sound), len(rendered))
    assert np.corrcoef(sound[:n], rendered[:n])[0, 1] > 0.98


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_a_file_carries_its_metadata(small: Corpus, suffix: str) -> None:
    track = next(track for track in small.tracks if track.path.endswith(suffix) and not track.defect)
    tags = mutagen.File(io.BytesIO(encode(track)), easy=True)
    assert tags["title"] == [track.title]
    assert tags["artist"] == [track.artist_name]
    assert tags["album"] == [track.album]
    assert tags["date"] == [str(track.year)]
    assert tags["genre"] == [tag for tag, _ in track.raw_tags]


def test_the_truncated_file_ends_early(corpus: Corpus, small: Corpus) -> None:
    for track in (_defect(corpus, "truncated"), _defect(small, "truncated")):
        assert track.path.endswith(".flac")
        data = encode(track)
        with sf.SoundFile(io.BytesIO(data)) as file:
            stated = file.frames
            assert stated == round(track.duration_s * SAMPLE_RATE)
            try:
                found = len(file.read())
            except sf.LibsndfileError:
                found = 0
        assert found < 0.9 * stated


def test_the_silent_file_is_zero(small: Corpus) -> None:
    track = _defect(small, "silent")
    sound, _ = sf.read(io.BytesIO(encode(track)))
    assert len(sound) > 19 * SAMPLE_RATE
    assert np.abs(sound).max() < 1e-6
    assert not render(track).any()


def test_the_short_file_is_short_and_sounds(corpus: Corpus, small: Corpus) -> None:
    for track in (_defect(corpus, "too_short"), _defect(small, "too_short")):
        sound, rate = sf.read(io.BytesIO(encode(track)))
        assert 1.4 < len(sound) / rate < 1.7
        assert track.duration_s == 1.5
        assert np.abs(sound).max() > 0.3


def test_what_is_no_audio_cannot_be_opened(small: Corpus) -> None:
    track = _defect(small, "not_audio")
    assert track.path.endswith(".mp3")
    assert encode(track).decode()
    with pytest.raises(sf.LibsndfileError):
        sf.read(io.BytesIO(encode(track)))
    assert len(render(track)) == 0


def test_the_duplicate_decodes_to_the_same_samples(corpus: Corpus, small: Corpus) -> None:
    for tracks in (corpus.tracks, small.tracks):
        copy = next(track for track in tracks if track.defect == "duplicate")
        original = next(track for track in tracks if track.score == copy.score)
        first, second = encode(original), encode(copy)
        assert first != second
        np.testing.assert_array_equal(sf.read(io.BytesIO(first))[0], sf.read(io.BytesIO(second))[0])
