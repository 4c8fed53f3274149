"""What every trainer of transformers or TRL gets here: exact steps, exact resume, and a watcher between the steps.

The library keeps its loop, optimiser, schedule, clipping and mixed precision. Ours are: which rows a step takes
(`RowOrder`), going on from a checkpoint in the same bits without the library's own pickled files, passes that are
halved when memory runs out, and everything that the watcher asks (docs/decisions/0072-exact-resume.md). Of several
processes each takes its rows of a step; what they found is added up when all of them are through.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from transformers import PrinterCallback, TrainerCallback

from rendering import Renderer
from training.engine.answering import Question, greedy_answers
from training.engine.artifacts import write_adapter_files
from training.engine.checkpoints import (
    Snapshot,
    Tensors,
    load_optimizer_state,
    optimizer_state,
    part,
    part_of,
)
from training.engine.loading import adapter_tensors, load_adapter_tensors, peak_memory
from training.engine.memory import with_less_memory
from training.engine.order import RowOrder
from training.engine.progress import Reporter
from training.engine.sharding import laid_out_as, split_on_cpu
from training.engine.spreading import ALONE, Ranks
from training.engine.watcher import Watcher


@dataclass
class Work:
    """What a trainer goes through. `train` and `held_out` are rows of whatever kind the method's passes take.

    `longest_row` is the longest of them in tokens, `tokens_per_pass` how many go through the model at once.
    `questions` are answered at each check, in at most `sample_tokens` tokens. `identity` is what a checkpoint must
    share with this training to be one of it. `base_name` and `base_revision` stand in the adapter's config.
    """

    train: list
    held_out: list
    order: RowOrder
    tokens_per_pass: int
    longest_row: int
    renderer: Renderer
    reporter: Reporter
    base_name: str
    base_revision: str | None = None
    questions: list[Question] = field(default_factory=list)
    sample_tokens: int = 48
    identity: dict[str, Any] = field(default_factory=dict)
    ranks: Ranks = ALONE


class ExactTrainer:
    """To be named before a trainer of transformers or TRL among the bases; it is the watcher's `Learner`.

    A recipe's trainer adds `placeholder` (a dataset that its library wants to see), `gradients`, `measured` and
    `told`.
    """

    def __init__(self, *, work: Work, callbacks: list | None = None, **kwargs):
        self.work = work
        self.tokens_seen = 0
        self.tokens_per_pass = work.tokens_per_pass
        self.longest_row = work.longest_row
        self._snapshot: Snapshot | None = None
        super().__init__(train_dataset=self.placeholder(), callbacks=callbacks or [], **kwargs)
        self.remove_callback(PrinterCallback)

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.work.ranks.is_sharded and not self.is_fsdp_enabled:
            split_on_cpu(self.accelerator)
            self.is_fsdp_enabled = True

    # --- What a recipe's trainer adds ---

    def placeholder(self):
        """A dataset of one row for the library's own constructor; the rows of each step come from `work`."""
        raise NotImplementedError

    def gradients(self, model: torch.nn.Module, rows: list) -> torch.Tensor:
        """Forward and backward over this process's share of `rows`, the step's, in passes of `tokens_per_pass`.

        Returns the share's part of the step's mean loss: over all processes they add up to it, and the gradients to
        those of the whole step. Counts `tokens_seen`. Exchanges nothing with other processes, and may be called
        again with the same rows after memory ran out.
        """
        raise NotImplementedError

    def measured(self, rows: list) -> Any:
        """What this process's share of the held-out `rows` gives `told`; in eval mode, without gradients.

        Exchanges nothing either.
        """
        raise NotImplementedError

    def told(self, measured: Any) -> dict[str, float]:
        """`eval_loss` and what the method adds, over the shares of all processes; may exchange."""
        raise NotImplementedError

    def step_extras(self, logs: dict[str, float]) -> dict[str, float]:
        """What the method adds to the event of a step, from the library's `logs` of it; may exchange."""
        return {}

    # --- Going on from a checkpoint ---

    def resume(self, snapshot: Snapshot) -> None:
        """Takes up the adapter now and everything else as soon as `train` has made optimiser and schedule."""
        self._snapshot = snapshot
        load_adapter_tensors(self.model, snapshot.adapter)
        own = snapshot.numbers["learner"]
        self.tokens_seen, self.tokens_per_pass = own["tokens_seen"], own["tokens_per_pass"]

    def _init_training_state(self, *args, **kwargs) -> tuple[int, int]:
        _, skipped = super()._init_training_state(*args, **kwargs)
        self.state.global_step = self._snapshot.step if self._snapshot else 0
        return self.state.global_step // self.work.order.steps_per_epoch, skipped

    def _prepare_for_training(self, *args, **kwargs):
        prepared = super()._prepare_for_training(*args, **kwargs)
        if self._snapshot is not None:
            tensors, numbers = self._snapshot.tensors, self._snapshot.numbers
            saved = part_of("optimizer", tensors)
            if self.work.ranks.is_sharded:
                saved = self._in_pieces(saved)
            load_optimizer_state(self.optimizer, saved, numbers["optimizer"])
            self.lr_scheduler.load_state_dict(numbers["schedule"])
        return prepared

    def _in_pieces(self, saved: Tensors) -> Tensors:
        """An optimiser's state, laid out over the processes as the weights that it belongs to."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        found = {}
        for name, tensor in saved.items():
            weight = weights[int(name.partition(".")[0])]
            found[name] = laid_out_as(weight, tensor) if tensor.shape == weight.shape else tensor
        return found

    def get_train_dataloader(self) -> "_RestOfEpoch":
        return _RestOfEpoch(self)

    # --- A step ---

    def training_step(self, model, inputs: list, num_items_in_batch=None) -> torch.Tensor:
        """One optimiser step's forward and backward; again in smaller passes if memory runs out."""
        model.train()
        ranks, before = self.work.ranks, self.tokens_seen
        # Past the wrapper that would exchange gradients in each pass: processes may need different numbers of them.
        inner = model.module if isinstance(model, DistributedDataParallel) else model
        loss = with_less_memory(
            self,
            lambda: self.gradients(inner, inputs),
            step=self.state.global_step + 1,
            reporter=self.work.reporter,
            ranks=ranks,
        )
        if ranks.is_alone:
            return loss
        ranks.add_gradients([weight for weight in inner.parameters() if weight.requires_grad])
        total, tokens = ranks.sum([loss.item(), self.tokens_seen - before])
        self.tokens_seen = before + int(tokens)
        return torch.tensor(total, device=self.args.device, dtype=loss.dtype)

    def learn(self, loss: torch.Tensor) -> None:
        """Backward of a part of the step's loss."""
        # Processes that split the model add up their gradients in the backward pass, and divide by their number.
        ranks = self.work.ranks
        self.accelerator.backward(loss * ranks.count if ranks.is_sharded else loss)

    def clear_gradients(self) -> None:
        self.model.zero_grad()

    def floating_point_ops(self, inputs) -> int:
        return 0

    # --- What the watcher asks ---

    def check(self) -> dict[str, Any]:
        rows = self.work.held_out
        if not rows:
            return {}
        with evaluating(self.model):
            measured = with_less_memory(
                self,
                lambda: self.measured(rows),
                step=self.state.global_step,
                reporter=self.work.reporter,
                ranks=self.work.ranks,
            )
            return {**self.told(measured), "eval_rows": len(rows)}

    def sample(self) -> list[dict[str, str]]:
        questions, renderer = self.work.questions, self.work.renderer
        if not questions:
            return []
        prompts = [question.token_ids for question in questions]
        with evaluating(self.model):
            answers = greedy_answers(self.model, prompts, self.work.sample_tokens, renderer.stop_token_ids)
        return [
            {"question": question.text, "answer": renderer.decode(answer), "expected": question.expected}
            for question, answer in zip(questions, answers, strict=True)
        ]

    def memory_bytes(self) -> int:
        return peak_memory(self.args.device.type)

    def adapter(self) -> Tensors:
        return adapter_tensors(self.model)

    def write_adapter(self, directory: Path, tensors: Tensors) -> None:
        write_adapter_files(self.model, tensors, directory, self.work.base_name, self.work.base_revision)

    def saved_parts(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, numbers = optimizer_state(self.optimizer)
        own = {"tokens_seen": self.tokens_seen, "tokens_per_pass": self.tokens_per_pass}
        return part("optimizer", tensors), {
            "optimizer": numbers,
            "schedule": self.lr_scheduler.state_dict(),
            "learner": own,
            "identity": self.work.identity,
        }


class evaluating:  # noqa: N801 - reads as a word after `with`
    """Eval mode without gradients, and training mode again behind it."""

    def __init__(self, model: torch.nn.Module):
        self._model = model
        self._no_grad = torch.no_grad()

    def __enter__(self) -> None:
        self._no_grad.__enter__()
        self._model.eval()

    def __exit__(self, *exception) -> None:
        self._model.train()
        self._no_grad.__exit__(*exception)


class WatchingCallback(TrainerCallback):
    """Tells a watcher what the library's loop does, and the loop when to stop."""

    def __init__(self, watcher: Watcher, trainer: ExactTrainer):
        self.watcher = watcher
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        self.watcher.begin()

    def on_log(self, args, state, control, logs=None, **kwargs):
        # The library logs once more at its very end, without a loss.
        if "loss" not in logs:
            return
        extra = self.trainer.step_extras(logs)
        numbers = (float(logs[name]) for name in ("loss", "learning_rate", "grad_norm"))
        if self.watcher.after_step(*numbers, **extra):
            control.should_training_stop = True


class _RestOfEpoch:
    """The rows of each step that is still to be made in the epoch in which the trainer is; `len` is a whole epoch's."""

    def __init__(self, trainer):
        self._trainer = trainer

    def __len__(self) -> int:
        return self._trainer.work.order.steps_per_epoch

    def __iter__(self) -> Iterator[list]:
        work = self._trainer.work
        first = self._trainer.state.global_step + 1
        last = ((first - 1) // len(self) + 1) * len(self)
        for step in range(first, last + 1):
            yield [work.train[index] for index in work.order.rows_of(step)]
