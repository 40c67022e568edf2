"""From a recipe and a dataset to everything a training needs, checked before the first step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer

from schemas.errors import DataError, UsageError
from train.data.batches import Batcher
from train.data.dataset import Dataset, Selection
from train.data.reader import ClipReader
from train.data.statistics import mean_and_std
from train.data.text import TextSource
from train.data.vocabulary import prepared
from train.models.audio import AudioEncoder
from train.models.network import Network
from train.models.texts import Words, text_module
from train.objectives import objective_module
from train.recipe import Recipe
from train.run import TEXT_CONFIG, TOKENIZER, Run


@dataclass(frozen=True)
class Material:
    """A dataset as one recipe uses it.

    Attributes:
        reader: of the recipe's feature.
        train, valid: the usable tracks.
        notes: what a person should know, a sentence each.
    """

    dataset: Dataset
    reader: ClipReader
    train: Selection
    valid: Selection
    notes: tuple[str, ...]

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tags of the train tracks, each once, sorted."""
        return tuple(sorted({tag for source in self.train.sources for tag in source.tags}))

    @property
    def validates(self) -> bool:
        """Whether there is enough to validate on: two texts that differ."""
        return distinct_texts(self.valid.sources) >= 2


def distinct_texts(sources: tuple[TextSource, ...]) -> int:
    """How many different things are said of the tracks."""
    return len({frozenset(source.tags) or source.caption for source in sources})


def open_material(data: str, recipe: Recipe) -> Material:
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
    if len(reader.spec.shape) != 2 or reader.spec.shape[1] < 1:
        raise UsageError(f"{data}: feature {section.feature!r} is {reader.spec.shape}, not frames by bands")
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
    material = Material(dataset, reader, train, valid, ())
    return Material(dataset, reader, train, valid, tuple(_notes(material, recipe)))


def _notes(material: Material, recipe: Recipe) -> list[str]:
    notes = []
    for name, selection in (("train", material.train), ("valid", material.valid)):
        if selection.without_clip:
            notes.append(f"{selection.without_clip} tracks of {name} have no clip and are left out.")
        if selection.without_text:
            notes.append(f"{selection.without_text} tracks of {name} have neither tags nor a caption.")
    if not material.validates:
        notes.append("Valid has fewer than 2 distinct captions: no early stopping, the last weights are kept.")
    if len(material.train.sources) < recipe.training.batch_size:
        notes.append(f"Batches are smaller than {recipe.training.batch_size}: that is more than all train tracks.")
    return notes


def batcher_of(
    recipe: Recipe, material: Material, sources: tuple[TextSource, ...], tokenizer: Tokenizer
) -> Batcher:
    """The maker of batches of some tracks."""
    return Batcher(
        material.reader,
        sources,
        tokenizer,
        recipe.data.crop_frames,
        recipe.data.crops,
        recipe.text.representation,
        recipe.text.separator,
        material.vocabulary,
        recipe.training.positives,
        recipe.training.masked,
        recipe.training.seed,
    )


def new_network(recipe: Recipe, material: Material) -> tuple[Network, Tokenizer, dict[str, Any]]:
    """A network before training, its tokenizer and its text encoder's configuration.

    Random weights follow from the recipe's seed alone.

    Raises:
        UsageError: published weights that cannot be loaded; a crop that is too short for the pools.
        DataError: training clips that are not finite.
    """
    torch.manual_seed(recipe.training.seed)
    kind = text_module(recipe.model.text.kind)
    settings = kind.Settings.model_validate(recipe.model.text.model_dump())
    made = kind.new(settings, _words(recipe, material), recipe.model.embedding)
    mean, std = mean_and_std(material.reader, material.train.track_ids, seed=recipe.training.seed)
    network = _joined(recipe, material.reader.spec.shape[1], made.encoder, mean, std)
    return network, prepared(made.tokenizer, recipe.text.max_length), made.config


def _words(recipe: Recipe, material: Material) -> Words:
    separator = recipe.text.separator
    said = tuple(source.caption or separator.join(source.tags) for source in material.train.sources)
    return Words(said, material.vocabulary, recipe.text.vocabulary, recipe.text.max_length)


def _joined(recipe: Recipe, bands: int, text: Any, mean: float, std: float) -> Network:
    audio = recipe.model.audio
    try:
        encoder = AudioEncoder(
            frames=recipe.data.crop_frames,
            bands=bands,
            channels=audio.channels,
            pools=audio.pools,
            input_pool=audio.input_pool,
            width=audio.width,
            layers=audio.layers,
            heads=audio.heads,
            feed_forward=audio.feed_forward,
            dropout=audio.dropout,
            embedding=recipe.model.embedding,
            mean=mean,
            std=std,
        )
    except ValueError as error:
        raise UsageError(f"model.audio: {error}; raise data.crop_frames or pool less") from error
    module = objective_module(recipe.objective.kind)
    objective = module.Objective(module.Settings.model_validate(recipe.objective.model_dump()))
    return Network(encoder, text, objective, shares_texts=recipe.text.representation == "vocabulary")


def saved_network(run: Run, recipe: Recipe, bands: int) -> tuple[Network, Tokenizer]:
    """The run's network, its weights still to be loaded, and its tokenizer; needs neither dataset nor hub."""
    config = run.read_json(TEXT_CONFIG)
    try:
        tokenizer = Tokenizer.from_str(run.store.read_text(TOKENIZER))
        text = text_module(recipe.model.text.kind).again(config, recipe.model.embedding)
    except (FileNotFoundError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{run.store.root}: {TOKENIZER} or {TEXT_CONFIG} is damaged ({error}); train again"
        ) from error
    return _joined(recipe, bands, text, 0.0, 1.0), prepared(tokenizer, recipe.text.max_length)


def save_setup(run: Run, tokenizer: Tokenizer, config: dict[str, Any]) -> None:
    """Keep in the run what `saved_network` needs."""
    run.store.write_text(TOKENIZER, json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False) + "\n")
    run.write_json(TEXT_CONFIG, config)
