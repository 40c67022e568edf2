"""A trained model for programs: `train.load(DIR)` of an export or of a run, and its two methods."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from schemas.errors import DataError, UsageError
from train.data.reader import ClipRef, covering_crops
from train.data.tokens import tokenize
from train.data.vocabulary import prepared
from train.export import check_export
from train.hear import Ear
from train.loop.setup import kept_of, trained_network
from train.run import DATA, TOKENIZER, Run
from train.tasks.text_audio.recipe import TextAudioRecipe

Array = npt.NDArray[Any]
Vectors = npt.NDArray[np.float32]
Sound = str | os.PathLike[str] | npt.NDArray[Any]
ROWS_AT_ONCE = 64


def load_model(directory: str | os.PathLike[str], device: str | None = None) -> LoadedModel:
    """See `train.load`."""
    run = Run.at(os.fspath(directory))
    check_export(run)
    return LoadedModel(run, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))


class LoadedModel:
    """A trained model. It needs neither its dataset nor any hub.

    Attributes:
        dimensions: D, of every embedding.
        feature: the name of what it hears, such as ttmr.
        feature_spec: what the arrays of the feature are: dtype, shape, and how they are computed from sound.
    """

    def __init__(self, run: Run, device: torch.device) -> None:
        self._where = run.store.root
        recipe, known = run.recipe(), run.read_json(DATA)
        try:
            self.feature = str(known["feature"])
            self.feature_spec: dict[str, Any] = dict(known["feature_spec"])
            self._tail = tuple(int(n) for n in self.feature_spec["shape"][1:])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self._where}/{DATA}: is damaged ({error!r}); train or export again") from error
        network: Any = trained_network(run, recipe)
        self._device = device
        self._network = network.to(device).eval()
        # A task without a space to project into is worth what its encoder makes of sound.
        self._embed = getattr(network, "embed_audio", None) or network.audio
        self._frames = crop_frames(recipe)
        nothing = np.zeros((1, self._frames, *self._tail), self.feature_spec["dtype"])
        self.dimensions = self._crops(nothing).shape[1]
        self._tokenizer: Tokenizer | None = None
        if isinstance(recipe, TextAudioRecipe):
            self._tokenizer = prepared(Tokenizer.from_str(kept_of(run, recipe)[TOKENIZER]), recipe.text.max_length)
        self._ear: Ear | None = None

    def embed_text(self, texts: str | Sequence[str]) -> Vectors:
        """Unit embeddings of texts, float32 (N, D). One of a text of which nothing is known may be all zero."""
        if self._tokenizer is None:
            raise UsageError(f"{self._where}: was trained on no texts; it embeds sound alone")
        listed = [texts] if isinstance(texts, str) else list(texts)
        rows = [np.zeros((0, self.dimensions), np.float32)]
        for at in range(0, len(listed), ROWS_AT_ONCE):
            tokens = tokenize(self._tokenizer, listed[at : at + ROWS_AT_ONCE])
            with torch.inference_mode():
                ids, mask = (torch.from_numpy(array).to(self._device) for array in (tokens.ids, tokens.mask))
                rows.append(unit(self._network.embed_text(ids, mask).cpu().numpy()))
        return np.concatenate(rows)

    def embed_audio(self, sounds: Sound | Sequence[Sound], *, rate: int | None = None) -> Vectors:
        """Unit embeddings of sounds, float32 (N, D): of each the mean over crops that hear all of it, to the end.

        Args:
            sounds: one, or several. A path: the part of the file that the feature keeps is heard. Float samples of
                full scale 1, (samples,) or (samples, channels), with their `rate`. Or, without `rate`, an array of
                the feature itself, such as (frames, bands).
            rate: samples a second, of samples.

        Raises:
            UsageError: an array of another shape than the feature's; a path or samples, and what computes the
                feature is not installed or not what computed it.
            DataError: a file that is missing, no audio, too short or silent; an array that is not finite.
        """
        one = isinstance(sounds, str | os.PathLike | np.ndarray)
        listed: Sequence[Sound] = [sounds] if one else list(sounds)  # type: ignore[list-item, arg-type]
        rows = [np.zeros((0, self.dimensions), np.float32)]
        for number, sound in enumerate(listed):
            rows.append(self._embedded(self._clips(sound, rate), number)[None])
        return np.concatenate(rows)

    def _clips(self, sound: Sound, rate: int | None) -> list[Array]:
        if isinstance(sound, str | os.PathLike):
            return self._hearing().of_file(sound)
        if rate is not None:
            return self._hearing().of_samples(sound, rate)
        array = np.asarray(sound)
        if array.ndim != 1 + len(self._tail) or array.shape[1:] != self._tail or not len(array):
            wanted = ", ".join(("frames", *(str(n) for n in self._tail)))
            raise UsageError(
                f"an array of shape {array.shape}: the feature {self.feature!r} is ({wanted}); with samples, give "
                "their rate"
            )
        return [array.astype(self.feature_spec["dtype"], copy=False)]

    def _hearing(self) -> Ear:
        if self._ear is None:
            self._ear = Ear(self.feature, self.feature_spec)
        return self._ear

    def _embedded(self, clips: list[Array], number: int) -> Vectors:
        """One embedding (D,)."""
        if not all(np.isfinite(clip).all() for clip in clips if clip.dtype.kind == "f"):
            raise DataError(f"sound {number} holds values that are not finite")
        crops = [
            _filled(clip[crop.start : crop.start + self._frames], self._frames)
            for clip in clips
            for crop in covering_crops(ClipRef("", 0, 0, 0, len(clip)), self._frames)
        ]
        starts = range(0, len(crops), ROWS_AT_ONCE)
        rows = [self._crops(np.stack(crops[at : at + ROWS_AT_ONCE])) for at in starts]
        return unit(np.concatenate(rows).mean(axis=0))

    def _crops(self, crops: Array) -> Vectors:
        """Embeddings of crops as the shards hold them, (N, frames, …) to (N, D)."""
        with torch.inference_mode():
            return unit(self._embed(torch.from_numpy(crops).to(self._device)).float().cpu().numpy())


def crop_frames(recipe: Any) -> int:
    """How many frames of its feature a recipe's model hears at once; samples, where it hears these."""
    return int(recipe.data.crop_frames if hasattr(recipe.data, "crop_frames") else recipe.data.samples)


def _filled(part: Array, frames: int) -> Array:
    """As the shards' reader fills a clip that is shorter than a crop."""
    if len(part) == frames:
        return part
    out = np.empty((frames, *part.shape[1:]), part.dtype)
    out[: len(part)] = part
    out[len(part) :] = part.min()
    return out


def unit(rows: Vectors) -> Vectors:
    """Vectors (…, D) of length 1; what is zero stays zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
