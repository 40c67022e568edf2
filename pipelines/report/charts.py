"""The figures of tags, splits, durations and runs. Each returns an `<svg>` element; see `schemas.page.drawing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from pipelines.audit import scheme_name
from pipelines.report.summary import shares
from schemas.manifest import split_order
from schemas.page.drawing import CATEGORIES, WIDTH_IN, category_colour, colour, draw, split_colour
from schemas.page.words import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP_TAGS = 50
ROW_IN = 0.165
_TWO_COLUMNS_FROM = 24
_NAME_LENGTH = 26
SCHEMES_DRAWN = 3


def tag_bars(tags: Sequence[Mapping[str, Any]]) -> Markup:
    """Tracks of the most frequent tags as bars, categories as colours. `tags`: rows of the table, most first."""
    top = tags[:TOP_TAGS]
    columns = 2 if len(top) >= _TWO_COLUMNS_FROM else 1
    rows = -(-len(top) // columns)
    widest = max(row["n_tracks"] for row in top)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, columns, squeeze=False)[0]
        for panel, axes in enumerate(panels):
            part = top[panel * rows : (panel + 1) * rows]
            axes.barh(
                range(len(part)),
                [row["n_tracks"] for row in part],
                height=0.72,
                color=[category_colour(row["category"]) for row in part],
            )
            for place, row in enumerate(part):
                axes.annotate(
                    f"{row['n_tracks']:,}",
                    (row["n_tracks"], place),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7.5,
                    color=colour("muted"),
                )
            axes.set_yticks(range(len(part)), [shorten(row["tag"], _NAME_LENGTH) for row in part])
            axes.set_ylim(rows - 0.4, -0.6)
            axes.set_xlim(0, widest * 1.12)
            axes.set_xlabel("tracks")
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            _count_axis(axes, "x")
        present = {row["category"] if row["category"] in CATEGORIES else "other" for row in top}
        _legend(
            figure,
            {name: {"marker": "o", "color": category_colour(name)} for name in CATEGORIES if name in present},
        )

    size = (WIDTH_IN, 0.85 + ROW_IN * max(rows, 3))
    return draw("tag-bars", size, paint, f"Tracks of the {len(top)} most frequent tags")


def rank_frequency(tags: Sequence[Mapping[str, Any]]) -> Markup:
    """Tracks and artists of every tag against its rank, both axes logarithmic."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        ranks = np.arange(1, len(tags) + 1)
        for key, role in (("n_tracks", "ink"), ("n_artists", "line")):
            values = np.array([row[key] for row in tags])
            some = values > 0
            axes.plot(
                ranks[some], values[some], ".", color=colour(role), markersize=3, label=key.removeprefix("n_")
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rank of the tag by tracks")
        axes.set_ylabel("count")
        axes.grid(visible=True)
        axes.legend(loc="lower left", markerscale=3)
        _count_axis(axes, "x")
        _count_axis(axes, "y")

    return draw("rank-frequency", (WIDTH_IN * 0.62, 2.9), paint, "Tracks and artists of every tag against its rank")


def split_dots(
    schemes: Sequence[Mapping[str, Any]], tags: Sequence[str], ratios: Sequence[Mapping[str, float]]
) -> Markup:
    """The share of each tag's tracks in every split, a row a tag, a panel a scheme.

    Args:
        schemes: entries of the audit.
        tags: rows from the top.
        ratios: for each scheme, where every split's dots would stand if it followed the whole.
    """
    found = [shares(entry, tags) for entry in schemes]
    highest = max((value for one in found for by_split in one.values() for value in by_split.values()), default=1.0)
    splits = split_order({split for entry in schemes for split in entry["splits"]})

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(schemes), squeeze=False, sharey=True)[0]
        for axes, entry, by_tag, wanted in zip(panels, schemes, found, ratios, strict=True):
            for split in splits:
                if split in wanted:
                    axes.axvline(wanted[split], color=split_colour(split), linewidth=0.9, linestyle=_dash(split))
                points = [(by_tag[tag][split], y) for y, tag in enumerate(tags) if split in by_tag.get(tag, {})]
                if points:
                    axes.plot(*zip(*points, strict=True), linestyle="", clip_on=False, **_marker(split))
            axes.set_yticks(range(len(tags)), [shorten(tag, _NAME_LENGTH) for tag in tags])
            axes.set_ylim(len(tags) - 0.4, -0.6)
            axes.set_xlim(0, min(1.0, highest * 1.05))
            if len(schemes) > 1:
                axes.set_title(scheme_name(entry), pad=8)
            axes.set_xlabel("share of the tag's tracks")
            axes.grid(visible=True, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            _share_axis(axes, "x")
        _legend(figure, {split: _marker(split) for split in splits})

    size = (WIDTH_IN, 1.05 + ROW_IN * max(len(tags), 3))
    return draw("split-dots", size, paint, "Share of each tag's tracks in every split")


def split_scatter(
    schemes: Sequence[Mapping[str, Any]], tags: Sequence[Mapping[str, Any]], ratios: Sequence[Mapping[str, float]]
) -> Markup:
    """The same shares for a whole vocabulary, against how frequent the tag is."""
    names = [row["tag"] for row in tags]
    numbers = {row["tag"]: row["n_tracks"] for row in tags}
    splits = split_order({split for entry in schemes for split in entry["splits"]})

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(schemes), squeeze=False, sharey=True)[0]
        for place, (axes, entry, wanted) in enumerate(zip(panels, schemes, ratios, strict=True)):
            by_tag = shares(entry, names)
            for split in splits:
                points = [(numbers[tag], row[split]) for tag, row in by_tag.items() if split in row]
                if points:
                    axes.plot(*zip(*points, strict=True), ".", color=split_colour(split), markersize=3.5, alpha=0.6)
                if split in wanted:
                    axes.axhline(wanted[split], color=split_colour(split), linewidth=0.9, linestyle=_dash(split))
            axes.set_xscale("log")
            axes.set_ylim(-0.02, 1.02)
            if len(schemes) > 1:
                axes.set_title(scheme_name(entry), pad=8)
            axes.set_xlabel("tracks with the tag")
            if place == 0:
                axes.set_ylabel("share of the tag's tracks")
            axes.grid(visible=True, axis="y")
            _count_axis(axes, "x")
            _share_axis(axes, "y")
        _legend(figure, {split: {"marker": "o", "color": split_colour(split)} for split in splits})

    return draw("split-scatter", (WIDTH_IN, 3.1), paint, "Share of every tag in every split against its frequency")


