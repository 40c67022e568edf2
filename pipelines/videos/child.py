"""`python -m pipelines.videos.child`: calls functions for another process, where a decoder may hang or die.

One JSON line in, `{"function": "package.module:name", "request": {…}}`; one JSON line out, `{"result": …}` or
`{"error": …}`. Ends when its input does, so that it outlives nobody. Its argument is how many bytes it may address.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import threading
import time

_LOOK_EVERY_S = 0.5


def main() -> None:
    """Serve until the input ends."""
    # What a library prints goes where errors go: the answers have a pipe of their own.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = int(sys.argv[1])
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    for line in sys.stdin.buffer:
        call = json.loads(line)
        module, _, name = call["function"].partition(":")
        try:
            answer = {"result": getattr(importlib.import_module(module), name)(call["request"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _end_with(parent: int) -> None:
    """End when the process that asks is gone: nobody waits for the answer, and its successor wants the files."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)


if __name__ == "__main__":
    main()
