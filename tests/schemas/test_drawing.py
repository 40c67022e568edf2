"""What every figure is: text, no colours of its own, ids that clash with no other's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import matplotlib as mpl
import pytest

from pipelines.report.charts import curves, durations, split_dots, tag_bars
from schemas.page.drawing import colour, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scatter(figure: Figure) -> None:
    axes = figure.subplots()
    axes.plot(range(500), [n * 1.23456789 for n in range(500)], ".", color=colour("train"))
    axes.set_title("a $b_1$ <c> & 日本")


def test_text_stays_text_and_colours_are_the_pages() -> None:
    svg = draw("x", (4, 3), scatter, 'said "aloud"')
    assert "a $b_1$ &lt;c&gt; &amp; 日本" in svg
    assert "var(--train)" in svg
    assert "#fe01" not in svg
    assert "font-family" not in svg
    assert 'aria-label="said &#34;aloud&#34;"' in svg
    assert svg.count("<use ") >= 500
    assert svg.count("var(--train)") <= 4


def test_figures_of_two_names_share_no_id() -> None:
    ids = [set(re.findall(r'id="([^"]+)"', draw(name, (4, 3), scatter, name))) for name in ("x", "y")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_the_users_style_changes_nothing_and_is_kept() -> None:
    before = draw("x", (4, 3), scatter, "x")
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):
        assert draw("x", (4, 3), scatter, "x") == before
        assert mpl.rcParams["font.size"] == 30


def test_bars_say_their_counts() -> None:
    tags = [{"tag": f"t{n}", "category": "mood", "n_tracks": 10_000 - n, "n_artists": 5} for n in range(80)]
    svg = tag_bars(tags)
    assert ">10,000<" in svg
    assert ">9,951<" in svg
    assert ">9,950<" not in svg
    assert ">mood<" in svg


def test_durations_beyond_the_drawing_are_counted() -> None:
    svg, longer = durations([200.0] * 300 + [100.0] * 300 + [90_000.0])
    assert longer == 1
    assert "duration (s)" in svg
    _, none = durations([30.0])
    assert none == 0


def test_dots_lie_at_the_shares() -> None:
    entry = {
        "scheme": "default",
        "fold": 0,
        "splits": {"train": {}, "test": {}},
        "shares_by_tag": {"a": {"train": 3, "test": 1}, "b": {"train": 1, "test": 1}, "c": {"train": 0, "test": 0}},
    }
    svg = split_dots([entry], ["a", "b", "c"], [{"train": 0.7, "test": 0.3}])
    train = re.search(r'<g style="fill: var\(--train\)[^>]*>(.*?)</g>', svg, flags=re.DOTALL)
    groups = [
        m for m in re.findall(r"<g[^>]*var\(--train\)[^>]*>((?:\s*<use [^>]*/>)+)", svg) if m.count("<use") == 2
    ]
    assert train or groups
    xs = [float(x) for x in re.findall(r'<use [^>]*\bx="([\d.]+)"', groups[0])]
    ticks = {label: float(x) for x, label in re.findall(r'<text[^>]*?\bx="([\d.]+)"[^>]*>(\d+)%<', svg)}
    zero, forty = ticks["0"], ticks["40"]
    assert [(x - zero) / (forty - zero) * 0.4 for x in xs] == pytest.approx([0.75, 0.5], abs=0.002)


def test_curves_leave_out_what_was_not_measured() -> None:
    history = [{"step": n, "loss": 1.0 / n, "lr": 0.1, "valid_loss": None} for n in (1, 2, 3)]
    assert "validation<" not in curves("c", history, None)
    assert "validation<" in curves("c", [*history, {"step": 4, "valid_loss": 0.3}], 4)
