"""Who is spoken to, and what is told of secrets."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.faults.builds import Started, words_of
from tests.faults.tally import Faults

Command = Callable[..., Any]
Start = Callable[..., Started]
ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-Hunter2"

A_NAME_MADE = "a name that is made as the program runs"
# What can open a connection, or start or load what does, and the modules that use it.
MAY_TALK: dict[str, set[str]] = {
    # Videos, private addresses refused.
    "yt_dlp": {"pipelines/videos/download.py", "pipelines/videos/fetch.py"},
    # Stores that a user names: their clients are loaded by fsspec, here set up and waited for.
    "fsspec": {"schemas/clients.py", "schemas/store.py"},
    "s3fs": {"schemas/clients.py"},
    "aiohttp": {"schemas/clients.py"},  # how long gcsfs waits
    # Models: one that is named may be one of the hub's; what only configures one of ours asks nobody.
    "transformers": {
        "pipelines/features/clip.py",
        "train/models/texts/pretrained.py",
        "train/models/texts/small.py",
        "train/models/texts/transformer.py",
    },
    # Engines that a user names.
    "apache_beam": {
        "pipelines/dataflow.py",
        "pipelines/engine.py",
        "pipelines/job_service.py",
        "pipelines/task_runner.py",
        "pipelines/task_transform.py",
        "pipelines/worker_processes.py",
    },
    "google": {"pipelines/dataflow.py"},
    "grpc": {"pipelines/job_service.py"},
    # The history of a training, where the recipe asks for it.
    "wandb": {"train/loop/weights_and_biases.py"},
    # Between the processes of one training.
    "torch.distributed": {
        "train/loop/accumulate.py",
        "train/loop/stopping.py",
        "train/loop/validation.py",
        "train/models/norm.py",
        "train/objectives/gather.py",
    },
    "lightning_fabric": {"train/loop/launch.py", "train/loop/trainer.py", "train/loop/validation.py"},
    "socket": {
        "pipelines/videos/network_guard.py",
        "pipelines/features/isolation.py",  # pairs within a build, these three
        "pipelines/features/nursery.py",
        "pipelines/features/wire.py",
        "pipelines/job_service.py",  # whether the one that the build itself started on loopback is up
        "schemas/clients.py",
    },
    # Programs: modules of ours, an engine's job server, and git, which is asked for the commit.
    "subprocess": {
        "pipelines/features/isolation.py",
        "pipelines/job_service.py",
        "pipelines/videos/children.py",
        "pipelines/watch.py",
        "train/loop/environment.py",
    },
    # Modules of ours, and (loading_ahead.py) what a stage says that it will need.
    A_NAME_MADE: {
        "pipelines/loading_ahead.py",
        "pipelines/sources/msd/label_source.py",
        "pipelines/features/deformations/base.py",
        "pipelines/tasks.py",
        "pipelines/videos/child.py",
        "train/kinds.py",
    },
    **{
        name: set()
        for name in (
            "adlfs",
            "aiobotocore",
            "asyncio",
            "boto3",
            "botocore",
            "datasets",
            "ftplib",
            "gcsfs",
            "h11",
            "http",
            "httpcore",
            "httpx",
            "huggingface_hub",
            "imaplib",
            "multiprocessing.connection",
            "multiprocessing.managers",
            "paramiko",
            "pip",
            "poplib",
            "pyarrow.fs",
            "requests",
            "smtplib",
            "socketserver",
            "torch.hub",
            "urllib.request",
            "urllib3",
            "webbrowser",
            "websockets",
            "xmlrpc",
        )
    },
}
LISTENER = """
import os, sys
def told(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        where = arguments[1] if event == "socket.connect" else arguments[0]
        if event != "socket.connect" or isinstance(where, tuple):
            with open(os.environ["TALK_LOG"], "a") as log:
                log.write(f"{event} {where}\\n")
sys.addaudithook(told)
"""


def imported(text: str) -> Iterator[str]:
    """The modules that a program imports, also by their names; `A_NAME_MADE` where a name is made as it runs."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in IMPORTERS:
            yield from named_by(node.args[:1])


IMPORTERS = ("import_module", "__import__", "run_module")


def named_by(arguments: Sequence[ast.expr]) -> Iterator[str]:
    for argument in arguments:
        known = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
        text = known.value if isinstance(known, ast.Constant) else None
        if not isinstance(text, str):
            yield A_NAME_MADE
        elif known is argument or text.split(".")[0] in ("pipelines", "schemas", "train"):
            yield text
        else:
            yield A_NAME_MADE


def doors_of(text: str) -> set[str]:
    """What of `MAY_TALK` a program uses."""
    return {known for name in imported(text) for known in MAY_TALK if name == known or name.startswith(f"{known}.")}


def test_each_door_is_used_where_it_is_said() -> None:
    found: dict[str, set[str]] = {name: set() for name in MAY_TALK}
    folders = [path for name in ("pipelines", "schemas", "train") for path in (ROOT / name).rglob("*.py")]
    for path in [*sorted(folders), ROOT / "tracklore.py"]:
        for door in doors_of(path.read_text()):
            found[door].add(str(path.relative_to(ROOT)))
    assert found == MAY_TALK


@pytest.mark.parametrize(
    ("text", "door"),
    [
        ("import s3fs.core as c", "s3fs"),
        ("def f():\n    from google.cloud import storage", "google"),
        ("from urllib import request", "urllib.request"),
        ("from torch import hub", "torch.hub"),
        ("importlib.import_module('wandb')", "wandb"),
        ("__import__('boto3')", "boto3"),
        ("import_module(name)", A_NAME_MADE),
        ("import_module(f'{scheme}fs')", A_NAME_MADE),
    ],
)
def test_a_door_is_seen(text: str, door: str) -> None:
    assert doors_of(text) == {door}


@pytest.mark.parametrize(
    "text", ["from urllib.parse import urlsplit", "import importlib", "import_module(f'pipelines.sources.{kind}')"]
)
def test_what_is_no_door(text: str) -> None:
    assert doors_of(text) == set()


def test_a_build_speaks_to_nobody(faults: Faults, start: Start, reference: Path, tmp_path: Path) -> None:
    (tmp_path / "listen").mkdir()
    (tmp_path / "listen/sitecustomize.py").write_text(LISTENER)
    log = tmp_path / "talk.txt"
    environment = {"PYTHONPATH": f"{tmp_path / 'listen'}:{ROOT}", "TALK_LOG": str(log)}
    with faults.plant("network", "a build, verified") as fault:
        words = words_of(tmp_path / "data", f"--set=source.path={reference / 'music'}", "--workers", "2")
        for typed in (words, ["verify", str(tmp_path / "data"), "--deep"]):
            one = start("", words=typed, environment=environment)
            assert one.end().code == 0, one.err
        assert not log.exists(), log.read_text()
        fault.refused()
    with faults.plant("network", "the listener hears what is said") as fault:
        words = ["verify", "https://127.0.0.1:9/data"]
        start("", words=words, environment=environment).end()
        assert log.exists()
        fault.refused()


def lists(folder: Path, *ids: str) -> Path:
    folder.mkdir(exist_ok=True)
    text = f"\n# new artist:\tA\t{0:022d}\n\n" + "\n".join(ids) + "\n"
    (folder / "youtube_video_ids_00_206947.txt").write_text(text)
    return folder


def video_words(out: Path, source: Path, *settings: str) -> list[str]:
    given = (f"source.path={source}", "videos.retries=0", "videos.pause_s=0", *settings)
    words = [word for setting in given for word in ("--set", setting)]
    return ["build", "music_videos", "--out", str(out), "--only", "tags,splits", *words]


PRIVATE = (
    "127.0.0.1",
    "localhost",
    "[::1]",
    "169.254.169.254",
    "10.0.0.1",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "2130706433",
)


def test_private_addresses_are_not_asked(
    faults: Faults, command: Command, tmp_path: Path, asked: tuple[int, list[str]]
) -> None:
    port, seen = asked
    for number, host in enumerate(PRIVATE):
        with faults.plant("private address", host) as fault:
            out = tmp_path / f"out-{number}"
            url = f"videos.url=http://{host}:{port}/{{id}}.mp4"
            ran = command(*video_words(out, lists(tmp_path / "in", "abcdefghijk"), "videos.download=true", url))
            assert ran.code in (1, 2), ran.err
            assert "private" in ran.err, ran.err
            assert seen == []
            fault.refused()


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/x.ts\n#EXT-X-ENDLIST\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}/x.mp4</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "concat": "ffconcat version 1.0\nfile '{url}/x.mp4'\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{url}\nm=video 9 RTP/AVP 96\n",
    "reference": "[Reference]\nRef1={url}/x.asf\n",
}


