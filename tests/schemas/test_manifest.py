from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError, suggest
from schemas.manifest import (
    Manifest,
    load_manifest,
    normalised_ratios,
    parse_yaml,
    shipped_manifests,
    split_order,
    validated,
    with_settings,
)

MINIMAL: dict[str, Any] = {"name": "x", "source": {"kind": "folder"}}


def manifest(**changes: Any) -> Manifest:
    return validated(Manifest, {**MINIMAL, **changes}, "m.yaml")


@pytest.mark.parametrize("name", shipped_manifests())
def test_every_shipped_manifest_loads_by_bare_name_and_by_path(name: str) -> None:
    loaded, where, base = load_manifest(name)
    assert loaded.name == name
    assert where == f"{name}.yaml"
    assert base is None
    path = Path(__file__).parents[2] / "manifests" / f"{name}.yaml"
    again, where, base = load_manifest(str(path))
    assert again == loaded
    assert base == str(path.parent)


PUBLISHED = sorted(set(shipped_manifests()) - {"demo", "demo_video", "folder"})


def test_the_recipes_of_the_five_works_are_shipped() -> None:
    assert set(PUBLISHED) >= {
        *("msd500", "msd100", "msd50", "cals", "ecals", "ecals_merged", "melon", "music_videos"),
        *("magnatagatune", "mtg_jamendo", "mtg_jamendo_genre", "mtg_jamendo_instrument", "mtg_jamendo_moodtheme"),
        *("gtzan", "fma", "emotify", "alm", "isear", "nrc_vad", "kvt", "nsynth", "emomusic", "audioset_mood"),
        *("production_music", "musiccaps", "lp_musiccaps"),
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_says_what_it_reads_and_whose_it_is(name: str) -> None:
    lines = (Path(__file__).parents[2] / "manifests" / f"{name}.yaml").read_text("utf-8").splitlines()
    head = lines[: lines.index(f"name: {name}")]
    assert all(line.startswith("#") for line in head)
    text = "\n".join(head)
    assert "tracklore build" in text and "--set source.path=" in text
    assert re.search(r"\d{3}|\d (?:kB|MB|GB)", text), "how large the files are"
    loaded, _, _ = load_manifest(name)
    sources = loaded.card.sources
    assert loaded.card.title and loaded.card.citation and sources
    assert all(source.name and source.licence for source in sources)
    # What a paper that uses it must cite; of the user's own there is none.
    assert all("@" in (source.bibtex or "") for source in sources) or name == "production_music"
    # A library of the user's own has a licence that its owner knows.
    assert loaded.card.licence or name == "production_music"
    assert sum(loaded.splits.ratios.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tag": {}}, r"^m.yaml: tag: unknown key; did you mean 'tags'\?$"),
        ({"tags": {"min_track": 3}}, r"^m.yaml: tags.min_track: unknown key; did you mean 'min_tracks'\?$"),
        ({"pairs": {"cuont": 3}}, r"^m.yaml: pairs.cuont: unknown key; did you mean 'count'\?$"),
        ({"source": {}}, r"^m.yaml: source.kind: is required$"),
        ({"name": "../x"}, r"m.yaml: name: "),
        ({"name": ""}, r"m.yaml: name: "),
        ({"tags": {"min_tracks": 0}}, r"m.yaml: tags.min_tracks: .*greater than or equal to 1"),
        ({"tags": {"min_score": -1}}, r"m.yaml: tags.min_score: "),
        ({"captions": {"order": "random"}}, r"m.yaml: captions.order: .*'seeded' or 'sorted'"),
        ({"splits": {"ratios": {"train": 0.7, "test": 0.2}}}, r"m.yaml: splits.ratios: the ratios sum to 0.9"),
        ({"splits": {"ratios": {}}}, r"m.yaml: splits.ratios: give at least one split"),
        ({"splits": {"ratios": {"train": 1.2, "test": -0.2}}}, r"m.yaml: splits.ratios: the ratio of 'train'"),
        ({"splits": {"effort": 0}}, r"m.yaml: splits.effort: "),
        ({"splits": {"ratios": {"train": 1}}}, r"pairs.split is 'test', which splits.ratios does not name"),
        ({"features": {"a/b": {}}}, r"m.yaml: features.a/b"),
    ],
)
def test_a_wrong_key_is_one_line_that_names_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        manifest(**changes)
    assert "\n" not in str(caught.value)


def test_a_manifest_cannot_be_changed_by_accident() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError):
        manifest().name = "y"


def test_where_things_lie_is_no_part_of_the_recipe() -> None:
    here = manifest(source={"kind": "folder", "path": "/here", "keep_duplicates": True})
    there = manifest(source={"kind": "folder", "path": "gs://there", "keep_duplicates": True})
    assert here.recipe({"path"}) == there.recipe({"path"})
    assert here.recipe({"path"})["source"] == {"kind": "folder", "keep_duplicates": True}
    assert here.recipe() != there.recipe()


