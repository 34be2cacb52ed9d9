"""The training itself: render a pool, then make the objective small on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from stn_deploy.training.checkpoint import save_checkpoint
from stn_deploy.training.clock import Clock
from stn_deploy.training.distributed import Team, join_team
from stn_deploy.training.feed import Feed, reach_all, steps_per_epoch
from stn_deploy.training.journal import Journal, last_line, summary_writer
from stn_deploy.training.learner import Learner
from stn_deploy.training.objective import Objective
from stn_deploy.training.pool import CHUNK, PoolSettings, build_pools, chunks_of, made_of
from stn_deploy.training.pool_store import PoolStore, digest_of
from stn_deploy.training.real import RealWord
from stn_deploy.training.recipe import Recipe
from stn_deploy.training.rectifier import TextRectifier, untrained_rectifier
from stn_deploy.training.run_folder import RunFolder
from stn_deploy.training.samples import draw_samples
from stn_deploy.training.state import Identity, State, write_state
from stn_deploy.training.text_pool import TextWord, readable
from stn_deploy.training.totals import Totals
from stn_deploy.training.validation import Validation, hold_out

Report = Callable[[str, float, str], None]
"""Called with what is being done, the part of it that is done, in [0, 1], and a note such as the loss."""
AfterEpoch = Callable[[int, Mapping[str, float]], None]
"""Called with the number of finished epochs and what metrics.jsonl says of the last."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """checkpoint: file written. rectifier: the trained one. metrics: of the last epoch."""

    checkpoint: Path
    rectifier: TextRectifier
    metrics: dict[str, float]


def train(
    recipe: Recipe,
    output: Path,
    *,
    words: list[RealWord] | None = None,
    texts: list[TextWord] | None = None,
    processes: int | None = None,
    report: Report = lambda *_: None,
    after_epoch: AfterEpoch = lambda *_: None,
    resume: bool = False,
    device: str = "auto",
    sources: Sequence[str] = (),
) -> TrainingResult:
    """Train a text rectifier by a recipe, in one process or in all that torchrun started.

    Args:
        recipe: all settings; saved in the checkpoint.
        output: folder for the checkpoint, the state and the journal; made if absent.
        words: real words with quads; the recipe's ``held_out`` of them are kept for validation.
        texts: words without quads, for the recognition and the consistency loss; those with quads that
            are trained on join them.
        processes: for rendering; all cores by default.
        report: receives the progress, in the leading process.
        after_epoch: receives each finished epoch, in the leading process.
        resume: go on with the training that was interrupted in this folder. On a CPU, with the same number
            of threads, it ends with the very weights that it would have had without the interruption.
        device: auto, cpu or cuda.
        sources: where the words came from; kept in the state for whoever goes on.
    Raises:
        ArgumentError: a device or a number of processes that cannot be.
        DatasetError: fewer words than a batch takes.
        MissingDependency: tensorboard is not installed.
        OutputError: the folder holds a training already, or cannot be written.
        TrainingError: nothing to go on with, or another training; the loss is no longer finite.
    """
    with join_team(device) as team:
        return _train(
            recipe,
            RunFolder(output),
            team,
            words or [],
            texts or [],
            cores=max(1, (processes or os.cpu_count() or 1) // team.size),
            report=report if team.leads else lambda *_: None,
            after_epoch=after_epoch,
            resume=resume,
            sources=list(sources),
        )


def _train(
    recipe: Recipe,
    folder: RunFolder,
    team: Team,
    words: list[RealWord],
    texts: list[TextWord],
    *,
    cores: int,
    report: Report,
    after_epoch: AfterEpoch,
    resume: bool,
    sources: list[str],
) -> TrainingResult:
    """The part of one process; what it shares with the others is gone when it returns."""
    summary_writer()  # where it is missing, that is said now and not after the rendering
    torch.manual_seed(recipe.seed)
    training_words, held_out = hold_out(words, recipe)
    run = _Run(
        recipe=recipe,
        folder=folder,
        team=team,
        learner=_new_learner(recipe, team, real_words=len(training_words)),
        identity=Identity(recipe=recipe.as_dict(), made_of=made_of(words, texts), processes=team.size),
        sources=sources,
        report=report,
        after_epoch=after_epoch,
    )
    state = run.take_up() if resume else run.begin(real_words=bool(training_words))
    if not state.finished:
        settings = PoolSettings.of(recipe)
        feed = run.render(settings, training_words, texts + readable(training_words), processes=cores)
        validation = Validation.prepare(settings, recipe, held_out, processes=cores) if team.leads else None
        run.fit(feed, validation, state)
    return run.finish()


def _new_learner(recipe: Recipe, team: Team, *, real_words: int) -> Learner:
    rectifier = untrained_rectifier(recipe, real_words=real_words)
    if real_words and recipe.real and recipe.batch_real:
        reach_all("real", recipe.real, team)
    steps = recipe.epochs * steps_per_epoch(recipe, team)
    return Learner(Objective(rectifier, recipe), recipe, team, steps=steps)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A training in its folder. Every process calls every method; the leading one alone writes."""

    recipe: Recipe
    folder: RunFolder
    team: Team
    learner: Learner
    identity: Identity
    sources: list[str]
    report: Report
    after_epoch: AfterEpoch

    def begin(self, *, real_words: bool) -> State:
        """Claim the folder; from here on there is something to go on with."""
        self.team.decide(lambda: self.folder.claim(self.recipe, real_words=real_words))
        return self._save(Totals({}, self.team), seconds=0.0)

    def take_up(self) -> State:
        """Go on where the state in the folder stands."""
        state = self.team.decide(lambda: self.folder.resume(self.identity))
        self.learner.restore(state.tensors, state.counts)
        return state

    def render(
        self, settings: PoolSettings, words: list[RealWord], texts: list[TextWord], *, processes: int
    ) -> Feed:
        """This process's part of the pictures."""
        share = (self.team.rank, self.team.size)
        recipe = self.recipe
        counts = {"rendered": recipe.rendered, "real": recipe.real if words else 0, "text": recipe.texts}
        total = CHUNK * sum(len(chunks_of(count, share)) for count in counts.values())
        finished = 0

        def progress(done: int) -> None:
            nonlocal finished
            finished += done
            self.report("rendering", finished / total, "")

        pools = build_pools(
            settings,
            **counts,
            words=words,
            texts=texts,
            processes=processes,
            progress=progress,
            share=share,
            store=self._store(),
        )
        return Feed(recipe=recipe, team=self.team, pools=pools)

    def fit(self, feed: Feed, validation: Validation | None, state: State) -> None:
        """All steps that are left."""
        learner, clock = self.learner, Clock(state.seconds)
        per_epoch = learner.steps // self.recipe.epochs
        finished, skip = divmod(learner.step, per_epoch)
        totals = Totals(state.totals, self.team)
        with self._journal(epochs=finished) as journal:
            for epoch in range(finished, self.recipe.epochs):
                clock.begin_epoch()
                for batch in feed.epoch(epoch, skip=skip):
                    values = learner.learn(batch)
                    totals.add(values)
                    clock.count(len(batch) * self.team.size)
                    self._tell(values["loss"].item(), clock, journal)
                    if learner.step % self.recipe.checkpoint_steps == 0 and learner.step % per_epoch:
                        self._save(totals, seconds=clock.seconds)
                learner.close_epoch()
                self._close_epoch(epoch + 1, totals.means(), clock, validation, journal)
                totals, skip = Totals({}, self.team), 0
                self._save(totals, seconds=clock.seconds)

    def finish(self) -> TrainingResult:
        """What came out; the rendered pictures are no longer needed."""
        kept = self.learner.kept.rectifier.cpu()
        # The statistics of batch norm are each process's own.
        kept.load_state_dict(self.team.decide(kept.state_dict))
        if self.team.leads:
            self._store().remove()
        metrics = self.team.decide(lambda: last_line(self.folder.metrics))
        return TrainingResult(checkpoint=self.folder.checkpoint, rectifier=kept, metrics=metrics)

    def _journal(self, *, epochs: int) -> AbstractContextManager[Journal | None]:
        if not self.team.leads:
            return nullcontext()
        return Journal(self.folder, epochs=epochs, step=self.learner.step)

    def _tell(self, loss: float, clock: Clock, journal: Journal | None) -> None:
        learner = self.learner
        note = f"loss {loss:.4f}, {clock.images_per_second:,.0f} images/s"
        self.report("training", learner.step / learner.steps, note)
        if journal:
            journal.step(learner.step, loss=loss, learning_rate=learner.learning_rate(learner.step - 1))

    def _close_epoch(
        self,
        epoch: int,
        means: dict[str, float],
        clock: Clock,
        validation: Validation | None,
        journal: Journal | None,
    ) -> None:
        """Validate, and write what the user sees."""
        if not validation or not journal:  # not the leading process
            return
        pace = {"images_per_second": round(clock.images_per_second, 1), "seconds": round(clock.seconds, 1)}
        learner, device = self.learner, self.team.device
        rectifier = learner.kept.rectifier
        errors = validation.measure(rectifier, device)
        save_checkpoint(rectifier, self.folder.checkpoint)
        values = {**means, **errors, "learning_rate": learner.learning_rate(learner.step - 1), **pace}
        picture = draw_samples(rectifier, validation.samples, device)
        journal.epoch(epoch, learner.step, values, picture)
        self.after_epoch(epoch, values)

    def _save(self, totals: Totals, *, seconds: float) -> State:
        """Put everything on the disk that the next step needs."""
        state = State(
            identity=self.identity,
            sources=self.sources,
            steps=self.learner.steps,
            counts=self.learner.counts(),
            totals=totals.sums(),
            seconds=seconds,
            tensors=self.learner.tensors(),
        )
        if self.team.leads:
            write_state(state, self.folder.state)
        return state

    def _store(self) -> PoolStore:
        return PoolStore(folder=self.folder.pool, digest=digest_of([self.identity]))
