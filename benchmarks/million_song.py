"""Files of the Million Song Dataset's formats, size and shape, composed from a seed: no published row is in them.

Tags are the words of the rules file (or those of HetRec 2011's `tags.dat`, named in TRACKLORE_HETREC) as people
mistype and combine them, as frequent as Zipf would have it.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.tags.rules import load_rules
from schemas.coded import distinct_numbers

WORK = Path(__file__).with_name(".work")
FORMAT = 2
TRACKS, TAGGED, ROWS, TAGS = 1_000_000, 505_216, 8_598_630, 522_366
ARTISTS, NAMES = 44_745, 43_421
HEARD, MISMATCHED = 384_546, 19_094
MOST_TAGS = 100
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_OPENERS = (
    "songs i {}", "my {}", "best of {}", "{} favourites", "albums i {}", "{} mix", "to {} to", "makes me {}",
    "{} from the heart", "{} at night", "i was born to {}", "not {} enough", "pure {}", "{} for rainy days",
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """How large the files are; `share` of the published ones."""

    share: float

    @property
    def rows(self) -> int:
        """Annotations."""
        return round(ROWS * self.share)

    @property
    def tracks(self) -> int:
        """Tracks in `track_metadata.db`."""
        return round(TRACKS * self.share)

    @property
    def tagged(self) -> int:
        """Tracks that have a tag."""
        return round(TAGGED * self.share)

    @property
    def tags(self) -> int:
        """Distinct tags as typed."""
        return round(TAGS * self.share)


def tag_base() -> str:
    """What the tags are made of, for a person."""
    return "HetRec 2011's tags" if os.environ.get("TRACKLORE_HETREC") else "the rules' own words"


def million_song(share: float) -> Path:
    """The folder of the files, made once: `track_metadata.db`, `lastfm_tags.db`, `train_triplets.txt`,
    `sid_mismatches.txt` and `taste_profile_song_to_tracks.txt`."""
    hetrec = os.environ.get("TRACKLORE_HETREC")
    folder = WORK / f"million_song-{FORMAT}-{share:g}{'-hetrec' if hetrec else ''}"
    if folder.is_dir():
        return folder
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    shape = Shape(share)
    generator = np.random.default_rng(515)
    songs = _write_metadata(making / "track_metadata.db", shape, generator)
    _write_tags(making / "lastfm_tags.db", shape, _base_words(hetrec), songs, generator)
    _write_listening(making, shape, songs, generator)
    making.rename(folder)
    return folder


def _base_words(hetrec: str | None) -> list[str]:
    if hetrec:
        lines = Path(hetrec).read_text("utf-8").splitlines()[1:]
        return list(dict.fromkeys(line.split("\t")[1].strip() for line in lines if "\t" in line))
    rules = load_rules("msd500")
    words = [tag for tags in rules.categories.values() for tag in tags]
    words += [word for name, others in rules.synonyms.items() for word in (name, *others)]
    words += [word for line in rules.distinct for word in line]
    words += [word for word in rules.not_musical if not word.startswith("/")]
    words = list(dict.fromkeys(words))
    # Else the most frequent of all were languages, which the file happens to list first.
    random.Random(3).shuffle(words)
    return words


def _ids(prefix: str, count: int) -> list[str]:
    """As the published ones: two letters, seven letters, nine hexadecimal digits; in no order."""
    made = []
    for number in range(count):
        mixed = (number * 0x9E3779B97F4A7C15 + 0x1234567) & 0xFFFFFFFFFFFFFFFF
        made.append(prefix + "".join(chr(65 + (mixed >> (29 + 5 * k)) % 26) for k in range(7)) + f"128{number:06X}")
    return made


def _write_metadata(path: Path, shape: Shape, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Write table `songs`; return (track id, song id) in its order."""
    names = random.Random(1).sample(range(10_000_000), round(NAMES * shape.share))
    artists = round(ARTISTS * shape.share)
    weights = 1.0 / (np.arange(artists) + 20.0) ** 0.7
    of_track = generator.choice(artists, shape.tracks, p=weights / weights.sum()).tolist()
    tracks, songs = _ids("TR", shape.tracks), _ids("SO", shape.tracks)
    years = generator.integers(1950, 2011, shape.tracks).tolist()
    durations = generator.normal(240, 80, shape.tracks).clip(10).round(5).tolist()

    def rows() -> Iterator[tuple[object, ...]]:
        for n in range(shape.tracks):
            artist = of_track[n]
            name = _name(names[artist % len(names)])
            key = f"AR{artist:07d}1187B9{artist % 97:02d}"
            yield (
                tracks[n], f"{_name(n * 31 + 7)} {n % 211}", songs[n], f"{_name(n // 11)} sessions", key, "", name,
                durations[n], 0.5, 0.4, years[n], n, -1, 0,
            )  # fmt: skip

    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE songs (track_id text PRIMARY KEY, title text, song_id text, release text, artist_id text,"
            " artist_mbid text, artist_name text, duration real, artist_familiarity real, artist_hotttnesss real,"
            " year int, track_7digitalid int, shs_perf int, shs_work int)"
        )
        db.executemany("INSERT INTO songs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
    db.close()
    return list(zip(tracks, songs, strict=True))


def _name(number: int) -> str:
    """A pronounceable name of two words."""
    parts = []
    for word in divmod(number % 10_000_000, 3163):
        text = ""
        for _ in range(2 + word % 2):
            word, vowel = divmod(word + 13, 5)
            word, consonant = divmod(word + 29, 21)
            text += "bcdfghjklmnpqrstvwxyz"[consonant] + "aeiou"[vowel]
        parts.append(text.capitalize())
    return " ".join(parts)


def vocabulary(base: list[str], count: int) -> list[str]:
    """`count` distinct tags: the base first, then the base mistyped and combined, then phrases of no use."""
    chance = random.Random(2)
    found = dict.fromkeys(base[:count])
    while len(found) < count:
        if chance.random() < 0.25:
            found[_phrase(base, chance)] = None
        else:
            found[_mistyped(base, chance)] = None
    return list(found)


def _mistyped(base: list[str], chance: random.Random) -> str:
    words = " ".join(chance.choice(base) for _ in range(chance.choices((1, 2, 3), (5, 6, 1))[0]))
    for _ in range(chance.choices((1, 2), (3, 1))[0]):
        kind = chance.randrange(9)
        place = chance.randrange(max(1, len(words)))
        if kind == 0:
            words = chance.choice((words.title(), words.upper(), words.capitalize()))
        elif kind == 1:
            words = words.replace(" ", chance.choice(("-", "", "_", " / ", "  ")))
        elif kind == 2:
            words += chance.choice(("s", "es", "'s", "!", "?", "...", " *"))
        elif kind == 3:
            words = words[:place] + words[place + 1 :]
        elif kind == 4:
            words = words[:place] + chance.choice(_LETTERS) + words[place:]
        elif kind == 5:
            words = words[:place] + words[place + 1 : place + 2] + words[place : place + 1] + words[place + 2 :]
        elif kind == 6:
            words += chance.choice((" music", " songs", " song", " tag", " tracks", " stuff", " vibes"))
        elif kind == 7:
            words = chance.choice(("genre: ", "mood ", "my ", "old ", "new ", "french ", "90s ", "80's ")) + words
        else:
            words = words.replace("o", "ö", 1) if chance.random() < 0.3 else f"{words} {chance.randrange(100)}"
    return words.strip() or "music"


def _phrase(base: list[str], chance: random.Random) -> str:
    kind = chance.randrange(3)
    if kind == 0:
        return chance.choice(_OPENERS).format(chance.choice(base)) + f" {_name(chance.randrange(10**7))}".lower()
    if kind == 1:
        return _name(chance.randrange(10**7)).lower()
    return " ".join("".join(chance.choices(_LETTERS, k=chance.randint(2, 9))) for _ in range(chance.randint(1, 4)))


def pairs_of(shape: Shape, generator: np.random.Generator) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct (track, tag) numbers, `shape.rows` of them, every track and every tag at least once."""
    lengths = np.clip(np.round(generator.lognormal(1.9, 1.45, shape.tagged)), 1, MOST_TAGS).astype(np.int64)
    tracks = np.repeat(np.arange(shape.tagged), lengths)
    cumulated = np.cumsum(1.0 / (np.arange(shape.tags) + 34.0) ** 1.4)
    cumulated /= cumulated[-1]
    first = np.stack([generator.integers(0, shape.tagged, shape.tags), np.arange(shape.tags)])
    keys = np.sort(first[0] * shape.tags + first[1])
    while len(keys) < shape.rows:
        drawn = distinct_numbers(tracks * shape.tags + np.searchsorted(cumulated, generator.random(len(tracks))))
        spare = drawn[keys[np.searchsorted(keys, drawn).clip(max=len(keys) - 1)] != drawn]
        generator.shuffle(spare)
        keys = np.sort(np.append(keys, spare[: shape.rows - len(keys)]))
    missing = np.flatnonzero(np.bincount(keys // shape.tags, minlength=shape.tagged) == 0)
    # Tracks that the draw left without a tag take one from where the first tag is spared least.
    taken = np.flatnonzero(np.bincount(keys // shape.tags, minlength=shape.tagged) > 50)[: len(missing)]
    drop = np.searchsorted(keys, taken * shape.tags)
    keys = np.sort(np.append(np.delete(keys, drop), missing[: len(drop)] * shape.tags))
    return np.divmod(keys, shape.tags)


def _write_tags(
    path: Path,
    shape: Shape,
    base: list[str],
    songs: list[tuple[str, str]],
    generator: np.random.Generator,
) -> None:
    tags = vocabulary(base, shape.tags)
    tracks, of_tag = pairs_of(shape, generator)
    scores = np.floor(101 * generator.random(len(tracks)) ** 3).clip(0, 100)
    scores[np.flatnonzero(np.diff(tracks, prepend=-1))] = 100
    tagged = np.sort(generator.permutation(shape.tracks)[: shape.tagged]).tolist()
    # The published numbers are those of rows as they were first met, in no order of names.
    track_row, tag_row = generator.permutation(shape.tagged), generator.permutation(shape.tags)
    order = np.lexsort((tracks, -scores, track_row[tracks]))
    columns = ((track_row[tracks] + 1)[order], (tag_row[of_tag] + 1)[order], scores[order])
    met_tracks, met_tags = np.argsort(track_row).tolist(), np.argsort(tag_row).tolist()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE tids (tid TEXT)")
        db.execute("CREATE TABLE tags (tag TEXT)")
        db.execute("CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT)")
        db.executemany("INSERT INTO tids VALUES (?)", ((songs[tagged[n]][0],) for n in met_tracks))
        db.executemany("INSERT INTO tags VALUES (?)", ((tags[n],) for n in met_tags))
        for start in range(0, len(tracks), 1 << 20):
            part = [column[start : start + (1 << 20)].tolist() for column in columns]
            db.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", zip(*part, strict=True))
    db.close()


def _write_listening(
    folder: Path, shape: Shape, songs: list[tuple[str, str]], generator: np.random.Generator
) -> None:
    heard = generator.permutation(shape.tracks)[: round(HEARD * shape.share)].tolist()
    wrong = heard[:: max(1, HEARD // MISMATCHED)]
    counts = generator.geometric(0.4, len(heard)).tolist()
    users = [f"{n * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF:016x}" * 2 + "00c0ffee" for n in range(1000)]
    with (folder / "train_triplets.txt").open("w", encoding="utf-8", newline="") as file:
        file.writelines(
            f"{users[n % 1000]}\t{songs[track][1]}\t{count}\n"
            for n, (track, count) in enumerate(zip(heard, counts, strict=True))
        )
    with (folder / "taste_profile_song_to_tracks.txt").open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{songs[track][1]}\t{songs[track][0]}\n" for track in heard)
    with (folder / "sid_mismatches.txt").open("w", encoding="utf-8", newline="") as file:
        file.writelines(
            f"ERROR: <{songs[n][1]} {songs[n][0]}> {_name(n)}  -  This  !=  {_name(n + 1)}  -  That\n"
            for n in wrong
        )
