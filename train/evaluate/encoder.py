"""What audio encoders and taggers know of a dataset's test split, whole tracks heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from schemas.tables import TAGS
from train.data.dataset import Dataset
from train.data.loader import ahead
from train.data.reader import ClipReader, covering_crops
from train.data.text import labels_of
from train.evaluate.bootstrap import tagging_intervals
from train.evaluate.embed import CROPS_AT_ONCE, check_feature
from train.evaluate.figures import Heard, probes, tracks_of
from train.evaluate.retrieval import pairs_metrics
from train.evaluate.tagging import tagging_metrics
from train.loop.devices import on_cuda, set_up_torch
from train.loop.setup import kept_of, trained_network
from train.models.network import Network
from train.recipe import MachineSection
from train.run import Run
from train.tasks.tagging import Tagger, TaggingRecipe, tags_of
from train.tasks.waves.recipe import WavesRecipe

Vectors = npt.NDArray[np.float32]


class _Measured:
    """A run's network beside a dataset: the test tracks that have a clip."""

    def __init__(self, run: Run, data: str) -> None:
        recipe = run.recipe()
        assert isinstance(recipe, WavesRecipe)
        self.recipe = recipe
        self.dataset = Dataset(data)
        self.reader = self.dataset.reader(recipe.data.feature)
        check_feature(run, self.dataset, self.reader)
        self.tracks, self.without = tracks_of(self.dataset, recipe.data, self.reader.clips)
        self.splits = self.dataset.split_of(recipe.data.scheme, recipe.data.fold)
        set_up_torch(recipe.machine, 1)
        self.device = torch.device("cuda" if on_cuda(recipe.machine) else "cpu")
        self.network: Network = trained_network(run, recipe).to(self.device).eval()

    def told(self, notes: list[str], **figures: Any) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        own = self.dataset.identity(self.recipe.data.feature, self.reader.spec)
        return {
            "split": "+".join(self.recipe.data.test),
            "data": {key: own[key] for key in ("name", "manifest")},
            "tracks": len(self.tracks),
            "tracks_without_clip": self.without,
            "retrieval": None,
            "tagging": None,
            **figures,
            "notes": notes,
        }

    def crops(
        self,
        tracks: Sequence[str],
        model: Callable[[Tensor], Tensor],
        overlap: float,
        advance: Callable[[int, int], None],
    ) -> list[Vectors]:
        """What a model gives for the crops that cover each track, (crops, D) a track."""
        samples, machine = self.recipe.data.samples, self.recipe.machine
        found = over_crops(self.reader, tracks, samples, overlap, model, self.device, machine)
        rows = []
        for row in found:
            rows.append(row)
            advance(1, len(tracks))
        return rows


def over_crops(
    reader: ClipReader,
    tracks: Sequence[str],
    frames: int,
    overlap: float,
    model: Callable[[Tensor], Tensor],
    device: torch.device,
    machine: MachineSection,
) -> Iterator[Vectors]:
    """What a model gives for the crops that cover each track, all of its clips and their last second too.

    Args:
        frames: of a crop.
        overlap: of neighbouring crops, as a part of a crop.

    Returns:
        (crops, D) for each track, in order.
    """
    crops = [[c for clip in reader.clips[t] for c in covering_crops(clip, frames, overlap=overlap)] for t in tracks]
    flat = [crop for some in crops for crop in some]
    portions = range(0, len(flat), CROPS_AT_ONCE)

    def read(number: int) -> Any:
        return reader.read(flat[number * CROPS_AT_ONCE : (number + 1) * CROPS_AT_ONCE])

    waiting = np.zeros((0, 0), np.float32)
    upcoming = iter(crops)
    wanted = next(upcoming, None)
    with torch.inference_mode():
        for arrays in ahead(read, range(len(portions)), threads=machine.readers, depth=machine.ahead):
            rows = model(torch.from_numpy(arrays).to(device)).float().cpu().numpy()
            waiting = np.concatenate([waiting, rows]) if len(waiting) else rows
            while wanted is not None and len(waiting) >= len(wanted):
                yield waiting[: len(wanted)]
                waiting = waiting[len(wanted) :]
                wanted = next(upcoming, None)


