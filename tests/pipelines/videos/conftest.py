"""Generated videos, lists of their ids as published, and a small CLIP of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipelines.synthesis.videos import encode_video, plan_video

FPS, SIZE, SECONDS = 12, (160, 90), 42.0


def video_id(number: int) -> str:
    """An id as YouTube's are; some start with a dash."""
    return f"-a{number:07d}_Z"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """A small generated video of a kind and seed, made once."""
    folder = tmp_path_factory.mktemp("made")

    def video(kind: str, seed: int = 0) -> Path:
        path = folder / f"{kind}-{seed}.mp4"
        if not path.exists():
            encode_video(plan_video(kind, seed, SECONDS, FPS, SIZE), path, sound_codec="flac")
        return path

    return video


@pytest.fixture
def publish(tmp_path: Path) -> Callable[[Mapping[str, list[str]]], Path]:
    """Write lists of ids by artist as they are published; return their folder."""

    def write(artists: Mapping[str, list[str]]) -> Path:
        folder = tmp_path / "lists"
        folder.mkdir(exist_ok=True)
        lines = []
        for number, (name, ids) in enumerate(artists.items()):
            lines += ["", f"# new artist:\t{name}\t{number:022d}", "", *ids]
        (folder / "youtube_video_ids_00_206947.txt").write_text("\n".join(lines) + "\n", "utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP image model of random weights in the published format, and its image processor."""
    import torch
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=512,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return folder
