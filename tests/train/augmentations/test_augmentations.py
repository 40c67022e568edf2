from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor

from schemas.errors import UsageError
from train.augmentations import KINDS, Chain, augmentation_settings
from train.augmentations.base import Augmentation
from train.augmentations.noise import white_noise

RATE, SAMPLES = 16_000, 32_768
PUBLISHED = {
    "polarity": 0.8,
    "noise": 0.01,
    "gain": 0.3,
    "filters": 0.8,
    "delay": 0.3,
    "pitch": 0.6,
    "reverb": 0.6,
}


def one(kind: str, **keys: Any) -> Augmentation:
    module = KINDS.module(kind)
    made: Augmentation = module.Augmentation(module.Settings(**keys), RATE)
    return made


def sines(*hertz: float, samples: int = SAMPLES) -> Tensor:
    at = torch.arange(samples, dtype=torch.float64) / RATE
    return torch.stack([0.5 * torch.sin(2 * math.pi * hz * at) for hz in hertz]).float()


def level_db(waves: Tensor, reference: Tensor) -> npt.NDArray[np.float64]:
    inner = slice(4096, -4096)
    power = (waves[:, inner].double() ** 2).mean(1) / (reference[:, inner].double() ** 2).mean(1)
    return np.asarray(10 * torch.log10(power))


def peak_hz(wave: Tensor) -> float:
    """The strongest frequency, between bins by a parabola through the logarithm."""
    inner = wave[4096:-4096].double().numpy()
    size = 8 * len(inner)
    power = np.log(np.abs(np.fft.rfft(inner * np.hanning(len(inner)), size)) + 1e-12)
    top = int(power.argmax())
    below, at, above = power[top - 1 : top + 2]
    return float((top + 0.5 * (below - above) / (below - 2 * at + above)) * RATE / size)


def music(rows: int, samples: int = SAMPLES) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(rows, samples, generator=generator).cumsum(1).sin()


def test_the_kinds_have_the_published_probabilities() -> None:
    assert {kind: KINDS.module(kind).Settings().probability for kind in KINDS.known()} == PUBLISHED


def test_polarity_is_the_sound_upside_down() -> None:
    waves = music(2)
    assert torch.equal(one("polarity").applied(waves, torch.empty(2, 0)), -waves)


def test_gain_is_even_in_decibels_within_its_bounds() -> None:
    waves = sines(440).expand(3, -1)
    made = one("gain").applied(waves, torch.tensor([[0.0], [0.5], [0.999999]]))
    assert level_db(made, waves) == pytest.approx([-20, -10.5, -1], abs=1e-3)


def test_noise_is_white_gaussian_and_40_to_80_decibels_below_the_sound() -> None:
    waves = sines(440).expand(3, -1)
    made = one("noise").applied(waves, torch.tensor([[0.0, 0.1], [0.5, 0.2], [0.999999, 0.3]]))
    level = level_db(made - waves, waves)
    assert level == pytest.approx([-80, 20 * math.log10(0.5 * (1e-4 + 1e-2)), -40], abs=0.15)
    noise = white_noise(torch.tensor([7, 8]), 200_000).double()
    assert noise.mean(1).abs().max() < 0.01 and noise.std(1) == pytest.approx([1, 1], abs=0.01)
    assert (noise**4).mean(1).numpy() == pytest.approx([3, 3], abs=0.1)
    assert (noise**3).mean(1).abs().max() < 0.05
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean(1)
    assert neighbours.abs().max() < 0.01 and abs(float((noise[0] * noise[1]).mean())) < 0.01
    spectrum = np.abs(np.fft.rfft(noise[0].numpy())) ** 2
    bands = spectrum[1:].reshape(100, -1).mean(1)
    assert bands.max() / bands.min() < 1.4


