from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.probe import Probe
from pipelines.sources.probe_memory import ProbeMemory
from pipelines.sources.probes import PROBES, files_table, in_parts
from schemas.cache_folder import cache_folder
from schemas.reasons import Reason
from schemas.store import FileInfo, Store

FOLDER = Store("/music")
listings = st.dictionaries(
    st.text("abé/", min_size=1, max_size=3), st.tuples(st.integers(0, 2), st.sampled_from("xy"))
)
Listing = dict[str, tuple[int, str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path))


def of(listing: Listing) -> list[FileInfo]:
    return [FileInfo(path, *told) for path, told in sorted(listing.items())]


def look(info: FileInfo) -> Probe:
    return Probe(f"{info.path} {info.bytes} {info.stamp}", "sound", 1.5, genres=("a", "b") * info.bytes)


@given(listings, listings)
@settings(deadline=None, max_examples=200, derandomize=True)
def test_what_has_not_changed_is_known_and_nothing_else(before: Listing, now: Listing) -> None:
    seen = of(before)
    memory = ProbeMemory(FOLDER)
    memory.keep(files_table(seen), in_parts(({"path": i.path, **look(i).as_json()} for i in seen), PROBES))
    found, missing = ProbeMemory(FOLDER).recall(files_table(of(now)))
    known = [info for info in of(now) if info in seen]
    assert found.to_pylist() == [{"path": i.path, **look(i).as_json()} for i in known]
    assert missing.equals(files_table([info for info in of(now) if info not in known]))
    assert found.schema.equals(PROBES)


def test_what_could_not_be_read_or_took_too_long_is_looked_at_again() -> None:
    infos = [FileInfo(name, 1, "x") for name in ("bad", "gone", "late")]
    probes = [
        Probe("b", "b", reason=Reason.NOT_AUDIO),
        Probe("", "", reason=Reason.MISSING_FILE),
        Probe("l", "l", reason=Reason.TIMED_OUT),
    ]
    rows = [{"path": info.path, **probe.as_json()} for info, probe in zip(infos, probes, strict=True)]
    ProbeMemory(FOLDER).keep(files_table(infos), in_parts(rows, PROBES))
    found, missing = ProbeMemory(FOLDER).recall(files_table(infos))
    assert found.column("path").to_pylist() == ["bad"]
    assert missing.column("path").to_pylist() == ["gone", "late"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table", None])
def test_a_memory_that_is_none_is_no_memory(content: bytes | None) -> None:
    infos = files_table([FileInfo("a", 1, "x")])
    memory = ProbeMemory(FOLDER)
    memory.keep(infos, in_parts([{"path": "a", **Probe("s", "s").as_json()}], PROBES))
    [file] = Path(cache_folder(), "probes").iterdir()
    if content is None:  # of another version of the tool
        pq.write_table(pq.read_table(file).drop_columns(["whole"]), file)
    else:
        file.write_bytes(content)
    found, missing = memory.recall(infos)
    assert found.num_rows == 0
    assert missing.equals(infos)
