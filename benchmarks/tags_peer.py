"""MSD500 and CALS as people script them: pandas from the published files to tags and artist-disjoint splits.

    python -m benchmarks.tags_peer FOLDER OUT

No line is slow on purpose: SQLite does the joins, a tag is normalised once, RapidFuzz finds misspellings on all
cores, and both datasets are made from one reading of the files. Splits are stratified over artists, as CALS is by
its name; of the packages that do it, iterative-stratification is faster than scikit-multilearn.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit
from rapidfuzz import fuzz, process

MAX_TAGS, MIN_TRACKS, TOP = 20, 100, 50
RATIOS = {"train": 0.7, "valid": 0.15, "test": 0.15}
_NOT_MUSIC = re.compile(r"\b(?:favou?rites?|albums? i|songs? i|seen live|awesome|love(?:d| it)?|best|my)\b")
_SUFFIX = re.compile(r"\s(?:music|songs?|tags?|tracks?|tunes?)$")
_SIGNS = re.compile(r"[^\w\s]")
_DECADE = re.compile(r"^(?:19)?(\d0)s$")
_SYNONYMS = {
    "rnb": "randb",
    "rhythmandblues": "randb",
    "dnb": "drumandbass",
    "drumnbass": "drumandbass",
    "rocknroll": "rockandroll",
    "eighties": "80s",
    "seventies": "70s",
    "sixties": "60s",
    "nineties": "90s",
}


def normalise(tag: str) -> str:
    """A tag's key: lower case, no signs, no `music`, no plural, no spaces; empty when not about the music."""
    text = tag.lower().replace("&", " and ").replace("'", "")
    text = _SIGNS.sub(" ", text).replace("_", " ").strip()
    if _NOT_MUSIC.search(text):
        return ""
    text = _SUFFIX.sub("", text)
    decade = _DECADE.match(text)
    if decade:
        return decade[1] + "s"
    if text.endswith("s") and not text.endswith(("ss", "us", "is", "blues", "bass")) and len(text) > 3:
        text = text[:-1]
    key = text.replace(" ", "")
    return _SYNONYMS.get(key, key)


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """The metadata, the annotations (track_id, tag, val), and the tracks that were listened to."""
    with sqlite3.connect(folder / "track_metadata.db") as db:
        songs = pd.read_sql(
            "SELECT track_id, title, release, artist_id, artist_name, year, duration FROM songs", db
        )
    with sqlite3.connect(folder / "lastfm_tags.db") as db:
        # The join that the dataset's own page shows.
        rows = pd.read_sql(
            "SELECT tids.tid AS track_id, tags.tag AS tag, tid_tag.val AS val FROM tid_tag, tids, tags"
            " WHERE tids.ROWID = tid_tag.tid AND tags.ROWID = tid_tag.tag",
            db,
        )
    triplets = pd.read_csv(
        folder / "train_triplets.txt",
        sep="\t",
        header=None,
        names=["user", "song_id", "count"],
        usecols=["song_id"],
    )
    mapping = pd.read_csv(
        folder / "taste_profile_song_to_tracks.txt", sep="\t", header=None, names=["song_id", "track_id"]
    )
    lines = (folder / "sid_mismatches.txt").read_text("utf-8")
    wrong = {found[1] for found in re.finditer(r"^ERROR: <\w+ (\w+)>", lines, re.MULTILINE)}
    mapping = mapping[mapping["song_id"].isin(triplets["song_id"].unique())]
    heard = mapping.loc[~mapping["track_id"].isin(wrong), "track_id"]
    return songs, rows, heard


def misspellings(rows: pd.DataFrame) -> dict[str, str]:
    """The common key that a rare one of five letters and more is a slip of: nine tenths alike, by RapidFuzz."""
    counts = rows["key"].value_counts()
    common = list(counts.index[counts >= MIN_TRACKS])
    rare = [key for key in counts.index[counts < MIN_TRACKS] if len(key) > 4]
    alike = process.cdist(rare, common, scorer=fuzz.ratio, score_cutoff=90, dtype=np.uint8, workers=-1)
    nearest = alike.argmax(axis=1)
    return {rare[row]: common[nearest[row]] for row in np.flatnonzero(alike.max(axis=1, initial=0))}


def clean(rows: pd.DataFrame, heard: pd.Series) -> pd.DataFrame:
    """The six steps; distinct (track_id, tag) pairs."""
    rows = rows[rows["track_id"].isin(heard)]
    rows = rows[rows["val"] > 0]
    per_track = rows.groupby("track_id")["tag"].transform("size")
    rows = rows[per_track <= MAX_TAGS]
    keys = {tag: normalise(tag) for tag in rows["tag"].unique()}
    rows = rows.assign(key=rows["tag"].map(keys))
    rows = rows[rows["key"] != ""]
    slips = misspellings(rows)
    rows = rows.assign(key=rows["key"].map(lambda key: slips.get(key, key)))
    # A group is named by the member that most tracks carry.
    counted = rows.value_counts(["key", "tag"]).reset_index()
    names = counted.drop_duplicates("key").set_index("key")["tag"]
    pairs = rows[["track_id", "key"]].drop_duplicates()
    counts = pairs["key"].value_counts()
    pairs = pairs[pairs["key"].isin(counts.index[counts >= MIN_TRACKS])]
    return pd.DataFrame({"track_id": pairs["track_id"], "tag": pairs["key"].map(names)})


def split(songs: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Whole artists, stratified by their tags; unlabelled tracks are `student`, or `none` by artists held out."""
    known = songs[songs["track_id"].isin(pairs["track_id"].unique())]
    artists, names = pd.factorize(known["artist_id"])
    tags, labels = pd.factorize(pairs["tag"])
    artist_of = pd.Series(artists, index=known["track_id"])
    presence = np.zeros((len(names), len(labels)), np.int64)
    presence[artist_of[pairs["track_id"]].to_numpy(), tags] = 1
    held = 1 - RATIOS["train"]
    _, rest = halves(presence, held)
    valid, test = halves(presence[rest], RATIOS["test"] / held)
    part = np.full(len(names), "train", object)
    part[rest[valid]] = "valid"
    part[rest[test]] = "test"
    out_of_reach = songs["artist_id"].isin(names[rest])
    result = pd.Series(np.where(out_of_reach, "none", "student"), index=songs["track_id"])
    result[known["track_id"]] = part[artists]
    return result


def halves(presence: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of the artists, the second of a share, with their tags in proportion."""
    parts = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=0)
    first, second = next(parts.split(np.zeros(len(presence)), presence))
    return first, second


def save(out: Path, name: str, songs: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Tags by track, joined, with the split."""
    labels = pairs.groupby("track_id")["tag"].agg(list).rename("tags")
    frame = split(songs, pairs).rename("split").to_frame().join(labels)
    frame["caption"] = frame["tags"].map(", ".join, na_action="ignore")
    frame.to_parquet(out / f"{name}.parquet")
    pairs["tag"].value_counts().to_frame("n_tracks").to_parquet(out / f"{name}_tags.parquet")


def main(folder: Path, out: Path) -> None:
    """Make both datasets."""
    out.mkdir(parents=True, exist_ok=True)
    songs, rows, heard = read(folder)
    pairs = clean(rows, heard)
    save(out, "msd500", songs, pairs)
    top = pairs["tag"].value_counts().index[:TOP]
    save(out, "cals", songs, pairs[pairs["tag"].isin(top)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
