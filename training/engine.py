"""The only optimisation loop. It knows nothing of faces."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.devices import channels_last, seed_share
from common.errors import InputError
from common.progress import progress as progress_bar
from distributed.memory import keep_freed_memory
from distributed.processes import is_main_process
from recipes.recipe import Batch, Outcome, Recipe
from training.data_parallel import distribute
from training.ema import WeightAverage
from training.optimisers import OPTIMIZERS, clip_gradients, set_learning_rate
from training.run import Progress, Run
from training.schedules import SCHEDULES

Validate = Callable[[nn.Module], dict[str, Any]]  # a deployable model -> figures, `score` (higher is better) among them


def fit(recipe: Recipe, run: Run, validate: Validate | None) -> Path:
    """Train `recipe` as `run.stage` says and return the path of the best weights, by validation score.

    Without `validate` the last epoch's weights are kept. Of several processes the main one alone validates and writes,
    and so decides which weights are best; the others meet it again at the next step. Raises InputError for a loss that is
    not finite and for 0 epochs.
    """
    stage = run.stage
    if not stage.epochs:
        raise InputError(f"{run.name}: epochs is 0, so there is nothing to train; it should be at least 1")
    if run.finished:
        return run.weights
    if run.device.type == "cpu":
        keep_freed_memory()
    channels_last(recipe).to(run.device)
    recipe.average = WeightAverage(recipe.network, stage.ema) if stage.ema else None
    optimizer = OPTIMIZERS.build(stage.optimizer, groups=recipe.parameter_groups(), lr=stage.lr)
    schedule = SCHEDULES.build(stage.schedule, epochs=stage.epochs)
    done = run.restore(recipe, optimizer)
    forward = distribute(recipe, run.device, run.sync_norm)
    steps = recipe.steps_per_epoch
    with progress_bar(None, run.name, total=stage.epochs * steps, initial=done.epoch * steps, unit="step") as bar:
        for epoch in range(done.epoch, stage.epochs):
            started, means = time.monotonic(), Means()
            recipe.train()
            recipe.on_epoch_start(epoch)
            seed_share(run.seed, epoch)
            for number, batch in enumerate(recipe.loader(epoch)):
                set_learning_rate(optimizer, stage.lr * recipe.lr_factor * schedule(epoch + number / steps))
                outcome = step(recipe, forward, optimizer, batch, stage.clip, f"epoch {epoch + 1}, step {number + 1}")
                means.add(outcome.terms | outcome.observed)
                bar.update()
            if not is_main_process():
                continue
            rate = stage.lr * recipe.lr_factor * schedule(epoch + (steps - 1) / steps)
            row = {"epoch": epoch + 1, "lr": rate, **means.rounded()}
            bar.set_postfix({name: f"{value:.3f}" for name, value in means.rounded().items()}, refresh=False)
            seconds = time.monotonic() - started
            pace = {"seconds": round(seconds, 2), "images_per_second": round(steps * recipe.images_per_step / seconds, 1)}
            best = (epoch + 1) % stage.validate_every == 0 or epoch + 1 == stage.epochs
            own = stage.keep_every > 0 and (epoch + 1) % stage.keep_every == 0
            if best or own:
                row |= keep_weights(recipe, run, validate, done, epoch + 1, best, own)
            done.epoch = epoch + 1
            done.history.append(row | recipe.notes() | pace)
            run.save_log(done)
            if (epoch + 1) % stage.save_every == 0 or epoch + 1 == stage.epochs:
                run.save_snapshot(recipe, optimizer, done)
    return run.finish()


def step(
    recipe: Recipe,
    forward: Callable[[Batch], Outcome],
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    clip: float = 0.0,
    where: str = "this step",
) -> Outcome:
    """One step of training: forward, backward, clipping, update.

    forward: the recipe itself, or what spreads it over processes. where: what to call the step in an error.
    """
    recipe.on_step_start()
    outcome = forward(batch)
    loss = total(outcome.terms, where)
    optimizer.zero_grad()
    loss.backward()
    clip_gradients(optimizer, clip)
    optimizer.step()
    if recipe.average is not None:
        recipe.average.update(recipe.network)
    recipe.on_step_end()
    return outcome


def keep_weights(
    recipe: Recipe, run: Run, validate: Validate | None, done: Progress, epoch: int, best: bool, own: bool
) -> dict[str, Any]:
    """Write the weights of an epoch and return what the log says of them.

    best: validate, and write them if they are the best so far, or the last if nothing validates. own: write them under the
    name of the epoch, too.
    """
    recipe.eval()
    with recipe.average.applied_to(recipe.network) if recipe.average is not None else nullcontext():
        model = recipe.deployable()
        figures = recipe.figures(model, validate) if best else {}
        score = figures.get("score")
        content = (recipe.kind, model, {**recipe.about(), "validation": figures}, recipe.training_state())
        if best and (score is None or done.best is None or score > done.best):
            done.best = score
            run.save_best(*content)
        if own:
            run.save_kept(epoch, *content)
    return {"validation": figures} if best else {}


def total(terms: dict[str, Tensor], where: str) -> Tensor:
    """The sum of the named terms; InputError that names the term that is not finite."""
    loss = torch.stack(list(terms.values())).sum()
    if not torch.isfinite(loss):
        culprits = [name for name, term in terms.items() if not torch.isfinite(term)]
        raise InputError(
            f"the loss is not finite in {where}: term {', '.join(culprits) or 'sum'}"
            f" = {', '.join(str(terms[name].item()) for name in culprits)}; lower --lr or that term's weight"
        )
    return loss


class Means:
    """Means of named scalars over the steps of an epoch."""

    def __init__(self):
        self.steps = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def rounded(self) -> dict[str, float]:
        return {name: round(float(value) / self.steps, 6) for name, value in self.sums.items()}
