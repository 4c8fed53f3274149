"""What a training needs: steps, time and memory on any machine, before anything is started. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rendering.model_facts import BaseModelFacts
from training.engine.config import TrainingConfig
from training.engine.hardware import Hardware
from training.engine.memory_parts import Load, Memory, activation_bytes, adapter_parameters, memory_of
from training.engine.plan import CHECKS_PER_RUN, FittedPlan, fit_to_data, tokens_per_pass
from training.engine.speed import (
    START_SECONDS,
    TERAFLOPS,
    UNKNOWN_TERAFLOPS,
    Speed,
    gpu_family,
    has_bf16,
    operations_per_token,
    speed_of,
    writing_seconds,
)

__all__ = [
    "Estimate",
    "RowLengths",
    "Target",
    "activation_bytes",
    "adapter_parameters",
    "estimate",
    "estimate_rows",
    "gpu_target",
    "target_of",
]

TIGHT = 0.8
# A row of comparisons goes through as two conversations.
SIDES = {"dpo": 2, "orpo": 2}


@dataclass(frozen=True)
class Target:
    """Where a training could run. `memory_bytes` of one device, and what is free of it; `teraflops` None: a CPU.

    `factor` is the speed that past trainings there reached, measured against the formula, `beside_factor` the same of
    the time beside learning (start, checks, answers, saving); None where there was none.
    """

    name: str
    memory_bytes: int
    free_bytes: int
    teraflops: float | None = None
    cpus: int = 1
    devices: int = 1
    is_bf16: bool = True
    factor: float | None = None
    beside_factor: float | None = None

    @property
    def is_gpu(self) -> bool:
        return self.teraflops is not None

    @property
    def computes_in_bf16(self) -> bool:
        """What `precision` auto comes to there, as far as can be said without asking it."""
        return self.is_gpu and self.is_bf16


@dataclass(frozen=True)
class RowLengths:
    """Of the rows to learn from and of those kept aside: how many, their tokens together (of comparisons, of both
    conversations), and the longest single conversation."""

    rows: int
    tokens: int
    longest: int
    held_out_rows: int = 0
    held_out_tokens: int = 0
    has_longer: bool = False

    @classmethod
    def of(cls, lengths: Sequence[int], held_out: Sequence[int], limit: int) -> "RowLengths":
        """Rows longer than `limit` tokens count as `limit`. Raises ValueError without rows to learn from."""
        if not lengths:
            raise ValueError("A training needs at least one row, not 0.")
        longest = max(max(lengths), max(held_out, default=0))
        if longest <= limit:
            return cls(len(lengths), sum(lengths), longest, len(held_out), sum(held_out))
        cut, kept = [min(x, limit) for x in lengths], [min(x, limit) for x in held_out]
        return cls(len(cut), sum(cut), limit, len(kept), sum(kept), has_longer=True)


@dataclass(frozen=True)
class Estimate:
    """What the review page shows. `tokens` counts every token as often as it is processed. `beside_seconds` is what the
    formula alone says of the time beside learning.

    `advice` names, in codes, what is worth saying: `does_not_fit`, `tight`, `few_rows`, `slow`, `too_long_rows`,
    `no_held_out_rows`.
    """

    rows: int
    held_out_rows: int
    tokens: int
    trainable_parameters: int
    plan: FittedPlan
    seconds: float
    beside_seconds: float
    speed: Speed
    memory: Memory
    target: Target
    fits: bool
    advice: tuple[str, ...] = field(default_factory=tuple)

    @property
    def steps(self) -> int:
        return self.plan.total_steps

    @property
    def epochs(self) -> int:
        return self.plan.epochs

    @property
    def tokens_per_second(self) -> float:
        return self.speed.tokens_per_second


def target_of(hardware: Hardware, factor: float | None = None) -> Target:
    """This very machine: its first GPU, or its processors."""
    if not hardware.gpus:
        return Target(
            f"cpu ({hardware.cpus} cores)",
            hardware.memory_total_bytes,
            hardware.memory_free_bytes,
            cpus=hardware.cpus,
            factor=factor,
        )
    gpu = hardware.gpus[0]
    return gpu_target(gpu.name, gpu.memory_total_bytes, gpu.memory_free_bytes, factor=factor)


def gpu_target(
    name: str,
    memory_bytes: int,
    free_bytes: int | None = None,
    *,
    teraflops: float | None = None,
    devices: int = 1,
    factor: float | None = None,
) -> Target:
    """One or several GPUs of a kind; speed and number format by its name where `teraflops` is not given."""
    return Target(
        name,
        memory_bytes,
        memory_bytes if free_bytes is None else free_bytes,
        teraflops=teraflops or TERAFLOPS.get(gpu_family(name), UNKNOWN_TERAFLOPS),
        devices=devices,
        is_bf16=has_bf16(name),
        factor=factor,
    )


def estimate(
    token_lengths: Sequence[int],
    facts: BaseModelFacts,
    config: TrainingConfig,
    target: Target,
    *,
    held_out_lengths: Sequence[int] = (),
    method: str = "sft",
    has_start_adapter: bool = False,
) -> Estimate:
    """Steps, time and memory for rows of these lengths in tokens; of comparisons, of the longer side, and the other
    is taken to be as long.

    Memory is within a factor of two, time within a factor of three where nothing was measured there. Raises
    ValueError without rows.
    """
    limit = min(config.max_length, facts.context or config.max_length)
    rows, sides = RowLengths.of(token_lengths, held_out_lengths, limit), SIDES.get(method, 1)
    rows = replace(rows, tokens=sides * rows.tokens, held_out_tokens=sides * rows.held_out_tokens)
    return estimate_rows(rows, facts, config, target, method=method, has_start_adapter=has_start_adapter)


def estimate_rows(
    rows: RowLengths,
    facts: BaseModelFacts,
    config: TrainingConfig,
    target: Target,
    *,
    method: str = "sft",
    has_start_adapter: bool = False,
) -> Estimate:
    """The same for rows that have been counted already: one count serves any number of targets."""
    plan = fit_to_data(config, rows.rows)
    sides = SIDES.get(method, 1)
    mean = rows.tokens / rows.rows / sides
    tokens = round(rows.tokens * plan.rows_seen / rows.rows)
    load = Load(
        tokens=sides * tokens_per_pass(plan, rows.longest, is_gpu=target.is_gpu),
        free_bytes=target.free_bytes,
        is_gpu=target.is_gpu,
        is_bf16=config.precision == "bf16" or (config.precision == "auto" and target.computes_in_bf16),
        devices=target.devices,
        method=method,
        has_start_adapter=has_start_adapter,
    )
    memory = memory_of(facts, config, load)
    speed = speed_of(
        facts,
        config,
        operations=operations_per_token(facts, config, mean, memory.recomputes, method),
        pass_tokens=min(load.tokens, sides * config.batch_size * mean),
        teraflops=target.teraflops,
        cpus=target.cpus,
        devices=target.devices,
        factor=target.factor,
    )
    checks = min(CHECKS_PER_RUN, plan.total_steps // plan.eval_steps) + 1 if rows.held_out_rows else 0
    # A check goes forward only: a third of the work of learning.
    checking = checks * rows.held_out_tokens / 3 / speed.formula
    beside = START_SECONDS + checking + writing_seconds(facts, config, checks)
    seconds = tokens / speed.tokens_per_second + beside * (target.beside_factor or 1.0)
    return Estimate(
        rows=rows.rows,
        held_out_rows=rows.held_out_rows,
        tokens=tokens,
        trainable_parameters=adapter_parameters(facts, config),
        plan=plan,
        seconds=seconds,
        beside_seconds=beside,
        speed=speed,
        memory=memory,
        target=target,
        fits=memory.total <= target.free_bytes,
        advice=_advice(rows, memory.total, target.free_bytes, seconds),
    )


def _advice(rows: RowLengths, needed: int, free: int, seconds: float) -> tuple[str, ...]:
    said = {
        "does_not_fit": needed > free,
        "tight": TIGHT * free < needed <= free,
        "few_rows": rows.rows < 20,
        "slow": seconds > 3600,
        "too_long_rows": rows.has_longer,
        "no_held_out_rows": not rows.held_out_rows,
    }
    return tuple(code for code, holds in said.items() if holds)
