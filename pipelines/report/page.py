"""`tracklore report`: writes report.html, one self-contained page, and README.md, the dataset card."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.audit import scheme_name
from pipelines.report import charts, summary
from pipelines.report.card import card_text
from pipelines.report.clips import ShownClip, draw_clips, sample_clips, sampled_ids
from pipelines.report.contents import Contents, FeatureInfo, read_contents
from pipelines.report.runs import RunResult, read_runs
from pipelines.report.storyboards import read_storyboards
from pipelines.stage import human_bytes
from schemas.page import Numbering, style
from schemas.page.drawing import CATEGORIES
from schemas.page.words import one_line, percent, shorten, thousands
from schemas.store import Store
from schemas.tables.splits import DEFAULT_SCHEME

REPORT_FILE, CARD_FILE = "report.html", "README.md"
GROUPS_LISTED, BALANCED_LISTED = 5000, 1200
MEMBERS_SHOWN = 60
FEW_LISTED = 200
SHARED_LISTED = 8
FILES_LISTED = 40
TRACKS_LISTED = 8


def write_report(out: Store, audit: Mapping[str, Any] | None, runs: Iterable[str | Store] | None = None) -> None:
    """Write the page and the card of a dataset. Equal data give equal bytes.

    Args:
        out: the dataset directory; only what its receipt lists is read.
        audit: the content of `audit.json`, or None while there are no splits.
        runs: directories of runs to be shown; by default the directory `run` beside the dataset, if it holds a
            run that was trained on it.

    Raises:
        UsageError: there is no dataset, or a directory given in `runs` is no run.
        DataError: a file that the receipt lists is missing or damaged.
    """
    contents = read_contents(out)
    shown_runs, run_notes = read_runs(out, contents.receipt, runs)
    out.write_text(REPORT_FILE, page_text(out, contents, audit, shown_runs, run_notes))
    out.write_text(CARD_FILE, card_text(contents, audit))


def page_text(
    out: Store,
    contents: Contents,
    audit: Mapping[str, Any] | None,
    runs: Sequence[RunResult] = (),
    run_notes: Sequence[str] = (),
) -> str:
    """The page."""
    script = _asset("filter.js")
    clips = [(info, _clips(out, contents, info)) for info in contents.features]
    schemes = list((audit or {}).get("schemes", []))
    context = {
        "name": contents.receipt.name,
        "digest": contents.receipt.manifest,
        "card": contents.card(),
        "sources": contents.sources(),
        "headline": summary.headline(contents, audit),
        "verdicts": summary.verdicts(contents, audit),
        "funnel": summary.funnel(contents),
        "excluded": summary.exclusions(contents),
        "dropped": summary.dropped_tags(contents),
        "dropped_count": contents.dropped.num_rows,
        "notes": [(name, entry.notes) for name, entry in contents.stages() if entry.notes],
        **_tags(contents),
        **_splits(contents, schemes),
        "elsewhere": summary.elsewhere(audit),
        "storyboards": read_storyboards(out, contents),
        **_durations(contents),
        "clips": clips,
        "sample": [] if any(shown for _, shown in clips) else _sample(contents),
        "features": contents.features,
        "tables": contents.tables,
        "files": list(contents.receipt.files().items()),
        "files_listed": FILES_LISTED,
        "runs": [(run, _curves(place, run), _yaml(run.recipe)) for place, run in enumerate(runs)],
        "run_notes": run_notes,
        "recipe": _yaml(contents.receipt.recipe),
        "style": Markup(style()),  # noqa: S704 - files of this package
        "script": Markup(script),  # noqa: S704
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "number": Numbering(),
    }
    return _environment().get_template("page.html.j2").render(context)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "thousands": thousands,
        "percent": percent,
        "bytes": human_bytes,
        "line": one_line,
        "shorten": shorten,
        "category_role": category_role,
        "yaml": _yaml,
    }
    return environment


def category_role(category: str) -> str:
    """The CSS variable of a category's colour."""
    return f"--cat-{category if category in CATEGORIES else 'other'}"