ratios = st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0.01, 1), min_size=1, max_size=6)


@given(ratios)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_ratios_sum_to_1_and_keep_their_proportions(shares: dict[str, float]) -> None:
    total = sum(shares.values())
    wanted = {name: share / total for name, share in shares.items()}
    found = normalised_ratios(wanted)
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    assert found == pytest.approx(wanted)
    assert list(found) == list(normalised_ratios(dict(reversed(list(wanted.items())))))


@pytest.mark.parametrize("total", [0.999, 1.001])
def test_ratios_may_miss_1_by_a_thousandth(total: float) -> None:
    found = normalised_ratios({"train": total - 0.3, "test": 0.3})
    assert sum(found.values()) == pytest.approx(1, abs=1e-15)
    assert found["test"] == pytest.approx(0.3 / total)


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": 0.698, "test": 0.3},
        {"train": 0.702, "test": 0.3},
        {"train": 1.0, "test": 0.0},
        {"train": float("nan"), "test": 0.3},
        {"train": float("inf")},
        {},
    ],
)
def test_ratios_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"ratio|split"):
        normalised_ratios(wrong)


def test_splits_have_one_order() -> None:
    assert split_order(["zoo", "test", "extra", "valid", "train"]) == ["train", "valid", "test", "extra", "zoo"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("a: 1\nb: 2\na: 3", "key 'a' stands twice"),
        ("a:\n  b: 1\n  b: 2", "key 'b' stands twice"),
        ("a: !!python/object/apply:os.system [true]", "is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
        ("[" * 5000, "is not valid YAML"),
        ("{[a]: 1}", "is not valid YAML"),
    ],
)
def test_yaml_that_is_none_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"^m.yaml: .*{message}") as caught:
        parse_yaml(text, "m.yaml")
    assert "\n" not in str(caught.value)


def test_yaml_may_share_keys_by_anchors() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}"
    assert parse_yaml(text, "m.yaml") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("a.b=2", {"a": {"b": 2, "c": 1}}),
        ("a.d.e=[1, x]", {"a": {"b": 1, "c": 1, "d": {"e": [1, "x"]}}}),
        ("a=null", {"a": None}),
        ("a.b=", {"a": {"b": None, "c": 1}}),
        ("z=a=b", {"a": {"b": 1, "c": 1}, "z": "a=b"}),
    ],
)
def test_a_setting_changes_one_key_of_a_copy(setting: str, expected: dict[str, Any]) -> None:
    content: dict[str, Any] = {"a": {"b": 1, "c": 1}}
    assert with_settings(content, [setting]) == expected
    assert content == {"a": {"b": 1, "c": 1}}


@pytest.mark.parametrize("setting", ["a", "=1", "a..b=1", ".a=1", "a.b.c=1", "a.b=["])
def test_a_setting_that_cannot_be_is_named(setting: str) -> None:
    with pytest.raises(UsageError, match=r"--set ") as caught:
        with_settings({"a": {"b": 1}}, [setting])
    assert setting in str(caught.value)


def test_settings_go_into_the_manifest() -> None:
    loaded, _, _ = load_manifest("folder", ["splits.seed=7", "source.path=/x", "pairs=null"])
    assert (loaded.splits.seed, loaded.pairs) == (7, None)
    assert loaded.source.model_dump()["path"] == "/x"


def test_an_unknown_manifest_lists_those_that_are_shipped(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nosuch: no such manifest; give a path, or one of: .*folder"):
        load_manifest("nosuch")
    for content, message in ((b"- 1", "is a mapping"), (b"\xff\xfe", "cannot be read"), (b"", "is a mapping")):
        (tmp_path / "m.yaml").write_bytes(content)
        with pytest.raises(UsageError, match=message):
            load_manifest(str(tmp_path / "m.yaml"))


def test_keys_of_yaml_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("name: x\nsource: {kind: folder}\n1: 2\n")
    with pytest.raises(UsageError, match=r"m\.yaml: 1"):
        load_manifest(str(tmp_path / "m.yaml"))


def test_suggestions_are_close_or_few() -> None:
    assert suggest("trian", ["train", "test"]) == "; did you mean 'train'?"
    assert suggest("zzz", ["b", "a"]) == "; known: a, b"
    assert suggest("zzz", map(str, range(100))) == ""
    assert suggest("zzz", []) == ""


@given(st.dictionaries(st.sampled_from(["train", "valid", "test", "a", "b"]), st.integers(1, 999), min_size=1))
def test_ratios_that_were_written_down_and_read_again_are_the_same(parts: dict[str, int]) -> None:
    total = sum(parts.values())
    once = normalised_ratios({name: part / total for name, part in parts.items()})
    assert normalised_ratios(once) == once
    assert sum(once.values()) == pytest.approx(1)
