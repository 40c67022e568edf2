"""What the score says is heard: measured on the sound, not on the notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import find_peaks

from pipelines.synthesis import SAMPLE_RATE, Corpus, Score, render
from pipelines.synthesis.accompaniment import BASS_STYLES, COMP_STYLES
from pipelines.synthesis.genres import GENRES
from pipelines.synthesis.mix import perform
from pipelines.synthesis.percussion import DRUMS, PATTERNS, stroke
from pipelines.synthesis.timbres import TIMBRES, frequency_of, tone

Signal = NDArray[np.float64]
Sound = NDArray[np.float32]
Flux = Callable[[Sound, float], Signal]
ALL_HZ = 10_000.0
Spectrum = Callable[[Sound], tuple[Signal, Signal]]


def _centroid(spectrum: Spectrum, sound: Sound) -> float:
    hz, power = spectrum(sound)
    return float((hz * np.sqrt(power)).sum() / np.sqrt(power).sum())


def _above(spectrum: Spectrum, sound: Sound, edge_hz: float) -> float:
    hz, power = spectrum(sound)
    return float(power[hz > edge_hz].sum() / power.sum())


def _onsets_per_second(flux: Flux, sound: Sound) -> float:
    rise = flux(sound, ALL_HZ)
    peaks, _ = find_peaks(rise, height=0.15 * rise.max(), distance=5)
    return len(peaks) / (len(sound) / SAMPLE_RATE)


def _recurrence(rise: Signal, seconds: float) -> float:
    """Autocorrelation of the flux at a lag, the best within 20 ms."""
    centred = rise - rise.mean()
    lags = range(round(seconds * 100) - 2, round(seconds * 100) + 3)
    return max(float((centred[:-lag] * centred[lag:]).mean()) for lag in lags) / float(centred.var())


@pytest.mark.parametrize("timbre", sorted(TIMBRES))
@pytest.mark.parametrize("pitch", [40, 57, 74])
def test_a_tone_is_in_tune(timbre: str, pitch: int, spectrum: Spectrum) -> None:
    hz, power = spectrum(np.pad(tone(timbre, pitch, 1.5), (0, 6 * SAMPLE_RATE)))
    wanted = frequency_of(pitch)
    near = (hz > wanted * 0.96) & (hz < wanted * 1.04)
    found = np.average(hz[near], weights=power[near])
    assert abs(1200 * np.log2(found / wanted)) < 12
    assert power[near].max() > 0.01 * power.max()


@pytest.mark.parametrize("timbre", sorted(TIMBRES))
@pytest.mark.parametrize("seconds", [0.08, 0.3, 1.7, 9.0])
def test_a_tone_begins_and_ends_without_a_click(timbre: str, seconds: float) -> None:
    sound = tone(timbre, 60, seconds)
    peak = np.abs(sound).max()
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert 0.1 < peak < 2
    assert abs(sound[0]) < 0.02 * peak
    assert np.abs(sound[-3:]).max() < 0.02 * peak


def test_a_tone_may_be_changed_by_its_taker() -> None:
    first = tone("piano", 60, 0.5)
    kept = first.copy()
    first *= 0
    np.testing.assert_array_equal(tone("piano", 60, 0.5), kept)


@pytest.mark.parametrize("drum", sorted(DRUMS))
def test_a_stroke_dies_away(drum: str) -> None:
    sound = stroke(drum)
    assert np.abs(sound).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(sound[-3:]).max() < 0.02
    half = len(sound) // 2
    assert np.square(sound[:half]).sum() > np.square(sound[half:]).sum()


@pytest.mark.parametrize("lead", ["piano", "flute", "violin", "bells", "synthesizer", "electric guitar"])
def test_bright_lies_above_deep(score: Score, lead: str, spectrum: Spectrum) -> None:
    low, middle, high = (
        _centroid(spectrum, perform(replace(score, lead=lead, register=register))) for register in (-1, 0, 1)
    )
    assert low < middle < high


def test_tone_tilts_the_spectrum(score: Score, spectrum: Spectrum) -> None:
    dull, plain, brilliant = (
        _centroid(spectrum, perform(replace(score, tone=tone_))) for tone_ in (-1.0, 0.0, 1.0)
    )
    assert dull < plain < brilliant


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("root", [45, 50, 56])
def test_the_mode_is_the_third_that_sounds(score: Score, mode: str, root: int, spectrum: Spectrum) -> None:
    hz, power = spectrum(perform(replace(score, mode=mode, root=root, progression=(0,), lead="flute")))

    def energy(pitch: int) -> float:
        octaves = [frequency_of(pitch + 12 * octave) for octave in range(3)]
        return float(sum(power[np.abs(1200 * np.log2((hz + 1e-9) / f)) < 30].sum() for f in octaves))

    thirds = {"minor": energy(root + 3), "major": energy(root + 4)}
    assert max(thirds, key=lambda name: thirds[name]) == mode


@pytest.mark.parametrize("bpm", [84.0, 128.0, 160.0])
def test_four_on_the_floor_keeps_its_tempo(score: Score, bpm: float, flux: Flux) -> None:
    rise = flux(perform(replace(score, pattern="four on the floor", bpm=bpm, comp=None, density=0.0)), ALL_HZ)
    on_beat = _recurrence(rise, 60 / bpm)
    assert on_beat > 0.5
    assert on_beat > _recurrence(rise, 60 / bpm * 1.15) + 0.3
    assert on_beat > _recurrence(rise, 60 / bpm * 0.87) + 0.3


@pytest.mark.parametrize("bpm", [100.0, 150.0])
def test_a_waltz_is_in_three(score: Score, bpm: float, flux: Flux) -> None:
    waltz = replace(score, genre="waltz", bpm=bpm, beats_per_bar=3, comp="piano", comp_style="oompah", seconds=20.0)

    def metre(piece: Score) -> int:
        # The bass falls on the first beat of each bar, the chords on the others.
        rise = flux(perform(piece), 170.0)
        strength = {beats: _recurrence(rise, beats * 60 / bpm) for beats in (2, 3, 4, 5)}
        return max(strength, key=lambda beats: strength[beats])

    assert metre(waltz) == 3
    assert metre(replace(waltz, beats_per_bar=4)) == 4


def test_fast_and_dense_has_more_onsets_than_slow_and_minimal(score: Score, flux: Flux) -> None:
    for genre in ("classical", "folk"):
        few = _onsets_per_second(flux, perform(replace(score, genre=genre, bpm=60.0, density=0.05)))
        many = _onsets_per_second(flux, perform(replace(score, genre=genre, bpm=150.0, density=0.95)))
        assert many > 2 * few


def test_drums_fill_the_top_of_the_spectrum(score: Score, spectrum: Spectrum) -> None:
    quiet = replace(score, lead="harp")
    assert _above(spectrum, perform(replace(quiet, pattern="rock")), 6500) > 10 * _above(
        spectrum, perform(quiet), 6500
    )


def test_echo_fills_the_rests(score: Score) -> None:
    sparse = replace(score, density=0.0, comp=None, lead="marimba", bpm=60.0)

    def quiet_frames(sound: Sound) -> float:
        level = np.sqrt(np.square(sound[: len(sound) // 441 * 441].reshape(-1, 441)).mean(axis=1))
        return float((level < 0.01).mean())

    assert quiet_frames(perform(replace(sparse, echo=0.8))) < 0.7 * quiet_frames(perform(sparse))


def test_lofi_is_narrow(score: Score, spectrum: Spectrum) -> None:
    loud = replace(score, pattern="rock", lead="violin")
    worn = perform(replace(loud, lofi=True))
    assert _above(spectrum, worn, 5000) < 0.3 * _above(spectrum, perform(loud), 5000)


@pytest.mark.parametrize("peak_db", [-6.0, -3.0, -1.0])
def test_the_loudest_sample_is_at_the_level_asked_for(score: Score, peak_db: float) -> None:
    sound = perform(replace(score, peak_db=peak_db, pattern="double kick"))
    assert 20 * np.log10(np.abs(sound).max()) == pytest.approx(peak_db, abs=0.01)


def test_the_sound_depends_on_the_score_alone(corpus: Corpus) -> None:
    track = corpus.tracks[7]
    renamed = replace(track, track_id="other", title="Other", artist_name="Others", path="x.flac", raw_tags=())
    np.testing.assert_array_equal(render(track), render(renamed))
    assert not np.array_equal(render(track), perform(replace(track.score, seed=track.score.seed + 1)))


def test_no_track_falls_silent(corpus: Corpus) -> None:
    for track in corpus.tracks[:480:24]:
        sound = render(track)
        assert len(sound) == round(track.duration_s * SAMPLE_RATE)
        assert 0.45 < np.abs(sound).max() < 0.9
        body = sound[: -2 * SAMPLE_RATE]
        windows = body[: len(body) // (3 * SAMPLE_RATE) * 3 * SAMPLE_RATE].reshape(-1, 3 * SAMPLE_RATE)
        assert np.sqrt(np.square(windows).mean(axis=1)).min() > 0.005


@pytest.mark.parametrize("name", sorted(GENRES))
def test_a_recipe_names_only_what_there_is(name: str) -> None:
    genre = GENRES[name]
    assert set(genre.leads) <= set(TIMBRES)
    assert {comp for comp in genre.comps if comp} <= set(TIMBRES)
    assert set(genre.styles) <= set(COMP_STYLES)
    assert {bass for bass in genre.basses if bass} <= set(BASS_STYLES)
    assert {pattern for pattern in genre.patterns if pattern} <= set(PATTERNS)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_fills_whole_bars_of_known_drums(name: str) -> None:
    lengths = {len(line) for _, line, _ in PATTERNS[name]}
    assert lengths == {12 if name.endswith("in three") else 16}
    assert {drum for drum, _, _ in PATTERNS[name]} <= set(DRUMS)