def _asset(name: str) -> str:
    return importlib.resources.files("pipelines.report").joinpath("templates", name).read_text("utf-8").strip()


def _tags(contents: Contents) -> dict[str, Any]:
    groups = []
    for row in contents.tags[:GROUPS_LISTED]:
        joined = list(zip(row["members"], row["joined_by"], strict=True))
        # The rest is folded away: it is searched as well.
        groups.append({**row, "joined": joined[:MEMBERS_SHOWN], "folded": joined[MEMBERS_SHOWN:]})
    return {
        "tags": contents.tags,
        "top_tags": min(charts.TOP_TAGS, len(contents.tags)),
        "tag_bars": charts.tag_bars(contents.tags) if contents.tags else None,
        "categories": summary.categories(contents),
        "rank_frequency": charts.rank_frequency(contents.tags) if len(contents.tags) > charts.TOP_TAGS else None,
        "groups": groups,
        "groups_more": len(contents.tags) - len(groups),
        "typed": sum(len(row["members"]) for row in contents.tags),
        "tagged": contents.tagged(),
        "assignments": sum(row["n_tracks"] for row in contents.tags),
    }


def _splits(contents: Contents, schemes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ratios = contents.ratios()
    # Ours first, beside it what it is compared with.
    ordered = sorted(schemes, key=lambda entry: (entry["scheme"] != DEFAULT_SCHEME, entry["scheme"], entry["fold"]))
    drawn = [e for e in ordered if any(sum(counts.values()) for counts in e["shares_by_tag"].values())]
    drawn = drawn[: charts.SCHEMES_DRAWN]
    targets = [
        ratios
        if entry["scheme"] == DEFAULT_SCHEME and ratios
        else {name: row["share"] for name, row in entry["splits"].items() if row["labelled"]}
        for entry in drawn
    ]
    names = [row["tag"] for row in contents.tags]
    many = len(names) > charts.TOP_TAGS
    balance = summary.balance(drawn, contents.tags[:BALANCED_LISTED], targets)
    return {
        "schemes": [
            {
                **entry,
                "name": scheme_name(entry),
                "rows": summary.split_rows(entry, ratios),
                "few": entry["few_artists"][:FEW_LISTED],
                "few_more": max(0, len(entry["few_artists"]) - FEW_LISTED),
            }
            for entry in ordered
        ],
        "split_dots": charts.split_dots(drawn, names[: charts.TOP_TAGS], targets) if drawn and names else None,
        "split_scatter": charts.split_scatter(drawn, contents.tags, targets) if drawn and many else None,
        "drawn": [scheme_name(entry) for entry in drawn],
        "balance": balance if drawn else [],
        "balance_more": max(0, len(names) - len(balance)),
        "shared_listed": SHARED_LISTED,
        "few_rule": summary.few_artists_rule(),
    }


def _durations(contents: Contents) -> dict[str, Any]:
    known = contents.tracks.column("duration_s").drop_null().to_numpy()
    known = known[(known > 0) & (known < float("inf"))]
    if not len(known):
        return {"durations": None}
    svg, longer = charts.durations(known)
    return {
        "durations": svg,
        "durations_longer": longer,
        "durations_unknown": contents.tracks.num_rows - len(known),
        "duration_median": float(np.median(known)),
        "duration_range": (float(known.min()), float(known.max())),
    }


def _clips(out: Store, contents: Contents, info: FeatureInfo) -> list[ShownClip]:
    return draw_clips(info, sample_clips(out, contents, info))


def _sample(contents: Contents) -> list[Mapping[str, Any]]:
    return [row for row, _ in zip(sampled_ids(contents), range(TRACKS_LISTED), strict=False)]


def _curves(place: int, run: RunResult) -> Markup | None:
    return charts.curves(f"curves-{place}", run.history, run.best_step) if len(run.history) > 1 else None


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100).strip()