def test_files_that_name_addresses_ask_nobody(
    faults: Faults, command: Command, tmp_path: Path, asked: tuple[int, list[str]]
) -> None:
    """Videos and pieces that are playlists: FFmpeg would follow them."""
    port, seen = asked
    videos, music = tmp_path / "videos", tmp_path / "music"
    videos.mkdir()
    music.mkdir()
    for number, (kind, text) in enumerate(PLAYLISTS.items()):
        content = text.format(url=f"http://127.0.0.1:{port}").encode()
        (videos / f"abcdefghij{number}.mp4").write_bytes(content)
        for ending in ("wav", "webm", "m4a"):
            (music / f"{kind}.{ending}").write_bytes(content)
    ids = [f"abcdefghij{number}" for number in range(len(PLAYLISTS))]
    ran = command(*video_words(tmp_path / "v", lists(tmp_path / "in", *ids), f"videos.local={videos}"))
    assert ran.code == 1 and "none of" in ran.err
    ran = command("build", "folder", "--set", f"source.path={music}", "--out", tmp_path / "m")
    assert ran.code == 1 and "no track" in ran.err, ran.err
    for kind in PLAYLISTS:
        with faults.plant("playlist as media", kind) as fault:
            assert seen == []
            fault.refused()


SECRETS: dict[str, tuple[str, ...]] = {
    "in the address, as a password": ("videos.url=http://me:{secret}@127.0.0.1:{port}/{{id}}.mp4",),
    "in the address, as a token": ("videos.url=http://127.0.0.1:{port}/{{id}}?access_token={secret}&x=1",),
    "in a refusal": ("videos.url=http://127.0.0.1:{port}/refused/{{id}}?token={secret}",),
    "of a proxy": (
        "videos.proxy=http://me:{secret}@127.0.0.1:{port}",
        "videos.url=http://media.invalid/{{id}}.mp4",
    ),
    "of a proxy that is gone": (
        "videos.proxy=http://me:{secret}@127.0.0.1:1",
        "videos.url=http://media.invalid/{{id}}.mp4",
    ),
    "in cookies": ("videos.cookies={folder}/cookies.txt", "videos.url=http://127.0.0.1:{port}/{{id}}.mp4"),
    "in broken cookies": ("videos.cookies={folder}/broken.txt", "videos.url=http://127.0.0.1:{port}/{{id}}.mp4"),
}


