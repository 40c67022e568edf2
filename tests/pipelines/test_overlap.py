"""Tracks of one dataset that are in another: through the command line, and against brute force."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.audit import audit
from pipelines.stage import written
from schemas.digests import digest_of
from schemas.receipt import Receipt, StageEntry
from schemas.store import Store
from schemas.tables import FOUND_ELSEWHERE, LABELS, SPLITS, TAGS, TRACKS

Command = Callable[..., Any]
RATIOS = {"train": 0.8, "test": 0.2}


def track(
    track_id: str, artist: str | None, title: str | None, split: str | None = None, **more: Any
) -> dict[str, Any]:
    """One track and where it lies; its own artist's id and recording, unless given."""
    row = {"track_id": track_id, "artist_id": artist or "unknown-artist", "artist_name": artist, "title": title}
    return {**row, "recording_id": track_id, **more, "split": split}


def dataset(folder: Path, name: str, kind: str, rows: Sequence[dict[str, Any]], scheme: str = "default") -> Path:
    store = Store(str(folder))
    tracks = [{key: value for key, value in row.items() if key != "split"} for row in rows]
    made = {TRACKS.filename: TRACKS.write(store, TRACKS.from_rows(tracks))}
    stages = {"source": StageEntry(version=1, digest=digest_of(0), files=written(store, made))}
    if any(row["split"] for row in rows):
        labels = [{"track_id": row["track_id"], "tags": [], "caption": None} for row in rows]
        splits = [
            {"scheme": scheme, "fold": 0, "track_id": row["track_id"], "split": row["split"]}
            for row in rows
            if row["split"]
        ]
        made = {
            LABELS.filename: LABELS.write(store, LABELS.from_rows(labels)),
            TAGS.filename: TAGS.write(store, TAGS.empty()),
            SPLITS.filename: SPLITS.write(store, SPLITS.from_rows(splits)),
        }
        stages["splits"] = StageEntry(version=1, digest=digest_of(1), files=written(store, made))
    recipe = {"source": {"kind": kind}, "splits": {"ratios": RATIOS}}
    Receipt(name=name, manifest=digest_of(recipe), recipe=recipe, stages=stages).write(store)
    return folder


MSD = [
    track("TRAAAAA128F0000001", "The Jackson Five", "ABC (Album Version)", "train", duration_s=178.0),
    track("TRAAAAA128F0000002", "BEYONCÉ feat. Jay-Z", "Crazy In Love", "train", duration_s=235.0),
    track("TRAAAAA128F0000003", "Cher", "Believe", "test"),
    track("TRAAAAA128F0000004", "Somebody Else", "ABC", "train"),
    track("TRAAAAA128F0000005", "Madonna", "Hung Up (Live)", "train"),
    track("TRAAAAA128F0000006", "Madonna", "Hung Up", "none"),
    track("TRAAAAA128F0000007", "Simon & Garfunkel", "The Boxer", "student"),
    track("TRAAAAA128F0000008", None, "Country Roads", "train"),
    track("TRAAAAA128F0000009", "Various Artists", "Country Roads", "train"),
    track("TRAAAAA128F000000A", "Hank Williams", "Honky Tonkin'", "train"),
    track("TRAAAAA128F000000B", "Hank Williams", "Kaw-Liga", "train"),
]
GTZAN = [
    track("pop.00001", "jackson five, the", "A.B.C.", "test", duration_s=179.5),
    track("pop.00002", "Beyonce", "Crazy in love (ft. Jay-Z)", "valid", duration_s=30.0),
    track("pop.00003", "madonna", "hung up", "test"),
    track("pop.00004", "CHER", "Believe", "test"),
    track("country.00001", "Simon and Garfunkel", "Boxer, The", "test"),
    track("country.00002", "Simon and Garfunkel", "THE BOXER", "train"),
    track("country.00003", "Various Artists", "Country Roads", "test"),
    track("country.00004", None, "Country Roads", "test"),
    track("country.00005", "Hank Williams", "Honky Tonkin’", "none"),
]


