from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext, source_class
from pipelines.sources.mtg_jamendo import MtgJamendo, MtgJamendoSettings
from schemas.errors import UsageError
from schemas.manifest import SourceSection, load_manifest
from schemas.tables import ANNOTATIONS, PUBLISHED, TRACKS

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
PARTS = {
    "train": [
        "track_0000241\tartist_000005\talbum_000033\t41/241.mp3\t340.1\tgenre---rock",
        "track_1428385\tartist_494377\talbum_168445\t85/1428385.mp3\t30.0\tgenre---pop\tinstrument---piano\t"
        "mood/theme---happy",
    ],
    "validation": ["track_0000773\tartist_000104\talbum_000126\t73/773.mp3\t275.3\tgenre---electronic"],
    "test": ["track_0000215\tartist_000014\talbum_000031\t15/215.mp3\t151.4\tgenre---metal\tgenre---drumnbass"],
}


def publish(
    folder: Path, parts: dict[str, list[str]], end: str = "\n", stem: str = "autotagging_top50tags"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in parts.items():
        (folder / f"{stem}-{part}.tsv").write_bytes("".join(f"{line}{end}" for line in [HEADER, *lines]).encode())
    return folder


def source(context: SourceContext, folder: Path, **keys: Any) -> MtgJamendo:
    return MtgJamendo(MtgJamendoSettings(kind="mtg_jamendo", path=str(folder), **keys), context)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_published_files_are_read_as_published(end: str, tmp_path: Path, context: SourceContext) -> None:
    found = source(context, publish(tmp_path / "tsv", PARTS, end))
    assert found.expected_tracks() == 4
    tables = found.read()
    assert tables.tracks.schema.equals(TRACKS.schema)
    assert tables.annotations.schema.equals(ANNOTATIONS.schema)
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert set(rows) == {"track_0000215", "track_0000241", "track_0000773", "track_1428385"}
    row = rows["track_1428385"]
    assert (row["artist_id"], row["album"], row["audio_uri"]) == ("artist_494377", "album_168445", "85/1428385.mp3")
    assert (row["duration_s"], row["recording_id"]) == (30.0, "track_1428385")
    assert [
        (r["track_id"][-3:], r["source"], r["raw_tag"], r["score"]) for r in tables.annotations.to_pylist()
    ] == [
        ("215", "genre", "drumnbass", None),
        ("215", "genre", "metal", None),
        ("241", "genre", "rock", None),
        ("773", "genre", "electronic", None),
        ("385", "genre", "pop", None),
        ("385", "instrument", "piano", None),
        ("385", "mood/theme", "happy", None),
    ]
    assert tables.published is not None
    assert tables.published.schema.equals(PUBLISHED.schema)
    assert {r["track_id"]: r["split"] for r in tables.published.to_pylist()} == {
        "track_0000215": "test",
        "track_0000241": "train",
        "track_0000773": "valid",
        "track_1428385": "train",
    }
    assert tables.exclusions.num_rows == 0


def test_ends_of_lines_and_a_mark_at_the_start_read_alike(tmp_path: Path, context: SourceContext) -> None:
    unix = source(context, publish(tmp_path / "a", PARTS)).read()
    folder = publish(tmp_path / "b", {part: [*lines, ""] for part, lines in PARTS.items()}, "\r\n")
    path = folder / "autotagging_top50tags-test.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().rstrip())
    other = source(context, folder).read()
    assert other.tracks.equals(unix.tracks)
    assert other.annotations.equals(unix.annotations)


def test_the_repository_itself_and_its_other_splits_and_subsets(tmp_path: Path, context: SourceContext) -> None:
    publish(tmp_path / "repo/data/splits/split-0", PARTS, stem="autotagging_genre")
    publish(tmp_path / "repo/data/splits/split-3", {**PARTS, "train": PARTS["train"][:1]}, stem="autotagging_genre")
    first = source(context, tmp_path / "repo", subset="autotagging_genre")
    third = source(context, tmp_path / "repo", subset="autotagging_genre", split=3)
    assert (first.read().tracks.num_rows, third.read().tracks.num_rows) == (4, 3)
    assert first.inputs()["test"] == third.inputs()["test"]
    assert first.inputs()["train"] != third.inputs()["train"]
    with pytest.raises(UsageError, match=r"has no autotagging_top50tags-train\.tsv \(nor data/splits/split-0/auto"):
        source(context, tmp_path / "repo")


def test_an_id_that_stands_twice_is_kept_once_and_told(tmp_path: Path, context: SourceContext) -> None:
    again = PARTS["train"][0].replace("genre---rock", "genre---polka")
    tables = source(context, publish(tmp_path / "tsv", {**PARTS, "test": [*PARTS["test"], again]})).read()
    assert tables.tracks.num_rows == 4
    assert "polka" not in tables.annotations.column("raw_tag").to_pylist()
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [("track_0000241", "duplicate_id")]
    assert tables.published is not None
    assert tables.published.num_rows == 4


def test_a_track_without_tags_is_a_track(tmp_path: Path, context: SourceContext) -> None:
    bare = "track_0000216\tartist_000014\talbum_000031\t16/216.mp3\t234.9\t"
    tables = source(context, publish(tmp_path / "tsv", {**PARTS, "test": [bare]})).read()
    assert "track_0000216" in tables.tracks.column("track_id").to_pylist()
    assert "track_0000216" not in tables.annotations.column("track_id").to_pylist()


GOOD = PARTS["train"][0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\t".join(GOOD.split("\t")[:5]), "line 3: 5 columns, and at least 6 are published"),
        (GOOD.replace("\t", " "), "line 3: 1 columns"),
        (GOOD.replace("track_0000241", "241"), "line 3: '241' is no id of MTG-Jamendo"),
        (GOOD.replace("artist_000005", "artist_5"), "line 3: 'artist_5' is no id"),
        (GOOD.replace("album_000033", "album_000033\u2028"), "line 3: 'album_000033.*' is no id"),
        (GOOD.replace("340.1", "5:40"), "line 3: duration '5:40' is no number of seconds"),
        (GOOD.replace("340.1", "nan"), "line 3: duration 'nan' is no number of seconds"),
        (GOOD.replace("340.1", "-1"), "line 3: duration '-1' is no number of seconds"),
        (GOOD.replace("genre---rock", "rock"), "line 3: tag 'rock' is not written kind---tag"),
        (GOOD.replace("genre---rock", "genre---"), "line 3: tag 'genre' is not written kind---tag"),
    ],
)
def test_a_line_that_is_not_as_published_is_named(
    line: str, message: str, tmp_path: Path, context: SourceContext
) -> None:
    found = source(context, publish(tmp_path / "tsv", {**PARTS, "validation": [*PARTS["validation"], line]}))
    with pytest.raises(UsageError, match=rf"autotagging_top50tags-validation\.tsv: {message}") as caught:
        found.read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"TRACK_ID\tTAGS\n", b"<html>", b"\xff\xfe"])
