"""How every figure is drawn: matplotlib to SVG that takes its colours and font from the page around it.

Colours are written as placeholders and replaced by CSS variables, so one drawing serves a light screen, a dark
one and paper. Text stays text. Equal data give equal bytes: no date, ids from a fixed salt, the default style
whatever the user's matplotlibrc says.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CATEGORIES = (
    "genre",
    "style",
    "mood",
    "theme",
    "instrument",
    "vocal",
    "activity",
    "location",
    "language",
    "culture",
    "decade",
    "other",
)
# Splits and categories each have hues of their own, so that a colour means one thing on the page.
ROLES = (
    "ink",
    "muted",
    "rule",
    "train",
    "valid",
    "test",
    "split",
    "line",
    *(f"cat-{name}" for name in CATEGORIES),
)
WIDTH_IN = 9.4
"""Width of a figure over the whole column, in inches of 72 points."""


def colour(role: str) -> str:
    """The placeholder of a role."""
    return f"#fe01{ROLES.index(role):02x}"


def split_colour(split: str) -> str:
    """The colour of a split; splits of other names share one."""
    return colour(split if split in ("train", "valid", "test") else "split")


def category_colour(category: str) -> str:
    """The colour of a tag's category; categories that we do not know are `other`."""
    return colour(f"cat-{category if category in CATEGORIES else 'other'}")


def draw(
    name: str,
    size: tuple[float, float],
    paint: Callable[[Figure], None],
    label: str,
    *,
    layout: Literal["constrained"] | None = "constrained",
) -> Markup:
    """Draw one figure.

    Args:
        name: of letters and hyphens, its own on the page; ids in the SVG begin from it.
        size: inches.
        paint: adds the axes.
        label: what the figure shows, for readers who hear the page.
        layout: None when `paint` places the axes itself, which is quicker.

    Returns:
        an `<svg>` element for the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with mpl.rc_context(), warnings.catch_warnings():
        # The browser has the glyphs that matplotlib's own font lacks; here they are only measured.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(cast(Any, _style(name)))
        figure = Figure(figsize=size, layout=layout)
        FigureCanvasSVG(figure)
        paint(figure)
        engine = figure.get_layout_engine()
        if engine is not None:  # saving would draw everything once more for it
            engine.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return _for_page(stream.getvalue(), label)


def _style(name: str) -> dict[str, Any]:
    ink, muted, rule = colour("ink"), colour("muted"), colour("rule")
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 8.5,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.titlecolor": ink,
        "axes.labelsize": 8.5,
        "axes.labelcolor": muted,
        "axes.edgecolor": rule,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": rule,
        "grid.linewidth": 0.5,
        "text.color": ink,
        "xtick.color": rule,
        "ytick.color": rule,
        "xtick.labelcolor": muted,
        "ytick.labelcolor": ink,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.labelcolor": ink,
        "image.composite_image": False,
    }


def _for_page(svg: str, label: str) -> Markup:
    """The drawing as an element of a page: no prologue, no style of its own, no ids that nothing refers to."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href=", "href=")
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    kept = {name for pair in used for name in pair if name}
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in kept else "", svg)
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)
    svg = re.sub(r"<g[^>]*>(?:\s*<use [^>]*/>)+\s*</g>", _style_once, svg)
    svg = re.sub(r' style="[^"]*"', _style_of_page, svg)
    head = re.search(r'viewBox="([^"]+)"', svg)
    box = head[1] if head else "0 0 1 1"
    width = float(box.split()[2])
    opening = f'<svg viewBox="{box}" style="width:{width * 4 / 3:.0f}px" role="img" aria-label="{escape(label)}">'
    svg = opening + svg[svg.index(">") + 1 :]
    return Markup(re.sub(r"\n\s*", "\n", svg).strip())  # noqa: S704 - matplotlib escapes what it writes


def _style_of_page(style: re.Match[str]) -> str:
    """One style attribute with the page's font and colours."""
    text = re.sub(r"\bfont: ([\d.]+)px [^;\"]*", r"font-size: \1px", style[0])
    text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
    return re.sub(r"#fe01(\w\w)", lambda m: f"var(--{ROLES[int(m[1], 16)]})", text)


def _style_once(group: re.Match[str]) -> str:
    """A group of markers of one style, which then stands at the group instead of at each of thousands."""
    styles = set(re.findall(r'<use [^>]*( style="[^"]*")', group[0]))
    if len(styles) != 1 or group[0].count(" style=") != group[0].count("<use "):
        return group[0]
    style = styles.pop()
    return group[0].replace(style, "").replace("<g", f"<g{style}", 1)