def durations(seconds: Sequence[float]) -> tuple[Markup, int]:
    """A histogram of track lengths, and how many tracks are longer than it shows: where the longest are far from
    the rest, it ends at the 99.5th percentile."""
    values = np.asarray(seconds, np.float64)
    end = float(np.percentile(values, 99.5))
    end = float(values.max()) if values.max() <= 1.5 * end else end
    start = float(values.min())
    start = 0.0 if start < 0.5 * end else start
    end = end if end > start else start + 1.0
    counts, edges = np.histogram(values[values <= end], bins=48, range=(start, end))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.stairs(counts, edges, fill=True, color=colour("line"), alpha=0.85)
        axes.axvline(float(np.median(values)), color=colour("ink"), linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xlim(start, end)
        axes.set_ylim(0, None)
        axes.set_xlabel("duration (s)")
        axes.set_ylabel("tracks")
        _count_axis(axes, "x")
        _count_axis(axes, "y")

    svg = draw("durations", (WIDTH_IN * 0.62, 2.3), paint, "Histogram of track durations in seconds")
    return svg, int((values > end).sum())


def curves(name: str, history: Sequence[Mapping[str, Any]], best_step: int | None) -> Markup:
    """Training and validation loss, and the learning rate, against the step."""

    def series(key: str) -> tuple[list[float], list[float]]:
        points = [(row["step"], row[key]) for row in history if isinstance(row.get(key), int | float)]
        return [float(step) for step, _ in points], [float(value) for _, value in points]

    def paint(figure: Figure) -> None:
        loss, rate = figure.subplots(1, 2, width_ratios=[2.2, 1])
        loss.plot(*series("loss"), color=colour("train"), linewidth=1, label="training")
        steps, values = series("valid_loss")
        if steps:
            loss.plot(steps, values, "o-", color=colour("valid"), linewidth=1.4, markersize=3, label="validation")
        if best_step is not None and steps:
            loss.axvline(best_step, color=colour("ink"), linewidth=0.8, linestyle=(0, (4, 3)), label="best step")
        loss.set_ylabel("loss")
        loss.legend()
        rate.plot(*series("lr"), color=colour("muted"), linewidth=1.2)
        rate.set_ylabel("learning rate")
        rate.set_ylim(0, None)
        for axes in (loss, rate):
            axes.set_xlabel("step")
            axes.grid(visible=True, axis="y")
            _count_axis(axes, "x")

    return draw(name, (WIDTH_IN, 2.7), paint, "Training and validation loss against the step")


def _count_axis(axes: Axes, which: str) -> None:
    """Thousands separators on an axis of counts; whole numbers where the axis is linear."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    else:
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _share_axis(axes: Axes, which: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))


def _marker(split: str) -> dict[str, Any]:
    """How a split's dots look. They differ in shape too: dots of splits of one ratio lie on one another."""
    shapes: dict[str, dict[str, Any]] = {
        "train": {"marker": "o", "markersize": 3.6},
        "valid": {"marker": "D", "markersize": 2.8},
        "test": {"marker": "o", "markersize": 5.6, "markerfacecolor": "none"},
    }
    return {"color": split_colour(split), **shapes.get(split, {"marker": "s", "markersize": 3.2})}


def _dash(split: str) -> Any:
    """How a split's line looks; `test` is dotted, so that another of the same ratio shows through."""
    return (0, (1.5, 2.5)) if split == "test" else "-"


def _legend(figure: Figure, markers: Mapping[str, Mapping[str, Any]]) -> None:
    """One line of names above the panels."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linestyle="", **marker) for marker in markers.values()]
    if handles:
        figure.legend(
            handles,
            [shorten(name, _NAME_LENGTH) for name in markers],
            loc="outside upper left",
            ncols=min(9, len(handles)),
            handletextpad=0.1,
            columnspacing=1.4,
            borderpad=0,
        )