def measure_tagger(
    run: Run, data: str, advance: Callable[[int, int], None], *, probing: bool = False
) -> dict[str, Any]:
    """Macro averages over the tags, a track's score being the mean probability over its crops (VCMR 4.2).

    Raises:
        UsageError: no trained run, no test tracks, or another feature than the run's.
        DataError: damaged files.
    """
    found = _Measured(run, data)
    recipe = cast(TaggingRecipe, found.recipe)
    network = cast(Tagger, found.network)
    tags = tags_of(kept_of(run, recipe))
    texts, notes = found.dataset.texts, []
    tracks = [track for track in found.tracks if track in texts and texts[track].tags]
    figures: dict[str, Any] = {}
    if tracks:
        crops = found.crops(tracks, lambda waves: network.logits(waves).sigmoid(), recipe.data.overlap, advance)
        scores = np.stack([rows.mean(axis=0) for rows in crops])
        sources = [texts[track] for track in tracks]
        labels = labels_of(sources, {tag: column for column, tag in enumerate(tags)})
        known = (
            found.dataset.read(TAGS, ["tag", "category"])
            if found.dataset.has(TAGS)
            else {"tag": [], "category": []}
        )
        categories = dict(zip(known["tag"], known["category"], strict=True))
        artists = [source.artist_id or source.track_id for source in sources]
        figures["tagging"] = {
            **tagging_metrics(scores, labels, [categories.get(tag) or "other" for tag in tags]),
            "intervals": tagging_intervals(scores, labels, artists),
            "by_tag": by_tag(scores, labels, tags),
        }
        new = {tag for source in sources for tag in source.tags} - set(tags)
        if new:
            notes.append(f"{len(new)} tags of the test tracks are on no train track and are not told.")
    else:
        notes.append("The test tracks have no tags, so tagging is not measured.")
    if probing:
        figures["probes"] = _probed(found, notes, advance)
    return found.told(notes, **figures)


def by_tag(scores: Vectors, labels: npt.NDArray[np.bool_], tags: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Both areas of each tag that can be measured (VCMR Fig. 2)."""
    found = {}
    for column, tag in enumerate(tags):
        own = slice(column, column + 1)
        one = tagging_metrics(scores[:, own], labels[:, own], [""])
        if one["tags"]:
            found[tag] = {
                "roc_auc": one["roc_auc"],
                "pr_auc": one["pr_auc"],
                "tracks": int(labels[:, column].sum()),
            }
    return found


def measure_encoder(
    run: Run, data: str, advance: Callable[[int, int], None], *, probing: bool = False
) -> dict[str, Any]:
    """How well the first crop of a test track finds its last among all tracks', by the encoder's features.

    Raises:
        UsageError: no trained run, no test tracks, or another feature than the run's.
        DataError: damaged files.
    """
    found = _Measured(run, data)
    notes: list[str] = []
    audio = cast(nn.Module, found.network.audio)
    crops = found.crops(found.tracks, audio, 0.0, advance)
    apart = [(track, rows) for track, rows in zip(found.tracks, crops, strict=True) if len(rows) > 1]
    figures: dict[str, Any] = {}
    if len(apart) > 1:
        tracks = [track for track, _ in apart]
        first, last = (unit(np.stack([rows[place] for _, rows in apart])) for place in (0, -1))
        identities = found.dataset.identities
        artists = [identities.get(track, (None, None))[1] or track for track in tracks]
        told = pairs_metrics(first @ last.T, tracks, artists)
        figures["crops"] = told
        notes.append(
            f"The first crop of a track finds its last among {told['pairs']} tracks: recall at 1 "
            f"{told['recall_at_1']:.3f} (chance {told['chance_at_1']:.3f}), at 10 {told['recall_at_10']:.3f} "
            f"(chance {told['chance_at_10']:.3f})."
        )
    else:
        notes.append("Fewer than 2 test tracks are longer than a crop, so nothing is retrieved.")
    if probing:
        figures["probes"] = _probed(found, notes, advance)
    return found.told(notes, **figures)


def _probed(found: _Measured, notes: list[str], advance: Callable[[int, int], None]) -> dict[str, Any] | None:
    section = found.recipe.data
    learnt = {*section.train, *section.valid, *section.test}
    tracks = sorted(track for track in found.reader.clips if found.splits.get(track) in learnt)
    crops = found.crops(tracks, cast(nn.Module, found.network.audio), 0.0, advance)
    vectors = np.stack([rows.mean(axis=0) for rows in crops])
    rows = {track: row for row, track in enumerate(tracks)}
    return probes(Heard(found.dataset, section, found.splits, rows, vectors, notes))


def unit(rows: Vectors) -> Vectors:
    """Rows of unit length."""
    lengths: Vectors = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows / lengths
