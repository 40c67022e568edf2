from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.assign import Assigned, assign
from pipelines.splits.tracks import tracks_of
from schemas.errors import UsageError
from schemas.manifest import SplitsSection
from schemas.reasons import Reason
from schemas.tables import LABELS, SPLITS, TRACKS

RATIOS = {"train": 0.6, "valid": 0.2, "test": 0.2}
NOBODY = "unknown-artist"
MEASURED = ("valid", "test")
Row = dict[str, Any]


def row(
    track: str,
    artist: str,
    recording: str = "",
    tags: tuple[str, ...] = ("rock",),
    caption: str | None = "c",
    *,
    with_: tuple[str, ...] = (),
    title: str | None = None,
    seconds: float | None = None,
) -> Row:
    return {
        "track_id": track,
        "artist_id": artist,
        "collaborators": list(with_) or None,
        "recording_id": recording or track,
        "title": title,
        "duration_s": seconds,
        "tags": sorted(set(tags)),
        "caption": caption,
    }


def run(rows: list[Row], away: Any = None, kept: dict[str, str] | pa.Table | None = None, **keys: Any) -> Assigned:
    names = {field.name for field in TRACKS.schema}
    tracks = TRACKS.from_rows([{k: v for k, v in r.items() if k in names} for r in rows])
    labels = LABELS.from_rows([{k: r[k] for k in ("track_id", "tags", "caption")} for r in rows])
    if isinstance(kept, dict):
        listed = [{"scheme": "default", "fold": 0, "track_id": t, "split": s} for t, s in kept.items()]
        kept = SPLITS.from_rows(listed)
    section = SplitsSection(**{"ratios": RATIOS, **keys})
    return assign(tracks_of(tracks, labels), section, away, kept)


def by_id(rows: list[Row], found: Assigned, scheme: str = "default", fold: int = 0) -> dict[str, str]:
    splits = next(splits for name, number, splits in found.schemes if (name, number) == (scheme, fold))
    return dict(zip(sorted(r["track_id"] for r in rows), splits.to_pylist(), strict=True))


def splits_of(rows: list[Row], **keys: Any) -> dict[str, str]:
    return by_id(rows, run(rows, **keys))


def keys_of(one: Row) -> set[tuple[str, str]]:
    artists = {one["artist_id"], *(one["collaborators"] or ())} - {NOBODY}
    return {("artist", artist) for artist in artists} | {("recording", one["recording_id"])}


def tied(one: Row, other: Row) -> bool:
    """Whether no two splits may have them: an artist, credited or not, a recording, or what may be one."""
    return bool(keys_of(one) & keys_of(other)) or may_be_one(one, other)


def may_be_one(one: Row, other: Row) -> bool:
    alike = one["title"] is not None and one["title"].lower() == (other["title"] or "").lower()
    return alike and abs(one["duration_s"] - other["duration_s"]) <= 1


def assert_apart(rows: list[Row], splits: dict[str, str]) -> None:
    staying = [(r, splits[r["track_id"]]) for r in rows if splits[r["track_id"]] != "none"]
    places: dict[tuple[str, str], set[str]] = {}
    titled: dict[str, list[tuple[Row, str]]] = {}
    for one, split in staying:
        for key in keys_of(one):
            places.setdefault(key, set()).add(split)
        if one["title"] is not None:
            titled.setdefault(one["title"].lower(), []).append((one, split))
    for key, found in places.items():
        assert len(found) == 1 or not found & set(MEASURED), (key, found)
    for listed in titled.values():
        for (one, here), (other, there) in itertools.combinations(listed, 2):
            assert here == there or not {here, there} & set(MEASURED) or not may_be_one(one, other), (one, other)


artists = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", NOBODY])
drawn_rows = st.lists(
    st.tuples(
        artists,
        st.lists(artists, max_size=2),
        st.integers(0, 40),
        st.sampled_from([(), ("rock",), ("rock", "sad"), ("jazz",)]),
        st.booleans(),
        st.sampled_from([None, "Intro", "INTRO", "Summer", "Winter (live)"]),
        st.sampled_from([60.0, 60.5, 61.2, 90.0]),
    ),
    min_size=1,
    max_size=40,
)


