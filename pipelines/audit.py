"""`tracklore audit`: what leaks from split to split or is in another dataset, and how splits follow the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.audit_against import against_datasets, found_artists, found_tracks, incomparable
from pipelines.audit_scheme import FEW_ARTISTS, audit_scheme, audited
from pipelines.overlap import COLUMNS, Known, known_of, learnt_splits, read_known
from pipelines.progress import beat
from pipelines.recordings.known import with_recordings
from schemas.digests import canonical_json
from schemas.errors import UsageError
from schemas.receipt import RECEIPT_FILE, require_receipt
from schemas.store import Store
from schemas.table import TableSchema
from schemas.tables import FOUND_ELSEWHERE, LABELS, LEAKS, SPLITS, TAGS, TRACKS
from schemas.tables.splits import DEFAULT_SCHEME, KFOLD_SCHEME

__all__ = ["AUDIT_FILE", "FEW_ARTISTS", "audit", "leaks"]

AUDIT_FILE = "audit.json"
# Made here, so they may not leak; what others published may, and is told.
OUR_SCHEMES = frozenset({DEFAULT_SCHEME, KFOLD_SCHEME})


def audit(out: Store, against: Sequence[Store] = ()) -> dict[str, Any]:
    """Audit a dataset; write `audit.json`, and `leaks.parquet` and `found_elsewhere.parquet` where there is
    something to list in them. Shares are held against the recipe's ratios.

    Args:
        against: datasets whose tracks this one should not learn from.

    Returns:
        the content of `audit.json`.

    Raises:
        UsageError: there is no dataset, or it has no splits.
        DataError: a table is missing, damaged or of another version.
    """
    receipt = require_receipt(out)
    if "splits" not in receipt.stages:
        raise UsageError(f"{out.root}: the dataset has no splits; make them with tracklore build --only splits")
    ratios = (receipt.recipe.get("splits") or {}).get("ratios")
    others = _others(out, against)
    columns = list(COLUMNS) if others else ["track_id", "artist_id", "collaborators", "recording_id"]
    tracks = with_recordings(TRACKS.read(out, columns), out, receipt)
    splits = SPLITS.read(out)
    vocabulary = TAGS.read(out, ["tag"]).column("tag").to_pylist()
    dataset = audited(tracks, LABELS.read(out), vocabulary)
    schemes, leaks = [], [LEAKS.empty()]
    for scheme, fold, assigned in each_scheme(splits):
        beat()
        learnt_from = learnt_splits(receipt.recipe, scheme)
        content, found = audit_scheme(dataset, assigned, learnt_from, ratios if scheme == DEFAULT_SCHEME else None)
        schemes.append({"scheme": scheme, "fold": fold, **content})
        leaks += [_with_scheme(table, scheme, fold) for table in found]
    content = {"name": receipt.name, "receipt": out.sha256(RECEIPT_FILE), "schemes": schemes}
    _write_listing(out, LEAKS, pa.concat_tables(leaks))
    elsewhere = FOUND_ELSEWHERE.empty()
    if others:
        content["against"], elsewhere = against_datasets(known_of(receipt, tracks, splits), others)
    _write_listing(out, FOUND_ELSEWHERE, elsewhere)
    out.write_text(AUDIT_FILE, canonical_json(content) + "\n")
    return content


def listings(content: Mapping[str, Any]) -> list[str]:
    """The tables beside `audit.json` that it speaks of."""
    shared = [entry["shared"] for entry in content["schemes"]]
    some = any(row["artists"]["count"] or row["recordings"]["count"] or row["captions"] for row in shared)
    found = [row for entry in content.get("against", []) for row in entry["schemes"]]
    elsewhere = any(row["found"]["count"] or row["artists"]["count"] for row in found)
    return [LEAKS.filename] * some + [FOUND_ELSEWHERE.filename] * elsewhere


def _others(out: Store, against: Sequence[Store]) -> list[Known]:
    for store in against:
        if store.full("x") == out.full("x"):
            raise UsageError(f"{store.root}: is the dataset itself; give another one to hold it against")
    found = {known.digest: known for known in (read_known(store) for store in against)}
    named = Counter(known.name for known in found.values())
    # Two datasets of one name, such as two builds of a recipe, are told apart by what they hold.
    told = [
        known if named[known.name] == 1 else replace(known, name=f"{known.name}@{known.digest[:8]}")
        for known in found.values()
    ]
    return sorted(told, key=lambda known: known.name)


def _write_listing(out: Store, schema: TableSchema, table: pa.Table) -> None:
    if table.num_rows:
        schema.write(out, table)
    else:
        out.remove(schema.filename)


def each_scheme(splits: pa.Table) -> list[tuple[str, int, pa.Table]]:
    """Every (scheme, fold) of a table `splits`, in order, with its rows."""
    named = (
        splits.group_by(["scheme", "fold"]).aggregate([]).sort_by([("scheme", "ascending"), ("fold", "ascending")])
    )
    found = []
    for scheme, fold in zip(named.column("scheme").to_pylist(), named.column("fold").to_pylist(), strict=True):
        kept = pc.and_(pc.equal(splits.column("scheme"), scheme), pc.equal(splits.column("fold"), fold))
        found.append((scheme, fold, splits.filter(kept)))
    return found


def scheme_name(entry: Mapping[str, Any]) -> str:
    """The scheme of an entry of `schemes`, with the fold where it has folds."""
    return f"kfold, fold {entry['fold']}" if entry["scheme"] == KFOLD_SCHEME else str(entry["scheme"])


def leaks(content: Mapping[str, Any], scheme: str = DEFAULT_SCHEME) -> int:
    """How many artists and recordings the folds of a scheme share between splits."""
    found = [entry["shared"] for entry in content["schemes"] if entry["scheme"] == scheme]
    return sum(shared["artists"]["count"] + shared["recordings"]["count"] for shared in found)


def problems(content: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What the audit found, a clause each: (what fails a check, what is a warning unless checks are strict)."""
    grave: list[str] = []
    slight = [why for entry in content.get("against", []) if (why := incomparable(entry))]
    for scheme in sorted({entry["scheme"] for entry in content["schemes"]}):
        told = grave if scheme in OUR_SCHEMES else slight
        found = leaks(content, scheme)
        if found:
            told.append(f"the split {scheme!r} shares {found} artists or recordings; see {LEAKS.filename}")
        for entry in content.get("against", []):
            tracks, artists = found_tracks(entry, scheme), found_artists(entry, scheme)
            see = f"{entry['name']!r}; see {FOUND_ELSEWHERE.filename}"
            if tracks:
                told.append(f"the split {scheme!r} learns from {tracks} tracks of {see}")
            if artists:
                slight.append(f"the split {scheme!r} learns from {artists} artists of {see}")
    return grave, slight


def _with_scheme(table: pa.Table, scheme: str, fold: int) -> pa.Table:
    columns = {"scheme": pa.array([scheme] * table.num_rows, pa.string())}
    columns["fold"] = pa.array([fold] * table.num_rows, pa.int32())
    return LEAKS.conform(pa.table({**columns, **{name: table.column(name) for name in table.column_names}}))
