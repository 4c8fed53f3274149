"""What a training needs: steps, time and memory on this machine, before anything is started. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rendering.model_facts import BaseModelFacts
from training.engine.config import TrainingConfig
from training.engine.hardware import Gpu, Hardware, training_threads
from training.engine.plan import CHECKS_PER_RUN, FittedPlan, fit_to_data, tokens_per_pass

# Python with torch, transformers and TRL, before any model; measured on Linux.
PROGRAM_BYTES = 750 * 1024**2
CUDA_BYTES = 600 * 1024**2
# From the start of the process to the first step; measured on 2 cores.
START_SECONDS = 12.0
# Floating-point operations per second that training reaches; the CPU figure is measured, per core.
CPU_FLOPS_PER_CORE = 4.0e10
GPU_FLOPS = 1.0e14
# What is not matrix multiplication: nothing for a large model, a third of the time for a very small one.
OTHER_SECONDS_PER_TOKEN = 1.5e-4


@dataclass(frozen=True)
class Memory:
    """Bytes by part. `activations` is the largest pass, `adapter` includes its gradients and optimiser."""

    program: int
    weights: int
    adapter: int
    activations: int

    @property
    def total(self) -> int:
        return self.program + self.weights + self.adapter + self.activations


@dataclass(frozen=True)
class Estimate:
    """What the review page shows. `tokens` counts every token as often as it is processed.

    `advice` names, in codes, what is worth saying: `does_not_fit`, `tight`, `few_rows`, `slow`, `too_long_rows`,
    `no_held_out_rows`.
    """

    rows: int
    held_out_rows: int
    tokens: int
    trainable_parameters: int
    plan: FittedPlan
    seconds: float
    tokens_per_second: float
    memory: Memory
    memory_free_bytes: int
    device: str
    fits: bool
    advice: tuple[str, ...] = field(default_factory=tuple)

    @property
    def steps(self) -> int:
        return self.plan.total_steps

    @property
    def epochs(self) -> int:
        return self.plan.epochs


def estimate(
    token_lengths: Sequence[int],
    facts: BaseModelFacts,
    config: TrainingConfig,
    hardware: Hardware,
    *,
    held_out_lengths: Sequence[int] = (),
    tokens_per_second: float | None = None,
) -> Estimate:
    """Steps, time and memory for rows of these lengths in tokens.

    `tokens_per_second` is what an earlier training of this base model reached here, if there was one. Memory
    is within a factor of two, time within a factor of three without such a figure. Raises ValueError without
    rows.
    """
    limit = min(config.max_length, facts.context or config.max_length)
    lengths = [min(length, limit) for length in token_lengths]
    held_out = [min(length, limit) for length in held_out_lengths]
    plan = fit_to_data(config, len(lengths))
    gpu = hardware.gpus[0] if hardware.gpus else None
    tokens = round(sum(lengths) * plan.rows_seen / len(lengths))
    speed = tokens_per_second or _speed(facts, hardware, gpu)
    checks = min(CHECKS_PER_RUN, plan.total_steps // plan.eval_steps) + 1 if held_out else 0
    # A check goes forward only: a third of the work of learning.
    seconds = START_SECONDS + (tokens + checks * sum(held_out) / 3) / speed
    memory = _memory(facts, config, plan, max([*lengths, *held_out]), gpu)
    free = gpu.memory_free_bytes if gpu else hardware.memory_free_bytes
    fits = memory.total <= free
    advice = [
        code
        for code, holds in (
            ("does_not_fit", not fits),
            ("tight", fits and memory.total > 0.8 * free),
            ("few_rows", len(lengths) < 20),
            ("slow", seconds > 3600),
            ("too_long_rows", any(length > limit for length in (*token_lengths, *held_out_lengths))),
            ("no_held_out_rows", not held_out),
        )
        if holds
    ]
    return Estimate(
        rows=len(lengths),
        held_out_rows=len(held_out),
        tokens=tokens,
        trainable_parameters=adapter_parameters(facts, config),
        plan=plan,
        seconds=seconds,
        tokens_per_second=speed,
        memory=memory,
        memory_free_bytes=free,
        device=gpu.name if gpu else f"cpu ({hardware.cpus} cores)",
        fits=fits,
        advice=tuple(advice),
    )


def adapter_parameters(facts: BaseModelFacts, config: TrainingConfig) -> int:
    """Parameters of the adapter; attention projections are taken as square, which is the most they can be."""
    wide = sum(
        name.rsplit(".", 1)[-1] in ("gate_proj", "up_proj", "down_proj") for name in config.target_modules
    )
    square = len(config.target_modules) - wide
    per_layer = wide * (facts.hidden_size + facts.intermediate_size) + square * 2 * facts.hidden_size
    return config.lora_r * per_layer * facts.layers


def activation_bytes(facts: BaseModelFacts, tokens: int, is_bf16: bool) -> int:
    """What a pass of `tokens` keeps for going backward, in bytes, without recomputing any of it."""
    # Per layer: norms, projections, attention and adapters' inputs are about 14 hidden sizes wide, the gated
    # part 5 intermediate sizes; the scores over the vocabulary stand three times in fp32.
    per_token = facts.layers * (14 * facts.hidden_size + 5 * facts.intermediate_size) * (2 if is_bf16 else 4)
    return tokens * (per_token + 3 * 4 * facts.vocabulary_size)


def _memory(
    facts: BaseModelFacts, config: TrainingConfig, plan: FittedPlan, longest: int, gpu: Gpu | None
) -> Memory:
    is_bf16 = gpu is not None or config.precision == "bf16"
    return Memory(
        program=CUDA_BYTES if gpu else PROGRAM_BYTES,
        weights=facts.parameters * (2 if gpu else 4),
        # fp32 weights, gradients and the two moments of AdamW.
        adapter=adapter_parameters(facts, config) * 16,
        activations=activation_bytes(facts, tokens_per_pass(plan, longest, is_gpu=gpu is not None), is_bf16),
    )


def _speed(facts: BaseModelFacts, hardware: Hardware, gpu: Gpu | None) -> float:
    """Tokens per second: forward and backward through frozen weights are 4 operations per parameter."""
    threads = training_threads(facts.parameters, hardware.cpus)
    flops = GPU_FLOPS if gpu else CPU_FLOPS_PER_CORE * threads
    overhead = 0.0 if gpu else OTHER_SECONDS_PER_TOKEN / threads
    return 1 / (4 * max(1, facts.parameters) / flops + overhead)
