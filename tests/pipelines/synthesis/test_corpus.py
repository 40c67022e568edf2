from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.synthesis import CATEGORIES, DEFECTS, DIRT, Corpus, DemoTrack, compose
from pipelines.synthesis.dirt import MISTAKEN_BELOW, NOISE_TAGS
from schemas.errors import UsageError


def _sound(corpus: Corpus) -> list[DemoTrack]:
    return [track for track in corpus.tracks if track.defect is None]


def _folded(name: str) -> str:
    bare = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", " ", bare).strip()


def test_the_corpus_has_the_size_asked_for(corpus: Corpus) -> None:
    assert len(_sound(corpus)) == 480
    assert len({track.artist_key for track in corpus.tracks}) == 60
    assert set(Counter(track.artist_key for track in _sound(corpus)).values()) == {8}
    assert Counter(track.defect for track in corpus.tracks if track.defect) == dict.fromkeys(DEFECTS, 1)
    assert all(20 <= track.duration_s <= 40 for track in _sound(corpus))
    formats = Counter(PurePosixPath(track.path).suffix for track in _sound(corpus))
    assert set(formats) == {".flac", ".mp3"}
    assert min(formats.values()) > 120


def test_every_tag_has_enough_tracks_and_artists(corpus: Corpus) -> None:
    artists: dict[str, list[str]] = defaultdict(list)
    for track in _sound(corpus):
        for tag in track.true_tags:
            artists[tag].append(track.artist_key)
    assert set(artists) == set(CATEGORIES)
    assert 35 <= len(artists) <= 45
    assert {tag: len(names) for tag, names in artists.items() if len(names) < 20} == {}
    assert {tag: len(set(names)) for tag, names in artists.items() if len(set(names)) < 6} == {}
    # A tag on most tracks would tell nothing.
    assert max(map(len, artists.values())) < 0.6 * 480


def test_captions_differ(corpus: Corpus) -> None:
    captions = [track.true_tags for track in _sound(corpus)]
    draw = random.Random(1)
    assert min(len(set(draw.sample(captions, 144))) for _ in range(100)) >= 115
    assert all(3 <= len(tags) <= 8 and list(tags) == sorted(set(tags)) for tags in captions)


def test_tags_follow_the_score(corpus: Corpus) -> None:
    for track in _sound(corpus):
        score, tags = track.score, set(track.true_tags)
        assert score.genre in tags
        assert ("chiptune" if score.lead == "chip" else score.lead) in tags
        assert ("waltz" in tags) == (score.beats_per_bar == 3)
        assert "fast" not in tags or score.bpm > 140
        assert "slow" not in tags or score.bpm < 75
        assert "drums" not in tags or score.pattern
        assert not {"calm", "sleep"} & tags or score.pattern is None
        assert not {"happy", "sad"} <= tags
        assert not {"happy", "dark"} <= tags
        assert "happy" not in tags or score.mode == "major"
        assert not {"sad", "dark"} & tags or score.mode == "minor"
        assert not {"deep", "bright"} <= tags
        assert not {"minimal", "dense"} <= tags


def test_one_artist_is_written_in_two_ways(corpus: Corpus, small: Corpus) -> None:
    for tracks in (corpus.tracks, small.tracks):
        spellings: dict[str, set[str]] = defaultdict(set)
        for track in tracks:
            spellings[track.artist_key].add(track.artist_name)
        twice = [names for names in spellings.values() if len(names) > 1]
        assert len(twice) == 1
        first, second = sorted(twice[0])
        assert _folded(first) == _folded(second)
        assert first.lower() != second.lower()
        assert not first.isascii() or not second.isascii()
        keys = [_folded(name) for names in spellings.values() for name in names]
        assert len(set(keys)) == len(spellings)


def test_the_duplicate_plays_the_score_of_another_artist(corpus: Corpus, small: Corpus) -> None:
    for tracks in (corpus.tracks, small.tracks):
        copy = next(track for track in tracks if track.defect == "duplicate")
        (original,) = [track for track in tracks if track.score == copy.score and track is not copy]
        assert original.defect is None
        assert original.artist_key != copy.artist_key
        assert PurePosixPath(original.path).name != PurePosixPath(copy.path).name
        assert PurePosixPath(original.path).suffix == PurePosixPath(copy.path).suffix


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(1, 20), st.integers(0, 2**40))
def test_any_size_and_seed_composes(artists: int, more: int, seed: int) -> None:
    corpus = compose(artists=artists, tracks=artists + more, seed=seed)
    tracks = corpus.tracks
    assert compose(artists=artists, tracks=artists + more, seed=seed) == corpus
    assert len(tracks) == artists + more + len(DEFECTS)
    assert len({track.track_id for track in tracks}) == len(tracks)
    assert len({track.path.lower() for track in tracks}) == len(tracks)
    assert len({track.artist_key for track in tracks}) == artists
    for track in tracks:
        assert re.fullmatch(r"[A-Za-z0-9 ]+/[A-Za-z0-9 ]+/\d\d [A-Za-z0-9 ]+\.(flac|mp3)", track.path)
        assert 2 <= len(track.true_tags) <= 8
        assert all(1 <= score <= 100 for _, score in track.raw_tags)
        assert len({tag for tag, _ in track.raw_tags}) == len(track.raw_tags) <= 20


def test_seeds_differ(small: Corpus) -> None:
    other = compose(artists=6, tracks=12, seed=4)
    assert all(a.score != b.score for a, b in zip(small.tracks, other.tracks, strict=True))


@pytest.mark.parametrize(("artists", "tracks"), [(1, 10), (0, 0), (6, 6), (6, 5)])
def test_too_few_is_refused(artists: int, tracks: int) -> None:
    with pytest.raises(UsageError, match=f"artists={artists}, tracks={tracks}"):
        compose(artists=artists, tracks=tracks)


def test_raw_tags_are_the_true_ones_as_typed(corpus: Corpus) -> None:
    meaning = {variant: tag for tag, variants in DIRT.items() for variant in (tag, *variants)}
    noisy = mistaken = named = 0
    for track in corpus.tracks:
        meant = {meaning[tag] for tag, score in track.raw_tags if score >= MISTAKEN_BELOW and tag in meaning}
        assert meant == set(track.true_tags)
        others = {tag for tag, _ in track.raw_tags if tag not in meaning}
        assert others <= {*NOISE_TAGS, track.artist_name}
        named += track.artist_name in others
        noisy += bool(others & set(NOISE_TAGS))
        mistaken += any(score < MISTAKEN_BELOW for _, score in track.raw_tags)
    assert 15 <= noisy <= 65
    assert 15 <= mistaken <= 65
    assert named == 2


def test_the_clean_form_is_the_most_common(corpus: Corpus) -> None:
    typed = Counter(tag for track in corpus.tracks for tag, _ in track.raw_tags)
    for tag, variants in DIRT.items():
        assert typed[tag] > max(typed[variant] for variant in variants)
        assert any(typed[variant] for variant in variants)
    clean = sum(typed[tag] for tag in DIRT)
    every = clean + sum(typed[variant] for variants in DIRT.values() for variant in variants)
    assert 0.58 < clean / every < 0.7
