"""Networks around an audio encoder that may begin with another run's weights."""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from schemas.errors import DataError, UsageError, fault_of_file
from schemas.store import Store
from train.models.audios import Heard, audio_module
from train.models.network import Network
from train.objectives import objective_module
from train.recipe import ObjectiveSection
from train.run import DATA, MODEL, Run
from train.tasks.waves.recipe import AudioModel, StartSection

_PREFIX = "audio."


def audio_encoder(section: AudioModel, frames: int, shape: tuple[int, ...], statistics: Any = None) -> nn.Module:
    """The recipe's audio encoder before training.

    Raises:
        UsageError: it does not fit the feature or the crop.
    """
    module = audio_module(section.kind)
    heard = Heard(frames, shape, statistics or (lambda: (0.0, 1.0)))
    try:
        return module.new(module.Settings.model_validate(section.model_dump()), heard)
    except ValueError as error:
        raise UsageError(f"model.audio: {error}") from error


def objective_of(section: ObjectiveSection) -> Any:
    """The recipe's objective."""
    module = objective_module(section.kind)
    return module.Objective(module.Settings.model_validate(section.model_dump()))


def spec_of(run: Run, *keys: str) -> dict[str, Any]:
    """A feature's specification, as the run's data.json has it.

    Args:
        keys: under which it stands, where it is not that of what is heard.

    Raises:
        DataError: the file is damaged.
    """
    found: Any = run.read_json(DATA)
    try:
        for key in (*keys, "feature_spec"):
            found = found[key]
        return {**found, "shape": tuple(found["shape"]), "hop_s": float(found["hop_s"])}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{run.store.root}/{DATA}: is damaged ({error}); train again") from error


def start_digest(section: StartSection) -> str | None:
    """The sha256 of the weights that a recipe starts from, or None where it starts from random ones.

    Raises:
        UsageError: no trained run there; or none named, while what is frozen must have learnt something.
    """
    if section.run is None:
        if section.frozen:
            raise UsageError(
                "start.run: is required, since what start.frozen names learns nothing here; "
                "set it to a trained run by --set start.run=DIR"
            )
        return None
    store = Store(section.run)
    if not store.exists(MODEL):
        raise UsageError(
            f"start.run: {section.run} has no {MODEL}, so it is no trained run; train one, or correct the path"
        )
    return store.sha256(MODEL)


@torch.no_grad()
def start(network: Network, audio: nn.Module, section: StartSection) -> None:
    """Load the encoder's weights and freeze what is to be frozen.

    Raises:
        UsageError: the run has another encoder, or the encoder no such blocks.
    """
    if section.run is not None:
        where = f"start.run: {section.run}"
        try:
            tensors = load_tensors(Store(section.run).read_bytes(MODEL))
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{where}/{MODEL} cannot be read ({fault_of_file(error)})") from error
        own = {name.removeprefix(_PREFIX): t for name, t in tensors.items() if name.startswith(_PREFIX)}
        wanted = {name: tuple(tensor.shape) for name, tensor in audio.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in own.items()}
        if found != wanted:
            name = min(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            raise UsageError(
                f"{where} has another audio encoder ({name}: {_told(found.get(name))} there, "
                f"{_told(wanted.get(name))} here); give model.audio and data.samples as it was trained with"
            )
        audio.load_state_dict(own)
    freeze(network, audio, section)


def freeze(network: Network, audio: nn.Module, section: StartSection) -> None:
    """Freeze what is to be frozen.

    Raises:
        UsageError: the encoder has no such blocks.
    """
    if section.frozen == "all":
        network.freeze([audio])
    elif section.frozen:
        blocks = list(getattr(audio, "blocks", ()))
        if len(blocks) < section.frozen:
            raise UsageError(f"start.frozen: {section.frozen}, and the audio encoder has {len(blocks)} blocks")
        network.freeze(blocks[: section.frozen])


def _told(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else "x".join(map(str, shape)) or "one number"


def row_of(rows: Tensor) -> Tensor:
    """Rows as unit vectors, float32."""
    return nn.functional.normalize(rows.float(), dim=-1)
