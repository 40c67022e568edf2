"""Two encoders, one space, one objective."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.errors import DataError, UsageError
from train.data.vocabulary import prepared
from train.models.audios import Heard, audio_module
from train.models.network import Network, Tensors
from train.models.texts import text_module
from train.objectives import objective_module
from train.objectives.base import Pairs
from train.run import DATA, TEXT_CONFIG, TOKENIZER, TRAIN_TAGS, Run, json_text
from train.tasks.base import Kept
from train.tasks.text_audio.recipe import TextAudioRecipe

KEPT = (TOKENIZER, TEXT_CONFIG, TRAIN_TAGS)


class TextAudioNetwork(Network):
    """Log-mels, or whatever the audio encoder hears, and texts to embeddings of one space.

    Args:
        audio: gives (N, its `width`).
        text: called as `text(ids, mask)`; its `unit` says whether its vectors are to be of unit length.
        embedding: dimensions of the space.
        shares_texts: whether a batch's texts are the same on every rank, rather than one a track.
    """

    inputs = ("mels", "ids", "mask")

    def __init__(
        self, audio: nn.Module, text: Any, objective: Any, embedding: int, *, shares_texts: bool = False
    ) -> None:
        super().__init__()
        self.audio = audio
        self.project_audio = nn.Linear(int(audio.width), embedding)  # type: ignore[arg-type]
        self.text = text
        self.objective = objective
        self.shares_texts = shares_texts
        self.shared = frozenset({1}) if shares_texts else frozenset()

    def embed_audio(self, crops: Tensor) -> Tensor:
        """(N, frames, …) as the shards hold them to unit embeddings, float32 (N, D)."""
        return F.normalize(self.project_audio(self.audio(crops)).float(), dim=-1)

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (N, length) twice to embeddings, float32 (N, D)."""
        embedded: Tensor = self.text(ids, mask).float()
        return F.normalize(embedded, dim=-1) if self.text.unit else embedded

    def sides(self, tensors: Tensors) -> tuple[Tensor, ...]:
        """Embeddings of the crops, and of the texts."""
        audio = self.embed_audio(tensors["mels"])
        if not len(tensors["ids"]):
            return audio, audio.new_zeros((0, audio.shape[1]), requires_grad=audio.requires_grad)
        return audio, self.embed_text(tensors["ids"], tensors["mask"])

    def between(self, sides: Sequence[Tensor], tensors: Tensors, crops: int) -> Tensor:
        """The objective's; a text stands for each of its track's crops."""
        audio, text = sides
        relation = tensors["relation"].repeat_interleave(crops, 0)
        ignored = tensors["ignored"].repeat_interleave(crops, 0)
        if not self.shares_texts:
            text = text.repeat_interleave(crops, 0)
            relation, ignored = relation.repeat_interleave(crops, 1), ignored.repeat_interleave(crops, 1)
        loss: Tensor = self.objective(audio, text, Pairs(relation, ignored, tensors["noise"]))
        return loss

    def chunks(self, tensors: Tensors, crops: int, tracks: int) -> Iterator[Tensors]:
        """As every network's; texts that all tracks share go with the first chunk."""
        if not self.shares_texts:
            yield from super().chunks(tensors, crops, tracks)
            return
        for start in range(0, len(tensors["mels"]), tracks * crops):
            texts = slice(0, None if start == 0 else 0)
            mels = tensors["mels"][start : start + tracks * crops]
            yield {"mels": mels, "ids": tensors["ids"][texts], "mask": tensors["mask"][texts]}


def made_network(recipe: TextAudioRecipe, heard: Heard, text: Any) -> TextAudioNetwork:
    """A network around a text encoder.

    Raises:
        UsageError: the audio encoder does not fit the feature or the crop.
    """
    section = recipe.model.audio.model_dump()
    audio = audio_module(recipe.model.audio.kind)
    try:
        encoder = audio.new(audio.Settings.model_validate(section), heard)
    except ValueError as error:
        raise UsageError(f"model.audio: {error}") from error
    module = objective_module(recipe.objective.kind)
    objective = module.Objective(module.Settings.model_validate(recipe.objective.model_dump()))
    shares = recipe.text.representation == "vocabulary"
    return TextAudioNetwork(encoder, text, objective, recipe.model.embedding, shares_texts=shares)


def kept_files(tokenizer: Tokenizer, config: dict[str, Any], tags: Sequence[str]) -> Kept:
    """What `restored_network` needs, and the tags trained on, of which other datasets may have some."""
    return {
        TOKENIZER: json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False) + "\n",
        TEXT_CONFIG: json_text(config),
        TRAIN_TAGS: json_text({"tags": list(tags)}),
    }


def restored_network(run: Run, recipe: TextAudioRecipe, kept: Kept) -> tuple[TextAudioNetwork, Tokenizer]:
    """The run's network, its weights still to be loaded, and its tokenizer; needs neither dataset nor hub.

    Raises:
        DataError: a file of the run is damaged.
    """
    try:
        tokenizer = Tokenizer.from_str(kept[TOKENIZER])
        text = text_module(recipe.model.text.kind).again(json.loads(kept[TEXT_CONFIG]), recipe.model.embedding)
        shape = tuple(run.read_json(DATA)["feature_spec"]["shape"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        named = ", ".join((*KEPT, DATA))
        raise DataError(f"{run.store.root}: one of {named} is damaged ({error}); train again") from error
    heard = Heard(recipe.data.crop_frames, shape, lambda: (0.0, 1.0))
    return made_network(recipe, heard, text), prepared(tokenizer, recipe.text.max_length)
