"""How long the rows of a version are for a base model, in tokens, as they will be trained."""

from dataclasses import dataclass, replace

from base_models.models import BaseModel
from datasets_app.measuring import sample_of
from datasets_app.models import DatasetVersion
from datasets_app.template_check import refused_row
from training.engine.estimate import RowLengths


@dataclass(frozen=True)
class Lengths:
    """Tokens of each row as it is trained, and how many would be shortened or left out.

    Of many rows a sample is measured, and the rest taken to be like it. A shortened row is counted as `max_length`.
    Of a comparison the longer conversation counts as its length; `tokens` are those of both, for all rows together.
    """

    train: list[int]
    held_out: list[int]
    shortened: int
    too_long: int
    tokens: int = 0
    held_out_tokens: int = 0

    def counted(self) -> RowLengths:
        """Raises ValueError without rows to learn from."""
        longest = max([*self.train, *self.held_out], default=1)
        found = RowLengths.of(self.train, self.held_out, longest)
        return replace(
            found,
            tokens=self.tokens or found.tokens,
            held_out_tokens=self.held_out_tokens or found.held_out_tokens,
            has_longer=bool(self.shortened or self.too_long),
        )


def measure_lengths(version: DatasetVersion, base_model: BaseModel, max_length: int) -> Lengths:
    """Lengths by the base model's own template. Raises TemplateRefused when it does not take a row."""
    sample = sample_of(version, base_model)
    if refusal := sample.counts.first_refusal:
        raise refused_row(base_model, refusal["line"] or refusal["number"], refusal["why"])
    many = version.row_count / max(1, len(sample.measured))
    lengths: dict[bool, list[int]] = {False: [], True: []}
    too_long, tokens = {False: 0, True: 0}, {False: 0, True: 0}
    shortened = 0
    for is_held_out, measured in sample.measured:
        if measured.shortest > max_length:
            too_long[is_held_out] += 1
            continue
        shortened += measured.tokens > max_length
        lengths[is_held_out].append(min(measured.tokens, max_length))
        tokens[is_held_out] += sum(min(length, max_length) for length in measured.lengths)
    counts = {False: version.train_count, True: version.held_out_count}
    whole = {
        split: spread(found, counts[split] - round(too_long[split] * many))
        for split, found in lengths.items()
    }
    summed = {
        split: round(tokens[split] * len(whole[split]) / max(1, len(found)))
        for split, found in lengths.items()
    }
    return Lengths(
        whole[False],
        whole[True],
        round(shortened * many),
        round(sum(too_long.values()) * many),
        summed[False],
        summed[True],
    )


def spread(lengths: list[int], count: int) -> list[int]:
    """The sample repeated to `count` rows, when only a part was measured."""
    if not lengths or count <= len(lengths):
        return lengths
    times, rest = divmod(count, len(lengths))
    return lengths * times + lengths[:rest]
