"""The search over the page's groups: the page's own script, run by Node over the rows of the page."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.pipelines.report.page_reader import Page, page_of

# As much of a browser as the script asks for.
BROWSER = """
const [script, texts, typed] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const rows = texts.map((textContent) => ({ textContent, hidden: false }));
const found = { textContent: "" };
const line = { hidden: true, querySelector: () => found };
const heard = {};
const input = {
  value: "", dataset: { filters: "groups" }, closest: () => line,
  addEventListener: (name, then) => { heard[name] = then; },
};
const asked = [];
globalThis.document = {
  querySelectorAll: () => [input], getElementById: (id) => { asked.push(id); return { tBodies: [{ rows }] }; },
};
new Function(script)();
const shown = typed.map((words) => {
  input.value = words;
  heard.input();
  return [rows.filter((row) => !row.hidden).map((row) => row.textContent), found.textContent];
});
console.log(JSON.stringify({ shown, asked, hidden: line.hidden }));
"""


def searched(page: Page, rows: list[str], typed: list[str]) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the page's script is run by Node, which is not here")
    told = json.dumps(["".join(page.scripts), rows, typed])
    ran = subprocess.run([node, "-e", BROWSER], input=told, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_groups_are_found_by_their_members_and_rules(make: Any) -> None:
    page = page_of(make(members={"calm": ["calm", "Calm!", "calming"]}))
    calm = " ".join(page.row("calm", "genre"))
    others = ["loud genre 4 4 loud (as typed)", "calypso genre 1 1 calypso (as typed)"]
    found = searched(page, [calm, *others], ["CALMING", "genre cal", "typed  calypso", "nothing such", ""])
    assert found["asked"] == ["groups"]
    assert found["hidden"] is False, "the search shows where scripts run"
    assert found["shown"] == [
        [[calm], "1 of 3"],
        [[calm, others[1]], "2 of 3"],
        [[others[1]], "1 of 3"],
        [[], "0 of 3"],
        [[calm, *others], ""],
    ]


def test_a_member_that_is_folded_away_is_found(make: Any) -> None:
    many = ["calm", *(f"calm {number:03d}" for number in range(200))]
    page = page_of(make(members={"calm": many}))
    calm = " ".join(page.row("calm", "genre"))
    assert all(member in calm for member in many)
    assert any(tag == "details" for tag, _ in page.elements)
    assert searched(page, [calm, "loud genre"], ["199"])["shown"] == [[[calm], "1 of 2"]]
