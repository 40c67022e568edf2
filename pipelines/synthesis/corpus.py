"""The corpus: who plays what, under which names and tags, and what is wrong with five of the files."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipelines.synthesis.dirt import dirty
from pipelines.synthesis.genres import GENRES, Style, draw_score
from pipelines.synthesis.lore import true_tags
from pipelines.synthesis.names import TWO_WAYS, album_of, artist_names, normalised, slug, title_of
from pipelines.synthesis.score import Score
from schemas.digests import stable_hash
from schemas.errors import UsageError

TRACKS_PER_ALBUM = 4
MP3_SHARE = 0.36
SHORT_S = 1.5
DEFECTS = ("truncated", "silent", "too_short", "not_audio", "duplicate")
"""What can be wrong with a file, in the order in which it is planted."""


@dataclass(frozen=True, slots=True)
class DemoTrack:
    """A file of the corpus, with what is said of it and what is true.

    Attributes:
        track_id: `demo-0001`, …: the sound tracks, then the defective ones.
        artist_name: as written on this track.
        artist_key: the artist in truth, equal for all spellings.
        album, title, year: as written.
        duration_s: seconds that the recording lasts; 0 for a file that is no audio.
        path: POSIX, relative: `Artist/Album/NN Title.flac` or `.mp3`.
        true_tags: clean, sorted.
        raw_tags: (tag as typed, score in 1, …, 100), the highest score first.
        score: what is played.
        defect: one of `DEFECTS`, or None for a sound file.
    """

    track_id: str
    artist_name: str
    artist_key: str
    album: str
    title: str
    year: int
    duration_s: float
    path: str
    true_tags: tuple[str, ...]
    raw_tags: tuple[tuple[str, float], ...]
    score: Score
    defect: str | None


@dataclass(frozen=True, slots=True)
class Corpus:
    """All tracks: the sound ones in the order of their ids, then one for each defect."""

    tracks: tuple[DemoTrack, ...]


def compose(artists: int = 60, tracks: int = 480, seed: int = 0) -> Corpus:
    """Compose a corpus of `tracks` sound tracks by `artists` artists, and five defective files besides.

    Args:
        artists: at least 2.
        tracks: more than `artists`, so that one artist has two tracks to be written on in two ways.
        seed: of everything; equal arguments give equal corpora on every machine.

    Raises:
        UsageError: the counts are too small.
    """
    if artists < 2 or tracks <= artists:
        raise UsageError(
            f"demo needs 2 artists or more and more tracks than artists, got artists={artists}, tracks={tracks}"
        )
    names = artist_names(artists, seed)
    styles = [_style(number, seed) for number in range(artists)]
    sound = [_sound(number, number % artists, number // artists, names, styles, seed) for number in range(tracks)]
    bad = [_defective(place, defect, sound, names, styles, seed) for place, defect in enumerate(DEFECTS)]
    return Corpus(tracks=(*sound, *bad))


def _rng(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(stable_hash(purpose, seed))


def _style(artist: int, seed: int) -> Style:
    """Give an artist one or two genres, in turn so that each genre has its share, and favourite timbres."""
    rng = _rng(seed, f"style {artist}")
    names = tuple(GENRES)
    first = artist % len(names)
    # The second genre's distance grows with each turn, so that every pair of genres meets sooner or later.
    second = (first + 1 + (artist // len(names)) * 2) % len(names)
    genres = (names[first],) if rng.random() < 0.25 else (names[first], names[second])
    timbres = sorted(
        {timbre for genre in genres for timbre in (*GENRES[genre].leads, *GENRES[genre].comps) if timbre}
    )
    count = min(3, len(timbres))
    return Style(genres, tuple(str(name) for name in rng.choice(timbres, size=count, replace=False)))


def _sound(number: int, artist: int, nth: int, names: list[str], styles: list[Style], seed: int) -> DemoTrack:
    """Compose sound track `number`, the `nth` of its artist."""
    score = draw_score(styles[artist], stable_hash(f"score {number}", seed))
    written = TWO_WAYS[nth % 2] if artist == 0 else names[artist]
    return _track(f"demo-{number + 1:04d}", written, nth, title_of(number, seed), score, None, seed)


def _defective(
    place: int, defect: str, sound: list[DemoTrack], names: list[str], styles: list[Style], seed: int
) -> DemoTrack:
    """Plant a defect on a further track of an artist who has sound ones too."""
    number = len(sound) + place
    artist = 1 + place % (len(names) - 1)
    nth = len(sound) // len(names) + 1 + place
    track_id = f"demo-{number + 1:04d}"
    if defect == "duplicate":
        # Not by the artist of two spellings, where there is another: each defect stays a case of its own.
        others = [track for track in sound if track.artist_key != normalised(names[artist])]
        original = next((track for track in others if track.artist_key != normalised(names[0])), others[0])
        copy = _track(track_id, names[artist], nth, title_of(number, seed), original.score, defect, seed)
        # Same recording, same encoding: only the name, the folder and the embedded tags differ.
        stem, suffix = copy.path.rsplit(".", 1)[0], original.path.rsplit(".", 1)[1]
        return replace(copy, path=f"{stem}.{suffix}")
    score = draw_score(styles[artist], stable_hash(f"score {number}", seed))
    if defect == "too_short":
        score = replace(score, seconds=SHORT_S)
    return _track(track_id, names[artist], nth, title_of(number, seed), score, defect, seed)


def _track(
    track_id: str, artist: str, nth: int, title: str, score: Score, defect: str | None, seed: int
) -> DemoTrack:
    rng = _rng(seed, f"track {track_id}")
    key = normalised(artist)
    album = album_of(key, nth // TRACKS_PER_ALBUM, seed)
    tags = true_tags(score)
    # Two tracks of the corpus carry their artist's name as a tag.
    own_name = artist if track_id in ("demo-0002", "demo-0005") else None
    suffix = {"truncated": "flac", "not_audio": "mp3"}.get(defect or "") or ("flac", "mp3")[
        int(rng.random() < MP3_SHARE)
    ]
    return DemoTrack(
        track_id=track_id,
        artist_name=artist,
        artist_key=key,
        album=album,
        title=title,
        year=1975 + stable_hash(f"year {key}", seed) % 45 + nth // TRACKS_PER_ALBUM,
        duration_s=0.0 if defect == "not_audio" else score.seconds,
        path=f"{slug(artist)}/{album}/{nth % TRACKS_PER_ALBUM + 1:02d} {title.replace(',', '')}.{suffix}",
        true_tags=tags,
        raw_tags=dirty(tags, own_name, rng),
        score=score,
        defect=defect,
    )
