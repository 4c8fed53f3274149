"""The model as it was when the training began, without a second copy of it in memory."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

# `with reference():` the model answers as it did at the beginning, without dropout.
Reference = Callable[[], AbstractContextManager[None]]


def base_reference(model) -> Reference:
    """The base model: the adapter, which began as nothing, is left out."""

    @contextmanager
    def as_it_began() -> Iterator[None]:
        with without_dropout(model), model.disable_adapter():
            yield

    return as_it_began


def adapter_reference(model) -> Reference:
    """The model with its adapter as it is now, of whose weights a copy is kept (some megabytes).

    To be made before a checkpoint is put back. The weights change places for a moment instead of being a second
    adapter, so that nothing of the reference is in any file.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    began = [parameter.detach().clone() for parameter in trained]

    @contextmanager
    def as_it_began() -> Iterator[None]:
        now = [parameter.data for parameter in trained]
        for parameter, data in zip(trained, began, strict=True):
            parameter.data = data
        try:
            with without_dropout(model):
                yield
        finally:
            for parameter, data in zip(trained, now, strict=True):
                parameter.data = data

    return as_it_began


@contextmanager
def without_dropout(model: torch.nn.Module) -> Iterator[None]:
    """Nothing is drawn at random inside; afterwards the model is in the mode in which it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
