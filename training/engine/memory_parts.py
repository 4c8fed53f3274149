"""What a training holds in memory, part by part, each with its arithmetic. No torch.

The formulas are those that the field reckons with: 2 bytes a frozen weight in bf16; with nf4 and double
quantisation (4 + 0.127) / 8 = 0.516 bytes (QLoRA, arXiv 2305.14314, section 3); 16 bytes a trained one (fp32 weight,
gradient, and the two moments of AdamW); with recomputation 2 × layers × width bytes a token of activations.
"""

import re
from dataclasses import dataclass

from rendering.model_facts import BaseModelFacts
from training.engine.config import TrainingConfig

# Python with torch, transformers and TRL, before any model; measured on Linux.
PROGRAM_BYTES = 750 * 1024**2
CUDA_BYTES = 600 * 1024**2
NF4_BYTES = (4 + 0.127) / 8
ADAPTER_BYTES, LEARNING_BYTES = 4, 12  # fp32 weights; their gradients and two moments
SCORE_BYTES = 12  # of a word for a token: the score, its share, its gradient, in fp32
SCORED_TOKENS = 2048  # on a GPU the head scores so many at a time
# "auto" recomputes where activations would take more than this share of what is free beside the weights.
RECOMPUTE_SHARE = 0.5
GATED = ("gate_proj", "up_proj", "down_proj")
IN_ONE_LAYER = re.compile(r"\.\d+\.")
# Methods that compare with what the model said before it learned.
WITH_REFERENCE = ("dpo", "kto")


@dataclass(frozen=True)
class Part:
    """One kind of what is held: `name` for programs, `label` and `arithmetic` for people, `size` in bytes."""

    name: str
    label: str
    arithmetic: str
    size: int


@dataclass(frozen=True)
class Memory:
    """All that one device holds at the worst moment. `recomputes` says whether activations are made anew."""

    parts: tuple[Part, ...]
    recomputes: bool

    @property
    def total(self) -> int:
        return sum(part.size for part in self.parts)

    def of(self, *names: str) -> int:
        """Bytes of the parts with these names."""
        return sum(part.size for part in self.parts if part.name in names)


@dataclass(frozen=True)
class Load:
    """What is put on a device: tokens in its largest pass, its kind, how many share, and how it computes."""

    tokens: int
    free_bytes: int
    is_gpu: bool
    is_bf16: bool
    devices: int = 1
    method: str = "sft"
    has_start_adapter: bool = False


