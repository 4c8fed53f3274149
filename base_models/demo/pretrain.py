"""Pretraining of the demo model on a CPU: examples, batches, the loop, and the fold that suits LoRA."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from base_models.demo.dialogues import Turn
from base_models.demo.tokenizer import PAD, PAD_ID, TURN_END, TURN_END_ID, TURN_START

CONTEXT = 2048
SHORT_CHUNK = 512
BATCH_TOKENS = 1024
LEARNING_RATE = 2.5e-3
WARMUP = 0.04
NOT_LEARNED = -100


@dataclass(frozen=True)
class Example:
    """Token ids and, of the same length, labels: the id where it is learned, else -100."""

    ids: list[int]
    labels: list[int]


def encode_dialogue(tokenizer, turns: list[Turn]) -> Example:
    """The dialogue as the chat template writes it; only what the turns say is learned, is."""
    ids: list[int] = []
    labels: list[int] = []

    def add(text: str, learn: bool) -> None:
        new = tokenizer.encode(text, add_special_tokens=False)
        ids.extend(new)
        labels.extend(new if learn else [NOT_LEARNED] * len(new))

    for turn in turns:
        add(f"{TURN_START}{turn.role}\n", False)
        for text, learn in turn.parts:
            add(text, learn)
        add(TURN_END, turn.learn_end)
        add("\n", False)
    return Example(ids[:CONTEXT], labels[:CONTEXT])


def encode_prose(tokenizer, texts: list[str], seed: int) -> list[Example]:
    """All texts in a random order in one stream, cut into pieces of 512 tokens and some of 2,048."""
    rng = random.Random(seed)
    order = texts[:]
    rng.shuffle(order)
    stream: list[int] = []
    for ids in tokenizer([text + PAD for text in order], add_special_tokens=False)["input_ids"]:
        stream += ids
    pieces = []
    at = 0
    while at < len(stream) - 1:
        length = CONTEXT if rng.random() < 0.08 else SHORT_CHUNK
        piece = stream[at : at + length]
        pieces.append(Example(piece, piece))
        at += length
    return pieces


def batches(examples: list[Example], seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of like-long examples, about `BATCH_TOKENS` tokens each, in a random order: (ids, labels)."""
    rng = random.Random(seed)
    order = sorted(range(len(examples)), key=lambda place: (len(examples[place].ids) // 8, rng.random()))
    groups: list[list[int]] = [[]]
    for place in order:
        if groups[-1] and (len(groups[-1]) + 1) * len(examples[place].ids) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(place)
    rng.shuffle(groups)
    for group in groups:
        longest = max(len(examples[place].ids) for place in group)
        ids = torch.full((len(group), longest), PAD_ID)
        labels = torch.full((len(group), longest), NOT_LEARNED)
        for row, place in enumerate(group):
            example = examples[place]
            ids[row, : len(example.ids)] = torch.tensor(example.ids)
            labels[row, : len(example.ids)] = torch.tensor(example.labels)
        yield ids, labels


def new_model(vocabulary: int, seed: int):
    """A fresh Llama of 2.5 million parameters with a context of 2,048 tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=3,
            num_key_value_heads=1,
            head_dim=64,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            initializer_range=0.04,
            bos_token_id=None,
            eos_token_id=TURN_END_ID,
            pad_token_id=PAD_ID,
        )
    )


def is_bf16_faster() -> bool:
    """Whether this CPU multiplies in bf16 faster than in fp32; one without the instructions is far slower."""
    taken = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.randn(1024, 192, dtype=dtype), torch.randn(512, 192, dtype=dtype)
        torch.nn.functional.linear(left, right)
        began = time.process_time()
        for _ in range(5):
            torch.nn.functional.linear(left, right)
        taken[dtype] = time.process_time() - began
    return taken[torch.bfloat16] < taken[torch.float32]


def train(model, examples: list[Example], *, seed: int, say: Callable[[str], None]) -> dict[str, float]:
    """One pass over `examples` with AdamW, warm-up and cosine; gives back the last loss of each sort, smoothed.

    Padding stands on the right and is never learned, so a causal model needs no attention mask for it.
    """
    steps = list(batches(examples, seed))
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.95),
        fused=True,
    )
    warmup = max(1, int(len(steps) * WARMUP))
    down = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(steps) - warmup, LEARNING_RATE * 0.02)
    up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.02, 1.0, warmup)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [up, down], [warmup])
    half = is_bf16_faster()
    began, tokens, recent = time.monotonic(), 0, {}
    model.train()
    for number, (ids, labels) in enumerate(steps, 1):
        targets = labels[:, 1:]
        learned = targets != NOT_LEARNED
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            hidden = model.model(input_ids=ids).last_hidden_state[:, :-1][learned]
            logits = model.lm_head(hidden)
        loss = torch.nn.functional.cross_entropy(logits.float(), targets[learned])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += ids.numel()
        sort = "prose" if learned.all() else "dialogues"
        recent[sort] = 0.97 * recent.get(sort, loss.item()) + 0.03 * loss.item()
        if number % 50 == 0 or number == len(steps):
            speed = tokens / (time.monotonic() - began)
            losses = ", ".join(f"{sort} {value:.3f}" for sort, value in sorted(recent.items()))
            say(f"step {number} of {len(steps)}: loss {losses}, {speed:,.0f} tokens/s")
    model.eval()
    return recent


@torch.no_grad()
def fold_for_lora(model, inputs: float, inner: float) -> None:
    """Make the activations that enter the linear layers larger and their weights smaller: the same function.

    A LoRA adds B·A·x; how far it moves a layer at a given learning rate grows with the size of x, which in a
    wide model is large and in one of width 192 is small. The norms' gains are multiplied by `inputs` and the
    weights that read them divided by it; likewise v → o and up → down by `inner`. So the usual LoRA learning
    rate of 2e-4 works here as it does in a model of ordinary width.
    """
    for layer in model.model.layers:
        attention, feed = layer.self_attn, layer.mlp
        layer.input_layernorm.weight.mul_(inputs)
        layer.post_attention_layernorm.weight.mul_(inputs)
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj, feed.gate_proj, feed.up_proj):
            linear.weight.div_(inputs)
        attention.v_proj.weight.mul_(inner)
        attention.o_proj.weight.div_(inner)
        feed.up_proj.weight.mul_(inner)
        feed.down_proj.weight.div_(inner)
