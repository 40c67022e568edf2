"""The dataset's Croissant description, `metadata.json`: what its files are, for the tools that read the format.

Croissant 1.1 (MLCommons). It says nothing of when: the same receipt gives the same description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from schemas.receipt import RECEIPT_FILE, FileEntry, Receipt
from schemas.shards import FeatureSpec, read_shard_index
from schemas.store import Store
from schemas.table import TableSchema
from schemas.tables import TABLES

CROISSANT_FILE = "metadata.json"
_VERSION = "http://mlcommons.org/croissant/1.1"
_PARQUET = "application/x-parquet"
_NOT_STATED = "not stated"
# The context that the format's specification prescribes, to the key.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant_text(out: Store, receipt: Receipt) -> str:
    """The description as JSON-LD. Files are named as they lie beside it.

    Raises:
        DataError: the first shard of a feature is missing or damaged.
    """
    return json.dumps(croissant(out, receipt), indent=2, ensure_ascii=False) + "\n"


def croissant(out: Store, receipt: Receipt) -> dict[str, Any]:
    """See `croissant_text`. Tables are described by their schemas, features by what their shards say of themselves.

    A table is a FileObject with the receipt's digest; shards are FileSets, whose digests the receipt holds, which
    is listed with its own.
    """
    files = receipt.files()
    tables = [table for table in TABLES.values() if table.filename in files]
    shards = _shards(receipt)
    specs = {name: read_shard_index(out, paths[0]).spec for name, paths in shards.items()}
    own = FileEntry(sha256=out.sha256(RECEIPT_FILE), bytes=out.info(RECEIPT_FILE).bytes, rows=0)
    about = "What made every file, with each file's sha256, bytes and rows."
    distribution = [_file_object(RECEIPT_FILE, own, "application/json", about)]
    distribution += [
        _file_object(table.filename, files[table.filename], _PARQUET, _about(table)) for table in tables
    ]
    distribution += [_file_set(name, paths) for name, paths in shards.items()]
    records = [_record_set(table) for table in tables] + [_tensors(name, spec) for name, spec in specs.items()]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _VERSION,
        **_card(receipt),
        # A semantic version, as the format asks: the receipt's format, and which receipt it is.
        "version": f"{receipt.format}.0.0+{own.sha256[:12]}",
        "isLiveDataset": False,
        "distribution": distribution,
        "recordSet": records,
    }


def _card(receipt: Receipt) -> dict[str, Any]:
    card = receipt.recipe.get("card")
    card = card if isinstance(card, Mapping) else {}
    sources = [source for source in card.get("sources") or [] if isinstance(source, Mapping)]
    citations = [str(card.get("citation") or ""), *(str(source.get("bibtex") or "") for source in sources)]
    urls = [str(card.get("url") or ""), *(str(source.get("url") or "") for source in sources)]
    title = str(card.get("title") or "").strip() or receipt.name
    content = {
        "name": title,
        "description": str(card.get("description") or "").strip() or title,
        "license": str(card.get("licence") or "").strip() or _NOT_STATED,
        "citeAs": next((text.strip() for text in citations if text.strip()), None),
        "url": next((text.strip() for text in urls if text.strip()), None),
        "keywords": ["music", "music information retrieval"],
    }
    return {key: value for key, value in content.items() if value}


def _shards(receipt: Receipt) -> dict[str, list[str]]:
    found = {}
    for stage, entry in sorted(receipt.stages.items()):
        paths = sorted(path for path in entry.files if path.startswith("features/"))
        if stage.startswith("features.") and paths:
            found[stage.removeprefix("features.")] = paths
    return found


def _file_object(path: str, entry: FileEntry, encoding: str, about: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "description": about,
        "contentUrl": path,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": encoding,
        "sha256": entry.sha256,
    }


def _file_set(name: str, paths: list[str]) -> dict[str, Any]:
    # By their count, too: a shard of another count would be a file that the receipt does not list.
    return {
        "@type": "cr:FileSet",
        "@id": f"features/{name}",
        "name": f"features/{name}",
        "description": f"{len(paths)} shards of the feature {name}; the receipt lists the digest of each.",
        "encodingFormat": _PARQUET,
        "includes": f"features/{name}/{name}-*-of-{len(paths):05d}.parquet",
    }


def _about(table: TableSchema) -> str:
    return f"The table {table.name}, version {table.version}."


def _record_set(table: TableSchema) -> dict[str, Any]:
    keys = [{"@id": f"{table.name}/{name}"} for name in table.unique]
    source = {"fileObject": {"@id": table.filename}}
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": _about(table),
        **({"key": keys} if keys else {}),
        "field": [_field(table.name, field, source, _described(field)) for field in table.schema],
    }


def _tensors(name: str, spec: FeatureSpec) -> dict[str, Any]:
    record = f"features.{name}"
    source = {"fileSet": {"@id": f"features/{name}"}}
    shape = ", ".join("frames" if size < 0 else str(size) for size in spec.shape)
    about = {
        "track_id": "the track",
        "segment": "0 for the first clip of the track",
        "start_s": "where the clip starts in the audio file, seconds",
        "frames": "length of the time axis",
        "data": f"the tensor's bytes: {spec.dtype}, little-endian, row by row, of shape ({shape})",
    }
    return {
        "@type": "cr:RecordSet",
        "@id": record,
        "name": record,
        "description": f"Clips of the feature {name}: {json.dumps(dict(spec.settings), sort_keys=True)}",
        "key": [{"@id": f"{record}/track_id"}, {"@id": f"{record}/segment"}],
        "field": [_field(record, field, source, about.get(field.name, field.name)) for field in spec.schema()],
    }


def _described(field: pa.Field) -> str:
    told = (field.metadata or {}).get(b"description", b"").decode()
    return f"{told}; may be null" if field.nullable else told


def _field(record: str, field: pa.Field, source: Mapping[str, Any], about: str) -> dict[str, Any]:
    many = pa.types.is_list(field.type)
    return {
        "@type": "cr:Field",
        "@id": f"{record}/{field.name}",
        "name": field.name,
        "description": about,
        "dataType": _data_type(field.type.value_type if many else field.type),
        **({"isArray": True, "arrayShape": "-1"} if many else {}),
        "source": {**source, "extract": {"column": field.name}},
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