def test_a_file_of_another_kind_is_named(content: bytes, tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "tsv", PARTS)
    (folder / "autotagging_top50tags-test.tsv").write_bytes(content)
    with pytest.raises(UsageError, match=r"-test\.tsv: line 1: (not the published header|is not UTF-8)"):
        source(context, folder).read()


def test_paths_that_are_not_there_name_their_key(tmp_path: Path, context: SourceContext) -> None:
    with pytest.raises(UsageError, match=r"source\.path: is required"):
        MtgJamendo(MtgJamendoSettings(kind="mtg_jamendo"), context)
    with pytest.raises(UsageError, match=r"source\.path: .* is no folder"):
        source(context, tmp_path / "none")
    found = source(context, publish(tmp_path / "tsv", PARTS), audio=str(tmp_path / "mp3"))
    with pytest.raises(UsageError, match=r"source\.audio: .* is no folder"):
        found.audio()
    assert source(context, tmp_path / "tsv").audio() is None
    with pytest.raises(UsageError, match="not a path inside"):
        source(context, tmp_path / "tsv", subset="../../secret")


def test_a_source_is_found_by_its_kind_and_its_keys_are_checked() -> None:
    cls, settings = source_class(SourceSection.model_validate({"kind": "mtg_jamendo", "subset": "x"}), "m.yaml")
    assert cls is MtgJamendo
    assert isinstance(settings, MtgJamendoSettings)
    assert settings.subset == "x"
    for section, message in (
        ({"kind": "mtg_jamendi"}, r"m\.yaml: source\.kind: no source 'mtg_jamendi'; did you mean 'mtg_jamendo'\?"),
        ({"kind": "probe"}, r"source\.kind: no source 'probe'"),
        ({"kind": "folder", "paht": "x"}, r"m\.yaml: source\.paht: unknown key; did you mean 'path'\?"),
    ):
        with pytest.raises(UsageError, match=message):
            source_class(SourceSection.model_validate(section), "m.yaml")


META = "TRACK_ID\tARTIST_ID\tALBUM_ID\tTRACK_NAME\tARTIST_NAME\tALBUM_NAME\tRELEASEDATE\tURL"
NAMES = [
    'track_0000241\tartist_000005\talbum_000033\t5" of rain\tBoth\tRemise à zéro\t2004-12-28\thttp://www.jamendo.com/1',
    "track_1428385\tartist_494377\talbum_168445\tLate\t\tWhoever\tSingles\t2017-03-01\thttp://www.jamendo.com/2",
    'track_0000773\tartist_000104\talbum_000126\t"Quoted"\tSomebody\t\t\thttp://www.jamendo.com/3',
    "track_0000215\tcut off",
]


