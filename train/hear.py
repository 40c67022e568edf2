"""Sound as a feature's shards hold it: for models that are given a file, or samples, and no dataset.

The one module of `train` that imports `pipelines`, and only when it is asked to hear: what the shards were computed
by is what must compute what they are compared with.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import DataError, UsageError
from schemas.manifest import FeatureSection
from schemas.store import Store
from train.recipe import first_difference

Array = npt.NDArray[Any]
_CHANNELS = 32
_WAY_OUT = "give the feature's own arrays"


class Ear:
    """Computes one feature of sound.

    Args:
        feature: its name, for errors.
        spec: its specification as a run's data.json holds it: `dtype`, `shape` and every setting.

    Raises:
        UsageError: what computes features is not installed, or computes this one otherwise than it was; or it is
            no function of a file's sound alone.
    """

    def __init__(self, feature: str, spec: Mapping[str, Any]) -> None:
        self._name = feature
        with self._installed():
            self._feature = _feature(feature, spec)

    def of_file(self, path: str | os.PathLike[str]) -> list[Array]:
        """The clips of a file's sound, segment by segment, as the shards would hold them.

        Args:
            path: a file here, or an address that a store reaches (gs://, s3://).

        Raises:
            DataError: the file is missing, no audio, or such as the feature leaves out (too short, silent).
        """
        text = os.fspath(path)
        # Links are followed first: the folder that a file may not lead out of is the file's own.
        folder, _, name = (text if "://" in text else os.path.realpath(text)).rpartition("/")
        return self._clips(Store(folder or "/"), name, text)

    def of_samples(self, samples: npt.ArrayLike, rate: int) -> list[Array]:
        """The clips of float samples of full scale 1, (samples,) or (samples, channels), at `rate` a second.

        Raises:
            UsageError: integers, or another shape.
            DataError: sound such as the feature leaves out (too short, silent).
        """
        array = np.asarray(samples)
        if array.dtype.kind != "f" or array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > _CHANNELS):
            raise UsageError(
                f"samples are {array.dtype} {array.shape}; give floats of full scale 1, (samples,) or "
                "(samples, channels)"
            )
        if rate < 1:
            raise UsageError(f"rate {rate}; give samples a second")
        place, name = Store(f"memory://tracklore-hear-{uuid.uuid4().hex}"), "samples.wav"
        with self._installed():
            import soundfile

            stream = io.BytesIO()
            soundfile.write(stream, array.astype(np.float32), rate, format="WAV", subtype="FLOAT")
        place.write_bytes(name, stream.getvalue())
        try:
            return self._clips(place, name, "the samples")
        finally:
            place.remove(name)

    def _clips(self, media: Store, name: str, called: str) -> list[Array]:
        with self._installed(), _threads_kept():
            from pipelines.features.decode import ExcludedError
            from pipelines.features.media import MediaRef

            self._feature.prepare()
            try:
                (clips,) = self._feature.finish([self._feature.clips(media, MediaRef(called, name))])
            except ExcludedError as error:
                detail = error.detail.removeprefix(f"{name}: ").removeprefix(f"{name} ")
                raise DataError(f"{called}: {error.reason}: {detail}") from error
        return [clip.data for clip in clips]

    @contextmanager
    def _installed(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            raise UsageError(
                f"the feature {self._name!r} cannot be computed here ({error}); pip install 'tracklore[features]', "
                f"or {_WAY_OUT}"
            ) from error


def _feature(name: str, spec: Mapping[str, Any]) -> Any:
    """The feature that computes what the specification says."""
    from pipelines.features.base import Feature, feature_of

    where = f"the feature {name!r} of this model"
    if spec.get("deform") is not None:
        raise UsageError(f"{where} was deformed track by track; {_WAY_OUT}")
    section = FeatureSection.model_validate({"kind": "unknown", **_settings(spec)})
    feature = feature_of(name, section, where)
    if feature.MEDIA != "audio" or type(feature).media is not Feature.media:
        raise UsageError(f"{where} is not computed from sound; {_WAY_OUT}")
    made = feature.spec()
    changed = first_difference(dict(spec), {"dtype": made.dtype, "shape": list(made.shape), **made.settings})
    if changed:
        key, old, new = changed
        raise UsageError(
            f"{where} was computed with {key}: {old}, and this version of Tracklore computes it with {new}; "
            f"{_WAY_OUT}"
        )
    return feature


def _settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a manifest's section, of all that a specification says."""
    import importlib

    from pipelines.features.base import feature_kinds

    kind = spec.get("kind")
    if kind not in feature_kinds():
        return {"kind": str(kind)}
    fields = importlib.import_module(f"pipelines.features.{kind}").FEATURE.Settings.model_fields
    found = {key: spec[key] for key in fields if key in spec}
    if found.get("preset") == "custom" and "mel" in fields:
        from pipelines.features.presets import MelPreset

        found["mel"] = {key: spec[key] for key in MelPreset.model_fields if key in spec}
    return found


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Features compute in one thread; what else goes on in this process does not."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