@pytest.fixture
def msd(tmp_path: Path) -> Path:
    return dataset(tmp_path / "msd", "msd500", "million_song", MSD)


@pytest.fixture
def gtzan(tmp_path: Path) -> Path:
    return dataset(tmp_path / "gtzan", "gtzan", "gtzan", GTZAN, "published")


def test_what_is_learnt_from_and_lies_elsewhere_is_found(msd: Path, gtzan: Path, command: Command) -> None:
    ran = command("audit", msd, "--against", gtzan)
    assert ran.code == 1
    assert ran.err == (
        f"tracklore: {msd}: the split 'default' learns from 3 tracks of 'gtzan'; see found_elsewhere.parquet\n"
    )
    assert "'TRAAAAA128F0000001' is 'pop.00001' (published/test): exact, by name" in ran.out
    listed = [row for row in FOUND_ELSEWHERE.read(Store(str(msd))).to_pylist() if row["kind"] == "track"]
    assert [(row["key"], row["other"], row["other_splits"], row["by"], row["confidence"]) for row in listed] == [
        ("TRAAAAA128F0000001", "pop.00001", ["published/test"], "name", "exact"),
        ("TRAAAAA128F0000002", "pop.00002", ["published/valid"], "name", "likely"),
        ("TRAAAAA128F0000007", "country.00001", ["published/test"], "name", "likely"),
    ]
    entry = json.loads((msd / "audit.json").read_text())["against"][0]
    assert (entry["name"], entry["tracks"]) == ("gtzan", 9)
    # Those by Various Artists and by nobody have no artist to be known by.
    assert entry["comparable"] == {"name": 7}
    found = entry["schemes"][0]["found"]
    assert (found["count"], found["measured"], found["exact"], found["by"]) == (3, 3, 1, {"name": 3})
    assert [row["track"] for row in found["first"]] == [
        "TRAAAAA128F0000001",
        "TRAAAAA128F0000002",
        "TRAAAAA128F0000007",
    ]
    assert str(gtzan) not in (msd / "audit.json").read_text()


def test_artists_of_what_is_measured_are_a_warning_apart(msd: Path, gtzan: Path, command: Command) -> None:
    ran = command("audit", msd, "--against", gtzan)
    artists = json.loads((msd / "audit.json").read_text())["against"][0]["schemes"][0]["artists"]
    assert artists == {
        "count": 4,
        "first": [
            {"artist": "Madonna", "tracks": 1},
            {"artist": "Simon & Garfunkel", "tracks": 1},
            {"artist": "The Jackson Five", "tracks": 1},
            {"artist": "beyonce", "tracks": 1},
        ],
    }
    assert "warning: the split 'default' learns from 4 artists of 'gtzan'" in ran.out
    clean = dataset(msd, "msd500", "million_song", [MSD[4], MSD[3]])
    assert command("audit", clean, "--against", gtzan).code == 0
    ran = command("audit", clean, "--against", gtzan, "--strict")
    assert ran.code == 1
    assert "learns from 1 artists of 'gtzan'" in ran.err


