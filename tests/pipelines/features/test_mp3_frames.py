"""MP3 files that do not say how long they are: encoded here, with and without the header that says it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.features.decode import Window, decode
from pipelines.features.mp3_frames import has_unstated_varying_rate
from schemas.store import Store

RATE, SECONDS = 44_100, 40


def encode(path: Path, *, header: bool, varying: bool) -> None:
    """A still tone, then noise: what varies in bit rate varies much."""
    times = np.arange(RATE * SECONDS) / RATE
    noise = np.random.default_rng(0).standard_normal(len(times))
    sound = 0.3 * np.where(times < 20, np.sin(2 * np.pi * 440 * times), noise)
    options = {"write_xing": "1" if header else "0"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        if varying:
            stream.codec_context.qscale = True
            stream.codec_context.global_quality = 4 * 118
        else:
            stream.bit_rate = 128_000
        for start in range(0, len(sound), 1152):
            part = sound[None, start : start + 1152].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.rate = RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("header", "varying", "unstated"), [(True, True, False), (False, False, False), (False, True, True)]
)
def test_whether_the_length_is_stated_it_is_found(
    header: bool, varying: bool, unstated: bool, tmp_path: Path
) -> None:
    encode(tmp_path / "a.mp3", header=header, varying=varying)
    with (tmp_path / "a.mp3").open("rb") as stream:
        assert has_unstated_varying_rate(stream) is unstated
        assert stream.tell() == 0
    samples, start_s = decode(Store(str(tmp_path)), "a.mp3", Window(None), 16_000)
    assert start_s == 0 and len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.2)
    # The middle is where tone turns into noise, whatever the first frame's rate would make of the length.
    middle, start_s = decode(Store(str(tmp_path)), "a.mp3", Window(10.0), 16_000)
    assert start_s == pytest.approx(15, abs=0.1) and len(middle) == pytest.approx(160_000, abs=2)
    # Of a tone one bin holds nearly all of a part's power, of noise none does.
    spectra = [np.abs(np.fft.rfft(part)) ** 2 for part in np.array_split(middle, 10)]
    purity = [float(spectrum.max() / spectrum.sum()) for spectrum in spectra]
    assert min(purity[:4]) > 0.9 and max(purity[6:]) < 0.01


@pytest.mark.parametrize("content", [b"", b"ID3", b"RIFF" + bytes(500), bytes(5000), b"\xff" * 5000])
def test_what_is_no_mp3_has_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with (tmp_path / "x").open("rb") as stream:
        assert not has_unstated_varying_rate(stream)
