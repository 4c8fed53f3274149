"""A copy in which personal data and secrets are replaced by their names."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from datasets_app.checking.privacy import KINDS, mask_row

from .material import BadRecipe, Material, Row


class MaskSettings(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`kinds` of findings to replace (`datasets_app.checking.privacy.KINDS`); without any, all of them."""

    kinds: list[str] = []


class Masking:
    def __init__(self, material: Material, settings: MaskSettings) -> None:
        unknown = [kind for kind in settings.kinds if kind not in KINDS]
        if unknown:
            raise BadRecipe(
                f"There is nothing called {unknown[0]!r} to mask; there are: {', '.join(KINDS)}.", "kinds"
            )
        self.material, self.kinds = material, frozenset(settings.kinds or KINDS)
        self.told: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Row]:
        self.told = {"masked": 0}
        for row in self.material.rows():
            masked = mask_row(row, self.kinds)
            self.told["masked"] += masked != row
            yield masked
