"""The figures of a run's page. Each returns an `<svg>` element; see `schemas.page.drawing.draw`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from schemas.page.drawing import CATEGORIES, WIDTH_IN, category_colour, colour, draw
from schemas.page.words import shorten
from train.evaluate.space import KINDS, Space
from train.report.layout import Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP_TAGS = 50
NAMED_TAGS = 24
_NAME_BOX = (0.12, 0.025)
"""Of the map's width and height, about what a name takes."""
_ROW_IN = 0.165
_NAME_LENGTH = 26
_PANELS = 3
_COLOURS = {"audio": "train", "caption": "valid", "tag": "test"}
_AREAS = (("roc_auc", "ROC-AUC"), ("pr_auc", "PR-AUC"))
_NOT_DRAWN = frozenset({"step", "epoch"})


def curves(history: Sequence[Mapping[str, Any]], best_step: int | None) -> Markup:
    """Every figure of the history against the step: the losses together, the others a panel each."""
    names = dict.fromkeys(name for row in history for name, value in row.items() if _is_number(value))
    others = [name for name in names if name not in {*_NOT_DRAWN, "loss", "valid_loss"}]
    rows = 1 + -(-max(0, len(others) - 1) // _PANELS)

    def series(name: str) -> tuple[list[int], list[float]]:
        points = [(row["step"], row[name]) for row in history if _is_number(row.get(name))]
        return [step for step, _ in points], [float(value) for _, value in points]

    def paint(figure: Figure) -> None:
        grid = figure.add_gridspec(rows, _PANELS)
        loss = figure.add_subplot(grid[0, : _PANELS - 1 if others else _PANELS])
        loss.plot(*series("loss"), color=colour("train"), linewidth=1, label="training")
        if "valid_loss" in names:
            style = {"color": colour("valid"), "linewidth": 1.4, "markersize": 3}
            loss.plot(*series("valid_loss"), "o-", label="validation", **style)  # type: ignore[arg-type]
        if best_step is not None:
            loss.axvline(best_step, color=colour("ink"), linewidth=0.8, linestyle=(0, (4, 3)), label="best step")
        loss.set_ylabel("loss")
        loss.legend()
        panels = [loss]
        for place, name in enumerate(others):
            row, column = (0, _PANELS - 1) if place == 0 else (1 + (place - 1) // _PANELS, (place - 1) % _PANELS)
            axes = figure.add_subplot(grid[row, column])
            axes.plot(*series(name), color=colour("muted"), linewidth=1.2)
            axes.set_title(shorten(name.replace("_", " "), 40))
            panels.append(axes)
        for axes in panels:
            axes.set_xlabel("step")
            axes.grid(visible=True, axis="y")
            _steps(axes)

    size = (WIDTH_IN, 0.5 + 2.3 * rows)
    return draw("curves", size, paint, "The losses and other figures of the training against the step")


def space_map(space: Space, points: Points, by_tag: Sequence[Mapping[str, Any]]) -> Markup:
    """Audio, captions and tags in the plane; of the most frequent tags the names, as far as there is room."""
    named = [row["tag"] for row in sorted(by_tag, key=lambda row: (-row["tracks"], row["tag"]))]
    kinds = np.array(space.kinds)
    tag_places: dict[str, list[int]] = {}
    for place, (name, kind) in enumerate(zip(space.names, space.kinds, strict=True)):
        if kind == "tag":
            tag_places.setdefault(name, []).append(place)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for kind in KINDS:
            some = points[kinds == kind]
            if len(some):
                shape = {"audio": ".", "caption": "x", "tag": "o"}[kind]
                size = {"audio": 4.5, "caption": 3.2, "tag": 3.8}[kind]
                axes.plot(
                    some[:, 0],
                    some[:, 1],
                    shape,
                    color=colour(_COLOURS[kind]),
                    markersize=size,
                    alpha=0.7,
                    label=kind,
                )
        for place in _apart(points, [place for tag in named for place in tag_places.get(tag, ())]):
            axes.annotate(
                shorten(space.names[place], _NAME_LENGTH),
                tuple(points[place]),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=7.5,
                color=colour("ink"),
            )
        axes.set_xticks([])
        axes.set_yticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        figure.legend(loc="outside upper left", ncols=3, handletextpad=0.1, borderpad=0)

    return draw("space", (WIDTH_IN, 6.2), paint, "Audio, captions and tags of the test split in the plane")


def _apart(points: Points, wanted: Sequence[int]) -> list[int]:
    """Of the points that are to be named the first whose names do not lie on one another."""
    span = np.ptp(points, axis=0)
    box = np.where(span > 0, span, 1.0) * _NAME_BOX
    kept: list[int] = []
    for place in wanted:
        if all((np.abs(points[place] - points[other]) > box).any() for other in kept):
            kept.append(place)
        if len(kept) == NAMED_TAGS:
            break
    return kept


def by_category(found: Mapping[str, Mapping[str, Any]], whole: Mapping[str, Any]) -> Markup:
    """Macro averages over each category's tags, with their intervals; the line is that of all tags."""
    names = sorted(found, key=lambda name: (-found[name]["tags"], name))

    def paint(figure: Figure) -> None:
        for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), _AREAS, strict=True):
            for place, name in enumerate(names):
                _with_interval(axes, place, found[name], key, category_colour(name), 5)
                if found[name].get("pr_auc_chance") is not None and key == "pr_auc":
                    axes.plot(found[name]["pr_auc_chance"], place, "|", color=colour("muted"), markersize=8)
            axes.axvline(whole[key], color=colour("line"), linewidth=0.9, linestyle=(0, (4, 3)))
            if key == "roc_auc":
                axes.axvline(0.5, color=colour("muted"), linewidth=0.7)
            _named_rows(axes, [f"{shorten(name, _NAME_LENGTH)} ({found[name]['tags']:,})" for name in names])
            axes.set_xlabel(title)

    size = (WIDTH_IN, 0.8 + 0.24 * max(3, len(names)))
    return draw("by-category", size, paint, "Tagging by category of tags, with intervals")


