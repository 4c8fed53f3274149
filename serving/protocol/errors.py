"""Refusals that concern models."""

from __future__ import annotations

from apex.common.refusals import ApiError

__all__ = ["ApiError", "model_not_found"]


# Whatever somebody sends as a name comes back to nobody in full.
LONGEST_NAME_SHOWN = 200


def model_not_found(name: str) -> ApiError:
    """The one answer for a model that is missing and for one that belongs to someone else."""
    return ApiError(
        f"The model `{name[:LONGEST_NAME_SHOWN]}` does not exist or you do not have access to it.",
        status=404, param="model", code="model_not_found",
    )  # fmt: skip
