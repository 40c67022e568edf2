"""`tracklore audit`: what leaks from one split into another, and how each split follows the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.splits.measures import label_counts, label_distance, share_deviation
from schemas.digests import canonical_json
from schemas.errors import UsageError
from schemas.manifest import split_order
from schemas.receipt import RECEIPT_FILE, require_receipt
from schemas.store import Store
from schemas.tables import LABELS, SPLITS, TAGS, TRACKS

AUDIT_FILE = "audit.json"
DEFAULT_SCHEME = "default"
FEW_ARTISTS = 5
_LISTED = 20
# What a model may learn from: a leak is something that one of these shares with a split that it is measured on.
_BESIDE_TRAIN = frozenset({"extra", "student"})
_UNUSED = "none"


def audit(out: Store) -> dict[str, Any]:
    """Audit a dataset, write `audit.json`, and return its content. Shares are held against the recipe's ratios.

    Raises:
        UsageError: there is no dataset, or it has no splits.
    """
    receipt = require_receipt(out)
    if "splits" not in receipt.stages:
        raise UsageError(f"{out.root}: the dataset has no splits; make them with tracklore build --only splits")
    ratios = receipt.recipe.get("splits", {}).get("ratios")
    tracks = {
        row["track_id"]: row for row in TRACKS.read(out, ["track_id", "artist_id", "recording_id"]).to_pylist()
    }
    labels = {row["track_id"]: row for row in LABELS.read(out).to_pylist()}
    vocabulary = TAGS.read(out, ["tag"]).column("tag").to_pylist()
    assigned: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for row in SPLITS.read(out).to_pylist():
        assigned[row["scheme"], row["fold"]][row["track_id"]] = row["split"]
    schemes = [
        {
            "scheme": scheme,
            "fold": fold,
            **audit_scheme(splits, tracks, labels, vocabulary, ratios if scheme == DEFAULT_SCHEME else None),
        }
        for (scheme, fold), splits in sorted(assigned.items())
    ]
    content = {"name": receipt.name, "receipt": out.sha256(RECEIPT_FILE), "schemes": schemes}
    out.write_text(AUDIT_FILE, canonical_json(content) + "\n")
    return content


def audit_scheme(
    splits: Mapping[str, str],
    tracks: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, Mapping[str, Any]],
    vocabulary: Sequence[str],
    ratios: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Audit one assignment of tracks to splits."""
    learnt_from = _BESIDE_TRAIN | {split_order(ratios)[0] if ratios else "train"}
    used = {track: split for track, split in splits.items() if split != _UNUSED and track in tracks}
    names = split_order(set(used.values()))
    labelled = {t: s for t, s in used.items() if t in labels and labels[t]["caption"] is not None}
    order = sorted(labelled)
    tags = [labels[track]["tags"] for track in order]
    counted = [name for name in names if name in set(labelled.values())]
    counts, sizes = label_counts(tags, [labelled[track] for track in order], counted, vocabulary)
    shares = dict(zip(counted, (sizes / max(1, sizes.sum())).tolist(), strict=True))
    wanted = ratios if ratios and set(counted) <= set(ratios) else shares
    mean, largest = share_deviation(counts, wanted, counted) if counted else (0.0, 0.0)
    artists = {name: {tracks[t]["artist_id"] for t, s in used.items() if s == name} for name in names}
    return {
        "splits": {
            name: {
                "tracks": sum(split == name for split in used.values()),
                "labelled": int(sizes[counted.index(name)]) if name in counted else 0,
                "artists": len(artists[name]),
                "share": shares.get(name, 0.0),
                "tags": int((counts[counted.index(name)] > 0).sum()) if name in counted else 0,
            }
            for name in names
        },
        "shared": {
            "artists": _shared({t: tracks[t]["artist_id"] for t in used}, used, learnt_from),
            "recordings": _shared({t: tracks[t]["recording_id"] for t in used}, used, learnt_from),
            "captions": _shared({t: labels[t]["caption"] for t in labelled}, used, learnt_from)["count"],
        },
        "label_distance": label_distance(counts, sizes) if counted else 0.0,
        "share_deviation": {"mean": mean, "largest": largest},
        "shares_by_tag": {
            tag: {name: int(counts[i, column]) for i, name in enumerate(counted)}
            for column, tag in enumerate(vocabulary)
        },
        "few_artists": _few_artists(
            labelled, tracks, labels, [name for name in counted if name not in learnt_from]
        ),
    }


def leaks(content: Mapping[str, Any], scheme: str = DEFAULT_SCHEME) -> int:
    """How many artists and recordings the folds of a scheme share between splits."""
    found = [entry["shared"] for entry in content["schemes"] if entry["scheme"] == scheme]
    return sum(shared["artists"]["count"] + shared["recordings"]["count"] for shared in found)


def _shared(keys: Mapping[str, str], splits: Mapping[str, str], learnt_from: frozenset[str]) -> dict[str, Any]:
    """Keys that lie in two splits of which not both are learnt from."""
    places: dict[str, set[str]] = defaultdict(set)
    for track, key in keys.items():
        places[key].add(splits[track])
    leaking = {key: sorted(found) for key, found in places.items() if len(found) > 1 and not found <= learnt_from}
    listed = sorted(leaking)[:_LISTED]
    return {"count": len(leaking), "first": {key: leaking[key] for key in listed}}


def _few_artists(
    splits: Mapping[str, str],
    tracks: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Tags that a measured split has from fewer than five artists, or half from one: no basis for a number."""
    artists: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for track, split in splits.items():
        if split in names:
            for tag in labels[track]["tags"]:
                artists[tag, split][tracks[track]["artist_id"]] += 1
    rows = []
    for (tag, split), counts in sorted(artists.items()):
        most = max(counts.values()) / sum(counts.values())
        if len(counts) < FEW_ARTISTS or most >= 0.5:
            rows.append({"tag": tag, "split": split, "artists": len(counts), "largest_share": most})
    return rows
