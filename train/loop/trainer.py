"""The training loop. Every step is a function of (recipe, data, step) and the weights before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from schemas.digests import canonical_json, stable_hash
from schemas.errors import DataError, UsageError, suggest
from train.data.batches import Batch
from train.data.loader import ahead
from train.data.order import EpochOrder, batch_size_for
from train.loop.accumulate import accumulated_backward
from train.loop.average import Average
from train.loop.best import BestWeights
from train.loop.checkpoint import Progress, checkpoint_bytes, model_bytes, restore
from train.loop.console import TrainingView
from train.loop.devices import set_up_torch
from train.loop.dropout import SampleDropout
from train.loop.environment import environment
from train.loop.feed import Fed, fed, loaded
from train.loop.schedule import lr_factor
from train.loop.setup import kept_of
from train.loop.speed import Speed
from train.loop.stopping import Stop, listening
from train.loop.tensorboard import EventLog
from train.loop.validation import Validation
from train.loop.weights_and_biases import WandbLog, require_wandb
from train.models.network import Network, Tensors
from train.recipe import Recipe
from train.run import HISTORY, LAST, LOGS, MODEL, STATE, Run
from train.tasks import task_module
from train.tasks.base import Kept, Material

NAMED_TRACKS = 6


def fit(fabric: Fabric, recipe: Recipe, data: str, out: str, resume: bool) -> bool:
    """Train a recipe on a dataset into a run directory, in every process of `fabric`.

    Returns:
        whether SIGTERM ended it before its end, all saved.

    Raises:
        UsageError: the dataset lacks what the recipe needs, or `out` belongs to something else.
        DataError: damaged files, or a loss that is not finite.
    """
    with listening() as stop:
        set_up_torch(recipe.machine, fabric.world_size)
        require_wandb(recipe)
        material = task_module(recipe.task).opened(data, recipe)
        _require_figure(recipe, material)
        order = _order(fabric, recipe, len(material.train_tracks))
        run = Run.at(out)
        identity = material.identity()
        if fabric.global_rank == 0:
            run.check(recipe, identity, resume=resume)
            run.store.remove_temporaries()
        # The directory is claimed when nothing is left to complain of.
        goes_on = run.store.exists(LAST)
        network, kept = _network(fabric, run, recipe, material, identity)
        if fabric.global_rank == 0:
            run.remember_location(data)
            run.remember_card(data)
        fabric.barrier()
        optimiser = make_optimiser(network, recipe, fused=fabric.device.type == "cuda")
        wrapped, wrapped_optimiser = fabric.setup(network, optimiser)
        average = None if recipe.training.ema is None else Average(network, recipe.training.ema)
        progress = restore(run.store, LAST, network, optimiser, average) if goes_on else Progress()
        if recipe.machine.compile:
            network.sides = torch.compile(network.sides)  # type: ignore[method-assign]
        if fabric.global_rank == 0:
            run.remember_environment(progress.step, environment(fabric.device, fabric.world_size))
        trainer = Trainer(fabric, recipe, run, material, network, optimiser, average, kept, order, progress, stop)
        return trainer.loop(wrapped, wrapped_optimiser)


def _require_figure(recipe: Recipe, material: Material) -> None:
    wanted, known = recipe.training.select_by, ("loss", *material.figure_names)
    if wanted not in known:
        raise UsageError(f"training.select_by: no figure {wanted!r} of this task{suggest(wanted, known)}")


def _order(fabric: Fabric, recipe: Recipe, tracks: int) -> EpochOrder:
    wanted, ranks = recipe.training.batch_size, fabric.world_size
    if wanted % ranks:
        raise UsageError(f"training.batch_size: {wanted} does not divide over {ranks} devices")
    batch = batch_size_for(tracks, wanted, ranks)
    if not batch:
        raise UsageError(f"machine.devices: {ranks} devices, and only {tracks} train tracks; use fewer devices")
    return EpochOrder(tracks, batch, recipe.training.seed, rank=fabric.global_rank, world_size=ranks)


def _network(
    fabric: Fabric, run: Run, recipe: Recipe, material: Material, identity: dict[str, Any]
) -> tuple[Network, Kept]:
    """The network and what the run keeps of it: the run's, or new ones, with which the run begins."""
    if run.store.exists(LAST):
        kept = kept_of(run, recipe)
        return task_module(recipe.task).restored(run, recipe, kept), kept
    network, kept = material.new_network()
    if fabric.global_rank == 0:
        run.claim(recipe, identity)
        for name, text in sorted(kept.items()):
            run.store.write_text(name, text)
    return network, kept


def make_optimiser(network: Network, recipe: Recipe, *, fused: bool = False) -> torch.optim.Optimizer:
    """The recipe's optimiser; weight decay falls on matrices and kernels only.

    Args:
        fused: one kernel for all weights, on GPUs.
    """
    section = recipe.optimiser
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": section.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if section.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=section.lr, betas=section.betas, fused=fused or None)


