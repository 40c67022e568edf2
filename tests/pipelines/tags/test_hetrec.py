"""What the rules make of tags as people typed them: the groups of a published list, each of which has been read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipelines.tags.grouping import TagCount, TagGroup, group_tags
from pipelines.tags.normalise import Normaliser
from schemas.manifest import parse_yaml

READ = Path(__file__).with_name("hetrec_groups.yaml")
LARGEST = 500


def read_groups() -> dict[str, dict[str, str]]:
    content = parse_yaml(READ.read_text("utf-8"), READ.name)
    assert isinstance(content, dict)
    return content


def grouped(tags: Iterable[str], normaliser: Normaliser) -> list[TagGroup]:
    return group_tags([TagCount(tag, 1, "tags") for tag in tags], normaliser)[0]


def shown(groups: Iterable[TagGroup]) -> dict[str, dict[str, str]]:
    return {g.tag: dict(zip(g.members, g.joined_by, strict=True)) for g in groups}


def test_the_tags_that_were_read_form_the_groups_that_were_read(normaliser: Normaliser) -> None:
    groups = read_groups()
    assert len(groups) == LARGEST
    typed = [tag for members in groups.values() for tag in members]
    assert shown(grouped(typed, normaliser)) == groups


def test_the_largest_groups_of_the_published_list_are_those_that_were_read(normaliser: Normaliser) -> None:
    path = os.environ.get("TRACKLORE_HETREC")
    if path is None:
        pytest.skip("TRACKLORE_HETREC does not name the tags.dat of HetRec 2011's Last.fm set")
    lines = Path(path).read_text("utf-8").splitlines()[1:]
    tags = [line.split("\t")[1] for line in lines]
    assert len(tags) == 11946
    distinct = sorted(set(tags))
    groups = sorted(grouped(distinct, normaliser), key=lambda g: (-len(g.members), g.tag))
    joined = [group for group in groups if len(group.members) > 1]
    left_out = len(distinct) - sum(len(group.members) for group in groups)
    # These stand in the README.
    assert (len(distinct), len(groups), len(joined), left_out) == (11918, 8881, 631, 1967)
    assert shown(groups[:LARGEST]) == read_groups()