def by_tag(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Each of the most frequent tags, best first, with intervals; colours are categories."""
    top = sorted(rows, key=lambda row: (-row["tracks"], row["tag"]))[:TOP_TAGS]
    top = sorted(top, key=lambda row: (-row["roc_auc"], row["tag"]))

    def paint(figure: Figure) -> None:
        for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), _AREAS, strict=True):
            for place, row in enumerate(top):
                _with_interval(axes, place, row, key, category_colour(row["category"]), 3.6)
            if key == "roc_auc":
                axes.axvline(0.5, color=colour("muted"), linewidth=0.7)
            _named_rows(axes, [shorten(row["tag"], _NAME_LENGTH) for row in top])
            axes.set_xlabel(title)
        _categories(figure, [row["category"] for row in top])

    size = (WIDTH_IN, 1.0 + _ROW_IN * max(5, len(top)))
    return draw("by-tag", size, paint, f"Tagging of the {len(top)} most frequent tags, with intervals")


def efficiency(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    """Probes against the share of the labels, the mean over seeds and its standard deviation (VCMR, Figure 3)."""
    roles = ("train", "test", "valid", "line")

    def paint(figure: Figure) -> None:
        for axes, (key, title) in zip(figure.subplots(1, 2), _AREAS, strict=True):
            for kind, role in zip(sorted(found), roles, strict=False):
                at = [row["percent"] for row in found[kind]]
                means = np.array([row[key] for row in found[kind]])
                spread = np.array([row["spread"][key] for row in found[kind]])
                axes.plot(at, means, "o-", color=colour(role), markersize=3.5, linewidth=1.3, label=kind)
                axes.fill_between(at, means - spread, means + spread, color=colour(role), alpha=0.15, linewidth=0)
            axes.set_xscale("log")
            ticks = sorted({row["percent"] for rows in found.values() for row in rows})
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            axes.set_xlabel("labels (%)")
            axes.set_ylabel(title)
            axes.grid(visible=True, axis="y")
            axes.legend()

    return draw("efficiency", (WIDTH_IN, 2.8), paint, "Probes against the share of the labels that they learn from")


def _with_interval(axes: Axes, place: int, row: Mapping[str, Any], key: str, ink: str, size: float) -> None:
    within = row.get("intervals", {}).get(key)
    if within:
        axes.plot(within, [place, place], "-", color=ink, linewidth=1.2, alpha=0.55)
    axes.plot(row[key], place, "o", color=ink, markersize=size)


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="y")


def _categories(figure: Figure, present: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    known = {name if name in CATEGORIES else "other" for name in present}
    names = [name for name in CATEGORIES if name in known]
    handles = [Line2D([], [], linestyle="", marker="o", color=category_colour(name)) for name in names]
    options = {"ncols": min(9, len(names)), "handletextpad": 0.1, "columnspacing": 1.4, "borderpad": 0}
    figure.legend(handles, names, loc="outside upper left", **options)


def _steps(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
