"""`tracklore export --ids-only`: a dataset without what its sources' terms keep from being passed on.

Left are ids: which track is in which split, and which tracks the retrieval pairs are of. With them go the recipe
and the digests of every file, so that whoever has the sources builds the same dataset and can check that it is.
Names of artists, titles, tags, captions and the vocabulary stay behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from pipelines.splits.keep import KEEP_NOTE
from pipelines.stage import shown
from schemas.digests import canonical_json
from schemas.errors import DataError, UsageError
from schemas.reasons import Reason
from schemas.receipt import Receipt, require_receipt
from schemas.store import Store
from schemas.table import TableSchema
from schemas.tables import EXCLUSIONS, PAIR_IDS, PAIRS, SPLITS

EXPORT_FILE = "export.json"
MANIFEST_FILE = "manifest.yaml"
README_FILE = "README.md"
FORMAT = 1
_TABLES = (SPLITS, PAIR_IDS)
_OURS = frozenset({EXPORT_FILE, MANIFEST_FILE, README_FILE, *(table.filename for table in _TABLES)})


def export_ids(data: Store, out: Store) -> Mapping[str, int]:
    """Write the ids of a dataset, its recipe and how to build it again. Equal datasets give equal bytes.

    Args:
        out: an empty folder, or an earlier export of the dataset of that name.

    Returns:
        the tables that were written, by file name, with their rows.

    Raises:
        UsageError: there is no dataset with splits, or `out` holds something else.
        DataError: a table is missing or damaged.
    """
    receipt = require_receipt(data)
    files = receipt.files()
    if SPLITS.filename not in files:
        raise UsageError(f"{data.root}: the dataset has no splits; make them with tracklore build --only splits")
    _require_ours(out, receipt.name)
    for name in (SPLITS.filename, PAIRS.filename):
        if name in files and data.sha256(name) != files[name].sha256:
            raise DataError(f"{data.root}/{name}: is not what the receipt lists; tracklore build --check mends it")
    out.remove(EXPORT_FILE)  # the last to be written: what has none is no whole export
    rows = {SPLITS.filename: SPLITS.write(out, SPLITS.read(data))}
    if PAIRS.filename in files:
        rows[PAIR_IDS.filename] = PAIR_IDS.write(out, PAIRS.read(data, PAIR_IDS.schema.names))
    else:
        out.remove(PAIR_IDS.filename)
    manifest = yaml.safe_dump(receipt.recipe, sort_keys=False, allow_unicode=True, width=100)
    out.write_text(MANIFEST_FILE, manifest)
    out.write_text(README_FILE, _readme(receipt, _apart(data, receipt)))
    content = {
        "format": FORMAT,
        "name": receipt.name,
        "manifest": receipt.manifest,
        "stages": [[name, entry.digest] for name, entry in receipt.stages.items() if name != "exclusions"],
        "dataset": {path: entry.sha256 for path, entry in files.items()},
        "files": {name: out.sha256(name) for name in sorted({*rows, MANIFEST_FILE, README_FILE})},
    }
    out.write_text(EXPORT_FILE, canonical_json(content) + "\n")
    return rows


def is_export(store: Store) -> bool:
    """Whether a folder is an export, and no dataset."""
    return store.exists(EXPORT_FILE)


def differences(data: Store, export: Store) -> list[str]:
    """Hold a dataset against the ids that were exported of another build of it.

    Returns:
        what differs, one line each; nothing when every track is in the same split of every scheme and the retrieval
        pairs are the same, whatever else may differ.

    Raises:
        UsageError: `data` is no dataset, or the export is of another name or of a format that is not known.
        DataError: a file of the export is damaged.
    """
    receipt, content = require_receipt(data), _read_export(export)
    if content["name"] != receipt.name:
        raise UsageError(f"{export.root}: is of {content['name']!r}, and {data.root} is {receipt.name!r}")
    found: list[str] = []
    listed = receipt.files()
    ours = {SPLITS.filename: SPLITS.read(data) if SPLITS.filename in listed else SPLITS.empty()}
    pairs = PAIRS.read(data, PAIR_IDS.schema.names) if PAIRS.filename in listed else PAIR_IDS.empty()
    ours[PAIR_IDS.filename] = pairs
    for table in _TABLES:
        theirs = table.read(export) if table.filename in content["files"] else table.empty()
        found += _differing(table, ours[table.filename], theirs)
    return found + _sources_of(receipt, content) if found else []


def _differing(table: TableSchema, ours: pa.Table, theirs: pa.Table) -> Iterator[str]:
    keys = list(table.unique)
    value = next(name for name in table.schema.names if name not in keys)
    joined = ours.select([*keys, value]).join(theirs, keys, join_type="full outer", right_suffix="_there")
    there = joined.column(f"{value}_there")
    differs = pc.fill_null(pc.not_equal(joined.column(value), there), True)
    wrong = joined.filter(differs).sort_by([(key, "ascending") for key in keys])
    if wrong.num_rows:
        first = wrong.slice(0, 1).to_pylist()[0]
        place = ", ".join(f"{key} {first[key]!r}" for key in keys)
        here, other = (_shown(first[name]) for name in (value, f"{value}_there"))
        yield (
            f"{table.name}: {wrong.num_rows:,} of {joined.num_rows:,} rows differ, "
            f"first {place}: {here} here, {other} in the export"
        )


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)


def _sources_of(receipt: Receipt, content: Mapping[str, Any]) -> list[str]:
    """Where the two builds began to differ: the first of the stages whose digest is another."""
    for name, digest in content["stages"]:
        if name in receipt.stages and receipt.stages[name].digest != digest:
            what = (
                "its source files or settings are" if name == "source" else "its settings are, or a stage before is"
            )
            return [f"stage {name}: made from something else: {what} not those of the export"]
    return []


def _read_export(export: Store) -> dict[str, Any]:
    where = f"{export.root}/{EXPORT_FILE}"
    try:
        content: dict[str, Any] = json.loads(export.read_text(EXPORT_FILE))
        version, files = content["format"], dict(content["files"])
        known = isinstance(content["name"], str) and _are_stages(content["stages"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{where}: is damaged ({error}); export again") from error
    if version != FORMAT or not known or not set(files) <= _OURS:
        raise UsageError(f"{where}: not an export of format {FORMAT}; export again with this version")
    for name, digest in files.items():
        if export.size(name) is None or export.sha256(name) != digest:
            raise DataError(f"{export.root}/{name}: is missing or not what {EXPORT_FILE} says; export again")
    return content


def _are_stages(stages: Any) -> bool:
    return isinstance(stages, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in stages
    )


def _require_ours(out: Store, name: str) -> None:
    if not out.root_exists():
        return
    there = [info.path for info in out.list()]
    foreign = [path for path in there if path not in _OURS]
    # An export that was killed has its first table; a folder with but a README.md is somebody else's.
    begun = SPLITS.meta(out).get("table") == SPLITS.name
    if foreign or (there and not is_export(out) and not begun):
        raise UsageError(
            f"{out.root}: is not empty and holds no export ({shown(foreign or there)}); give an empty --out"
        )
    try:
        found = json.loads(out.read_text(EXPORT_FILE))["name"] if is_export(out) else name
    except (ValueError, KeyError, TypeError, RecursionError):
        found = name  # damaged, and to be written again
    if found != name:
        raise UsageError(f"{out.root}: holds the export of {found!r}, and this is {name!r}; give another --out")


def _apart(data: Store, receipt: Receipt) -> int:
    """How many tracks were kept out for being in another dataset."""
    if EXCLUSIONS.filename not in receipt.files():
        return 0
    rows = EXCLUSIONS.read(data, ["stage", "reason"])
    reason = pc.equal(rows.column("reason"), str(Reason.CONTAMINATED))
    return int(pc.sum(pc.and_(pc.equal(rows.column("stage"), "splits"), reason)).as_py() or 0)


def _readme(receipt: Receipt, apart: int) -> str:
    text = f"""# {receipt.name}: the ids

