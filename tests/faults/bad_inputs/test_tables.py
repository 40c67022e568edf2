"""Tables that are hostile or broken, and names in them that lead elsewhere."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.bad_inputs.sandbox import Sandbox, Whole, as_yaml, spoil_each, tone
from tests.faults.tally import share_of

HOSTILE_NAMES = (
    "../../escaped",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "",
    "new\nline",
    "nul\x00l",
    "x" * 4000,
    "\x1b]0;title\x07",
    "s3://bucket/x",
    "file:///etc/passwd",
    "-rf",
    "|touch canary",
    "`touch canary`",
    "CON",
    "a" * 300 + ".wav",
    "\u202egpj.wav",
    "C:\\Windows\\x.wav",
    "~/x.wav",
)


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def metadata(rows: list[tuple[str, str]]) -> bytes:
    lines = ["path,track_id,title,tags", *(f"{csv_cell(p)},{csv_cell(t)},{csv_cell(t)},x;y" for p, t in rows)]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


CAPTIONS = {
    "kind": "caption_table",
    "path": ".",
    "columns": {"id": "id", "caption": "text", "audio": "audio", "artist": "artist"},
}


def test_names_that_lead_elsewhere(sandbox: Sandbox, one_piece: Path) -> None:
    """As ids, as paths of files, in a CSV and in JSON, which can say halves of characters, too."""
    names = [*HOSTILE_NAMES, "\ud800half", "\udcff"]
    for name in names[: share_of(2 * len(names))]:
        folder = sandbox.fresh()
        os.link(one_piece, folder / "a.wav")
        (folder / "metadata.csv").write_bytes(metadata([("a.wav", name), (name, "b")]))
        (folder / "t.jsonl").write_bytes(
            jsonl(
                [
                    {"id": name, "text": f"{name} is heard", "audio": "a.wav", "artist": name},
                    {"id": "b", "text": "words", "audio": name, "artist": "B"},
                ]
            )
        )
        source = f"source.path={folder}"
        # The piece, and the row beside it.
        sandbox.judge("bad name", f"CSV {name[:40]!r}", "build", "folder", "--set", source, rows=2)
        sandbox.number += 1
        (sandbox.folder / f"in-{sandbox.number}").mkdir()
        manifest = folder / "m.yaml"
        audio = {**CAPTIONS, "files": "t.jsonl", "audio": "."}
        features = {"t": {"kind": "log_mel", "preset": "ttmr"}}
        content = {"name": "m", "source": audio, "captions": {"kind": "existing"}, "features": features}
        manifest.write_bytes(as_yaml({**content, "tags": {"min_tracks": 1}, "pairs": None}))
        sandbox.judge("bad name", f"JSON {name[:40]!r}", "build", manifest, rows=2)


def table_formats(folder: Path) -> dict[str, Whole]:
    """Small whole files of many formats: by name, with the words of a build that reads them."""
    rows = [{"id": f"t{n}", "text": f"a calm piano {n}", "audio": f"{n}.wav", "artist": f"A{n}"} for n in range(8)]
    parquet = io.BytesIO()
    table = pa.Table.from_pylist(rows)
    # So that what names a track is to be found in the file.
    pq.write_table(table, parquet, compression="none", use_dictionary=False, write_statistics=False)
    text = "id,text,audio,artist\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    bad = "track_id,reason,detail\na.wav,silent,x\n"
    mtat = "clip_id\trock\tpop\tmp3_path\n" + "".join(f"{n}\t1\t0\t{n}/x-{n}.mp3\n" for n in range(8))
    info = "clip_id\ttrack_number\ttitle\tartist\talbum\turl\tsegmentStart\tsegmentEnd\toriginal_url\tmp3_path\n"
    info += "".join(f"{n}\t1\tt\tA{n}\tb\tu\t0\t29\to\t{n}/x-{n}.mp3\n" for n in range(8))
    jamendo = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    jamendo += "".join(
        f"track_000000{n}\tartist_00000{n}\talbum_00000{n}\t00/{n}.mp3\t9.0\tgenre---rock\n" for n in range(4)
    )
    for part in ("train", "validation", "test"):
        (folder / f"autotagging_top50tags-{part}.tsv").write_text(jamendo.replace("track_0", f"track_{len(part)}"))
    (folder / "clip_info_final.csv").write_text(info)
    manifests = {}
    for ending in ("csv", "jsonl", "parquet"):
        (folder / f"{ending}.yaml").write_bytes(
            as_yaml(
                {"name": "m", "source": {**CAPTIONS, "path": str(folder), "files": f"t.{ending}"}, "pairs": None}
            )
        )
        manifests[ending] = [str(folder / f"{ending}.yaml")]
    tone(folder / "music/a.wav")
    from_folder = ["--set", f"source.path={folder}"]
    return {
        "t.csv": Whole(text.encode(), manifests["csv"], "^{id},", lines=True),
        "t.jsonl": Whole(jsonl(rows), manifests["jsonl"], '"id": "{id}"'),
        "t.parquet": Whole(parquet.getvalue(), manifests["parquet"], listed=tuple(row["id"] for row in rows)),
        "music/metadata.csv": Whole(
            metadata([("a.wav", "a")]), ["folder", "--set", f"source.path={folder / 'music'}"], '"{id}"'
        ),
        "bad.csv": Whole(
            bad.encode(),
            ["folder", "--set", f"source.path={folder / 'music'}", "--set", f"exclude={folder / 'bad.csv'}"],
        ),
        "annotations_final.csv": Whole(mtat.encode(), ["magnatagatune", *from_folder], "^{id}\t", lines=True),
        "autotagging_top50tags-train.tsv": Whole(jamendo.encode(), ["mtg_jamendo", *from_folder], "^{id}\t"),
    }


def test_tables(sandbox: Sandbox) -> None:
    spoil_each(sandbox, "bad table", table_formats, 56)