def test_a_published_split_that_learns_from_another_dataset_is_a_warning(
    tmp_path: Path, gtzan: Path, command: Command
) -> None:
    here = dataset(tmp_path / "msd", "msd500", "million_song", MSD, "published")
    ran = command("audit", here, "--against", gtzan)
    assert (ran.code, ran.err) == (0, "")
    assert "warning: the split 'published' learns from 3 tracks of 'gtzan'; see found_elsewhere.parquet" in ran.out
    assert command("audit", here, "--against", gtzan, "--strict").code == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "by"),
    [
        # Ids mean the same only among sources of one kind with published ids, or in a form of their own.
        (("mtg_jamendo", {"track_id": "track_0000001"}), ("mtg_jamendo", {"track_id": "track_0000001"}), "id"),
        (("x", {"track_id": "TRAAAAA128F0000001"}), ("y", {"track_id": "TRAAAAA128F0000001"}), "id"),
        (("folder", {"track_id": "0001"}), ("folder", {"track_id": "0001"}), None),
        (("mtg_jamendo", {"track_id": "17"}), ("mtg_jamendo", {"track_id": "17"}), "id"),
        (("mtg_jamendo", {"track_id": "17"}), ("x", {"track_id": "17"}), None),
        (("folder", {"audio_sha256": "a" * 64}), ("x", {"audio_sha256": "a" * 64}), "audio"),
        (("folder", {"recording_id": "b" * 64}), ("folder", {"recording_id": "b" * 64}), "recording"),
        (("folder", {"recording_id": "b"}), ("folder", {"recording_id": "b"}), None),
        (("mtg_jamendo", {"recording_id": "b"}), ("mtg_jamendo", {"recording_id": "b"}), "recording"),
    ],
)
def test_what_else_than_a_name_says_that_it_is_the_same_track(
    tmp_path: Path, ours: Any, theirs: Any, by: str | None
) -> None:
    mine = track("1", None, None, "train") | ours[1]
    other = track("2", None, None, None) | theirs[1]
    here = dataset(tmp_path / "here", "here", ours[0], [mine, track("3", None, None, "test")])
    there = dataset(tmp_path / "there", "there", theirs[0], [other])
    found = audit(Store(str(here)), [Store(str(there))])["against"][0]["schemes"][0]["found"]
    assert found["by"] == ({by: 1} if by else {})
    assert [(row["splits"], row["confidence"]) for row in found["first"]] == (
        [(["no splits"], "exact")] if by else []
    )


def test_another_track_of_a_recording_that_was_found_is_found(tmp_path: Path) -> None:
    rows = [
        track("1", "A", "Song", "train", recording_id="r"),
        track("2", "A", "Song, second half", "train", recording_id="r"),
        track("3", "A", "Other", "test"),
    ]
    here = dataset(tmp_path / "here", "here", "folder", rows)
    there = dataset(tmp_path / "there", "there", "gtzan", [track("x", "a", "SONG")])
    found = audit(Store(str(here)), [Store(str(there))])["against"][0]["schemes"][0]["found"]
    assert found["by"] == {"name": 1, "same_recording": 1}


def test_a_collaborator_by_id_is_who_his_own_tracks_say_he_is(tmp_path: Path) -> None:
    rows = [
        track("1", "Duo", "Song", "train", artist_id="d", collaborators=["b"]),
        track("2", "Bob", "Own", "test", artist_id="b"),
    ]
    here = dataset(tmp_path / "here", "here", "folder", rows)
    there = dataset(tmp_path / "there", "there", "gtzan", [track("x", "BOB", "song")])
    found = audit(Store(str(here)), [Store(str(there))])["against"][0]["schemes"][0]["found"]
    assert [row["track"] for row in found["first"]] == ["1"]


def test_two_datasets_of_one_name_are_told_apart_and_their_order_decides_nothing(
    tmp_path: Path, msd: Path, gtzan: Path, command: Command
) -> None:
    second = dataset(tmp_path / "again", "gtzan", "gtzan", GTZAN[:1])
    assert command("audit", msd, "--against", gtzan, "--against", second).code == 1
    first = (msd / "audit.json").read_bytes(), (msd / "found_elsewhere.parquet").read_bytes()
    assert command("audit", msd, "--against", second, "--against", gtzan, "--against", gtzan).code == 1
    assert first == ((msd / "audit.json").read_bytes(), (msd / "found_elsewhere.parquet").read_bytes())
    names = [entry["name"] for entry in json.loads(first[0])["against"]]
    assert len(set(names)) == 2
    assert all(name.startswith("gtzan@") for name in names)


def test_what_cannot_be_held_against_is_told(msd: Path, tmp_path: Path, command: Command) -> None:
    ran = command("audit", msd, "--against", tmp_path / "nothing")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "no receipt.json here" in ran.err
    ran = command("audit", msd, "--against", msd)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "is the dataset itself" in ran.err


