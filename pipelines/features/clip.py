"""CLIP vectors of a video's frames, averaged second by second (VCMR 3.1): 5 frames a second, 512 numbers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.features.base import Feature, FeatureSettings
from pipelines.features.media import MediaKind, MediaRef
from pipelines.features.segments import Segments
from pipelines.features.video_seconds import Images, VideoSeconds
from pipelines.sources.file_digests import digests_of
from schemas.digests import digest_of
from schemas.errors import UsageError
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store

_FRAMES_A_CALL = 128
_MODEL_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
Vectors = npt.NDArray[np.float32]


class ClipSettings(FeatureSettings):
    """The keys of a `clip` feature.

    Attributes:
        model, revision: on the hub; a revision is a commit, so that its weights never change.
        path: a folder with the model instead (config.json, preprocessor_config.json, model.safetensors).
            A build counts a relative one from the manifest's folder.
        dimensions: of the model's vectors.
        fps: frames a second that are looked at.
        segments: which seconds of a track are kept, and in which segments of whole seconds.
    """

    model: str = "openai/clip-vit-base-patch32"
    revision: str = Field(default="c237dc49a33fc61debc9276459120b7eac67e7ef", pattern=r"^[0-9a-f]{40}$")
    path: str | None = None
    dimensions: int = Field(default=512, ge=1)
    fps: int = Field(default=5, ge=1, le=60)
    segments: Segments = Segments(span_s=120.0, count=8, segment_s=15.0)


class ClipFeature(Feature):
    """The model's image vectors as they are (not normalised), float16, shape (seconds, 512).

    Second n of a segment is the mean of the frames that are shown at n, n + 1/fps, … of it.
    """

    VERSION = 1
    Settings = ClipSettings
    MEDIA: ClassVar[MediaKind] = "video"
    BATCH = 4
    settings: ClipSettings
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _models: ClassVar[dict[str, Any]] = {}

    def __init__(self, name: str, settings: ClipSettings) -> None:
        super().__init__(name, settings)
        self._frames = VideoSeconds.of(name, settings.segments, settings.fps)

    def spec(self) -> FeatureSpec:
        settings = self.settings.model_dump(mode="json", exclude={"splits", "path"})
        if self.settings.path is not None:
            settings |= {"model": self._content_digest, "revision": None}
        content = {**settings, "feature_version": self.VERSION, "hop_s": 1.0, "unit": "CLIP image vector"}
        return FeatureSpec(self.name, "float16", (-1, self.settings.dimensions), content)

    @cached_property
    def _content_digest(self) -> str:
        """Of the folder's files: the same weights elsewhere are the same model."""
        return digest_of(digests_of(self._folder, _MODEL_FILES))

    @cached_property
    def _folder(self) -> Store:
        where = f"features.{self.name}.path"
        folder = Path(str(self.settings.path)).expanduser()
        for name in _MODEL_FILES:
            if not (folder / name).is_file():
                raise UsageError(f"{where}: {folder} has no {name}")
        return Store(str(folder))

    def _source(self) -> dict[str, Any]:
        """Where transformers finds the model. Weights are tensors alone, and no code of the hub's is run."""
        if self.settings.path is not None:
            return {"pretrained_model_name_or_path": self._folder.root, "local_files_only": True}
        return {"pretrained_model_name_or_path": self.settings.model, "revision": self.settings.revision}

    def prepare(self) -> None:
        import av  # noqa: F401 - what is missing is missed here, not at the first track
        import torch

        torch.set_num_threads(1)
        found = self._config.projection_dim
        if found != self.settings.dimensions:
            raise UsageError(
                f"features.{self.name}.dimensions: the model's vectors have {found}, not {self.settings.dimensions}"
            )
        assert self._processor is not None
        if self.settings.path is not None:
            self._require_weights()

    def _require_weights(self) -> None:
        """Look at the header of the weights, which says how long the file is."""
        from safetensors import SafetensorError, safe_open

        path = self._folder.full(_MODEL_FILES[-1])
        try:
            with safe_open(path, framework="np"):
                return
        except (SafetensorError, OSError) as error:
            told = " ".join(str(error).split())[:200]
            raise UsageError(
                f"features.{self.name}.path: {path} is damaged, or no safetensors file ({told}); fetch it again"
            ) from error

    @cached_property
    def _config(self) -> Any:
        from transformers import CLIPVisionConfig

        return self._loaded(CLIPVisionConfig)

    @cached_property
    def _processor(self) -> Any:
        from transformers import CLIPImageProcessorPil

        return self._loaded(CLIPImageProcessorPil)

    def _loaded(self, cls: Any, **keys: Any) -> Any:
        from safetensors import SafetensorError
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            return cls.from_pretrained(**self._source(), **keys)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            told = " ".join(str(error).split())[:200]
            raise UsageError(
                f"features.{self.name}: the model {self.settings.path or self.settings.model} cannot be loaded "
                f"({told}); set features.{self.name}.path=DIR to a folder that has it"
            ) from error

    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        """The wanted frames of each segment, as large as the model sees them: uint8 (frames, height, width, 3)."""
        return self._frames.clips(media, ref, self._seen)

    def _seen(self, picture: Images) -> Images:
        """A frame as large as the model sees it, its colours as they are."""
        made = self._processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")
        seen: Images = np.asarray(made["pixel_values"][0]).transpose(1, 2, 0).astype(np.uint8)
        return seen

    def finish(self, tracks: list[list[Clip]]) -> list[list[Clip]]:
        """Vectors for the frames of all tracks together, then the mean of each second."""
        listed = [clip for clips in tracks for clip in clips]
        if not listed:
            return tracks
        vectors = iter(np.split(self.vectors([clip.data for clip in listed]), self._ends(listed)))
        return [
            [Clip(clip.track_id, clip.segment, clip.start_s, self._by_second(next(vectors))) for clip in clips]
            for clips in tracks
        ]

    @staticmethod
    def _ends(clips: list[Clip]) -> list[int]:
        return [int(end) for end in np.cumsum([len(clip.data) for clip in clips])[:-1]]

    def _by_second(self, vectors: Vectors) -> npt.NDArray[np.float16]:
        seconds: npt.NDArray[np.float16] = (
            vectors.reshape(-1, self.settings.fps, vectors.shape[1]).mean(axis=1).astype(np.float16)
        )
        return seconds

    def vectors(self, parts: list[Images]) -> Vectors:
        """Image vectors of frames, float32 (frames, 512), batches reaching from one part into the next."""
        import torch

        device, model = self._model()
        made = []
        with torch.inference_mode():
            for batch in _batches(parts, _FRAMES_A_CALL):
                pixels = self._normalised(batch, device)
                made.append(model(pixel_values=pixels).image_embeds.float().cpu().numpy())
        return np.concatenate(made)

    def _normalised(self, images: Images, device: str) -> Any:
        import torch

        processor = self._processor
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
        if processor.do_rescale:
            pixels = pixels * processor.rescale_factor
        if processor.do_normalize:
            mean = torch.tensor(processor.image_mean, device=device).view(1, 3, 1, 1)
            pixels = (pixels - mean) / torch.tensor(processor.image_std, device=device).view(1, 3, 1, 1)
        return pixels

    def _model(self) -> tuple[str, Any]:
        """The device and the model, loaded once a process."""
        key = json.dumps([self.settings.path, self.settings.model, self.settings.revision])
        with self._lock:
            if key not in self._models:
                import torch
                from transformers import CLIPVisionModelWithProjection

                device = "cuda" if torch.cuda.is_available() else "cpu"
                model = self._loaded(CLIPVisionModelWithProjection, use_safetensors=True, dtype=torch.float32)
                self._models[key] = device, model.eval().to(device)
            found: tuple[str, Any] = self._models[key]
        return found

    def kept(self) -> Segments:
        return self.settings.segments

    def clip_bytes(self) -> int:
        count, _ = self.settings.segments.usual
        return count * self._frames.seconds * self.settings.dimensions * 2


def _batches(parts: list[Images], size: int) -> Iterator[Images]:
    waiting: list[Images] = []
    have = 0
    for part in parts:
        place = 0
        while place < len(part):
            some = part[place : place + size - have]
            waiting.append(some)
            have += len(some)
            place += len(some)
            if have == size:
                yield np.concatenate(waiting)
                waiting, have = [], 0
    if waiting:
        yield np.concatenate(waiting)


FEATURE = ClipFeature
