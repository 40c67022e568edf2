"""Manifests that are hostile or broken."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.faults.bad_inputs.sandbox import Sandbox, as_yaml
from tests.faults.tally import share_of

GENERATED = settings(
    database=None,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


VALID: dict[str, Any] = {
    "name": "mine",
    "card": {"title": "Mine", "sources": [{"name": "x", "licence": "y"}]},
    "source": {"kind": "folder", "path": "music"},
    "tags": {"min_tracks": 1, "rules": "none", "top": 5},
    "captions": {"kind": "templates", "templates": "default", "fallback": "title"},
    "splits": {"ratios": {"train": 0.5, "test": 0.5}, "seed": 1, "effort": 1},
    "pairs": {"split": "test", "count": 5},
    "features": {"a": {"kind": "log_mel", "preset": "ttmr"}, "b": {"kind": "fingerprint"}},
    "videos": {"local": "videos", "filter": {"detector": "content", "threshold": 2.0}},
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(
        [
            "..",
            "/etc/passwd",
            "../../../../etc",
            "x" * 4000,
            "a\nb",
            "\x1b[31mred",
            "${HOME}",
            "$(touch canary)",
            "file:///etc/passwd",
            "http://169.254.169.254/",
            "train",
            "",
            " ",
            "\u202egnp.exe",
            "{id}",
            "{track_id.__class__}",
            "-1",
            "0x10",
            "1e999",
            "1_000",
            "~root",
        ]
    ),
    st.text(max_size=30),
    st.lists(st.integers() | st.text(max_size=5), max_size=4),
    st.dictionaries(st.text(max_size=8), st.integers() | st.none(), max_size=3),
)


def places(content: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*at, key)
            yield from places(value, (*at, key))


PLACES = list(places(VALID))


def changed(place: tuple[str, ...], value: Any, how: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(VALID))
    section = content
    for key in place[:-1]:
        section = section[key]
    if how == "replaced":
        section[place[-1]] = value
    elif how == "renamed":
        section[str(value)] = section.pop(place[-1])
    else:
        del section[place[-1]]
    return content


MANIFESTS = st.builds(
    lambda place, value, how: as_yaml(changed(place, value, how)),
    st.sampled_from(PLACES),
    JUNK,
    st.sampled_from(["replaced", "replaced", "replaced", "renamed", "left out"]),
)
BROKEN = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
    st.builds(lambda text, cut: text[:cut], st.just(as_yaml(VALID)), st.integers(0, 700)),
    st.sampled_from(
        [
            b"a: &a [x]\n" + b"".join(b"b%d: &b%d [*a, *a, *a]\n" % (n, n) for n in range(40)),
            b"[" * 5000,
            b"{a: " * 3000,
            b"name: !!python/object/apply:os.system ['touch canary']\n",
            b"name: !!python/name:os.system\n",
            b"? [a, b]\n: c\n",
            b"? {a: 1}\n: c\n",
            b"name: x\nsource: {kind: !!binary aGVsbG8=}\n",
            b"<<: *x\n",
            b"name: 2020-01-01\nsource: 2021-02-30\n",
            b"\xff\xfen\x00a\x00",
            b"%YAML 9.9\n---\nname: x\n",
            b"name: x\n---\nname: y\n",
            b"a: " + b"9" * 5000,
            b"a: 1e" + b"9" * 400,
            b"a: 0b" + b"1" * 5000,
            b"a: " + b"1:" * 3000 + b"1",
            b"\x00",
        ]
    ),
)


def test_manifests(sandbox: Sandbox, one_piece: Path) -> None:
    @given(st.one_of(MANIFESTS, MANIFESTS, BROKEN).filter(lambda content: content != as_yaml(VALID)))
    @settings(GENERATED, max_examples=share_of(90))
    def each(content: bytes) -> None:
        folder = sandbox.fresh()
        (folder / "m.yaml").write_bytes(content)
        (folder / "music").mkdir()
        os.link(one_piece, folder / "music/a.wav")
        words = ("build", folder / "m.yaml", "--only", "source")
        # Whatever it says, a dataset that is made has the one piece: it lies where any folder that is read begins.
        sandbox.judge("bad manifest", repr(content[:80]), *words, rows=1)

    each()
