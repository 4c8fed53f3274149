"""Whether a base model's chat template takes the examples: asked before a training, so that none fails by it."""

from django.utils.translation import gettext as _

from base_models.models import BaseModel
from datasets_app.measuring import RowsAway, rows_at
from datasets_app.models import DatasetVersion
from datasets_app.token_counts import measure_row
from rendering import Renderer, RenderError

FIRST_ROWS = 20


class TemplateRefused(Exception):
    """The base model's chat template does not take these examples; the text says why and what to do."""


def check_template(*, version: DatasetVersion, base_model: BaseModel) -> None:
    """Renders the first FIRST_ROWS rows. Raises TemplateRefused: what would stop a training stops it here."""
    name = base_model.display_name
    try:
        renderer = Renderer.from_directory(base_model.path)
        rows = rows_at(version, list(range(min(FIRST_ROWS, version.row_count))))
        measured = [
            (number, row.get("line"), measure_row(renderer, row, version.kind)) for number, row in rows
        ]
    except RowsAway as problem:
        raise TemplateRefused(str(problem)) from problem
    except (RenderError, OSError) as problem:
        raise TemplateRefused(
            _("%(name)s cannot be used: %(why)s") % {"name": name, "why": problem}
        ) from problem
    for number, line, found in measured:
        if found.refusal:
            raise refused_row(base_model, line or number + 1, found.refusal)


def refused_row(base_model: BaseModel, line: int, why: str) -> TemplateRefused:
    return TemplateRefused(
        _(
            "%(name)s cannot read the example in line %(line)s: %(why)s Choose another base model, or mend the example."
        )
        % {"name": base_model.display_name, "line": line, "why": why}
    )
