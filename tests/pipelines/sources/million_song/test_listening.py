"""What people listened to: the Taste Profile, its mismatches, and interactions."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from schemas.errors import UsageError
from schemas.tables import (
    INTERACTIONS,
    LISTENED,
)
from tests.pipelines.sources.million_song.files import (
    USERS,
    Folder,
    Read,
    row,
    song,
    track,
)

TRIPLETS = [
    (USERS[0], song(0), 1),
    (USERS[0], song(1), 5),
    (USERS[1], song(1), 2),
    (USERS[1], song(3), 1),
    (USERS[2], song(4), 9),
    (USERS[3], song(5), 1),
    (USERS[4], song(90), 3),
]
TRACKS_OF = {
    song(0): [track(0)],
    song(1): [track(1), track(2)],
    song(3): [track(3)],
    song(4): [],
    song(5): [track(5), track(88)],
}


@pytest.fixture
def listeners(folder: Folder) -> Folder:
    folder.metadata(row(n) for n in range(6))
    return folder.taste(TRIPLETS, TRACKS_OF, [(song(3), track(3)), (song(1), track(2)), (song(77), track(77))])


def test_tracks_that_somebody_listened_to(listeners: Folder, read: Read) -> None:
    tables = read(labels=(), tracks="all", listening=True)
    assert tables.listened is not None
    assert tables.listened.schema.equals(LISTENED.schema)
    assert tables.listened.column("track_id").to_pylist() == [track(0), track(1), track(5)]
    assert tables.tracks.num_rows == 6
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [
        (track(2), "mismatched"),
        (track(3), "mismatched"),
    ]
    assert tables.exclusions.to_pylist()[1]["detail"].startswith(f"{song(3)} is another recording (sid_mismatches.")
    assert tables.notes == (
        "Taste Profile: 1 songs have no track in taste_profile_song_to_tracks.txt",
        "Taste Profile: 1 song-track pairs name tracks that the metadata has not: left out",
        "Taste Profile: 2 of 7 triplets are of songs that have no track: left out",
        "Taste Profile: 2 song-track pairs that were listened to are in sid_mismatches.txt: they do not count "
        "(2 tracks have no other listeners)",
    )


def test_the_metadata_says_which_tracks_songs_are_where_no_list_does(listeners: Folder, read: Read) -> None:
    (listeners.path / "taste_profile_song_to_tracks.txt").unlink()
    tables = read(labels=(), tracks="all", listening=True)
    assert tables.listened is not None
    assert tables.listened.column("track_id").to_pylist() == [track(n) for n in (0, 1, 4, 5)]
    assert "is not there: the metadata's song ids say" in tables.notes[0]


def test_interactions_are_those_of_a_plain_count(folder: Folder, read: Read) -> None:
    random.seed(3)
    folder.metadata(row(n) for n in range(30))
    tracks_of = {
        song(n): [track(t) for t in random.sample(range(33), random.choice([0, 1, 1, 2, 3]))] for n in range(40)
    }
    wrong = {(s, t) for s, listed in tracks_of.items() for t in listed if random.random() < 0.1}
    pairs = [(user, song(n)) for user in USERS for n in random.sample(range(45), 20)]
    triplets = [(user, of, random.randint(1, 9)) for user, of in pairs]
    folder.taste(triplets, tracks_of, wrong)
    plays: Counter[tuple[str, str]] = Counter()
    for user, of, count in triplets:
        for t in tracks_of.get(of, []):
            if (of, t) not in wrong and t < track(30):
                plays[user, t] += count
    tables = read(labels=(), tracks="all", interactions=True)
    assert tables.interactions is not None
    rows = INTERACTIONS.conform(tables.interactions).to_pylist()
    assert rows == [
        {"group_id": user, "kind": "listener", "track_id": t, "count": count}
        for (user, t), count in sorted(plays.items())
    ]
    assert tables.listened is None
    listened = read(labels=(), tracks="all", listening=True).listened
    assert listened is not None
    assert listened.column("track_id").to_pylist() == sorted({t for _, t in plays})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_triplets.txt", f"{USERS[0]}\t{song(0)}\n", r"is not written user, song, count.*got 2"),
        ("train_triplets.txt", f"{USERS[0]},{song(0)},1\n", r"is not written user, song, count"),
        ("train_triplets.txt", f"{USERS[0]}\t{song(0)}\tmany\n", r"is not written .*many"),
        ("train_triplets.txt", f"{USERS[0]}\t{song(0)}\t0\n", rf"a count of 0 \(of song '{song(0)}'\)"),
        ("train_triplets.txt", "a\tb\t1\nc\td\t2\n", r"none of its 2 songs is known"),
        ("train_triplets.txt", "", r"train_triplets\.txt: "),
        ("train_triplets.txt", b"\xff\xfe\t\xff\t1\n", r"train_triplets\.txt: "),
        ("sid_mismatches.txt", f"{song(1)}\t{track(1)}\n", r"line 1: .* is not written ERROR: <SO… TR…>"),
        ("taste_profile_song_to_tracks.txt", f"{song(0)} {track(0)}\n", r"line 1: is not written song, track"),
        ("taste_profile_song_to_tracks.txt", f"{track(0)}\t{song(0)}\n", r"line 1: is not written song, track"),
    ],
)
def test_listening_data_that_is_not_as_published_is_named(
    name: str, content: str | bytes, message: str, listeners: Folder, read: Read
) -> None:
    listeners.write(name, content)
    with pytest.raises(UsageError, match=rf"{name}: {message}|{message}") as caught:
        read(labels=(), tracks="all", interactions=True)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
