"""What the reports say in words and tables: pure functions of a dataset's contents and its audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow.compute as pc

from pipelines.audit import FEW_ARTISTS, scheme_name
from pipelines.audit_against import incomparable
from pipelines.report.contents import Contents
from schemas.manifest import split_order
from schemas.page.words import counted, length, listed, percent
from schemas.reasons import Reason
from schemas.tables.splits import DEFAULT_SCHEME

FIRST_EXCLUDED = 3
FIRST_DROPPED = 8
FIRST_FOUND = 3
FIRST_OF_CATEGORY = 6
# A tag's share of a split within this of its target is as good as exact; beyond the other, a metric feels it.
CLOSE, FAR = 0.01, 0.05


@dataclass(frozen=True)
class Verdict:
    """One line of what is good or bad at a glance."""

    kind: Literal["good", "note", "warn", "bad"]
    text: str


@dataclass(frozen=True)
class FunnelRow:
    """One step.

    Attributes:
        stage: named at its first row only.
        change: tracks against the step before; None where the two do not compare.
        split: the split that the row counts, or None for a step through which all go.
        width: of the bar, 0 to 1 of the widest.
    """

    stage: str
    step: str
    tracks: int | None
    artists: int | None
    tags: int | None
    annotations: int | None
    change: int | None
    split: str | None
    width: float


@dataclass(frozen=True)
class Left:
    """What left at one stage for one reason: how many, and the first of them as (id, detail)."""

    stage: str
    reason: str
    meaning: str
    count: int
    first: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Elsewhere:
    """What a scheme learns from that another dataset holds too.

    Attributes:
        dataset: the other one.
        tracks: how many tracks of it were found; `measured` of them it measures, and `exact` of them are sure.
        artists: how many of the artists whom it measures are learnt from.
        first: some of the tracks, as (id here, id there, by what they were found).
    """

    dataset: str
    scheme: str
    tracks: int
    measured: int
    exact: int
    artists: int
    first: tuple[tuple[str, str, str], ...]


def headline(contents: Contents, audit: Mapping[str, Any] | None) -> str:
    """The dataset in one sentence of numbers."""
    parts = [f"{counted(contents.tracks.num_rows, 'track')} by {counted(contents.artists(), 'artist')}"]
    if contents.seconds():
        parts.append(f"{length(contents.seconds())} of music")
    if contents.tags:
        of = f" on {counted(contents.tagged(), 'track')}"
        parts.append(
            counted(len(contents.tags), "tag") + (of if contents.tagged() < contents.tracks.num_rows else "")
        )
    if contents.features:
        parts.append(listed([f"{info.clips:,} clips of {info.spec.name}" for info in contents.features]))
    sentence = ", ".join(parts)
    default = next((e for e in (audit or {}).get("schemes", []) if e["scheme"] == DEFAULT_SCHEME), None)
    if default and default["splits"]:
        shares = [f"{name} {default['splits'][name]['tracks']:,}" for name in split_order(default["splits"])]
        sentence += f"; split into {listed(shares)}"
    return sentence + "."


def verdicts(contents: Contents, audit: Mapping[str, Any] | None) -> list[Verdict]:
    """What is good and what is not, the gravest of each kind first as it stands in the page."""
    found: list[Verdict] = []
    for entry in (audit or {}).get("schemes", []):
        found += _of_scheme(entry, contents)
    for other in (audit or {}).get("against", []):
        why = incomparable(other)
        found += [Verdict("warn", f"{why}.")] if why else [_of_other(row) for row in _rows_of(other)]
    if audit is None:
        found.append(Verdict("note", "The dataset has no splits yet."))
    tracks = contents.tracks.num_rows
    if contents.labels.num_rows:
        found += _of_labels(contents, tracks)
    copies = tracks - contents.recordings()
    if copies:
        found.append(Verdict("note", f"{counted(copies, 'track')} repeat a recording that another track is."))
    for info in contents.features:
        stage = f"features.{info.spec.name}"
        of_stage = pc.equal(contents.excluded.column("stage"), stage)
        lacking = pc.count_distinct(contents.excluded.column("id").filter(of_stage)).as_py()
        if lacking:
            text = f"{counted(lacking, 'track')} of {tracks:,} without a clip in {info.spec.name}."
            found.append(Verdict("note", text))
    excluded = contents.excluded.group_by(["stage", "id"]).aggregate([]).num_rows
    text = (
        f"{counted(excluded, 'entry', 'entries')} excluded, each with its reason."
        if excluded
        else "Nothing excluded."
    )
    return [*found, Verdict("note", text)]


def _of_scheme(entry: Mapping[str, Any], contents: Contents) -> list[Verdict]:
    name, shared, ours = scheme_name(entry), entry["shared"], entry["scheme"] == DEFAULT_SCHEME
    artists, recordings = shared["artists"]["count"], shared["recordings"]["count"]
    text = (
        f"Split {name}: {counted(artists, 'artist')} and {counted(recordings, 'recording')} shared between splits."
    )
    found = [Verdict("bad" if artists or recordings else "good", text)]
    empty = [split for split in split_order(contents.ratios()) if split not in entry["splits"]] if ours else []
    if empty:
        found.append(Verdict("bad", f"Split {name}: no track in {listed(empty)}."))
    if any(sum(counts.values()) for counts in entry["shares_by_tag"].values()):
        mean, largest = entry["share_deviation"]["mean"], entry["share_deviation"]["largest"]
        text = (
            f"Split {name}: a tag's share of a split is {percent(mean, 2)} off its target on average, "
            f"{percent(largest, 2)} at most; label distance {entry['label_distance']:.5f}."
        )
        found.append(Verdict("good" if mean <= CLOSE else "warn" if mean > FAR else "note", text))
    few = entry["few_artists"]
    if few:
        text = f"Split {name}: {counted(len(few), 'tag')} of a measured split rest on few artists."
        found.append(
            Verdict("warn", text.replace("1 tag of a measured split rest on", "1 tag of a measured split rests on"))
        )
    return found


def elsewhere(audit: Mapping[str, Any] | None) -> list[Elsewhere]:
    """What was found in each of the other datasets that the audit was given, scheme by scheme."""
    return [row for entry in (audit or {}).get("against", []) if not incomparable(entry) for row in _rows_of(entry)]


def _rows_of(entry: Mapping[str, Any]) -> list[Elsewhere]:
    return [
        Elsewhere(
            entry["name"],
            row["scheme"],
            row["found"]["count"],
            row["found"]["measured"],
            row["found"]["exact"],
            row["artists"]["count"],
            tuple((found["track"], found["other"], found["by"]) for found in row["found"]["first"][:FIRST_FOUND]),
        )
        for row in entry["schemes"]
    ]


def _of_other(row: Elsewhere) -> Verdict:
    if row.tracks:
        return Verdict("bad", f"Split {row.scheme} learns from {counted(row.tracks, 'track')} of {row.dataset}.")
    if row.artists:
        artists = counted(row.artists, "artist")
        text = f"Split {row.scheme} learns from no track of {row.dataset}, but from {artists} of its."
        return Verdict("warn", text)
    return Verdict("good", f"Split {row.scheme} learns from no track and no artist of {row.dataset}.")


def _of_labels(contents: Contents, tracks: int) -> list[Verdict]:
    found = []
    without = contents.labels.num_rows - contents.tagged()
    if without:
        share = without / contents.labels.num_rows
        text = f"{counted(without, 'track')} of {tracks:,} ({percent(share)}) without a tag."
        found.append(Verdict("warn" if share > 0.5 else "note", text))
    captioned, distinct = contents.captioned()
    if captioned:
        text = f"{counted(distinct, 'distinct caption')} on {counted(captioned, 'captioned track')}."
        found.append(Verdict("bad" if distinct < 2 else "note", text))
    else:
        found.append(Verdict("bad", "No track has a caption, so no model can learn words from the dataset."))
    return found


def funnel(contents: Contents) -> list[FunnelRow]:
    """Every step of every stage, in order."""
    steps = [(stage, step) for stage, entry in contents.stages() for step in entry.funnel]
    most = max((step.tracks or 0 for _, step in steps), default=0)
    rows: list[FunnelRow] = []
    before: tuple[str, int] | None = None
    for place, (stage, step) in enumerate(steps):
        first = place == 0 or steps[place - 1][0] != stage
        split = step.step if stage == "splits" else None
        # Parts of a whole do not follow from one another, and a feature starts again from all tracks.
        comparable = before is not None and split is None and step.tracks is not None
        comparable = comparable and before is not None and before[0] == stage
        change = step.tracks - before[1] if comparable and before and step.tracks is not None else None
        width = (step.tracks or 0) / most if most else 0.0
        counts = (step.tracks, step.artists, step.tags, step.annotations)
        rows.append(FunnelRow(stage if first else "", step.step, *counts, change or None, split, width))
        if step.tracks is not None:
            before = (stage, step.tracks)
    return rows


def exclusions(contents: Contents) -> list[Left]:
    """What left, by stage and reason, in the order of the stages and then most first."""
    order = {name: place for place, (name, _) in enumerate(contents.stages())}
    rows = contents.excluded
    found = []
    for group in rows.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist():
        stage, reason = group["stage"], group["reason"]
        of_both = pc.and_(pc.equal(rows.column("stage"), stage), pc.equal(rows.column("reason"), reason))
        first = rows.filter(of_both).slice(0, FIRST_EXCLUDED).to_pylist()
        described = tuple((row["id"], _beside(row["id"], row["detail"])) for row in first)
        found.append(Left(stage, reason, meaning(reason), group["count_all"], described))
    return sorted(found, key=lambda left: (order.get(left.stage, len(order)), left.stage, -left.count, left.reason))


def _beside(id_: str, detail: str | None) -> str:
    """The detail without the id that stands before it."""
    return (detail or "").removeprefix(id_).removeprefix(": ")


@dataclass(frozen=True)
class CategoryRow:
    """One category of the vocabulary.

    Attributes:
        tags: how many.
        assignments: (track, tag) pairs of the dataset that are its tags'.
        share: of all pairs.
        first: its most frequent tags.
    """

    category: str
    tags: int
    assignments: int
    share: float
    first: tuple[str, ...]


def categories(contents: Contents) -> list[CategoryRow]:
    """The vocabulary by category, the most frequent first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in contents.tags:
        groups.setdefault(row["category"], []).append(row)
    whole = sum(row["n_tracks"] for row in contents.tags)
    found = []
    for category, rows in groups.items():
        pairs = sum(row["n_tracks"] for row in rows)
        first = tuple(row["tag"] for row in rows[:FIRST_OF_CATEGORY])
        found.append(CategoryRow(category, len(rows), pairs, pairs / whole if whole else 0.0, first))
    return sorted(found, key=lambda row: (-row.assignments, row.category))