def memory_of(facts: BaseModelFacts, config: TrainingConfig, load: Load) -> Memory:
    """Bytes by part on each device. Raises nothing: whether they fit is for the caller to say."""
    is_split = load.devices > 1 and config.spread == "fsdp"
    share = load.devices if is_split else 1
    held = [*_weights(facts, config, load, share), *_adapter(facts, config, load, share)]
    if is_split:
        one_layer = 2 * max(1, facts.parameters // max(1, facts.layers)) * (2 if load.is_bf16 else 4)
        held.append(
            Part("gathered", "Two layers put together", f"2 layers of {gb(one_layer // 2)}", one_layer)
        )
    program = CUDA_BYTES if load.is_gpu else PROGRAM_BYTES
    what = "CUDA and its libraries" if load.is_gpu else "Python, torch and TRL"
    beside = program + sum(part.size for part in held)
    recomputes = recomputes_activations(facts, config, load, beside)
    return Memory(
        (
            Part("program", "The program", what, program),
            *held,
            _activations(facts, config, load, recomputes),
            _scores(facts, load),
        ),
        recomputes,
    )


def recomputes_activations(
    facts: BaseModelFacts, config: TrainingConfig, load: Load, beside_bytes: int
) -> bool:
    """Whether the engine will; `beside_bytes` is what the device holds without activations."""
    if config.activation_checkpointing != "auto":
        return config.activation_checkpointing == "on"
    left = max(0, load.free_bytes - beside_bytes)
    return activation_bytes(facts, load.tokens, load.is_bf16) > RECOMPUTE_SHARE * left


def adapter_parameters(facts: BaseModelFacts, config: TrainingConfig) -> int:
    """Trained parameters: r × (inputs + outputs) of every module that gets an adapter.

    A module of an unknown name is taken for a square of the hidden size.
    """
    hidden, queries, keys, inner = (
        facts.hidden_size,
        facts.query_size,
        facts.key_value_size,
        facts.intermediate_size,
    )
    sizes = {"q_proj": hidden + queries, "k_proj": hidden + keys, "v_proj": hidden + keys,
             "o_proj": queries + hidden, **dict.fromkeys(GATED, hidden + inner)}  # fmt: skip
    total = 0
    for name in config.target_modules:
        times = 1 if IN_ONE_LAYER.search(name) else facts.layers
        total += times * sizes.get(name.rsplit(".", 1)[-1], 2 * hidden)
    return config.lora_r * total


def activation_bytes(facts: BaseModelFacts, tokens: int, is_bf16: bool) -> int:
    """What a pass of `tokens` keeps for going backward when nothing is recomputed, with its scores, in bytes."""
    return tokens * (facts.layers * _layer_bytes(facts, is_bf16) + SCORE_BYTES * facts.vocabulary_size)


def _layer_bytes(facts: BaseModelFacts, is_bf16: bool) -> int:
    """Of one layer for one token: norms, projections, attention and adapters' inputs are about 14 hidden sizes wide,
    the gated part 5 intermediate sizes."""
    return (14 * facts.hidden_size + 5 * facts.intermediate_size) * (2 if is_bf16 else 4)


def _weights(facts: BaseModelFacts, config: TrainingConfig, load: Load, share: int) -> list[Part]:
    width = 2 if load.is_bf16 and load.is_gpu else 4
    among = f" ÷ {share} GPUs" if share > 1 else ""
    if config.quantization == "none":
        size = facts.parameters * width // share
        words = f"{count(facts.parameters)} parameters × {width} bytes{among} = {gb(size)}"
        return [Part("weights", "The base model", words, size)]
    squeezed = max(0, facts.parameters - facts.embedding_parameters)
    size, rest = round(squeezed * NF4_BYTES / share), facts.embedding_parameters * width // share
    return [
        Part(
            "weights",
            "The base model, in 4 bits",
            f"{count(squeezed)} parameters × {NF4_BYTES:.3f} bytes{among} = {gb(size)}",
            size,
        ),
        Part(
            "embeddings",
            "Its words, which stay whole",
            f"{count(facts.embedding_parameters)} parameters × {width} bytes{among} = {gb(rest)}",
            rest,
        ),
    ]


def _adapter(facts: BaseModelFacts, config: TrainingConfig, load: Load, share: int) -> list[Part]:
    trained = adapter_parameters(facts, config)
    among = f" ÷ {share} GPUs" if share > 1 else ""
    size, learning = trained * ADAPTER_BYTES // share, trained * LEARNING_BYTES // share
    found = [
        Part("adapter", "The adapter", f"{count(trained)} parameters × 4 bytes{among} = {gb(size)}", size),
        Part(
            "optimizer",
            "What learning keeps of it",
            f"{count(trained)} parameters × 12 bytes (gradient, two averages of AdamW){among} = {gb(learning)}",
            learning,
        ),
    ]
    if load.method in WITH_REFERENCE:
        kept = size if load.has_start_adapter else 0
        kept += 8 * load.tokens
        words = f"{load.tokens:,} tokens × 8 bytes; the base model is its own reference"
        if load.has_start_adapter:
            words = f"a second copy of the adapter, {gb(size)}, and {load.tokens:,} tokens × 8 bytes"
        found.append(Part("reference", "What it is compared with", words, kept))
    return found


def _activations(facts: BaseModelFacts, config: TrainingConfig, load: Load, recomputes: bool) -> Part:
    layer = _layer_bytes(facts, load.is_bf16)
    if recomputes:
        kept = facts.layers * facts.hidden_size * (2 if load.is_bf16 else 4)
        words = (
            f"{load.tokens:,} tokens × ({kb(kept)} kept of {facts.layers} layers + {kb(layer)} of the one layer "
            f"that is computed again)"
        )
        size = load.tokens * (kept + layer)
    else:
        words = f"{load.tokens:,} tokens × {facts.layers} layers × {kb(layer)}"
        size = load.tokens * facts.layers * layer
    return Part("activations", "The examples on their way through", f"{words} = {gb(size)}", size)


def _scores(facts: BaseModelFacts, load: Load) -> Part:
    tokens = min(load.tokens, SCORED_TOKENS) if load.is_gpu else load.tokens
    size = tokens * facts.vocabulary_size * SCORE_BYTES
    words = f"{tokens:,} tokens × {facts.vocabulary_size:,} words × {SCORE_BYTES} bytes = {gb(size)}"
    return Part("scores", "How likely each word is", words, size)


def gb(size: float) -> str:
    """Bytes as people write them: "35.3 GB", "824 MB", "3 kB"."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return (
                f"{size / unit:.1f} {name}"
                if size < 100 * unit or name == "GB"
                else f"{size / unit:.0f} {name}"
            )
    return kb(size)


def kb(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def count(number: float) -> str:
    """ "68.5 bn", "207 m", "12,345"."""
    if number >= 1e9:
        return f"{number / 1e9:.1f} bn"
    return f"{number / 1e6:.3g} m" if number >= 1e6 else f"{number:,.0f}"