@pytest.mark.parametrize("where", SECRETS)
def test_secrets_of_downloads_are_told_nobody(
    faults: Faults, command: Command, tmp_path: Path, asked: tuple[int, list[str]], where: str
) -> None:
    port, _ = asked
    (tmp_path / "cookies.txt").write_text(
        f"# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tsid\t{SECRET}\n"
    )
    (tmp_path / "broken.txt").write_text(f"# Netscape HTTP Cookie File\nsid={SECRET}\n")
    settings = [text.format(secret=SECRET, port=port, folder=tmp_path) for text in SECRETS[where]]
    with faults.plant("secret", where) as fault:
        out = tmp_path / "out"
        source = lists(tmp_path / "in", "abcdefghijk", "abcdefghijl")
        more = ("videos.download=true", "videos.allow_private=true", "videos.backoff_s=0")
        said = []
        for extra in ((), ("--dry-run",), ("--set", "tags.nonsense=1")):
            ran = command(*video_words(out, source, *more, *settings), *extra)
            assert "Traceback" not in ran.err, ran.err
            said.append(ran.out + ran.err)
        require_untold(SECRET, out, "".join(said))
        fault.refused()


def require_untold(secret: str, folder: Path, said: str) -> None:
    """Require that a secret stands in no file below a folder, in no column of its tables, and nowhere in a text.

    Raises:
        AssertionError: it does.
    """
    assert secret not in said, said
    for path in folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert secret not in str(path), path
        if path.suffix == ".parquet" and path.is_file():
            assert secret not in str(pq.read_table(path).to_pylist()), path


def test_a_dataset_by_an_address_with_a_password(
    faults: Faults, command: Command, start: Start, reference: Path, tmp_path: Path
) -> None:
    """The recipe of videos that are there already stands in the receipt, the page, the card and an export."""
    typed = f"https://me:{SECRET}@127.0.0.1:9/x?token={SECRET}"
    folder = ["build", "folder", "--set", f"source.path={reference / 'music'}"]
    for words in (
        ["build", "folder", "--set", f"source.path={typed}", "--out", str(tmp_path / "o")],
        [*folder, "--set", f"exclude={typed}/bad.csv", "--out", str(tmp_path / "o")],
        [*folder, "--keep", f"{typed}/k.parquet", "--out", str(tmp_path / "o")],
        ["build", f"{typed}/m.yaml", "--out", str(tmp_path / "o")],
        ["verify", typed],
        ["audit", str(reference), "--against", typed],
        ["report", typed],
        ["export", typed, "--ids-only", "--out", str(tmp_path / "e")],
    ):
        with faults.plant("secret", " ".join(words[:2]).replace(SECRET, "…")[:60]) as fault:
            one = start("", words=words)
            ran = one.end(180)
            assert ran.code, words
            assert "Traceback" not in ran.err, ran.err[-2000:]
            require_untold(SECRET, tmp_path / "o", ran.out + ran.err)
            fault.refused()
