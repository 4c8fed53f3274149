"""One training as it could be asked for, measured and estimated wherever it could run."""

import copy
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from base_models.models import BaseModel
from datasets_app.measuring import RowsAway
from datasets_app.models import DatasetVersion
from datasets_app.template_check import TemplateRefused, check_template
from rendering import BadModel
from rendering.model_facts import read_model_facts
from training import calibration
from training.engine.config import TrainingConfig
from training.engine.estimate import Estimate, RowLengths, estimate_rows
from training.engine.methods import METHODS
from training.engine.suggestions import Change, suggest
from training.models import Adapter
from training.places import Place, own_places, rented_places
from training.row_lengths import Lengths, measure_lengths, spread
from training.services import StartRefused, refuse_early, refuse_split, settled_config

__all__ = ["Asked", "Lengths", "measure_lengths", "spread"]


class Asked:
    """A training of `version` on `base_model`; `config` is what differs, by hand or by preset.

    Raises `StartRefused` if the settings or the examples cannot be used with this base model.
    """

    def __init__(
        self,
        version: DatasetVersion,
        base_model: BaseModel,
        config: dict | None = None,
        *,
        method: str = "sft",
        start_adapter: Adapter | None = None,
        devices: int = 1,
    ):
        self.version, self.base_model, self.method = version, base_model, method
        self.start_adapter, self.devices = start_adapter, devices
        refuse_early(version, base_model, method)
        if not METHODS[method].is_offered:
            raise StartRefused(
                _("What %(method)s takes cannot be said.") % {"method": method}, field="method"
            )
        self._counted: dict[int, tuple[Lengths, RowLengths]] = {}
        self._places: tuple[list[Place], list[Place]] | None = None
        self._settle(config)
        try:
            check_template(version=version, base_model=base_model)
            self.facts = read_model_facts(base_model.path)
        except (TemplateRefused, BadModel) as problem:
            raise StartRefused(str(problem), field="base_model") from problem
        self.lengths, self.rows = self.measured(self.max_length)

    def _settle(self, config: dict | None) -> None:
        self.given = config or {}
        settled = settled_config(self.base_model, config, self.method, self.start_adapter)
        refuse_split(settled, self.method, self.devices)
        self.config = TrainingConfig.from_dict(settled, self.method)

    def again(self, config: dict | None) -> "Asked":
        """The same with other settings; what was read and measured is not read again."""
        other = copy.copy(self)
        other._settle(config)
        other.lengths, other.rows = other.measured(other.max_length)
        return other

    def split_over(self, devices: int) -> "Asked":
        """The same on several devices that share the base model."""
        other = self.again({**self.given, "spread": "fsdp"})
        other.devices, other._places = devices, None
        return other

    @property
    def max_length(self) -> int:
        return min(self.config.max_length, self.base_model.context)

    def measured(self, max_length: int) -> tuple[Lengths, RowLengths]:
        """The rows at this length. Raises `StartRefused` where they are away, refused, or none is short enough."""
        if max_length not in self._counted:
            try:
                lengths = measure_lengths(self.version, self.base_model, max_length)
                self._counted[max_length] = lengths, lengths.counted()
            except TemplateRefused as problem:
                raise StartRefused(str(problem), field="base_model") from problem
            except (RowsAway, ValueError) as problem:
                raise StartRefused(str(problem), field="dataset") from problem
        return self._counted[max_length]

    def places(self) -> tuple[list[Place], list[Place]]:
        """Ours, and those of the price table."""
        if self._places is None:
            past = calibration.finished_trainings()
            self._places = (
                own_places(self.base_model, self.devices, past),
                rented_places(self.base_model, self.devices, past),
            )
        return self._places

    def on(self, place: Place, changes: dict[str, Any] | None = None) -> Estimate:
        """The estimate for one place, with some settings changed."""
        config = replace(self.config, **(changes or {}))
        rows = self.measured(min(config.max_length, self.base_model.context))[1]
        return estimate_rows(
            rows,
            self.facts,
            config,
            place.target,
            method=self.method,
            has_start_adapter=self.start_adapter is not None,
        )

    def own(self) -> list[tuple[Place, Estimate]]:
        """Places of ours, the one where it would run first: the fastest that it fits, else where least is missing.

        Raises `StartRefused` where no machine has as many devices as it asks for.
        """
        found = [(place, self.on(place)) for place in self.places()[0]]
        if not found:
            raise StartRefused(
                _("No machine here has %(count)s devices of one kind; ask for fewer.")
                % {"count": self.devices},
                field="device_count",
            )
        return sorted(found, key=_preference)

    def rented(self) -> list[tuple[Place, Estimate]]:
        return [(place, self.on(place)) for place in self.places()[1]]

    def changes(self) -> list[Change]:
        """What would make it fit where it would run; nothing if it does."""
        place, now = self.own()[0]

        def tried(changes: dict[str, Any]) -> Estimate:
            try:
                return self.on(place, changes)
            except StartRefused:  # no row is left at this length
                return now

        if now.fits:
            return []
        return suggest(
            self.config,
            now,
            tried,
            has_fixed_rank=self.start_adapter is not None,
            can_split=METHODS[self.method].can_split,
        )


def _preference(found: tuple[Place, Estimate]) -> tuple[bool, float]:
    place, estimate = found
    free = max(1, place.target.free_bytes)
    return not estimate.fits, estimate.seconds if estimate.fits else estimate.memory.total / free
