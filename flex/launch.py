"""What Dataflow's launcher runs: the parameters of the flex template as a `tracklore build`.

A template is one job, and a build is a job a stage: a launch commits what the job before it has made, plans on, and
hands over the next job. Launch it again until it says that everything stands; the last launch has no job to give.
"""

from __future__ import annotations

import os
import sys

import tracklore

POSITIONAL, SEVERAL, SWITCHES = "manifest", frozenset({"set", "only"}), frozenset({"check", "strict", "retry"})
OURS = frozenset({"out", "keep", "track_timeout", "track_memory", "stall_timeout", "memory_limit"})


def words_of(given: list[str], image: str | None) -> list[str]:
    """The command line for parameters as the launcher gives them, each `--name=value`; others are Beam's.

    Args:
        image: what workers run, where no parameter says so.
    """
    words = ["build"]
    theirs = []
    for word in given:
        name, _, value = word.removeprefix("--").partition("=")
        flag = f"--{name.replace('_', '-')}"
        if name == POSITIONAL:
            words.insert(1, value)
        elif name in SEVERAL:
            for each in value.split(";"):
                words += [flag, each.strip()]
        elif name in SWITCHES:
            words += [flag] if value.lower() == "true" else []
        elif name in OURS:
            words += [flag, value]
        else:
            theirs.append(word)
    if image and not any(word.startswith("--sdk_container_image") for word in theirs):
        theirs.append(f"--sdk_container_image={image}")
    if not any(word.startswith("--runner") for word in theirs):
        theirs.append("--runner=DataflowRunner")
    return [*words, *theirs]


if __name__ == "__main__":
    tracklore.main(words_of(sys.argv[1:], os.environ.get("TRACKLORE_WORKER_IMAGE")))