class Trainer:
    """One training: its material, its weights and how far it came."""

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        run: Run,
        material: Material,
        network: Network,
        optimiser: torch.optim.Optimizer,
        average: Average | None,
        kept: Kept,
        order: EpochOrder,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self.fabric, self.recipe, self.run, self.material = fabric, recipe, run, material
        self.network, self.optimiser, self.order, self.progress = network, optimiser, order, progress
        self.average, self.stop = average, stop
        self.batches, valid = material.batches(kept)
        self.total = order.steps * recipe.training.epochs
        self.dropout = SampleDropout(recipe.training.seed)
        self.best = BestWeights(run.store, recipe.training.keep_best, progress.kept)
        self.validation = None
        if material.validates:
            self.validation = Validation(material, valid, recipe.training.batch_size)

    def loop(self, wrapped: Any, wrapped_optimiser: Any) -> bool:
        """Train from where `progress` stands to the end, or until SIGTERM; return whether that came first."""
        training, machine, progress = self.recipe.training, self.recipe.machine, self.progress
        first_rank = self.fabric.global_rank == 0
        log = EventLog(self.run.store if first_rank else None, LOGS, progress.step)
        sent = WandbLog(self.recipe, self.run, first_rank=first_rank)
        clips = self.order.batch_size * self.material.crops
        speed = Speed(clips, self.fabric.device)
        view = TrainingView(total=self.total, done=progress.step, clips_per_step=clips, first_rank=first_rank)
        self.network.train()
        with sent, log, view:
            for note in self.material.notes:
                view.say(note)
            steps = range(progress.step, 0 if progress.finished else self.total)
            # The next epoch's first batches are read while this epoch is validated.
            read = ahead(self._loaded, steps, threads=machine.readers, depth=machine.ahead)
            for batch, tensors in speed.waiting_for(fed(read, self.fabric.device)):
                loss = self._step(batch, tensors, wrapped, wrapped_optimiser)
                progress.step += 1
                if self.average is not None:
                    self.average.update(self.network, progress.step)
                progress.add({"loss": loss, **batch.figures})
                view.step()
                valid = self._validated()
                if valid is not None or progress.step % training.log_every == 0 or progress.step == self.total:
                    row, measured = self._row(valid), speed.figures()
                    log.add({**row, **{f"speed/{name}": value for name, value in measured.items()}})
                    sent.add({**row, **measured})
                    view.logged(row, measured)
                stopped = bool(training.patience) and progress.bad >= (training.patience or 0)
                progress.finished = stopped or progress.step == self.total
                asked = self.stop.agreed(self.fabric.device)
                if progress.finished or asked or progress.step % training.checkpoint_every == 0:
                    self._checkpoint()
                if stopped and progress.step < self.total:
                    view.say(f"Stopped early: {progress.bad} validations without a better one.")
                if progress.finished or asked:
                    break
            if progress.finished:
                view.say(self._summary())
            else:
                view.say(
                    f"Stopped by SIGTERM after step {progress.step} of {self.total}, and saved; the same command "
                    "with --resume goes on from here."
                )
        self.fabric.barrier()
        return not progress.finished

    def _loaded(self, step: int) -> Fed:
        return loaded(self._batch(step), self.fabric.device)

    def _batch(self, step: int) -> Batch:
        epoch, within = divmod(step, self.order.steps)
        return self.batches.training(self.order, epoch, within)

    def _step(self, batch: Batch, tensors: Tensors, wrapped: Any, wrapped_optimiser: Any) -> float:
        self._seed(0)
        for group in self.optimiser.param_groups:
            group["lr"] = self._lr()
        chunk = self.recipe.training.chunk
        if chunk is None:
            with self._dropping():
                loss = wrapped(tensors, batch.crops)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise DataError(self._not_finite(batch, value))
            self.fabric.backward(loss)
        else:
            with self.fabric.autocast(), self._dropping():
                value = float(accumulated_backward(self.network, tensors, batch.crops, chunk, seeded=self._seed))
            if not math.isfinite(value):
                raise DataError(self._not_finite(batch, value))
        if self.recipe.optimiser.clip_norm is not None:
            self.fabric.clip_gradients(
                wrapped, wrapped_optimiser, max_norm=self.recipe.optimiser.clip_norm, error_if_nonfinite=False
            )
        wrapped_optimiser.step()
        wrapped_optimiser.zero_grad(set_to_none=True)
        self.network.objective.after_step()
        return value

    def _dropping(self) -> AbstractContextManager[None]:
        """Meanwhile dropout is a function of the sample; a compiler knows its own alone, one of the rank."""
        return nullcontext() if self.recipe.machine.compile else self.dropout.installed()

    def _seed(self, chunk: int) -> None:
        """What is random in a step follows from the step, so going on needs no random state.

        Args:
            chunk: number of the chunk of this rank's tracks that is embedded next; 0 too where all are at once.
        """
        here, size = self.order.local, self.recipe.training.chunk
        first = here.start + chunk * (size or 0)
        self.dropout.begin(self.progress.step, first, min(size or here.stop, here.stop - first))
        key = f"{self.progress.step}\x00{self.fabric.global_rank}" + (f"\x00{chunk}" if chunk else "")
        torch.manual_seed(stable_hash(key, self.recipe.training.seed) >> 1)

    def _lr(self) -> float:
        section = self.recipe.optimiser
        warmup = round(section.warmup_epochs * self.order.steps)
        factor = lr_factor(self.progress.step, warmup=warmup, total=self.total, final=section.final_lr_ratio)
        return section.lr * factor

    def _not_finite(self, batch: Batch, value: float) -> str:
        mine = batch.track_ids[self.order.local]
        whole = _whole(batch, self.network.inputs, len(mine))
        broken = [track for track, is_whole in zip(mine, whole, strict=True) if not is_whole]
        named = broken or list(batch.track_ids)
        more = f" and {len(named) - NAMED_TRACKS} more" if len(named) > NAMED_TRACKS else ""
        listed = ", ".join(named[:NAMED_TRACKS]) + more
        why = (
            "values that are not finite in"
            if broken
            else "in a batch of finite values; lower optimiser.lr. Tracks:"
        )
        return f"step {self.progress.step}: the loss is {value}: {why} {listed}"

    def _validated(self) -> dict[str, float] | None:
        """Validate where it is due; keep the weights when they are the best so far."""
        training, progress = self.recipe.training, self.progress
        at_end = progress.step == self.total
        if self.validation is None:
            return None
        if not at_end and progress.step % (self.order.steps * training.validate_every):
            return None
        with self._kept_weights():
            figures = self.validation.figures(self.fabric, self.network)
            value = figures.get(training.select_by, math.nan)  # where it cannot be told, it is not better
            if math.isfinite(value) and (
                progress.best_value is None or self._is_better(value, progress.best_value)
            ):
                progress.best_value, progress.best_loss = value, figures["loss"]
                progress.best_step, progress.bad = progress.step, 0
                self._keep_model()
            else:
                progress.bad += 1
            if math.isfinite(value) and self.fabric.global_rank == 0:
                cost = value if training.select_by == "loss" else -value
                self.best.offer(cost, progress.step, self.network)
        return figures

    def _is_better(self, value: float, than: float) -> bool:
        return value < than if self.recipe.training.select_by == "loss" else value > than

    def _kept_weights(self) -> AbstractContextManager[None]:
        """Meanwhile the network has the weights that are validated and kept: the averaged ones, where there are."""
        return nullcontext() if self.average is None else self.average.applied(self.network)

    def _row(self, valid: dict[str, float] | None) -> dict[str, Any]:
        progress = self.progress
        means = progress.means()
        row: dict[str, Any] = {
            "epoch": -(-progress.step // self.order.steps),
            "step": progress.step,
            "loss": means.pop("loss", None),
            "lr": self.optimiser.param_groups[0]["lr"],
            **means,
            "valid_loss": None,
            **{f"valid_{name}": value for name, value in (valid or {}).items()},
            **self.network.objective.figures(),
        }
        progress.history.append(row)
        return row

    def _keep_model(self) -> None:
        if self.fabric.global_rank == 0:
            self.run.store.write_bytes(MODEL, model_bytes(self.network))

    def _checkpoint(self) -> None:
        """Write the views first and the checkpoint last: a kill in between is undone by going on."""
        if self.validation is None or self.progress.best_step is None:
            with self._kept_weights():
                self._keep_model()
        if self.fabric.global_rank != 0:
            return
        progress, store, by = self.progress, self.run.store, self.recipe.training.select_by
        store.write_text(HISTORY, "".join(canonical_json(row) + "\n" for row in progress.history))
        self.run.write_json(
            STATE,
            {
                "step": progress.step,
                "steps": self.total,
                "finished": progress.finished,
                "best_step": progress.best_step,
                "best_valid_loss": progress.best_loss,
                **({} if by == "loss" else {"selected_by": by, "best_value": progress.best_value}),
                "train_tracks": len(self.material.train_tracks),
                "valid_tracks": len(self.material.valid_tracks),
                "batch_size": self.order.batch_size,
                "notes": list(self.material.notes),
            },
        )
        store.write_bytes(LAST, checkpoint_bytes(self.network, self.optimiser, progress, self.average))
        self.best.tidy()

    def _summary(self) -> str:
        progress = self.progress
        text = f"{progress.step} of {self.total} steps on {len(self.material.train_tracks)} tracks"
        if progress.best_step is not None:
            by = self.recipe.training.select_by.replace("_", " ")
            text += f"; best valid {by} {progress.best_value:.3f} at step {progress.best_step}"
        return text + f"; the model is {self.run.store.root}/{MODEL}"


def _whole(batch: Batch, inputs: Sequence[str], tracks: int) -> list[bool]:
    """Which of this rank's tracks have finite values in every tensor that has rows for them."""
    whole = np.ones(tracks, np.bool_)
    for name in inputs:
        array = batch.tensors[name]
        if array.dtype.kind == "f" and len(array) % tracks == 0:
            finite = np.isfinite(array.astype(np.float32)).reshape(tracks, -1)
            whole &= finite.all(axis=1)
    return [bool(value) for value in whole]
