"""Out of memory in the middle of a step: the step is done again, exactly, in smaller passes."""

import gc
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import torch

from training.engine.errors import OUT_OF_MEMORY, EngineError, is_memory_error
from training.engine.progress import Reporter
from training.engine.randomness import Randomness
from training.engine.spreading import ALONE, Ranks

Result = TypeVar("Result")
ADVICE = "Shorten the longest examples, choose a smaller base model or 4-bit loading, or use more memory."


class Divisible(Protocol):
    """A learner whose step can be cut into passes of `tokens_per_pass`, which is at least `longest_row`.

    `tokens_seen` is wound back when a step is done again.
    """

    tokens_per_pass: int
    longest_row: int
    tokens_seen: int

    def clear_gradients(self) -> None: ...


def with_less_memory(
    learner: Divisible, attempt: Callable[[], Result], *, step: int, reporter: Reporter, ranks: Ranks = ALONE
) -> Result:
    """What `attempt()` returns, which computes the gradients of `step`.

    Whenever memory runs out, random generators, gradients and counters go back to where they were, the passes are
    halved and it is tried again. Of several processes all do so if one has to; `attempt` must then exchange nothing
    with the others. Raises EngineError (out_of_memory) if the longest row alone is too much, or, since they talk
    within every pass, if the model is split over them.
    """
    randomness, tokens = Randomness.now(), learner.tokens_seen
    while True:
        words, result = "", None
        try:
            result = attempt()
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            # Only words are kept: the error holds the frames, and they hold what filled the memory.
            words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if ranks.is_sharded and words:
            raise _too_little(f"in a pass of {learner.tokens_per_pass} tokens", step, words)
        if not ranks.any(bool(words)):
            return cast(Result, result)
        words = words or "it ran out in another process"
        learner.clear_gradients()
        learner.tokens_seen = tokens
        _give_back()
        _halve(learner, step, words, reporter)
        randomness.restore()


def _halve(learner: Divisible, step: int, words: str, reporter: Reporter) -> None:
    before = learner.tokens_per_pass
    if before <= learner.longest_row:
        raise _too_little(f"for the longest example alone ({learner.longest_row} tokens)", step, words)
    learner.tokens_per_pass = max(learner.longest_row, before // 2)
    reporter.report(
        "batch_halved",
        step=step,
        tokens_per_pass=learner.tokens_per_pass,
        message=f"Memory ran out in step {step}. It is done again with {learner.tokens_per_pass} tokens at once "
        f"instead of {before}; the step still learns from the same examples, it only takes a little longer.",
    )


def _too_little(what: str, step: int, words: str) -> EngineError:
    return EngineError(
        OUT_OF_MEMORY, f"The memory is not enough {what} at step {step}: {words[:500]}", ADVICE
    )


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