def test_that_nothing_could_be_recognised_is_no_all_clear(msd: Path, tmp_path: Path, command: Command) -> None:
    numbered = [track(f"clip{n}", None, None, "test", artist_id=f"a{n}") for n in range(3)]
    other = dataset(tmp_path / "nameless", "nameless", "folder", numbered)
    ran = command("audit", msd, "--against", other)
    assert ran.code == 0
    assert "warning: 'nameless' cannot be compared: no ids, checksums of sound, or artists and titles" in ran.out
    assert "learns from 0" not in ran.out
    assert command("audit", msd, "--against", other, "--strict").code == 1
    assert command("report", msd).code == 0
    assert "'nameless' cannot be compared" in (msd / "README.md").read_text()


def test_a_report_keeps_what_was_held_against_others(msd: Path, gtzan: Path, command: Command) -> None:
    command("audit", msd, "--against", gtzan)
    before = (msd / "audit.json").read_bytes()
    assert command("report", msd).code == 0
    assert (msd / "audit.json").read_bytes() == before
    page, card = (msd / "report.html").read_text(), (msd / "README.md").read_text()
    assert "Split default learns from 3 tracks of gtzan." in page and "learns from 3 tracks of gtzan" in card
    cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", page)]
    place = cells.index("gtzan")
    assert cells[place + 1 : place + 5] == ["default", "3", "3", "1"]
    assert "TRAAAAA128F0000001 = pop.00001 (name)" in cells[place + 6]
    assert "| gtzan | default | 3 | 3 | 1 |" in card
    assert command("audit", msd).code == 0
    assert "against" not in json.loads((msd / "audit.json").read_text())
    assert not (msd / "found_elsewhere.parquet").exists()


names = st.sampled_from(["A", "the a", "B", "b!", "C", "D"])
titles = st.sampled_from(["One", "one.", "Two", "TWO (live)", "Three", None])
seconds = st.sampled_from([None, 30.0, 32.0, 200.0])
some = st.lists(
    st.tuples(names, titles, seconds, st.sampled_from(["train", "test", "none"])), min_size=1, max_size=8
)
PLAIN = {"A": "a", "the a": "a", "B": "b", "b!": "b", "C": "c", "D": "d"}
PLAIN_TITLE = {"One": "one", "one.": "one", "Two": "two", "TWO (live)": "two live", "Three": "three"}


@settings(max_examples=60, deadline=None)
@given(ours=some, theirs=some)
def test_tracks_by_name_are_what_every_pair_says(ours: list[Any], theirs: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        left = [track(f"l{n}", a, t, s, duration_s=d) for n, (a, t, d, s) in enumerate(ours)]
        right = [track(f"r{n}", a, t, s, duration_s=d) for n, (a, t, d, s) in enumerate(theirs)]
        here = Store(str(dataset(Path(folder, "here"), "here", "folder", left)))
        audit(here, [Store(str(dataset(Path(folder, "there"), "there", "gtzan", right)))])
        rows = FOUND_ELSEWHERE.read(here).to_pylist() if here.exists(FOUND_ELSEWHERE.filename) else []
    expected = {}
    for mine in left:
        pairs = [
            (other["split"] != "test", not near(mine, other), other["track_id"])
            for other in right
            if mine["split"] == "train"
            and other["split"] != "none"
            and mine["title"] is not None
            and other["title"] is not None
            and PLAIN[mine["artist_name"]] == PLAIN[other["artist_name"]]
            and PLAIN_TITLE[mine["title"]] == PLAIN_TITLE[other["title"]]
        ]
        if pairs:
            _, unsure, other_id = min(pairs)
            expected[mine["track_id"]] = (other_id, "likely" if unsure else "exact")
    found = {row["key"]: (row["other"], row["confidence"]) for row in rows if row["kind"] == "track"}
    assert found == expected
    measured = {PLAIN[row["artist_name"]] for row in right if row["split"] == "test"}
    learnt = {PLAIN[row["artist_name"]] for row in left if row["split"] == "train"}
    artists = {PLAIN[row["key"]] for row in rows if row["kind"] == "artist"}
    assert artists == measured & learnt


def near(one: dict[str, Any], other: dict[str, Any]) -> bool:
    both = (one["duration_s"], other["duration_s"])
    return None not in both and abs(both[0] - both[1]) <= 3