@pytest.mark.parametrize(("pick", "edge"), [((0.0, 0.0), 200), ((0.0, 0.999), 1200), ((0.9, 0.0), 2200)])
def test_filters_keep_one_side_of_the_edge(pick: tuple[float, float], edge: float) -> None:
    waves = sines(edge / 4, edge / 2, edge, edge * 1.5, edge * 2, edge * 3)
    found = level_db(one("filters").applied(waves, torch.tensor([pick] * 6)), waves)
    if pick[0] < 0.5:
        found = found[::-1]
        assert found[-1] < -35 and found[-2] < -15
    else:
        assert (found[3:] < [-25, -40, -40]).all()
    assert found[:2] == pytest.approx([0, 0], abs=0.5)
    # At its edge a windowed sinc leaves half the amplitude.
    middle = found[2] if pick[0] >= 0.5 else found[3]
    assert middle == pytest.approx(-6, abs=0.5)


def test_filters_are_those_of_a_direct_convolution() -> None:
    waves = music(1, 4096)
    edge, rate = 0.5 * (200 + 1200), RATE
    half = int(8 / (edge / rate) / 2)
    at = np.arange(-half, half + 1)
    kernel = (0.5 + 0.5 * np.cos(np.pi * at / half)) * np.sinc(2 * edge / rate * at)
    held = np.pad(waves[0].double().numpy(), half, mode="edge")
    low = np.convolve(held, kernel / kernel.sum(), mode="valid")
    made = one("filters").applied(waves, torch.tensor([[0.1, 0.5]]))[0]
    np.testing.assert_allclose(made.numpy(), waves[0].numpy() - low, atol=2e-6)


