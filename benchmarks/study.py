"""Does it learn? Every finding that is claimed, on the demo's corpus, whose truth is known, over three seeds.

`python -m benchmarks.study` trains each variant for half of the demo's epochs, unless it stands in
.work already, so it goes on where it was stopped; it prints two tables, and writes study.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

WORK = Path(__file__).with_name(".work") / "study"
FOUND = Path(__file__).with_name("study.json")
SEEDS = (0, 1, 2)
# Half of the demo's: what differs, differs by then.
COMMON = ("training.epochs=34",)


@dataclass(frozen=True)
class Variant:
    """One way to train, on the demo's corpus.

    Attributes:
        recipe: its name.
        settings: what it changes of the recipe.
    """

    name: str
    recipe: str = "demo"
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One variant is better than another by a figure of metrics.json.

    Attributes:
        figure: its keys, with dots between.
        source: who found it first, or says so.
    """

    better: str
    worse: str
    figure: str
    source: str


TRIPLET = "objective={kind: triplet, margin: 0.4}"
VARIANTS = (
    # So slow that nothing is learnt; batch normalisation alone has seen the data.
    Variant("untrained", settings=("optimiser.lr=1.0e-12", "optimiser.weight_decay=0", "training.epochs=1")),
    Variant("contrastive, tag", settings=("text.representation=tag",)),
    Variant("contrastive, sentence", settings=("text.representation=sentence",)),
    Variant("contrastive, stochastic"),
    Variant("contrastive, stochastic, as published", settings=("training.positives=equal",)),
    Variant("triplet, stochastic", settings=(TRIPLET,)),
)
SENTENCES, TAGS = "retrieval.map_at_10", "tagging.roc_auc"
FINDINGS = (
    Finding("contrastive, stochastic", "contrastive, tag", SENTENCES, "TTMR, table 2"),
    Finding("contrastive, stochastic", "contrastive, sentence", TAGS, "TTMR, table 2"),
    *(
        Finding("contrastive, stochastic", "triplet, stochastic", figure, "TTMR, table 2")
        for figure in (SENTENCES, TAGS)
    ),
    *(
        Finding(variant.name, "untrained", figure, "what any of them must")
        for variant in VARIANTS[1:]
        for figure in (SENTENCES, TAGS)
    ),
    Finding(
        "contrastive, stochastic", "contrastive, stochastic, as published", SENTENCES, "ours: implied positives"
    ),
    Finding("contrastive, stochastic", "contrastive, stochastic, as published", TAGS, "ours: implied positives"),
)
SHOWN = (SENTENCES, "retrieval.recall_at_10", "retrieval.median_rank", TAGS, "tagging.pr_auc")


def tracklore(*words: str) -> None:
    """The command, as a user types it; what it prints goes to a log."""
    with (WORK / "log.txt").open("a", encoding="utf-8") as log:
        done = subprocess.run([sys.executable, "-m", "tracklore", *words], stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"tracklore {' '.join(words)}: exit {done.returncode}; see {WORK / 'log.txt'}")


def measured(variant: Variant, seed: int) -> dict[str, Any]:
    """Train and measure a variant, unless that is done."""
    run = WORK / f"{variant.name.replace(', ', '-').replace(' ', '_')}-{seed}"
    if not (run / "metrics.json").exists():
        settings = (*COMMON, *variant.settings, f"training.seed={seed}")
        given = [word for setting in settings for word in ("--set", setting)]
        tracklore("train", variant.recipe, "--data", str(WORK / "data"), "--out", str(run), "--resume", *given)
        tracklore("evaluate", str(run))
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text("utf-8"))
    return found


def figure_of(metrics: dict[str, Any], keys: str) -> float:
    """One number of metrics.json."""
    found: Any = metrics
    for key in keys.split("."):
        found = found[key]
    return float(found)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def main() -> int:
    """Train what is missing, and tell; exit 1 when a finding is not reproduced."""
    WORK.mkdir(parents=True, exist_ok=True)
    console = Console()
    tracklore("build", "demo", "--out", str(WORK / "data"))
    metrics: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in VARIANTS}
    for seed in SEEDS:
        for variant in VARIANTS:
            console.print(f"{variant.name}, seed {seed} …")
            metrics[variant.name].append(measured(variant, seed))
    table = Table(title=f"Mean and standard deviation of {len(SEEDS)} seeds", box=None, pad_edge=False)
    table.add_column("")
    for figure in SHOWN:
        table.add_column(figure.partition(".")[2].replace("_", " "), justify="right")
    for name, found in metrics.items():
        table.add_row(name, *(spread([figure_of(one, figure) for one in found]) for figure in SHOWN))
    console.print(table)
    rows = [compared(finding, metrics) for finding in FINDINGS]
    told = Table(title="Findings", box=None, pad_edge=False)
    for column in ("better", "than", "by", "difference", "seeds", "reproduced", "source"):
        told.add_column(column)
    for row in rows:
        seeds = f"{row['seeds_better']} of {len(SEEDS)}"
        difference = f"{row['difference']:+.3f} ± {row['spread']:.3f}"
        cells = (row["better"], row["worse"], row["figure"], difference, seeds)
        told.add_row(*cells, "yes" if row["reproduced"] else "NO", row["source"])
    console.print(told)
    figures = {
        name: {figure: [figure_of(one, figure) for one in found] for figure in SHOWN}
        for name, found in metrics.items()
    }
    content = {"seeds": list(SEEDS), "figures": figures, "findings": rows}
    FOUND.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return 0 if all(row["reproduced"] for row in rows) else 1


def compared(finding: Finding, metrics: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A finding held against the figures, seed by seed: reproduced where the mean difference exceeds its spread."""
    sides = (metrics[finding.better], metrics[finding.worse])
    pairs = zip(*([figure_of(one, finding.figure) for one in side] for side in sides), strict=True)
    differences = [better - worse for better, worse in pairs]
    mean, deviation = statistics.mean(differences), statistics.stdev(differences)
    return {
        "better": finding.better,
        "worse": finding.worse,
        "figure": finding.figure,
        "source": finding.source,
        "difference": mean,
        "spread": deviation,
        "seeds_better": sum(difference > 0 for difference in differences),
        "reproduced": mean > deviation,
    }


if __name__ == "__main__":
    sys.exit(main())