@dataclass(frozen=True)
class BalanceRow:
    """How one tag's tracks lie in the splits of several schemes.

    Attributes:
        shares: for each scheme its splits' shares, in the order of the splits; None where the scheme lacks the tag.
        off: for each scheme the largest distance of a share from its target.
    """

    tag: str
    tracks: int
    shares: tuple[tuple[tuple[str, float], ...] | None, ...]
    off: tuple[float | None, ...]


def balance(
    schemes: Sequence[Mapping[str, Any]], tags: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, float]]
) -> list[BalanceRow]:
    """Tag by tag, one scheme beside the other, in the order of `tags`.

    Args:
        targets: for each scheme what share each split should have.
    """
    names = [row["tag"] for row in tags]
    found = [shares(entry, names) for entry in schemes]
    rows = []
    for tag in tags:
        listed: list[tuple[tuple[str, float], ...] | None] = []
        off: list[float | None] = []
        for by_tag, wanted in zip(found, targets, strict=True):
            split = by_tag.get(tag["tag"])
            if split is None:
                listed.append(None)
                off.append(None)
                continue
            order = split_order({*split, *wanted})
            listed.append(tuple((name, split.get(name, 0.0)) for name in order))
            off.append(max(abs(split.get(name, 0.0) - wanted.get(name, 0.0)) for name in order))
        rows.append(BalanceRow(tag["tag"], tag["n_tracks"], tuple(listed), tuple(off)))
    return rows


