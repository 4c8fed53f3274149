"""How long a training takes: operations a token, what a device can do of them, and what is not multiplication.

Operations are those that are carried out (arXiv 2205.05198 calls this hardware FLOPs): 2 a parameter and token forward,
2 backward through frozen weights, 6 in all for trained ones, 2 more where activations are computed again.
"""

import re
from dataclasses import dataclass

from rendering.model_facts import BaseModelFacts
from training.engine.config import TrainingConfig
from training.engine.hardware import training_threads
from training.engine.memory_parts import adapter_parameters, count

# From the start of the process to the first step; measured on 2 cores.
START_SECONDS = 12.0
# Floating-point operations per second that training in fp32 reaches; measured, per core.
CPU_FLOPS_PER_CORE = 4.0e10
# What is not matrix multiplication: nothing for a large model, a third of the time for a very small one.
OTHER_SECONDS_PER_TOKEN = 1.5e-4
# The share of a GPU's dense bf16 speed that LoRA in eager PyTorch reaches. The best published is 41 % (Llama 3 8B on
# an H100, NeMo AutoModel, fused kernels, nothing recomputed); this is what a plain loop may count on.
UTILISATION = 0.35
# What unpacking 4-bit weights for every pass costs.
NF4_SLOWDOWN = 1.15
# Starting the kernels of one layer, forward and backward: about 180 at 6 µs each.
LAUNCH_SECONDS_PER_LAYER = 1.1e-3
# Of a word that is written in an answer, per layer.
WRITE_SECONDS_PER_LAYER = 5.0e-4
# Further passes forward over the same tokens: DPO asks the reference too; KTO asks both about shuffled answers as well.
FORWARD_PASSES = {"dpo": 1, "kto": 3}
# How much of n GPUs comes through: gradients are averaged (ddp), weights are sent about (fsdp).
SPREAD_EFFICIENCY = {"ddp": 0.9, "fsdp": 0.75}
UNKNOWN_TERAFLOPS = 100.0
# Dense bf16 (fp16 where there is no bf16) matrix speed by the makers' data sheets, without sparsity.
TERAFLOPS = {"B200": 2250.0, "H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L40": 181.0, "A40": 149.7,
             "A10G": 70.0, "A10": 125.0, "L4": 121.0, "T4": 65.0, "V100": 125.0, "RTX 5090": 209.5, "RTX 4090": 165.2,
             "RTX 3090": 71.0, "RTX 5060 TI": 47.0, "RTX A6000": 154.8, "RTX 6000 ADA": 364.2}  # fmt: skip
WITHOUT_BF16 = ("T4", "V100")


@dataclass(frozen=True)
class Speed:
    """Tokens a second of all devices together, and how that comes about. `formula` is without what was measured."""

    tokens_per_second: float
    formula: float
    arithmetic: str


def gpu_family(name: str) -> str:
    """ "NVIDIA H100 80GB HBM3" → "H100"; nothing for a GPU that is not in `TERAFLOPS`."""
    words = re.sub(r"[-_]", " ", name.upper())
    found = [family for family in TERAFLOPS if re.search(rf"\b{re.escape(family)}\b", words)]
    return max(found, key=len, default="")


def hardware_key(name: str) -> str:
    """What past trainings on the same hardware have in common: "H100", "cpu 2" (its cores), else the name itself."""
    if name.lower().startswith("cpu"):
        cores = re.search(r"(\d+) cores", name)
        return f"cpu {cores[1]}" if cores else "cpu"
    return gpu_family(name) or name.strip().upper()


def has_bf16(gpu_name: str) -> bool:
    return gpu_family(gpu_name) not in WITHOUT_BF16


def operations_per_token(
    facts: BaseModelFacts, config: TrainingConfig, length: float, recomputes: bool, method: str = "sft"
) -> float:
    """Floating-point operations for a token of a row of `length` tokens. Attention is causal: half of each pair."""
    linear = facts.parameters - (0 if facts.is_tied else facts.embedding_parameters // 2)
    attention = facts.layers * length * facts.query_size
    forward = 1 + FORWARD_PASSES.get(method, 0) + recomputes
    return 2 * (forward + 1) * linear + 2 * (forward + 2) * attention + 6 * adapter_parameters(facts, config)


def speed_of(
    facts: BaseModelFacts,
    config: TrainingConfig,
    *,
    operations: float,
    pass_tokens: float,
    teraflops: float | None,
    cpus: int = 1,
    devices: int = 1,
    factor: float | None = None,
) -> Speed:
    """`teraflops` of one GPU, None for a CPU with `cpus` cores; `pass_tokens` go through at once.

    `factor` is what past trainings reached, measured against this formula (1: exactly as it says).
    """
    if teraflops is None:
        threads = training_threads(facts.parameters, cpus)
        rate = CPU_FLOPS_PER_CORE * threads
        seconds = operations / rate + OTHER_SECONDS_PER_TOKEN / threads
        how = f"{threads} of {cpus} cores × {count(CPU_FLOPS_PER_CORE)} operations a second"
    else:
        rate = teraflops * 1e12 * UTILISATION
        slow = NF4_SLOWDOWN if config.quantization == "nf4" else 1.0
        seconds = slow * operations / rate + facts.layers * LAUNCH_SECONDS_PER_LAYER / max(1.0, pass_tokens)
        how = f"{teraflops:,.0f} TFLOP/s × {UTILISATION:.0%}"
        if slow > 1:
            how += f" ÷ {slow:.2f} for unpacking 4 bits"
    formula = 1 / seconds
    if devices > 1:
        formula *= devices * SPREAD_EFFICIENCY[config.spread]
        how += f" × {devices} GPUs × {SPREAD_EFFICIENCY[config.spread]:.0%}"
    told = f"{count(operations)} operations a token at {how}"
    if factor is not None:
        told += f", × {factor:.2f} as measured here"
    reached = formula * (factor or 1.0)
    return Speed(reached, formula, f"{told} = {reached:,.{0 if reached >= 10 else 1}f} tokens a second")


def writing_seconds(facts: BaseModelFacts, config: TrainingConfig, checks: int) -> float:
    """Seconds for the answers that are written at the checks."""
    return checks * config.sample_count * config.sample_tokens * facts.layers * WRITE_SECONDS_PER_LAYER
