"""The dataset card: Markdown with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.audit import scheme_name
from pipelines.report import summary
from pipelines.report.contents import Contents
from pipelines.stage import human_bytes
from schemas.page.words import counted, one_line, percent, shorten, thousands
from schemas.tables.splits import DEFAULT_SCHEME

TAGS_LISTED = 50
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
_CREATIVE_COMMONS = re.compile(r"cc[ -](by(?:-nc)?(?:-sa|-nd)?)[ -](\d\.\d)")
_LICENCES = {
    "cc0": "cc0-1.0",
    "cc0 1.0": "cc0-1.0",
    "cc0-1.0": "cc0-1.0",
    "public domain": "pddl",
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "odbl": "odbl",
}
_SPECIAL = re.compile(r"([\\`*_\[\]|~$#])")


class Plain(str):
    """Markdown that is already as it should stand."""

    __slots__ = ()


def markdown(value: object) -> str:
    """Text as Markdown that shows it: one line, nothing of it markup, also in a cell of a table."""
    if isinstance(value, Plain):
        return value
    line = one_line(str(value)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def code(value: object) -> Plain:
    """A name as Markdown code."""
    line = one_line(str(value)).replace("`", "'").replace("|", "\\|")
    return Plain(f"`{line}`")


def fenced(text: str) -> Plain:
    """Text in a block of code that nothing in it can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Plain(f"{fence}\n{text}\n{fence}")


def card_text(contents: Contents, audit: Mapping[str, Any] | None) -> str:
    """The card. Equal data give equal text."""
    environment = Environment(  # Markdown: `finalize` escapes what HTML's escaping would not.
        loader=PackageLoader("pipelines.report"),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        finalize=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "thousands": thousands,
        "percent": percent,
        "bytes": human_bytes,
        "code": code,
        "literal": lambda value: Plain(json.dumps(value)),
        "fenced": fenced,
        "shorten": shorten,
        "counted": counted,
        "yaml": lambda value: yaml.safe_dump(dict(value), sort_keys=True, allow_unicode=True).strip(),
    }
    schemes = list((audit or {}).get("schemes", []))
    ratios = contents.ratios()
    return environment.get_template("card.md.j2").render(
        front_matter=Plain(_front_matter(contents)),
        name=contents.receipt.name,
        digest=contents.receipt.manifest,
        card=contents.card(),
        sources=contents.sources(),
        categories=summary.categories(contents),
        headline=summary.headline(contents, audit),
        verdicts=summary.verdicts(contents, audit),
        funnel=summary.funnel(contents),
        notes=[(name, entry.notes) for name, entry in contents.stages() if entry.notes],
        excluded=summary.exclusions(contents),
        dropped=summary.dropped_tags(contents),
        schemes=[
            {**entry, "name": scheme_name(entry), "rows": summary.split_rows(entry, ratios)}
            for entry in sorted(schemes, key=lambda e: (e["scheme"] != DEFAULT_SCHEME, e["scheme"], e["fold"]))
        ],
        elsewhere=summary.elsewhere(audit),
        few_rule=summary.few_artists_rule(),
        tags=contents.tags[:TAGS_LISTED],
        tags_more=max(0, len(contents.tags) - TAGS_LISTED),
        tables=contents.tables,
        features=contents.features,
        has_labels=any(info.table.name == "labels" for info in contents.tables),
        has_splits=any(info.table.name == "splits" for info in contents.tables),
    )


def _front_matter(contents: Contents) -> str:
    card = contents.card()
    names = {info.table.name for info in contents.tables}
    default = "labels" if "labels" in names else "tracks"
    tables: list[dict[str, Any]] = [
        {
            "config_name": info.table.name,
            "data_files": [{"split": "full", "path": info.table.filename}],
            **({"default": True} if info.table.name == default else {}),
        }
        for info in contents.tables
    ]
    shards = [
        {
            "config_name": f"features.{info.spec.name}",
            "data_files": [{"split": "full", "path": f"features/{info.spec.name}/*.parquet"}],
        }
        for info in contents.features
    ]
    content = {
        "pretty_name": one_line(card["title"]),
        "license": hub_licence(card["licence"]),
        "task_categories": ["audio-classification"],
        "tags": ["music", "audio", "music-information-retrieval", *(["music-tagging"] if contents.tags else [])],
        "size_categories": [size_category(contents.tracks.num_rows)],
        "configs": [*tables, *shards],
    }
    if not content["configs"]:
        del content["configs"]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).strip()


def size_category(rows: int) -> str:
    """The hub's word for so many rows."""
    return next((word for limit, word in _SIZES if rows < limit), "100M<n<1B")


def hub_licence(text: str) -> str:
    """The hub's word for a licence: `unknown` where none is stated, `other` where it has no word for it."""
    plain = " ".join(text.lower().split())
    if not plain:
        return "unknown"
    commons = _CREATIVE_COMMONS.fullmatch(plain)
    return f"cc-{commons[1]}-{commons[2]}" if commons else _LICENCES.get(plain, "other")
