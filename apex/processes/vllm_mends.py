"""Copied into the environment of `make vllm-cpu`, where vLLM runs it in each of its processes (a "general plugin").

On a processor vLLM 0.32 computes the rows of the base model, marked −1, with whatever adapter lies in the last slot:
-1 is also Python's way to say "the last". So a base model's answers are wrong, without a word, whenever they are
computed together with an adapter's and no slot is free; and a slot is not free any more when its adapter was unloaded.
Here what such rows would be given is nothing.

And it ends with an error when it is asked how likely a prompt is while other questions are in the same batch, which
the comparison with the training does. Tried against the server with and without the first (tests/serving).
"""

from typing import Any


def mend() -> None:
    """Wraps the two functions that add an adapter's part to a row. Doing it twice is harmless."""
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    for name in ("bgmv_expand", "bgmv_expand_slice"):
        as_it_was = getattr(lora_ops, name)
        if getattr(as_it_was, "is_mended", False):
            continue
        mended = _without_base_rows(as_it_was)
        # Each of the modules has taken the name over.
        for module in (lora_ops, torch_ops, punica_cpu):
            setattr(module, name, mended)

    wrapper = punica_cpu.PunicaWrapperCPU
    if not getattr(wrapper.add_lora_logits, "is_mended", False):
        wrapper.add_lora_logits = _with_known_rows(wrapper.add_lora_logits)


def _with_known_rows(as_it_was: Any) -> Any:
    """`prompt_logprobs` asks for all rows of one prompt, while the indices are one for each question in the batch.

    With several questions the sizes differ, and the engine dies of it. An adapter that leaves the output layer alone
    has nothing to add there; one that does not would be found out by the comparison.
    """

    def mended(self, y, x, *more, **named):
        rows = x.numel() // x.shape[-1]
        if self.sampler_indices.shape[0] not in (1, rows):
            return None
        return as_it_was(self, y, x, *more, **named)

    mended.is_mended = True  # type: ignore[attr-defined]
    return mended


def _without_base_rows(as_it_was: Any) -> Any:
    def mended(inputs, lora_b_weights, output_tensor, lora_indices_tensor, *more, **named):
        has_adapter = (lora_indices_tensor >= 0).unsqueeze(-1)
        return as_it_was(
            inputs * has_adapter, lora_b_weights, output_tensor, lora_indices_tensor, *more, **named
        )

    mended.is_mended = True  # type: ignore[attr-defined]
    return mended
