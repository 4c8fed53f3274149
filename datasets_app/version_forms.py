"""What the pages that make one version of another take in; `settings()` is that part of a recipe."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from datasets_app.checking.privacy import KINDS
from datasets_app.faults import CODES
from datasets_app.models import DatasetVersion
from datasets_app.selectors.profile import usable_base_models
from datasets_app.services.materials import faults_of

MERGE_CHOICES = 200


class RecipeForm(forms.Form):
    """Reads settings from fields of the same names; what is left empty is left out."""

    def __init__(self, data=None, *, version: DatasetVersion, **more) -> None:
        super().__init__(data, **more)
        self.version = version

    def settings(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if value not in ("", None, [])}


class FilterForm(RecipeForm):
    mode = forms.ChoiceField(
        label=_("Rows that meet all of this"),
        choices=[("keep", _("stay, the others go")), ("drop", _("go, the others stay"))],
    )
    contains = forms.CharField(label=_("Hold this text"), required=False, max_length=500, strip=False)
    role = forms.ChoiceField(
        label=_("Where to look, or what there must be"),
        required=False,
        choices=[
            ("", _("anywhere")),
            ("user", _("what the person says")),
            ("assistant", _("answers")),
            ("system", _("instructions (system)")),
            ("tool", _("results of tools")),
        ],
    )
    split = forms.ChoiceField(
        label=_("Side"),
        required=False,
        choices=[("", _("either")), ("train", _("to learn from")), ("held_out", _("kept aside as a test"))],
    )
    min_characters = forms.IntegerField(label=_("At least so many characters"), required=False, min_value=0)
    max_characters = forms.IntegerField(label=_("At most so many characters"), required=False, min_value=0)
    min_turns = forms.IntegerField(label=_("At least so many messages"), required=False, min_value=0)
    max_turns = forms.IntegerField(label=_("At most so many messages"), required=False, min_value=0)
    base_model = forms.ChoiceField(label=_("Whose tokens are counted"), required=False)
    min_tokens = forms.IntegerField(label=_("At least so many tokens"), required=False, min_value=0)
    max_tokens = forms.IntegerField(label=_("At most so many tokens"), required=False, min_value=0)
    language = forms.ChoiceField(label=_("Language of the answers"), required=False)
    has_tools = forms.TypedChoiceField(
        label=_("Tools"),
        required=False,
        empty_value=None,
        coerce=lambda value: value == "yes",
        choices=[("", _("either")), ("yes", _("with tools")), ("no", _("without tools"))],
    )
    codes = forms.MultipleChoiceField(
        label=_("Something was found"), required=False, widget=forms.CheckboxSelectMultiple
    )
    verdict = forms.ChoiceField(
        label=_("Your review"),
        required=False,
        choices=[
            ("", _("either")),
            ("star", _("gold star")),
            ("reject", _("rejected")),
            ("none", _("not decided")),
        ],
    )
    min_rating = forms.TypedChoiceField(
        label=_("Rated at least"),
        required=False,
        empty_value=None,
        coerce=int,
        choices=[("", _("any"))] + [(str(n), str(n)) for n in range(1, 6)],
    )
    tag = forms.CharField(label=_("With the tag"), required=False, max_length=60)

    def __init__(self, *given, **more) -> None:
        super().__init__(*given, **more)
        self.fields["codes"].choices = codes_of(self.version)
        if not self.fields["codes"].choices:
            del self.fields["codes"]
        languages = self.version.profile.get("languages") or {}
        counts = languages.get("counts") or {}
        self.fields["language"].choices = [("", _("any"))] + [(name, name) for name in counts]
        if not counts:
            del self.fields["language"]
        models = usable_base_models()
        self.fields["base_model"].choices = [("", "–")] + [(one.name, one.display_name) for one in models]


class SplitForm(RecipeForm):
    share = forms.FloatField(
        label=_("Kept aside as a test, of 100 rows"),
        min_value=1,
        max_value=90,
        initial=12,
        help_text=_("Whole conversations only, so that no test question was learned from."),
    )
    by = forms.ChoiceField(
        label=_("Alike in each group by"),
        required=False,
        choices=[
            ("", _("no groups")),
            ("length", _("length")),
            ("turns", _("number of messages")),
            ("language", _("language")),
            ("system", _("instructions (system prompt)")),
            ("tools", _("with or without tools")),
            ("tag", _("your tags")),
        ],
    )
    seed = forms.IntegerField(
        label=_("Seed"),
        min_value=0,
        max_value=2**53,
        initial=0,
        help_text=_("The same number draws the same rows; another number draws others."),
    )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "share": self.cleaned_data["share"] / 100}


class MergeForm(RecipeForm):
    with_versions = forms.MultipleChoiceField(
        label=_("Take the rows of"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one.")},
    )
    drop_duplicates = forms.BooleanField(
        label=_("Leave out rows that are there already"), required=False, initial=True
    )

    def __init__(self, *given, **more) -> None:
        super().__init__(*given, **more)
        others = (
            DatasetVersion.objects.for_user(self.version.owner)
            .filter(kind=self.version.kind, dataset__erased_at=None)
            .exclude(pk=self.version.pk)
            .exclude(rows_sha256="")
            .select_related("dataset")
            .defer("faults", "profile")
            .order_by("dataset__name", "-number")
        )[:MERGE_CHOICES]
        self.fields["with_versions"].choices = [
            (str(one.pk), _("%(name)s, version %(number)s: %(count)s rows")
             % {"name": one.dataset.name, "number": one.number, "count": f"{one.row_count:,}"})
            for one in others
        ]  # fmt: skip
        if not self.fields["with_versions"].choices:
            self.fields["with_versions"].help_text = _(
                "There is no other set of the same kind yet. Bring one first."
            )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "drop_duplicates": self.cleaned_data["drop_duplicates"]}


class DeduplicateForm(RecipeForm):
    near = forms.TypedChoiceField(
        label=_("What counts as a duplicate"),
        coerce=lambda value: value == "yes",
        choices=[("no", _("the very same")), ("yes", _("nearly the same words"))],
    )
    threshold = forms.FloatField(
        label=_("How much alike, of 100"),
        min_value=50,
        max_value=100,
        initial=85,
        help_text=_("Counts for nearly the same only; 85 finds what differs in a word or two."),
    )
    keep = forms.ChoiceField(
        label=_("Of each group stays"), choices=[("first", _("the first")), ("longest", _("the longest"))]
    )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "threshold": self.cleaned_data["threshold"] / 100}


class CleanForm(RecipeForm):
    codes = forms.MultipleChoiceField(
        label=_("Leave out rows in which this was found"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )

    def __init__(self, *given, **more) -> None:
        super().__init__(*given, **more)
        self.fields["codes"].choices = codes_of(self.version)


class MaskForm(RecipeForm):
    kinds = forms.MultipleChoiceField(
        label=_("Replace by its name"),
        choices=list(KINDS.items()),
        widget=forms.CheckboxSelectMultiple,
        initial=list(KINDS),
        help_text=_(
            "An e-mail address becomes [email]. Names of people are not found: read through the result."
        ),
    )


def codes_of(version: DatasetVersion) -> list[tuple[str, str]]:
    """What was found in rows that were kept, most frequent first."""
    counts: dict[str, int] = {}
    for fault in faults_of(version):
        if fault.get("line") is not None:
            counts[fault.get("code", "bad_row")] = counts.get(fault.get("code", "bad_row"), 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [(code, f"{CODES.get(code, code)} ({count:,})") for code, count in ordered]


# The ways that have a page of their own; deriving.recipes.WAYS has all.
FORMS: dict[str, type[RecipeForm]] = {
    "filter": FilterForm,
    "split": SplitForm,
    "merge": MergeForm,
    "deduplicate": DeduplicateForm,
    "clean": CleanForm,
    "mask": MaskForm,
}
