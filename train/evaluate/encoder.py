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
from train.evaluate.asked import Asked
from train.evaluate.embed import CROPS_AT_ONCE, check_feature
from train.evaluate.figures import Groups, Heard, probed, tracks_of
from train.evaluate.met import Met
from train.evaluate.retrieval import pairs_metrics
from train.evaluate.tagging import Vocabulary, tag_figures
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

    def __init__(self, run: Run, data: str, asked: Asked) -> None:
        recipe = run.recipe()
        assert isinstance(recipe, WavesRecipe)
        self.run, self.recipe, self.asked = run, recipe, asked
        self.section = asked.section(recipe.data)
        self.dataset = Dataset(data)
        self.reader = self.dataset.reader(self.section.feature)
        check_feature(run, self.dataset, self.reader)
        self.tracks, self.without = tracks_of(self.dataset, self.section, self.reader.clips)
        self.splits = self.dataset.split_of(self.section.scheme, self.section.fold)
        self.met = Met(run, recipe.data)
        set_up_torch(recipe.machine, 1)
        self.device = torch.device("cuda" if on_cuda(recipe.machine) else "cpu")
        self.network: Network = trained_network(run, recipe).to(self.device).eval()

    def told(self, notes: list[str], figures: dict[str, Any]) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        own = self.dataset.identity(self.section.feature, self.reader.spec)
        found = {
            "task": self.recipe.task,
            "split": "+".join(self.section.test),
            "scheme": self.section.scheme,
            "fold": self.section.fold,
            "data": {key: own[key] for key in ("name", "manifest")},
            "tracks": len(self.tracks),
            "tracks_without_clip": self.without,
            "retrieval": None,
            "tagging": None,
            "trained_on": self.met.shared(self.dataset, self.tracks),
            **figures,
            **(self._probed(notes) if self.asked.probing else {}),
            "notes": notes,
        }
        if found["trained_on"] is None:
            notes.append("Whether its artists were trained on is not known: the run's dataset is not at hand.")
        return found

    def crops(self, tracks: Sequence[str], model: Callable[[Tensor], Tensor], overlap: float) -> list[Vectors]:
        """What a model gives for the crops that cover each track, (crops, D) a track."""
        samples, machine = self.recipe.data.samples, self.recipe.machine
        rows = []
        for row in over_crops(self.reader, tracks, samples, overlap, model, self.device, machine):
            rows.append(row)
            self.asked.embedded(1, len(tracks))
        return rows

    def _probed(self, notes: list[str]) -> dict[str, Any]:
        section = self.section
        learnt = {*section.train, *section.valid, *section.test}
        tracks = sorted(track for track in self.reader.clips if self.splits.get(track) in learnt)
        crops = self.crops(tracks, cast(nn.Module, self.network.audio), 0.0)
        vectors = np.stack([rows.mean(axis=0) for rows in crops])
        heard = Heard(self.dataset, section, self.splits, {t: row for row, t in enumerate(tracks)}, vectors, notes)
        return probed(heard, Groups(self.asked.groups), self.asked.percents, self.asked.trained)


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


def measure_tagger(run: Run, data: str, asked: Asked) -> dict[str, Any]:
    """Macro averages over the tags, a track's score being the mean probability over its crops (VCMR 4.2).

    Raises:
        UsageError: no trained run, no test tracks, or another feature than the run's.
        DataError: damaged files.
    """
    found = _Measured(run, data, asked)
    recipe = cast(TaggingRecipe, found.recipe)
    network = cast(Tagger, found.network)
    tags = tags_of(kept_of(run, recipe))
    texts, notes = found.dataset.texts, list[str]()
    tracks = [track for track in found.tracks if track in texts and texts[track].tags]
    figures: dict[str, Any] = {}
    if tracks:
        crops = found.crops(tracks, lambda waves: network.logits(waves).sigmoid(), recipe.data.overlap)
        scores = np.stack([rows.mean(axis=0) for rows in crops])
        sources = [texts[track] for track in tracks]
        labels = labels_of(sources, {tag: column for column, tag in enumerate(tags)})
        artists = [source.artist_id or source.track_id for source in sources]
        figures["tagging"] = tag_figures([scores], labels, _vocabulary(found, tags), artists)
        new = {tag for source in sources for tag in source.tags} - set(tags)
        if new:
            notes.append(f"{len(new)} tags of the test tracks are on no train track and are not told.")
    else:
        notes.append("The test tracks have no tags, so tagging is not measured.")
    return found.told(notes, figures)


def _vocabulary(found: _Measured, tags: Sequence[str]) -> Vocabulary:
    """The run's tags, with what the dataset says of them."""
    known = found.dataset.read(TAGS, ["tag", "category", "n_tracks"]) if found.dataset.has(TAGS) else None
    rows = zip(known["tag"], known["category"], known["n_tracks"], strict=True) if known else ()
    about = {tag: (category or "other", count) for tag, category, count in rows}
    categories, counts = zip(*(about.get(tag, ("other", 0)) for tag in tags), strict=True)
    return Vocabulary(tuple(tags), categories, Groups(found.asked.groups).columns(list(tags), list(counts)))


def measure_encoder(run: Run, data: str, asked: Asked) -> dict[str, Any]:
    """How well the first crop of a test track finds its last among all tracks', by the encoder's features.

    Raises:
        UsageError: no trained run, no test tracks, or another feature than the run's.
        DataError: damaged files.
    """
    found = _Measured(run, data, asked)
    notes: list[str] = []
    crops = found.crops(found.tracks, cast(nn.Module, found.network.audio), 0.0)
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
    return found.told(notes, figures)


def unit(rows: Vectors) -> Vectors:
    """Rows of unit length."""
    lengths: Vectors = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows / lengths