Which track is in which split (`{SPLITS.filename}`: scheme, fold, track_id, split){_pairs_text(receipt)}.
No annotation is here: who has the sources builds the dataset from them.

    tracklore build {MANIFEST_FILE} --set source.path=SOURCE --out DATA{_options(receipt)}
    tracklore verify DATA --against THIS_FOLDER

The second line says whether every track came into the same split. `{EXPORT_FILE}` holds the digests of every stage
and every file of the dataset that this was exported from.
"""
    if apart:
        text += f"""
{apart} tracks were kept out of the default split because they are in other datasets. To keep them out, name those
datasets with `--set splits.apart_from=[DIR]`.
"""
    return text


def _options(receipt: Receipt) -> str:
    """What the recipe does not say: only some stages stood, or splits of an earlier build were kept."""
    features = any(name.startswith("features.") for name in receipt.stages)
    only = "" if features or not receipt.recipe.get("features") else " --only tags,splits"
    kept = any(KEEP_NOTE in note for note in receipt.stages["splits"].notes)
    return only + (f" --keep THIS_FOLDER/{SPLITS.filename}" if kept else "")


def _pairs_text(receipt: Receipt) -> str:
    there = PAIRS.filename in receipt.files()
    return f", and which tracks the\nretrieval pairs are of (`{PAIR_IDS.filename}`)" if there else ""