def test_delay_adds_one_echo_at_its_place_half_as_loud() -> None:
    waves = torch.zeros(3, SAMPLES)
    waves[:, 100] = 1.0
    made = one("delay").applied(waves, torch.tensor([[0.0], [0.5], [0.999999]]))
    for row, milliseconds in zip(made, (200, 350, 450), strict=True):
        there = {100: 0.5, 100 + milliseconds * RATE // 1000: 0.25}
        assert {int(place): float(row[place]) for place in row.nonzero().squeeze(1)} == there


@pytest.mark.parametrize("hertz", [110.0, 440.0, 1000.0, 2500.0])
def test_pitch_moves_a_sine_by_its_cents_and_keeps_its_level_and_length(hertz: float) -> None:
    numbers = torch.tensor([[0.0], [0.25], [0.5], [0.75], [0.999999]])
    waves = sines(hertz).expand(5, -1)
    made = one("pitch").applied(waves, numbers)
    assert made.shape == waves.shape
    for row, number in zip(made, numbers, strict=True):
        cents = math.floor(float(number) * 1401) - 700
        assert 1200 * math.log2(peak_hz(row) / hertz) == pytest.approx(cents, abs=2)
    assert level_db(made, waves) == pytest.approx([0] * 5, abs=0.6)


def test_pitch_keeps_the_tempo_and_folds_nothing_back() -> None:
    beat = ((torch.arange(SAMPLES) % 4000) < 1600).float()
    waves = (sines(330) * beat).expand(3, -1)
    made = one("pitch").applied(waves, torch.tensor([[0.0], [0.3], [0.999999]]))
    played, loud = (sound.abs().unfold(1, 160, 160).amax(2).numpy() for sound in (waves, made))
    lags = np.arange(-12, 13)
    for row in loud:
        for part in (slice(20, 90), slice(110, 180)):  # no drift: later beats come when early ones do
            fits = [np.corrcoef(row[part], np.roll(played[0], lag)[part])[0, 1] for lag in lags]
            assert max(fits) > 0.7 and abs(lags[int(np.argmax(fits))]) <= 4  # 40 ms, half a segment
    high = sines(7500)
    assert level_db(one("pitch").applied(high, torch.tensor([[0.999999]])), high)[0] < -40


def test_no_pitch_is_the_sound_itself() -> None:
    waves = music(1)
    made = one("pitch", lowest_cents=0, highest_cents=0).applied(waves, torch.zeros(1, 1))
    np.testing.assert_allclose(made[0, 2000:-2000], waves[0, 2000:-2000], atol=1e-4)


def test_reverb_is_freeverb_sample_by_sample() -> None:
    percent = (87, 34, 61)
    waves = torch.zeros(2, SAMPLES)
    waves[0, 0] = waves[1, 9000] = 1.0
    numbers = (torch.tensor([percent, percent]) + 0.5) / 100
    made = one("reverb").applied(waves, numbers).double().numpy()
    room = freeverb(*percent, SAMPLES)
    np.testing.assert_allclose(made[0, 1:], room[1:], atol=2e-6)
    np.testing.assert_allclose(made[1, 9001:], room[1 : SAMPLES - 9000], atol=2e-6)
    assert np.abs(made[1, :9000]).max() < 1e-6 and made[0, 0] == pytest.approx(1, abs=1e-5)


def freeverb(reverberance: float, damping: float, room: float, samples: int) -> npt.NDArray[np.float64]:
    """The wet sound of an impulse, by the recursions in time."""
    a = -1 / math.log(1 - 0.3)
    b = 100 / (math.log(1 - 0.98) * a + 1)
    feedback, kept = 1 - math.exp((reverberance - b) / (a * b)), damping / 100 * 0.3 + 0.2
    scale = (room / 100 * 0.9 + 0.1) * RATE / 44_100
    out = np.zeros(samples)
    for published in (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617):
        line, place, store = np.zeros(int(scale * published + 0.5)), 0, 0.0
        for n in range(samples):
            late = line[place]
            store = late + (store - late) * kept
            line[place] = (n == 0) + store * feedback
            out[n] += late
            place = (place + 1) % len(line)
    for published in (225, 341, 441, 556):
        lag = int(published * RATE / 44_100 + 0.5)
        top, bottom = np.zeros(lag + 1), np.zeros(lag + 1)
        top[0], top[lag], bottom[0], bottom[lag] = -1, 1.5, 1, -0.5
        out = lfilter(top, bottom, out)
    return out * 0.015


def published_chain() -> Chain:
    return Chain([augmentation_settings({"kind": kind}, "test").model_dump() for kind in PUBLISHED], RATE)


def test_a_view_follows_from_seed_epoch_track_and_number_and_from_nothing_else() -> None:
    chain, waves = published_chain(), music(6)
    keys = [("a", 0, 0, 0), ("a", 0, 0, 1), ("a", 0, 1, 0), ("a", 1, 0, 0), ("b", 0, 0, 0), ("c", 9, 9, 1)]
    rows = [chain.numbers(track, seed=seed, epoch=epoch, view=view) for track, seed, epoch, view in keys]
    assert len({row.tobytes() for row in rows}) == len(rows)
    torch.manual_seed(1)
    np.random.seed(1)
    whole = chain.applied(waves, torch.from_numpy(np.stack(rows)))
    torch.manual_seed(2)
    again = [
        chain.applied(
            waves[n : n + 1], torch.from_numpy(published_chain().numbers(t, seed=s, epoch=e, view=v)[None])
        )
        for n, (t, s, e, v) in enumerate(keys)
    ]
    assert torch.equal(whole, chain.applied(waves, torch.from_numpy(np.stack(rows))))
    np.testing.assert_allclose(whole, torch.cat(again), atol=1e-5)
    assert torch.isfinite(whole).all() and not torch.equal(whole, waves)


def test_each_augmentation_comes_as_often_as_its_probability_says() -> None:
    chain = published_chain()
    rows = np.stack([chain.numbers(f"t{n}", seed=3, epoch=0, view=n % 2) for n in range(3000)])
    place = 0
    for kind, probability in PUBLISHED.items():
        share = float((rows[:, place] < probability).mean())
        assert share == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / 3000) + 1e-9)
        place += 1 + one(kind).NUMBERS
    assert place == chain.width == rows.shape[1]


def test_int16_is_not_full_scale_and_silence_stays_silence() -> None:
    chain = published_chain()
    numbers = torch.from_numpy(np.stack([chain.numbers(f"t{n}", seed=0, epoch=0, view=0) for n in range(8)]))
    assert float(chain.applied(torch.zeros(8, SAMPLES), numbers).abs().max()) == 0


def test_an_unknown_augmentation_or_key_is_named() -> None:
    with pytest.raises(UsageError, match=r"augmentations.kind: no augmentation 'revreb'; did you mean 'reverb'"):
        augmentation_settings({"kind": "revreb"}, "r.yaml")
    with pytest.raises(UsageError, match=r"augmentations.lowest: unknown key"):
        augmentation_settings({"kind": "gain", "lowest": 1}, "r.yaml")
