"""A dataset's clips and texts as a recipe uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from schemas.errors import UsageError
from train.data.batches import Batches
from train.data.dataset import Dataset, Selection
from train.data.reader import ClipReader
from train.data.statistics import mean_and_std
from train.data.text import TextSource, draw_text, labels_of
from train.data.vocabulary import prepared
from train.evaluate.retrieval import rankings
from train.evaluate.tagging import macro_areas, measurable
from train.models.audios import Heard
from train.models.network import Network
from train.models.texts import Words, text_module
from train.run import TOKENIZER
from train.tasks.base import Kept, Material
from train.tasks.text_audio.batcher import VALIDATION_EPOCH, Batcher
from train.tasks.text_audio.network import kept_files, made_network
from train.tasks.text_audio.recipe import TextAudioRecipe

QUERIES_AT_ONCE = 1024


@dataclass(frozen=True)
class TextAudioMaterial(Material):
    """A dataset's clips of one feature and what is said of their tracks.

    Attributes:
        reader: of the recipe's feature.
        train, valid: the usable tracks.
    """

    recipe: TextAudioRecipe
    dataset: Dataset
    reader: ClipReader
    train: Selection
    valid: Selection

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, a sentence each."""
        notes = []
        for name, selection in (("train", self.train), ("valid", self.valid)):
            if selection.without_clip:
                notes.append(f"{selection.without_clip} tracks of {name} have no clip and are left out.")
            if selection.without_text:
                notes.append(f"{selection.without_text} tracks of {name} have neither tags nor a caption.")
        if not self.validates:
            notes.append("Valid has fewer than 2 distinct captions: no early stopping, the last weights are kept.")
        wanted = self.recipe.training.batch_size
        if len(self.train.sources) < wanted:
            notes.append(f"Batches are smaller than {wanted}: that is more than all train tracks.")
        return tuple(notes)

    @property
    def crops(self) -> int:
        """Crops of audio a track and step."""
        return self.recipe.data.crops

    @property
    def train_tracks(self) -> Sequence[str]:
        """Ids, in order."""
        return self.train.track_ids

    @property
    def valid_tracks(self) -> Sequence[str]:
        """Ids, in order."""
        return self.valid.track_ids

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tags of the train tracks, each once, sorted."""
        return tuple(sorted({tag for source in self.train.sources for tag in source.tags}))

    @property
    def validates(self) -> bool:
        """Whether there is enough to validate on: two texts that differ."""
        return distinct_texts(self.valid.sources) >= 2

    def identity(self) -> dict[str, Any]:
        """See `Material.identity`."""
        training = self.recipe.training
        by_track = bool({"artist", "recording"} & {*training.positives, *training.masked})
        return self.dataset.identity(self.recipe.data.feature, self.reader.spec, by_track=by_track)

    def new_network(self) -> tuple[Network, Kept]:
        """See `Material.new_network`."""
        recipe = self.recipe
        torch.manual_seed(recipe.training.seed)
        kind = text_module(recipe.model.text.kind)
        settings = kind.Settings.model_validate(recipe.model.text.model_dump())
        made = kind.new(settings, self._words(), recipe.model.embedding)

        def statistics() -> tuple[float, float]:
            return mean_and_std(self.reader, self.train.track_ids, seed=recipe.training.seed)

        heard = Heard(recipe.data.crop_frames, self.reader.spec.shape, statistics)
        return made_network(recipe, heard, made.encoder), kept_files(made.tokenizer, made.config, self.vocabulary)

    def _words(self) -> Words:
        separator, sources = self.recipe.text.separator, self.train.sources
        said = tuple(source.caption or separator.join(source.tags) for source in sources)
        return Words(said, self.vocabulary, self.recipe.text.vocabulary, self.recipe.text.max_length)

    def batches(self, kept: Kept) -> tuple[Batches, Batches]:
        """See `Material.batches`."""
        tokenizer = prepared(Tokenizer.from_str(kept[TOKENIZER]), self.recipe.text.max_length)
        return self._batcher(self.train.sources, tokenizer), self._batcher(self.valid.sources, tokenizer)

    @property
    def figure_names(self) -> tuple[str, ...]:
        """See `Material.figure_names`."""
        return ("roc_auc",) if self.recipe.text.representation == "vocabulary" else ("recall_at_10",)

    def figures(self, sides: Sequence[Tensor]) -> dict[str, float]:
        """See `Material.figures`. Only what the weights are chosen by: of many tracks it takes long.

        `recall_at_10`: of texts, for a track of which the same is said. `roc_auc`: the mean over the tags that
        some valid tracks have and some have not.
        """
        if self.recipe.training.select_by not in self.figure_names:
            return {}
        audio, text = (side.float().cpu().numpy() for side in sides)
        sources = self.valid.sources
        if self.recipe.text.representation == "vocabulary":
            labels = labels_of(sources, {tag: column for column, tag in enumerate(self.vocabulary)})
            return {"roc_auc": macro_areas(audio @ text.T, labels)["roc_auc"] if len(measurable(labels)) else 0.5}
        recipe, seed = self.recipe.text, self.recipe.training.seed
        texts = (
            draw_text(source, recipe.representation, seed=seed, epoch=VALIDATION_EPOCH, separator=recipe.separator)
            for source in sources
        )
        said = np.unique([repr(drawn.key) for drawn in texts], return_inverse=True)[1]
        hits = 0
        for at in range(0, len(said), QUERIES_AT_ONCE):
            same = said[at : at + QUERIES_AT_ONCE, None] == said[None, :]
            first, _ = rankings(text[at : at + QUERIES_AT_ONCE] @ audio.T, same)
            hits += int((first <= 10).sum())
        return {"recall_at_10": hits / len(said)}

    def _batcher(self, sources: tuple[TextSource, ...], tokenizer: Tokenizer) -> Batcher:
        recipe = self.recipe
        return Batcher(
            self.reader,
            sources,
            tokenizer,
            recipe.data.crop_frames,
            recipe.data.crops,
            recipe.text.representation,
            recipe.text.separator,
            self.vocabulary,
            recipe.training.positives,
            recipe.training.masked,
            recipe.training.seed,
        )


def distinct_texts(sources: tuple[TextSource, ...]) -> int:
    """How many different things are said of the tracks."""
    return len({frozenset(source.tags) or source.caption for source in sources})


def open_material(data: str, recipe: TextAudioRecipe) -> TextAudioMaterial:
    """Open what a recipe needs of a dataset.

    Raises:
        UsageError: the dataset lacks it, or has fewer than 2 distinct captions to train on.
        DataError: a file is not the one that the receipt lists.
    """
    section = recipe.data
    dataset = Dataset(data)
    dataset.shards(section.feature)
    splits = dataset.split_of(section.scheme, section.fold)
    present = set(splits.values())
    if not present & set(section.train):
        raise UsageError(
            f"{data}: no track in split {' or '.join(section.train)} "
            f"(it has: {', '.join(sorted(present)) or 'none'}); set data.train of the recipe"
        )
    reader = dataset.reader(section.feature)
    # A track of which no tag is known is no example of having none.
    tagged = recipe.text.representation == "vocabulary"
    train = dataset.select(splits, section.train, reader.clips, tagged=tagged)
    valid = dataset.select(splits, section.valid, reader.clips, tagged=tagged)
    distinct = distinct_texts(train.sources)
    if distinct < 2:
        raise UsageError(
            f"{data}: {distinct} distinct captions on {len(train.sources)} usable train tracks; "
            "contrastive training needs at least 2, so give the tracks different tags or titles"
        )
    return TextAudioMaterial(recipe, dataset, reader, train, valid)
