"""report.html: what it shows, and that nothing in a dataset can break it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import pytest

from pipelines.report.clips import mel_ticks, sample_clips
from pipelines.report.contents import read_contents
from pipelines.report.page import write_report
from schemas.errors import DataError, UsageError
from schemas.receipt import FunnelStep, require_receipt
from schemas.shards import FeatureSpec
from schemas.store import Store
from schemas.tables import TAGS
from tests.pipelines.report.page_reader import page_of

HOSTILE = '</script></td><script>alert(1)</script><img src=x onerror=alert(2)> $x_{1}$ | `a` & "b"'


def test_page_needs_nothing_from_outside(make: Any, by_artist: Callable[[int], str]) -> None:
    store = make(splits={"default": by_artist})
    page = page_of(store)
    links = [
        value for _, attrs in page.elements for key, value in attrs.items() if key in ("src", "href", "xlink:href")
    ]
    assert links
    assert all(link and link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    text = store.read_text("report.html")
    assert not re.search(r"@import|url\((?!#)", text)
    assert "http" not in re.sub(r'http-equiv|base64,[^"]*', "", text)


def test_policy_admits_the_pages_own_script_alone(make: Any) -> None:
    page = page_of(make())
    [policy] = [a["content"] or "" for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_names_are_text(make: Any, by_artist: Callable[[int], str]) -> None:
    store = make(
        tags=lambda n: [HOSTILE, f"{n % 2} {HOSTILE}"],
        members={HOSTILE: [HOSTILE, HOSTILE + "s"]},
        splits={"default": by_artist, HOSTILE: by_artist},
        title=HOSTILE,
        category=HOSTILE,
        notes=[HOSTILE],
        excluded=[{"id": HOSTILE, "stage": "source", "reason": "silent", "detail": HOSTILE}],
        dropped=[{"raw_tag": HOSTILE, "reason": "tag_not_musical", "detail": HOSTILE, "n_tracks": 1}],
        recipe={"card": {"title": HOSTILE, "description": HOSTILE, "licence": HOSTILE, "citation": HOSTILE}},
    )
    page = page_of(store)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert "alert" not in "".join(page.scripts)
    assert not [key for _, attrs in page.elements for key in attrs if key.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert "$x_{1}$" in page.text


def test_equal_data_give_equal_bytes(make: Any, by_artist: Callable[[int], str], tmp_path: Any) -> None:
    first, second = (
        make(splits={"default": by_artist}),
        make(f"memory://{tmp_path.name}", splits={"default": by_artist}),
    )
    page_of(first)
    page_of(second)
    assert first.read_bytes("report.html") == second.read_bytes("report.html")
    assert first.read_bytes("README.md") == second.read_bytes("README.md")
    before = {name: first.read_bytes(name) for name in ("report.html", "README.md")}
    script = (
        "import json, sys, matplotlib; matplotlib.rcParams['font.size'] = 20\n"
        "from pipelines.report.page import write_report; from schemas.store import Store\n"
        "out = Store(sys.argv[1]); write_report(out, json.loads(out.read_text('audit.json')), [])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    subprocess.run([sys.executable, "-c", script, first.root], check=True, env=environment)
    assert {name: first.read_bytes(name) for name in before} == before


def test_numbers_of_funnel_and_exclusions(make: Any) -> None:
    funnel = [FunnelStep(step="in the source", tracks=54_380), FunnelStep(step="read", tracks=52_125, artists=3517)]
    excluded = [
        {"id": f"lost/{n}.mp3", "stage": "source", "reason": "missing_file", "detail": f"lost/{n}.mp3: gone {n}"}
        for n in range(1234)
    ]
    page = page_of(make(funnel=funnel, excluded=excluded, notes=["7 artists are written in two ways"]))
    assert page.row("source", "in the source")[3] == "54,380"
    assert page.row("read", "52,125")[3:6] == ["52,125", "−2,255", "3,517"]
    row = page.row("missing_file")
    assert row[2] == "1,234"
    assert "lost/0.mp3 gone 0" in row[4]
    assert "and 1,231 more" in row[4]
    assert "7 artists are written in two ways" in page.text
    assert "1,234 entries excluded" in page.text


def test_dropped_tags_are_listed_by_reason(make: Any) -> None:
    dropped = [
        {"raw_tag": f"seen live {n}", "reason": "tag_not_musical", "detail": "/seen/", "n_tracks": n}
        for n in range(30)
    ]
    row = page_of(make(dropped=dropped)).row("tag_not_musical")
    assert row[1] == "30"
    assert row[3].startswith("seen live 29 (29 tracks), seen live 28")
    assert row[3].endswith("and 22 more")


def test_audit_and_its_verdicts(make: Any, by_artist: Callable[[int], str]) -> None:
    torn = lambda n: "train" if n % 2 else "test"  # noqa: E731 - every artist in two splits
    page = page_of(make(splits={"default": by_artist, "published": torn}))
    assert page.row("default", "train")[2:8] == ["6", "6", "50.0%", "50.0%", "3", "2"]
    assert page.row("published", "6", "0")[1:3] == ["6", "0"]
    assert "Split default: 0 artists and 0 recordings shared" in page.text
    assert "Split published: 6 artists and 0 recordings shared" in page.text
    bad = [attrs for tag, attrs in page.elements if tag == "li" and attrs.get("class") == "bad"]
    assert len(bad) == 1
    assert "Shared artists in published: a0 (test, train), a1 (test, train)" in page.text


def test_tags_on_few_artists_are_folded_in(make: Any, by_artist: Callable[[int], str]) -> None:
    store = make(splits={"default": by_artist})
    flagged = json.loads(store.read_text("audit.json"))["schemes"][0]["few_artists"]
    page = page_of(store)
    assert flagged
    assert f"{len(flagged)} tags of a measured split on few artists" in page.text
    assert page.row("piano", "valid")[2:] == ["1", "100.0%"]


def test_empty_splits_are_named(make: Any) -> None:
    page = page_of(make(splits={"default": lambda n: "train"}))
    assert "no track in valid and test" in page.text
    assert page.row("valid", "25.0%")[1:] == ["valid", "0", "0", "", "25.0%", "0", "0"]


@pytest.mark.parametrize(
    ("options", "absent"),
    [
        ({"splits": None}, "Audit"),
        ({"features": False}, "Clips of"),
        ({"tags": None}, "Groups"),
        ({"tags": lambda n: []}, "Groups"),
        ({"seconds": None}, "Duration of the tracks"),
        ({"tracks": 0, "tags": None, "features": False, "seconds": None}, "Duration of the tracks"),
        ({"tracks": 1, "shards": 1}, "rank of the tag"),
    ],
)
def test_whatever_a_dataset_lacks(make: Any, options: dict[str, Any], absent: str) -> None:
    store = make(**options)
    page = page_of(store)
    assert absent not in page.text
    tracks = options.get("tracks", 12)
    assert f"{tracks} track{'s' if tracks != 1 else ''} by" in page.text
    assert store.exists("README.md")


def test_only_what_the_receipt_lists_is_read(make: Any) -> None:
    store = make(tags=None, features=False)
    TAGS.write(store, TAGS.from_rows([{
        "tag": "stray", "category": "genre", "members": ["stray"], "joined_by": ["as_typed"], "n_tracks": 3,
        "n_artists": 2,
    }]))  # fmt: skip
    assert "stray" not in page_of(store).text


def test_damage_is_said_in_one_line(make: Any, tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="no dataset"):
        write_report(Store(str(tmp_path / "nothing")), None)
    store = make()
    store.remove(TAGS.filename)
    with pytest.raises(DataError, match=r"tags\.parquet: is missing"):
        write_report(store, None)
    store = make()
    path = next(p for p in require_receipt(store).files() if p.startswith("features/"))
    store.write_bytes(path, b"PAR1 is not all of it")
    with pytest.raises(DataError, match="damaged"):
        write_report(store, None)


def test_groups_name_members_and_rules(make: Any) -> None:
    page = page_of(make(members={"calm": ["calm", "Calm!", "calming"]}))
    row = page.row("calm", "genre")
    assert row[2:] == ["4", "4", "calm (as typed), Calm! (as typed), calming (as typed)"]
    assert ("input", "groups") in [(tag, attrs.get("data-filters")) for tag, attrs in page.elements]


def test_large_vocabularies_are_cut_and_drawn_whole(make: Any, by_artist: Callable[[int], str]) -> None:
    words = [f"tag{n:04d}" for n in range(5100)]
    store = make(tags=lambda n: words[: 5100 - 100 * n], splits={"default": by_artist}, features=False)
    page = page_of(store)
    assert "and 100 more in tags.parquet" in page.text
    assert "rank of the tag by tracks" in page.text
    assert "tracks with the tag" in page.text
    assert "each of the 50 most frequent tags" in page.text
    assert len(store.read_bytes("report.html")) < 3_000_000


def test_clips_are_the_shards_own(make: Any, clip: Any) -> None:
    store = make(tracks=40, shards=3)
    contents = read_contents(store)
    samples = sample_clips(store, contents, contents.features[0])
    assert len(samples) == 6
    assert len({sample.track["artist_id"] for sample in samples}) == 6
    for sample in samples:
        np.testing.assert_array_equal(sample.data, clip(sample.track["track_id"]))
        assert sample.start_s == 1.5
    page = page_of(store)
    assert "time in the recording (s)" in page.text
    assert "frequency (Hz)" in page.text
    assert all(str(sample.track["title"]) in page.text for sample in samples)
    images = [a["href"] or "" for tag, a in page.elements if tag == "image"]
    assert len(images) == 12  # each picture and its colour bar
    assert all(base64.b64decode(href.partition(",")[2]).startswith(b"\x89PNG") for href in images)


def test_tagged_tracks_are_shown_first(make: Any) -> None:
    contents = read_contents(store := make(tracks=40, tags=lambda n: ["calm"] if n % 10 == 0 else []))
    samples = sample_clips(store, contents, contents.features[0])
    assert [bool(sample.track["tags"]) for sample in samples] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(("scale", "htk"), [("htk", True), ("slaney", False)])
def test_frequencies_lie_where_the_filterbank_has_them(scale: str, htk: bool) -> None:
    spec = FeatureSpec("x", "float16", (-1, 96), {"rate": 16_000, "mel_scale": scale})
    centres = librosa.mel_frequencies(98, fmin=0, fmax=8000, htk=htk)[1:-1]
    ticks = mel_ticks(spec)
    assert len(ticks) >= 4
    for band, hz in ticks:
        # One band is a straight line of the scale, not of Hz: half a per cent is far below a pixel.
        assert np.interp(band, np.arange(96), centres) == pytest.approx(hz, rel=5e-3)


def test_features_without_a_scale_are_drawn_by_dimension(make: Any) -> None:
    assert mel_ticks(FeatureSpec("x", "float16", (-1, 96), {})) == []
    assert mel_ticks(FeatureSpec("x", "int16", (-1,), {"rate": 16_000})) == []


WORKS = [
    {
        "name": "Tags of the Week",
        "licence": f"CC BY 4.0 {HOSTILE}",
        "url": "tags.example",
        "bibtex": "@misc{week, year={2011}}",
    },
    {"name": "Unstated", "licence": "not stated"},
]


def test_licences_and_bibtex_of_the_sources_are_shown(make: Any) -> None:
    text = page_of(make(recipe={"card": {"title": "x", "sources": WORKS}})).text
    assert "Tags of the Week" in text
    assert "alert(1)</script><img src=x onerror=alert(2)>" in text
    assert "@misc{week, year={2011}}" in text
    assert "not stated" in text
    assert "BibTeX of Unstated" not in text


def test_categories_are_counted(make: Any) -> None:
    store = make(tracks=12, tags=lambda n: ["piano"] if n % 3 else ["piano", "calm"], category="instrument")
    rows = TAGS.read(store).to_pylist()
    rows[0]["category"] = "mood"  # calm
    TAGS.write(store, TAGS.from_rows(rows))
    shown = page_of(store)
    assert shown.row("instrument", "75.0%") == ["instrument", "1", "12", "75.0%", "", "piano"]
    assert shown.row("mood", "25.0%") == ["mood", "1", "4", "25.0%", "", "calm"]


def test_balance_is_shown_tag_by_tag_beside_the_published_split(make: Any, by_artist: Callable[[int], str]) -> None:
    store = make(
        tags=lambda n: ["piano"], splits={"default": by_artist, "published": lambda n: "train" if n < 9 else "test"}
    )
    # 12 tracks: ours is 6, 2 and 4 against targets of a half, a quarter and a quarter.
    row = page_of(store).row("piano", "50.0% 16.7% 33.3%")
    assert row == ["piano", "12", "50.0% 16.7% 33.3%", "8.33%", "75.0% 25.0%", "0.00%"]
