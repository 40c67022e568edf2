"""Train every variant of every experiment over three seeds, and hold the findings against their figures.

`python -m benchmarks.study [NAME]` goes on where it was stopped, prints two tables an experiment, and writes
study.json.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.study.experiments import EXPERIMENTS, Experiment, Finding, Variant

HERE = Path(__file__).parents[1]
WORK = HERE / ".work" / "study"
FOUND = HERE / "study.json"
SEEDS = (0, 1, 2)


def tracklore(*words: str) -> None:
    """The command, as a user types it; what it prints goes to a log."""
    with (WORK / "log.txt").open("a", encoding="utf-8") as log:
        done = subprocess.run([sys.executable, "-m", "tracklore", *words], stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"tracklore {' '.join(words)}: exit {done.returncode}; see {WORK / 'log.txt'}")


def measured(variant: Variant, data: Path, seed: int) -> dict[str, Any]:
    """Train and measure a variant, as far as that is not done. A run of other settings, or on other data, is not
    taken for it."""
    runs = [WORK / f"{stage.name.replace(', ', '-').replace(' ', '_')}-{seed}" for stage in variant.stages]
    asked = hashlib.sha256((data / "receipt.json").read_bytes()).hexdigest()
    before: tuple[str, ...] = ()
    trainings = []
    for stage, run in zip(variant.stages, runs, strict=True):
        settings = (*stage.settings, *before, f"training.seed={seed}")
        recipe = (HERE.parent / f"train/recipes/{stage.recipe}.yaml").read_text("utf-8")
        asked = hashlib.sha256(f"{asked}{recipe}{settings}".encode()).hexdigest()
        note = run.with_suffix(".asked")
        if not note.exists() or note.read_text("utf-8") != asked:
            shutil.rmtree(run, ignore_errors=True)
            note.write_text(asked, "utf-8")
        given = [word for setting in settings for word in ("--set", setting)]
        trainings.append(["train", stage.recipe, "--data", str(data), "--out", str(run), "--resume", *given])
        before = (f"start.run={run}",)
    if not (runs[-1] / "metrics.json").exists():
        for words in trainings:
            tracklore(*words)
        tracklore("evaluate", str(runs[-1]))
    found: dict[str, Any] = json.loads((runs[-1] / "metrics.json").read_text("utf-8"))
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


def compared(finding: Finding, metrics: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A finding held against the figures, seed by seed: reproduced where the mean difference exceeds its spread."""
    sides = (
        (metrics[finding.better], finding.figure),
        (metrics[finding.worse], finding.worse_figure or finding.figure),
    )
    pairs = zip(*([figure_of(one, figure) for one in side] for side, figure in sides), strict=True)
    differences = [better - worse for better, worse in pairs]
    mean, deviation = statistics.mean(differences), statistics.stdev(differences)
    return {
        "better": finding.better,
        "worse": "chance" if finding.worse_figure else finding.worse,
        "figure": finding.figure,
        "source": finding.source,
        "difference": mean,
        "spread": deviation,
        "seeds_better": sum(difference > 0 for difference in differences),
        "reproduced": mean > deviation,
    }


def run(experiment: Experiment, console: Console) -> dict[str, Any]:
    """Train what is missing, and tell; figures by variant and seed, and the findings."""
    data = WORK / experiment.name
    tracklore("build", *experiment.build(), "--out", str(data))
    metrics: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in experiment.variants}
    for seed in SEEDS:
        for variant in experiment.variants:
            console.print(f"{variant.name}, seed {seed} …")
            metrics[variant.name].append(measured(variant, data, seed))
    title = f"{experiment.title}: mean and standard deviation of {len(SEEDS)} seeds"
    table = Table(title=title, box=None, pad_edge=False)
    table.add_column("")
    for figure in experiment.shown:
        table.add_column(figure.partition(".")[2].replace("by_category.", "").replace("_", " "), justify="right")
    for name, found in metrics.items():
        table.add_row(name, *(spread([figure_of(one, figure) for one in found]) for figure in experiment.shown))
    console.print(table)
    findings = [compared(finding, metrics) for finding in experiment.findings]
    told = Table(title="Findings", box=None, pad_edge=False)
    for column in ("better", "than", "by", "difference", "seeds", "reproduced", "source"):
        told.add_column(column)
    for row in findings:
        seeds = f"{row['seeds_better']} of {len(SEEDS)}"
        difference = f"{row['difference']:+.3f} ± {row['spread']:.3f}"
        cells = (row["better"], row["worse"], row["figure"], difference, seeds)
        told.add_row(*cells, "yes" if row["reproduced"] else "NO", row["source"])
    console.print(told)
    figures = {
        name: {figure: [figure_of(one, figure) for one in found] for figure in experiment.shown}
        for name, found in metrics.items()
    }
    return {"figures": figures, "findings": findings}


def main(names: Sequence[str]) -> int:
    """The experiments that are named, or all; exit 1 when a finding is not reproduced, 2 for an unknown name."""
    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    if unknown := set(names) - set(known):
        print(f"{min(unknown)}: no such experiment; there are {', '.join(known)}", file=sys.stderr)
        return 2
    WORK.mkdir(parents=True, exist_ok=True)
    stated: dict[str, Any] = json.loads(FOUND.read_text("utf-8")) if FOUND.exists() else {}
    right = True
    for name in names or known:
        stated[name] = run(known[name], Console())
        right = right and all(row["reproduced"] for row in stated[name]["findings"])
        FOUND.write_text(json.dumps(stated, indent=2) + "\n", "utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
