"""Music videos of the demo's pieces: shots of who plays, moving as the notes come, among things that mean nothing.

Each instrument has a colour and a shape of its own. A shot shows the lead or the accompaniment, larger at every
note; a bar along the lower edge flickers with the drums. Grey grounds, camera moves, cuts and small coloured discs
are drawn at random and tell nothing of the music. Everything is a pure function of the score and a seed.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pipelines.synthesis.arrange import arrange
from pipelines.synthesis.corpus import Corpus, compose
from pipelines.synthesis.lore import INSTRUMENT_OF, INSTRUMENTS
from pipelines.synthesis.mix import perform
from pipelines.synthesis.score import SAMPLE_RATE, Score
from pipelines.synthesis.videos import Frame, write_video

FPS, WIDTH, HEIGHT = 10, 128, 72
LEAD_SHARE = 0.6
_SHORTEST_S, _LONGEST_S = 2.0, 5.0
_PULSE_S = 0.18
_DISCS = 3


@dataclass(frozen=True)
class _Shot:
    """What is shown from `start_s` on; the last numbers decide the ground, the camera and the discs."""

    start_s: float
    instrument: str
    ground: Frame
    path: npt.NDArray[np.float64]
    discs: npt.NDArray[np.float64]


def compose_videos(artists: int, tracks: int, seed: int, seconds: float) -> Corpus:
    """The demo's corpus, as `compose` gives it but for its broken files, every piece `seconds` long."""
    corpus = compose(artists, tracks, seed)
    whole = (track for track in corpus.tracks if track.defect is None)
    cut = (replace(t, score=replace(t.score, seconds=seconds), duration_s=seconds) for t in whole)
    return Corpus(tuple(cut))


def film(score: Score, seed: int, path: Path | str | BinaryIO) -> None:
    """Play a score and film it: an MP4 with lossless sound."""
    write_video(
        path,
        pictures=pictures(score, seed),
        size=(WIDTH, HEIGHT),
        fps=FPS,
        samples=perform(score),
        rate=SAMPLE_RATE,
    )


def shown(score: Score) -> list[str]:
    """The instruments that a video may show, the lead's first."""
    timbres = [score.lead] if score.comp is None else [score.lead, score.comp]
    return list(dict.fromkeys(INSTRUMENT_OF.get(timbre, timbre) for timbre in timbres))


def pictures(score: Score, seed: int) -> Iterator[Frame]:
    """Every frame, uint8 (HEIGHT, WIDTH, 3)."""
    notes, hits = arrange(score)
    onsets = {
        name: np.array([n.onset for n in notes if INSTRUMENT_OF.get(n.timbre, n.timbre) == name])
        for name in shown(score)
    }
    beats = np.array([hit.onset for hit in hits])
    shots = _shots(score, seed)
    place = 0
    for number in range(round(score.seconds * FPS)):
        at = number / FPS
        while place + 1 < len(shots) and shots[place + 1].start_s <= at:
            place += 1
        shot = shots[place]
        made = _drawn(shot, at, _pulse(onsets[shot.instrument], at))
        if len(beats):
            made[HEIGHT - 5 :] = round(40 + 200 * _pulse(beats, at))
        yield made


def _shots(score: Score, seed: int) -> list[_Shot]:
    rng = np.random.default_rng([seed, 7])
    playing = shown(score)
    found = []
    at = 0.0
    while at < score.seconds - 1.0:
        lead = len(playing) == 1 or rng.random() < LEAD_SHARE
        found.append(_shot(at, playing[0] if lead else playing[1], rng))
        at = round((at + float(rng.uniform(_SHORTEST_S, _LONGEST_S))) * FPS) / FPS
    return found


def _shot(at: float, instrument: str, rng: np.random.Generator) -> _Shot:
    grid = np.clip(rng.uniform(40, 180) + rng.normal(0, 40, (4, 6)), 10, 230)
    height, width = round(HEIGHT * 1.4), round(WIDTH * 1.4)
    rows = np.linspace(0, 3, height)[:, None]
    columns = np.linspace(0, 5, width)[None, :]
    low, left = np.minimum(rows.astype(int), 2), np.minimum(columns.astype(int), 4)
    down, right = rows - low, columns - left
    level = (grid[low, left] * (1 - right) + grid[low, left + 1] * right) * (1 - down)
    level += (grid[low + 1, left] * (1 - right) + grid[low + 1, left + 1] * right) * down
    level += rng.normal(0, 4, level.shape)
    ground = np.repeat(np.clip(level, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    path = np.concatenate([rng.uniform(0, 6.28, 4), rng.uniform(0.3, 0.9, 4)])
    discs = np.column_stack(
        [rng.uniform(0, 6.28, (_DISCS, 2)), rng.uniform(0.4, 1.2, (_DISCS, 2)), rng.uniform(4, 8, _DISCS)]
    )
    hues = rng.random(_DISCS)
    colours = [tuple(255 * part for part in colorsys.hsv_to_rgb(hue, 0.9, 0.9)) for hue in hues]
    return _Shot(at, instrument, ground, path, np.column_stack([discs, np.array(colours)]))


def _pulse(onsets: npt.NDArray[np.float64], at: float) -> float:
    """1 at a note, falling until the next."""
    before = onsets[onsets <= at + 1e-6]
    return float(np.exp(-(at - before.max()) / _PULSE_S)) if len(before) else 0.0


def _drawn(shot: _Shot, at: float, pulse: float) -> Frame:
    ground, path = shot.ground, shot.path
    spare = np.array([ground.shape[0] - HEIGHT, ground.shape[1] - WIDTH])
    top, left = (spare * (0.5 + 0.5 * np.sin(path[:2] + path[4:6] * at))).astype(int)
    made = ground[top : top + HEIGHT, left : left + WIDTH].copy()
    for y0, x0, vy, vx, radius, *colour in shot.discs:
        _fill(made, "disc", (0.5 + 0.5 * np.sin(y0 + vy * at), 0.5 + 0.5 * np.sin(x0 + vx * at)), radius, colour)
    number = INSTRUMENTS.index(shot.instrument)
    colour = [255 * part for part in colorsys.hsv_to_rgb(number / len(INSTRUMENTS), 0.85, 0.65 + 0.35 * pulse)]
    where = (0.5 + 0.2 * np.sin(path[2] + path[6] * at), 0.5 + 0.3 * np.sin(path[3] + path[7] * at))
    _fill(made, _SHAPES[number % len(_SHAPES)], where, 15 * (1 + 0.4 * pulse), colour)
    return made


_SHAPES = ("disc", "square", "ring", "diamond", "cross")


def _fill(picture: Frame, shape: str, where: tuple[float, float], radius: float, colour: list[float]) -> None:
    y, x = where[0] * HEIGHT, where[1] * WIDTH
    rows = slice(max(0, int(y - radius)), min(HEIGHT, int(y + radius) + 1))
    columns = slice(max(0, int(x - radius)), min(WIDTH, int(x + radius) + 1))
    dy = np.abs(np.arange(rows.start, rows.stop)[:, None] - y) / radius
    dx = np.abs(np.arange(columns.start, columns.stop)[None, :] - x) / radius
    away = dy * dy + dx * dx
    inside = {
        "disc": away < 1,
        "square": np.maximum(dy, dx) < 0.85,
        "ring": (away < 1) & (away > 0.35),
        "diamond": dy + dx < 1,
        "cross": np.minimum(dy, dx) < 0.33,
    }[shape]
    picture[rows, columns][inside] = np.array(colour).astype(np.uint8)