def listed_rows(drawn: list[Any]) -> list[Row]:
    return [
        row(
            f"t{n:02d}",
            artist,
            f"r{recording}",
            tags,
            "c" if tags or spoken else None,
            with_=tuple(sorted({*others} - {artist})),
            title=title,
            seconds=seconds,
        )
        for n, (artist, others, recording, tags, spoken, title, seconds) in enumerate(drawn)
    ]


@given(drawn_rows, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_nothing_that_is_learnt_from_is_tied_to_what_is_measured(drawn: list[Any], shuffler: random.Random) -> None:
    rows = listed_rows(drawn)
    found = run(rows, folds=3, nested=0.3)
    splits = by_id(rows, found)
    assert len(splits) == len(rows)
    for one in rows:
        assert splits[one["track_id"]] in {*RATIOS, "student", "none"}
    if any(one["caption"] for one in rows):
        left = {sorted(splits)[number] for number in found.leaving}
        for one in rows:
            name, labelled = splits[one["track_id"]], one["caption"] is not None
            assert (name in RATIOS) == (labelled and one["track_id"] not in left)
            assert one["artist_id"] != NOBODY or name in ("train", "student", "none")
    assert_apart(rows, splits)
    for fold in range(3):
        assert_apart(rows, by_id(rows, found, "kfold", fold))
    shuffler.shuffle(rows)
    again = run(rows, folds=3, nested=0.3)
    assert [(s, f, t.to_pylist()) for s, f, t in again.schemes] == [
        (s, f, t.to_pylist()) for s, f, t in found.schemes
    ]
    assert (again.leaving, again.notes) == (found.leaving, found.notes)


@given(drawn_rows, st.integers(2, 4))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_every_track_is_tested_in_one_fold_and_valid_is_carved_from_train(drawn: list[Any], folds: int) -> None:
    rows = listed_rows(drawn)
    plain = run(rows, folds=folds)
    nested = run(rows, folds=folds, nested=0.4)
    for one in rows:
        track = one["track_id"]
        where = [by_id(rows, plain, "kfold", fold)[track] for fold in range(folds)]
        assert where.count("test") <= 1
        if (
            "none" not in where
            and "student" not in where
            and one["artist_id"] != NOBODY
            and not keys_tie_nobody(rows)
        ):
            assert sorted(where) == ["test"] + ["train"] * (folds - 1)
        for fold in range(folds):
            here = by_id(rows, nested, "kfold", fold)[track]
            if here == "valid":
                assert where[fold] in ("train", "none")
            if where[fold] == "test":
                assert here in ("test", "none")


def keys_tie_nobody(rows: list[Row]) -> bool:
    recordings = {r["recording_id"] for r in rows if r["artist_id"] == NOBODY}
    titles = any(r["artist_id"] == NOBODY and r["title"] for r in rows)
    return titles or any(r["recording_id"] in recordings for r in rows if r["artist_id"] != NOBODY)


@given(drawn_rows, drawn_rows, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_what_is_kept_stays_and_new_tracks_follow_their_artists(
    first: list[Any], more: list[Any], chance: random.Random
) -> None:
    """Whatever the old splits were: ours, or such that tear artists."""
    rows = listed_rows([*first, *more])
    old = rows[: len(first)]
    before = splits_of(old)
    if chance.random() < 0.5:
        before = {track: chance.choice([*RATIOS, "none", "student"]) for track in before}
    found = run(rows, kept=before)
    after = by_id(rows, found)
    assert {track: after[track] for track in before} == before
    role = {"student": "train"}
    places: dict[str, set[str]] = {}
    for one in old:
        name = before[one["track_id"]]
        if name != "none":
            places.setdefault(one["artist_id"], set()).add(role.get(name, name))
    for one in rows[len(first) :]:
        name, known = after[one["track_id"]], places.get(one["artist_id"], set())
        if len(known) > 1:
            assert name == "none" or (name == "student" and not known & set(MEASURED))
        elif known:
            assert name == "none" or role.get(name, name) in known, (one, name, known)
    new = {r["track_id"] for r in rows[len(first) :]}
    for one, other in itertools.combinations(rows, 2):
        if tied(one, other) and (one["track_id"] in new or other["track_id"] in new):
            names = {after[one["track_id"]], after[other["track_id"]]}
            assert not names & set(MEASURED) or "none" in names or len(names) == 1, (one, other, names)


def test_keeping_a_split_without_anything_new_changes_nothing() -> None:
    rows = [row(f"t{n:03d}", f"a{n // 3}", tags=("rock",) if n % 2 else ("pop",)) for n in range(90)]
    before = splits_of(rows)
    found = run(rows, kept=before, seed=9)
    assert by_id(rows, found) == before
    assert "90 tracks keep their splits, 0 are new" in found.notes


def test_new_tracks_of_a_torn_artist_are_none_and_told() -> None:
    rows = [row(f"t{n:03d}", f"a{n // 3}") for n in range(90)]
    before = {f"t{n:03d}": ("train", "test", "valid")[n % 3] if n < 3 else "train" for n in range(89)}
    rows.append(row("u", "a0"))
    found = run(rows, kept=before)
    assert by_id(rows, found)["u"] == "none"
    (left,) = found.leaving.values()
    assert left[0] == Reason.ARTIST_IN_TWO_SPLITS
    assert any("1 artists are in several of the splits kept ('a0'): 1 new tracks" in note for note in found.notes)


def test_kept_folds_are_kept() -> None:
    rows = [row(f"t{n:03d}", f"a{n // 2}") for n in range(60)]
    first = run(rows, folds=3, nested=0.2)
    table = pa.concat_tables(
        pa.table(
            {
                "scheme": pa.array([scheme] * 60),
                "fold": pa.array([fold] * 60, pa.int32()),
                "track_id": pa.array([r["track_id"] for r in rows]),
                "split": splits,
            }
        )
        for scheme, fold, splits in first.schemes
    )
    more = [*rows, *(row(f"u{n:03d}", f"a{n}" if n < 10 else f"b{n}") for n in range(20))]
    second = run(more, kept=table, folds=3, nested=0.2, seed=5)
    for scheme, fold, _ in first.schemes:
        old, new = by_id(rows, first, scheme, fold), by_id(more, second, scheme, fold)
        assert {track: new[track] for track in old} == old
        assert_apart(more, new)
    with pytest.raises(UsageError, match="3 folds and splits"):
        run(more, kept=table, folds=4)


def test_a_kept_split_without_a_ratio_is_refused() -> None:
    with pytest.raises(UsageError, match="'dev' is kept"):
        run([row("t", "a"), row("u", "b")], kept={"t": "dev"})


def test_the_unlabelled_of_a_training_artist_are_students_and_of_a_measured_one_none() -> None:
    labelled = [row(f"t{n:02d}", f"a{n}") for n in range(10)]
    splits = splits_of(labelled)
    where = {one["artist_id"]: splits[one["track_id"]] for one in labelled}
    bare = [row(f"u{n:02d}", f"a{n}", tags=(), caption=None) for n in range(10)]
    new = [row("v1", "nobody else", tags=(), caption=None), row("v2", NOBODY, tags=(), caption=None)]
    crediting = [row(f"w{n:02d}", "who", tags=(), caption=None, with_=(f"a{n}",)) for n in range(10)]
    found = splits_of([*labelled, *bare, *new, *crediting])
    assert {track: found[track] for track in splits} == splits
    expected = ["student" if where[f"a{n}"] == "train" else "none" for n in range(10)]
    assert [found[f"u{n:02d}"] for n in range(10)] == expected
    assert [found[f"w{n:02d}"] for n in range(10)] == expected
    assert (found["v1"], found["v2"]) == ("student", "student")


def test_a_copy_of_a_measured_recording_by_another_artist_is_none() -> None:
    labelled = [row(f"t{n:02d}", f"a{n}", f"r{n}") for n in range(10)]
    splits = splits_of(labelled)
    copies = [row(f"u{n:02d}", f"b{n}", f"r{n}", (), None) for n in range(10)]
    found = splits_of([*labelled, *copies])
    assert [found[f"u{n:02d}"] for n in range(10)] == [
        "student" if splits[f"t{n:02d}"] == "train" else "none" for n in range(10)
    ]


@pytest.mark.parametrize("ratios", [RATIOS, {"a": 0.5, "b": 0.5}])
def test_unknown_artists_are_one_group_in_the_first_split(ratios: dict[str, float]) -> None:
    rows = [row(f"t{n:02d}", NOBODY if n < 15 else f"a{n}") for n in range(20)]
    splits = splits_of(rows, ratios=ratios)
    assert {splits[f"t{n:02d}"] for n in range(15)} == {next(iter(ratios))}


def test_nobody_ties_nobody_and_what_credits_a_measured_artist_leaves() -> None:
    """Compilations credit thirty artists: they stay apart."""
    rows = [row(f"t{n:03d}", f"a{n // 10}") for n in range(300)]
    rows += [row(f"u{n:03d}", NOBODY, with_=(f"a{n}",)) for n in range(30)]
    found = run(rows)
    splits = by_id(rows, found)
    assert {splits[f"t{n:03d}"] for n in range(300)} == set(RATIOS)
    for n in range(30):
        assert splits[f"u{n:03d}"] == ("train" if splits[f"t{10 * n:03d}"] == "train" else "none")
    assert {reason for reason, _ in found.leaving.values()} == {Reason.BRIDGES_ARTISTS}


def test_collaborators_are_in_one_split() -> None:
    rows = [row(f"t{n:04d}", f"a{n // 4}") for n in range(2000)]
    rows += [row(f"u{n:04d}", f"a{2 * n}", with_=(f"a{2 * n + 1}",)) for n in range(250)]
    found = run(rows)
    splits = by_id(rows, found)
    assert not found.leaving
    for n in range(250):
        assert len({splits[f"t{8 * n:04d}"], splits[f"t{8 * n + 4:04d}"], splits[f"u{n:04d}"]}) == 1


def test_a_group_above_a_hundredth_lists_the_tracks_that_bridge_it_and_they_leave() -> None:
    """400 artists of 5 tracks in a chain of collaborations: one group of everybody."""
    rows = [row(f"t{n:04d}", f"a{n // 5}") for n in range(2000)]
    rows += [row(f"u{n:04d}", f"a{n}", with_=(f"a{n + 1}",)) for n in range(399)]
    found = run(rows)
    splits = by_id(rows, found)
    left = {sorted(splits)[number]: why for number, why in found.leaving.items()}
    assert left
    assert all(track.startswith("u") and splits[track] == "none" for track in left)
    for track, (reason, detail) in left.items():
        assert reason == Reason.BRIDGES_ARTISTS
        assert f"'a{int(track[1:])}'" in detail
        assert f"'a{int(track[1:]) + 1}'" in detail
        assert "group of 2399 tracks" in detail
    (note,) = (note for note in found.notes if "bridged by" in note)
    assert note.startswith(
        f"a group of 2399 tracks by 400 artists (at most 23 are one group) is bridged by {len(left)}"
    )
    staying = [one for one in rows if one["track_id"] not in left]
    assert_apart(staying, splits)
    groups = dict(enumerate(range(400)))
    for one in staying:
        if one["collaborators"]:
            one_, other = (groups[int(name[1:])] for name in (one["artist_id"], one["collaborators"][0]))
            groups = {artist: one_ if group == other else group for artist, group in groups.items()}
    sizes = np.bincount([groups[int(one["artist_id"][1:])] for one in staying])
    assert sizes.max() <= 0.01 * len(rows)
    # A chain is cut every few artists, not everywhere.
    assert len(left) <= 399 / 2


def test_candidates_never_cross() -> None:
    """A common title ties nobody; what then lies in two splits leaves, from the smaller of the two."""
    rows = [row(f"t{n:04d}", f"a{n // 2}", title="Intro", seconds=60 + n % 7 * 0.3) for n in range(1000)]
    found = run(rows)
    splits = by_id(rows, found)
    names = list(splits.values())
    assert names.count("train") == pytest.approx(600, abs=30)
    assert names.count("none") == pytest.approx(400, abs=30)
    reasons = {reason for reason, _ in found.leaving.values()}
    assert reasons == {Reason.RECORDING_CANDIDATE}
    assert_apart(rows, splits)


def test_a_pair_of_candidates_is_in_one_split() -> None:
    """Version words are part of a title, case and accents are not; a second is near, more is not."""
    rows = [row(f"t{n:04d}", f"a{n}", title=f"Song {n}", seconds=100.0) for n in range(500)]
    rows += [row(f"u{n:04d}", f"b{n}", title=f"SÓNG, {n}!", seconds=101.0) for n in range(500)]
    rows += [row(f"v{n:04d}", f"c{n}", title=f"Song {n} (live)", seconds=100.0) for n in range(500)]
    rows += [row(f"w{n:04d}", f"d{n}", title=f"Song {n}", seconds=98.9) for n in range(500)]
    found = run(rows)
    splits = by_id(rows, found)
    assert not found.leaving
    assert all(splits[f"t{n:04d}"] == splits[f"u{n:04d}"] for n in range(500))
    for other in "vw":
        together = sum(splits[f"t{n:04d}"] == splits[f"{other}{n:04d}"] for n in range(500))
        assert 150 < together < 350


def test_sizes_follow_the_ratios_also_when_candidates_leave() -> None:
    rng = random.Random(3)
    rows = [
        row(f"t{n:04d}", f"a{n // 5}", title="Intro" if rng.random() < 0.05 else f"s{n}", seconds=60.0)
        for n in range(5000)
    ]
    found = run(rows)
    names = list(by_id(rows, found).values())
    staying = sum(names.count(name) for name in RATIOS)
    assert staying < 5000
    for name, ratio in RATIOS.items():
        assert names.count(name) / staying == pytest.approx(ratio, abs=0.002)


def test_tracks_to_stay_away_are_none_whatever_is_kept() -> None:
    rows = [row(f"t{n:02d}", f"a{n}") for n in range(20)]
    away = {"t03": (Reason.CONTAMINATED, "in another")}
    found = run(rows, away=away, kept={"t03": "test", "t04": "test"})
    assert by_id(rows, found)["t03"] == "none"
    assert by_id(rows, found)["t04"] == "test"
    assert found.leaving == {3: away["t03"]}


def test_a_track_with_a_caption_and_no_tag_is_labelled() -> None:
    rows = [row(f"t{n:02d}", f"a{n}", tags=()) for n in range(10)]
    found = run(rows)
    assert [list(by_id(rows, found).values()).count(name) for name in RATIOS] == [6, 2, 2]
    assert found.notes == []


def test_where_nothing_is_labelled_all_are_split_by_artist() -> None:
    rows = [row(f"t{n:03d}", f"a{n // 2}", tags=(), caption=None) for n in range(100)]
    found = run(rows)
    assert [list(by_id(rows, found).values()).count(name) for name in RATIOS] == [60, 20, 20]
    assert_apart(rows, by_id(rows, found))
    assert found.notes == ["no track is labelled: all are split by artist"]


def test_without_a_valid_one_is_carved_by_artist() -> None:
    rows = [row(f"t{n:03d}", f"a{n // 4}") for n in range(1000)]
    plain = splits_of(rows, ratios={"train": 0.8, "test": 0.2})
    carved = splits_of(rows, ratios={"train": 0.8, "test": 0.2}, nested=0.1)
    assert [list(carved.values()).count(name) for name in RATIOS] == [720, 80, 200]
    assert {t for t, s in carved.items() if s == "test"} == {t for t, s in plain.items() if s == "test"}
    assert_apart(rows, carved)


def test_what_artists_do_not_allow_is_said_by_name() -> None:
    rows = [row(f"t{n:03d}", f"a{n // 2}", tags=("rock",)) for n in range(200)]
    rows += [row(f"u{n}", "a0", tags=("theremin", "rock")) for n in range(6)]
    found = run(rows)
    (note,) = (note for note in found.notes if "fair share" in note)
    assert note.startswith("1 tags have less than 80% of their fair share, for their artists allow no more: ")
    assert "'theremin' in" in note


def test_seeds_give_other_splits() -> None:
    rows = [row(f"t{n:03d}", f"a{n // 3}", tags=("rock",) if n % 5 else ("pop",)) for n in range(300)]
    found = [tuple(splits_of(rows, seed=seed, folds=3).values()) for seed in range(3)]
    assert len(set(found)) == 3


def test_a_refused_recording_whose_rows_all_leave_for_their_credits_is_no_error() -> None:
    """Two artists of one recording, both crediting a third, in groups that are too large to be one."""
    rows = [row(f"{name}{n:03d}", name) for name in "abc" for n in range(40)]
    rows += [row(f"z{name}", name, "duo", with_=("c",)) for name in "ab"]
    found = run(rows)
    splits = by_id(rows, found)
    assert [splits["za"], splits["zb"]].count("none") >= 1
    for one in "abc":
        assert len({splits[f"{one}{n:03d}"] for n in range(40)}) == 1


def test_without_a_train_the_largest_split_is_learnt_from() -> None:
    """`test` is searched before `dev`, and nobody's tracks and students may not be near it."""
    ratios = {"test": 0.2, "dev": 0.8}
    rows = [row(f"t{n:02d}", f"a{n}") for n in range(40)]
    rows += [row(f"u{n:02d}", f"a{n}", tags=(), caption=None) for n in range(40)] + [row("v", NOBODY)]
    splits = splits_of(rows, ratios=ratios)
    assert splits["v"] == "dev"
    assert {splits[f"t{n:02d}"] for n in range(40)} == {"dev", "test"}
    for n in range(40):
        assert splits[f"u{n:02d}"] == ("student" if splits[f"t{n:02d}"] == "dev" else "none")


def test_where_nobody_is_kept_in_test_nobody_new_is_a_student() -> None:
    rows = [row(f"t{n:02d}", f"a{n}") for n in range(20)] + [
        row("u0", NOBODY),
        row("u1", NOBODY, tags=(), caption=None),
    ]
    kept = {f"t{n:02d}": "train" for n in range(20)}
    assert by_id(rows, run(rows, kept={**kept, "u0": "test"}))["u1"] == "none"
    assert by_id(rows, run(rows, kept={**kept, "u0": "train"}))["u1"] == "student"


def test_how_many_of_the_kept_tracks_are_here_is_told() -> None:
    rows = [row(f"t{n:02d}", f"a{n}") for n in range(20)]
    notes = run(rows, kept={"t00": "test", "x": "train", "y": "train"}).notes
    assert "1 tracks keep their splits, 19 are new; 2 of the 3 that are kept are not here" in notes
    notes = run(rows, kept={"x": "train"}).notes
    assert "0 tracks keep their splits, 20 are new; 1 of the 1 that are kept are not here" in notes


def test_nobodys_new_tracks_in_test_credit_nobody_who_is_learnt_from() -> None:
    """Nobody is kept in test, so what is new of nobody goes there, too."""
    rows = [row(f"t{n:02d}", f"a{n}") for n in range(20)]
    rows += [row("u", NOBODY), *(row(f"v{n:02d}", NOBODY, with_=(f"a{n}",)) for n in range(20))]
    splits = by_id(rows, run(rows, kept={"u": "test"}))
    assert {splits[f"t{n:02d}"] for n in range(20)} >= {"train"}
    for n in range(20):
        assert splits[f"v{n:02d}"] in ("none", splits[f"t{n:02d}"])
