"""What a recipe works on, gathered from the database and the stored files."""

from collections.abc import Callable, Iterable, Iterator, Set
from itertools import islice
from typing import Any

import msgspec

from apex.common import files
from datasets_app import token_view
from datasets_app.deriving.filters import CleanSettings, FilterSettings
from datasets_app.deriving.material import BadRecipe, Judgement, Material, Other, Row
from datasets_app.deriving.merging import MergeSettings, RestoreSettings
from datasets_app.deriving.splits import SplitSettings
from datasets_app.models import DatasetVersion, Review
from datasets_app.selectors import profile
from rendering import Renderer, RenderError

from .deriving import CannotDerive, stored_rows


def material_of(
    version: DatasetVersion,
    settings: msgspec.Struct,
    *,
    limit: int | None = None,
    seen: Callable[[], None] = lambda: None,
) -> Material:
    """The rows of a version and what `settings` needs to know of them; with `limit` the first rows only.

    `seen` is called for each row that is read. Raises BadRecipe, CannotDerive.
    """

    def rows_from(source: DatasetVersion) -> Callable[[], Iterable[Row]]:
        return lambda: watched(islice(stored_rows(source), limit), seen)

    stored_rows(version)
    return Material(
        rows=rows_from(version),
        kind=version.kind,
        key=str(version.dataset_id),
        codes_of=codes_for(version, settings),
        judgements=judgements_for(version, settings),
        tokens_of=tokens_for(version, settings),
        others=tuple(
            Other(str(each), str(each.dataset_id), rows_from(each)) for each in others_for(version, settings)
        ),
    )


def watched(rows: Iterable[Row], seen: Callable[[], None]) -> Iterator[Row]:
    for row in rows:
        seen()
        yield row


def codes_for(version: DatasetVersion, settings: msgspec.Struct) -> Callable[[int, Row], Set[str]]:
    """What was found in each row, by the line that the report names."""
    if not isinstance(settings, (FilterSettings, CleanSettings)):
        return lambda number, row: frozenset()
    by_line: dict[int, set[str]] = {}
    for fault in faults_of(version):
        if fault.get("line") is not None:
            by_line.setdefault(fault["line"], set()).add(fault.get("code", "bad_row"))
    nothing: frozenset[str] = frozenset()
    if is_derived(version):
        return lambda number, row: by_line.get(number + 1, nothing)
    return lambda number, row: by_line.get(row.get("line"), nothing)


def faults_of(version: DatasetVersion) -> list[dict[str, Any]]:
    """What was found in rows that were kept: from the whole report where it is stored, else the first 200."""
    if not version.report_sha256:
        return [fault for fault in version.faults if fault.get("severity") == "warning"]
    with files.open_stored(version.report_sha256) as stored:
        return msgspec.json.decode(stored.read())["warnings"]


def is_derived(version: DatasetVersion) -> bool:
    """Whether it was made from rows: the faults of such a version name row numbers, not lines."""
    return not version.source_sha256 and version.reference_id is None


def judgements_for(version: DatasetVersion, settings: msgspec.Struct) -> dict[str, Judgement]:
    """The owner's own reviews, by row key."""
    is_asked = isinstance(settings, FilterSettings) and settings.needs_reviews
    if not is_asked and not (isinstance(settings, SplitSettings) and settings.by == "tag"):
        return {}
    reviews = Review.objects.filter(dataset=version.dataset_id, reviewer=version.owner_id, share=None)
    fields = reviews.values_list("row_key", "verdict", "rating", "tags")
    return {key: Judgement(verdict, rating, tuple(tags)) for key, verdict, rating, tags in fields}


def tokens_for(version: DatasetVersion, settings: msgspec.Struct) -> Callable[[Row], int] | None:
    """Counts the tokens of a row as the base model reads it whole; of a preference, the longer side."""
    if not isinstance(settings, FilterSettings) or not settings.counts_tokens:
        return None
    try:
        base_model = profile.chosen_base_model(settings.base_model)
    except profile.BadChoice as problem:
        raise BadRecipe(str(problem), problem.field) from problem
    if base_model is None:
        return None
    try:
        renderer = Renderer.from_directory(base_model.path)
    except (RenderError, OSError) as problem:
        raise CannotDerive(f"{base_model.display_name}: {problem}") from problem

    def count(row: Row) -> int:
        try:
            return token_view.longest(token_view.render_row(renderer, row, version.kind))
        except RenderError as problem:
            raise CannotDerive(
                f"{base_model.display_name} cannot read the row of line {row.get('line')}: {problem} "
                "Choose another base model, or leave this row out first."
            ) from problem

    return count


def others_for(version: DatasetVersion, settings: msgspec.Struct) -> list[DatasetVersion]:
    """The other versions that the settings name, in that order. Raises BadRecipe for one that is not the owner's."""
    if isinstance(settings, RestoreSettings):
        wanted, field = [settings.version], "version"
    elif isinstance(settings, MergeSettings):
        wanted, field = settings.with_versions, "with_versions"
    else:
        return []
    mine = DatasetVersion.objects.for_user(version.owner).filter(erased_at=None).select_related("dataset")
    if field == "version":
        mine = mine.filter(dataset=version.dataset_id)
    found = mine.in_bulk(wanted)
    for key in wanted:
        if key not in found or key == version.pk:
            raise BadRecipe(f"There is no other version {key} to take rows from.", field)
        if found[key].kind != version.kind:
            raise BadRecipe(
                f"{found[key]} holds {found[key].get_kind_display()}, and {version} "
                f"{version.get_kind_display()}: they cannot become one.",
                field,
            )
        stored_rows(found[key])
    return [found[key] for key in dict.fromkeys(wanted)]