def test_titles_and_names_come_from_the_file_of_names(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "repo/data/splits/split-0", PARTS).parents[2]
    (folder / "data/raw.meta.tsv").write_text("\n".join([META, *NAMES]) + "\n", "utf-8")
    tables = source(context, folder).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}

    def names(track_id: str) -> tuple[Any, ...]:
        row = rows[track_id]
        return row["title"], row["artist_name"], row["album"], row["year"]

    assert names("track_0000241") == ('5" of rain', "Both", "Remise à zéro", 2004)
    # Two rows are published with an empty cell too many behind the title.
    assert names("track_1428385") == ("Late", "Whoever", "Singles", 2017)
    assert names("track_0000773") == ('"Quoted"', "Somebody", "album_000126", None)
    assert names("track_0000215") == (None, None, "album_000031", None)
    assert tables.notes == (
        "1 lines of data/raw.meta.tsv have not 8 cells, first line 5: their tracks have no names",
    )
    (folder / "data/raw.meta.tsv").write_text("TRACK_ID\tNAME\n", "utf-8")
    with pytest.raises(UsageError, match=r"raw\.meta\.tsv: line 1: not the published header"):
        source(context, folder).read()


def test_other_official_splits_stand_beside(tmp_path: Path, context: SourceContext) -> None:
    publish(tmp_path / "repo/data/splits/split-0", PARTS)
    extra = "track_0009999\tartist_000014\talbum_000031\t99/9999.mp3\t99.0\tgenre---metal"
    swapped = {"train": PARTS["test"], "validation": PARTS["train"], "test": [*PARTS["validation"], extra]}
    publish(tmp_path / "repo/data/splits/split-2", swapped)
    tables = source(context, tmp_path / "repo", beside=[2]).read()
    assert tables.published is not None
    assert {(r["scheme"], r["track_id"][-3:]): r["split"] for r in tables.published.to_pylist()} == {
        ("published", "241"): "train",
        ("published", "385"): "train",
        ("published", "773"): "valid",
        ("published", "215"): "test",
        ("published_2", "241"): "valid",
        ("published_2", "385"): "valid",
        ("published_2", "773"): "test",
        ("published_2", "215"): "train",
    }
    assert tables.notes == ("1 tracks of split-2 are not in split-0",)
    with pytest.raises(ValueError, match="less than or equal to 4"):
        source(context, tmp_path / "repo", split=5)


@pytest.mark.parametrize("below", ["", "data"])
def test_what_is_not_split_has_no_published_split(below: str, tmp_path: Path, context: SourceContext) -> None:
    folder = tmp_path / "repo"
    (folder / below).mkdir(parents=True)
    lines = [HEADER, *PARTS["train"], PARTS["test"][0] + "\tgenre---punk,ska"]
    (folder / below / "raw_30s.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    found = source(context, folder, subset="raw_30s", split=None)
    assert found.expected_tracks() == 3
    tables = found.read()
    assert tables.tracks.num_rows == 3
    assert tables.published is None
    said = [r["raw_tag"] for r in tables.annotations.to_pylist() if r["track_id"] == "track_0000215"]
    assert said == ["drumnbass", "metal", "punk", "ska"]


@pytest.mark.parametrize("subset", ["top50tags", "genre", "instrument", "moodtheme"])
def test_the_recipe_of_each_subset_builds(subset: str, tmp_path: Path, audited: Callable[..., Any]) -> None:
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for number in range(60):
        part = ("train", "train", "train", "validation", "test")[number % 5]
        ids = f"track_{number:07d}\tartist_{number % 20:06d}\talbum_{number:06d}"
        parts[part].append(f"{ids}\t{number:02d}/{number}.mp3\t200.5\tgenre---g{number % 3}")
    # Artist 0 is of train; one more of that artist's tracks lies in test.
    parts["test"].append("track_0000099\tartist_000000\talbum_000099\t99/99.mp3\t100.0\tgenre---g1")
    publish(tmp_path / "repo/data/splits/split-0", parts, stem=f"autotagging_{subset}")
    name = "mtg_jamendo" if subset == "top50tags" else f"mtg_jamendo_{subset}"
    found = audited(name, tmp_path / "repo")
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.shared("published", "recordings")) == (1, 0)
    assert found.strict == 1


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mtg_jamendo", (32_136, 10_888, 11_356)),
        ("mtg_jamendo_genre", (32_572, 11_043, 11_479)),
        ("mtg_jamendo_instrument", (14_395, 5_466, 5_115)),
        ("mtg_jamendo_moodtheme", (9_949, 3_802, 4_231)),
    ],
)
def test_the_ratios_are_those_of_the_official_split(name: str, sizes: tuple[int, ...]) -> None:
    ratios = load_manifest(name)[0].splits.ratios
    assert [round(ratio * sum(sizes)) for ratio in ratios.values()] == list(sizes)