def dropped_tags(contents: Contents) -> list[Left]:
    """Tags as typed that the vocabulary does not have, by reason; the first are those on most tracks."""
    found = []
    for reason in pc.unique(contents.dropped.column("reason")).to_pylist():
        rows = contents.dropped.filter(pc.equal(contents.dropped.column("reason"), reason))
        first = rows.slice(0, FIRST_DROPPED).to_pylist()
        described = tuple((row["raw_tag"], counted(row["n_tracks"], "track")) for row in first)
        found.append(Left("tags", reason, meaning(reason), rows.num_rows, described))
    return sorted(found, key=lambda left: (-left.count, left.reason))


def meaning(reason: str) -> str:
    """The sentence for a reason; a newer version's reason is left to speak for itself."""
    return Reason(reason).meaning if reason in set(Reason) else ""


def split_rows(entry: Mapping[str, Any], ratios: Mapping[str, float]) -> list[dict[str, Any]]:
    """The splits of one scheme with the recipe's target where it has one, empty ones too."""
    wanted = ratios if entry["scheme"] == DEFAULT_SCHEME else {}
    nothing = {"tracks": 0, "labelled": 0, "artists": 0, "share": 0.0, "tags": 0}
    return [
        {"split": name, "target": wanted.get(name), **entry["splits"].get(name, nothing)}
        for name in split_order({*entry["splits"], *wanted})
    ]


def few_artists_rule() -> str:
    """What makes a tag of a measured split stand on few artists."""
    return f"fewer than {FEW_ARTISTS} artists, or half of its tracks from one"


def shares(entry: Mapping[str, Any], tags: Sequence[str]) -> dict[str, dict[str, float]]:
    """For each of `tags` that the scheme has, the share of its tracks in every split (sums to 1)."""
    found = {}
    for tag in tags:
        counts = entry["shares_by_tag"].get(tag, {})
        total = sum(counts.values())
        if total:
            found[tag] = {split: count / total for split, count in counts.items()}
    return found
