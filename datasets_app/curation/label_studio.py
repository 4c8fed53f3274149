"""Rows and what people think of them as Label Studio tasks, and back. No Django inside.

Its JSON: a list of tasks `{"data": {…}, "annotations": [{"completed_by", "result": [{"from_name", "to_name", "type",
"value"}]}], "predictions": […]}` (https://labelstud.io/guide/task_format); JSON_MIN: a list of flat objects, the data
beside one value for each control, and `annotator`.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .exports import Row, Unfit, split_answer
from .row_keys import kind_of_content, row_key

STAR, REJECT = "Gold star", "Rejected"
VERDICTS = {"gold star": "star", "star": "star", "rejected": "reject", "reject": "reject"}
WORDS = {"star": STAR, "reject": REJECT}
MARK = "apex-"  # how the ids of results begin that we sent out; Label Studio keeps them
OBJECT = "conversation"  # the name of what is shown, to which every control belongs

CONFIG = f"""<View>
  <Paragraphs name="{OBJECT}" value="$messages" layout="dialogue" nameKey="author" textKey="text"/>
  <Choices name="verdict" toName="{OBJECT}" choice="single" showInline="true">
    <Choice value="{STAR}" hotkey="s"/>
    <Choice value="{REJECT}" hotkey="r"/>
  </Choices>
  <Rating name="rating" toName="{OBJECT}" maxRating="5" icon="star"/>
  <Header value="Tags, one at a time"/>
  <TextArea name="tags" toName="{OBJECT}" editable="true" maxSubmissions="20"/>
  <Header value="Why"/>
  <TextArea name="note" toName="{OBJECT}" editable="true" maxSubmissions="1" rows="2"/>
  <Header value="A better last answer"/>
  <TextArea name="better_answer" toName="{OBJECT}" editable="true" maxSubmissions="1" rows="5"/>
</View>
"""


@dataclass
class Opinion:
    """What one annotation says of one row. `who`: its annotator's words, or ""; `better`: another last answer.

    `mark` names the review that we sent out, so that one that comes back unchanged is not taken for a second.
    """

    data: Row
    who: str = ""
    verdict: str = ""
    rating: int | None = None
    tags: list[str] = field(default_factory=list)
    note: str = ""
    better: str = ""
    mark: str = ""

    @property
    def said(self) -> tuple:
        return self.verdict, self.rating, tuple(self.tags), self.note, self.better

    @property
    def says_something(self) -> bool:
        return any(self.said)


def task_of(row: Row, number: int, opinions: list[Opinion], as_predictions: bool = False) -> Row:
    """One task; the whole row travels in `data`, so that nothing is lost on the way back."""
    data = {"row_key": row_key(row), "number": number, "messages": paragraphs(row), "row": row}
    results = [
        {"result": results_of(each)} | ({"model_version": each.who} if as_predictions and each.who else {})
        for each in opinions
    ]
    return {"data": data, "predictions" if as_predictions else "annotations": results}


def paragraphs(row: Row) -> list[dict[str, str]]:
    """What Label Studio's `<Paragraphs>` shows: `[{"author", "text"}]`."""
    kind = kind_of_content(row)
    if kind == "text":
        return [{"author": "text", "text": row["text"]}]
    if kind == "chat":
        return [said(each) for each in row["messages"]]
    answers = ("chosen", "rejected") if kind == "preference" else ("completion",)
    shown = [said(each) for each in row["prompt"]]
    for name in answers:
        shown += [said(each) | {"author": name} for each in row[name]]
    return shown


def said(message: Row) -> dict[str, str]:
    calls = message.get("tool_calls")
    return {"author": message["role"], "text": message.get("content") or (f"{calls}" if calls else "")}


def results_of(opinion: Opinion) -> list[Row]:
    """An annotation's `result` list, for the controls of CONFIG."""
    results = []
    if opinion.verdict:
        results.append(result(opinion, "verdict", "choices", {"choices": [WORDS[opinion.verdict]]}))
    if opinion.rating:
        results.append(result(opinion, "rating", "rating", {"rating": opinion.rating}))
    for name, texts in (
        ("tags", opinion.tags),
        ("note", [opinion.note]),
        ("better_answer", [opinion.better]),
    ):
        if any(texts):
            results.append(result(opinion, name, "textarea", {"text": texts}))
    return results


def result(opinion: Opinion, name: str, kind: str, value: Row) -> Row:
    key = f"{MARK}{opinion.mark}-{name}" if opinion.mark else name
    return {"id": key, "from_name": name, "to_name": OBJECT, "type": kind, "value": value}


def better_answer(edited: Row | None) -> str:
    """The last answer of an edited row, where it is one text; else "" (the controls of CONFIG cannot say more)."""
    if edited is None:
        return ""
    try:
        answer = split_answer(edited)["answer"]
    except Unfit:
        return ""
    return answer[-1].get("content") or ""


def with_better_answer(row: Row, text: str) -> Row:
    """`row` with another last answer. Raises Unfit where it has none."""
    split_answer(row)
    name = {"chat": "messages", "preference": "chosen", "unpaired": "completion"}[kind_of_content(row)]
    return row | {name: [*row[name][:-1], row[name][-1] | {"content": text}]}


def read_tasks(tasks: Any) -> tuple[list[Opinion], Counter[str]]:
    """The opinions in an export of Label Studio (JSON or JSON_MIN), and what was not understood, counted by name.

    Raises ValueError with a sentence when it is no such export at all.
    """
    if isinstance(tasks, dict):
        tasks = [tasks]
    if not isinstance(tasks, list):
        raise ValueError(
            f"This is {type(tasks).__name__}, expected a list of tasks as Label Studio exports it."
        )
    if tasks and not any(isinstance(task, dict) and TASK_FIELDS & set(task) for task in tasks):
        names = (
            ", ".join(str(name)[:40] for name in list(tasks[0])[:5])
            if isinstance(tasks[0], dict)
            else "no object"
        )
        raise ValueError(f"This is no export of Label Studio: its first entry holds {names}, and no “data”.")
    opinions: list[Opinion] = []
    unknown: Counter[str] = Counter()
    for task in tasks:
        if not isinstance(task, dict):
            unknown["entries that are no task"] += 1
            continue
        read = _full if isinstance(task.get("data"), dict) else _flat
        opinions += read(task, unknown)
    return opinions, unknown


def _full(task: Row, unknown: Counter[str]) -> Iterator[Opinion]:
    """The annotations of one task; its predictions are a machine's, and counted as not taken."""
    predictions = task.get("predictions")
    if isinstance(predictions, list) and predictions:
        unknown["predictions"] += len(predictions)
    annotations = task.get("annotations") or task.get("completions") or []
    for annotation in annotations if isinstance(annotations, list) else []:
        if not isinstance(annotation, dict):
            unknown["annotations that are no object"] += 1
            continue
        if annotation.get("was_cancelled"):
            unknown["skipped annotations"] += 1
            continue
        opinion = Opinion(task["data"], who=_name_of(annotation.get("completed_by")))
        results = annotation.get("result")
        for each in results if isinstance(results, list) else []:
            if not isinstance(each, dict):
                unknown["results that are no object"] += 1
                continue
            value, kind, name = (
                each.get("value"),
                str(each.get("type", "?"))[:40],
                str(each.get("from_name", ""))[:40],
            )
            if str(each.get("id", "")).startswith(MARK):
                opinion.mark = str(each["id"]).removeprefix(MARK).partition("-")[0]
            said_of = value.get(VALUES.get(kind, "")) if isinstance(value, dict) else None
            if said_of is None:
                unknown[f"results of type {kind}" + (f" ({name})" if name else "")] += 1
            else:
                _take(opinion, name, kind, said_of, unknown)
        yield opinion


# Under which name a result of each type holds what was said.
VALUES = {"choices": "choices", "rating": "rating", "textarea": "text"}
CONTROLS = {"verdict": "choices", "rating": "rating", "tags": "textarea", "note": "textarea",
            "better_answer": "textarea"}  # fmt: skip
TASK_FIELDS = {"data", "annotation_id", *CONTROLS}
# What JSON_MIN writes beside data and controls.
ABOUT = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "row_key", "number",
         "messages", "row", "text", "dialogue"}  # fmt: skip


def _flat(task: Row, unknown: Counter[str]) -> Iterator[Opinion]:
    opinion = Opinion(task, who=_name_of(task.get("annotator")))
    for name, value in task.items():
        if name in CONTROLS:
            kind = CONTROLS[name]
            if isinstance(value, dict):
                value = value.get(VALUES[kind])
            _take(opinion, name, kind, value, unknown)
        elif name not in ABOUT:
            unknown[f"field {str(name)[:40]}"] += 1
    yield opinion


def _take(opinion: Opinion, name: str, kind: str, value: Any, unknown: Counter[str]) -> None:
    """Puts what one control said into `opinion`; what it cannot take is counted."""
    if kind == "rating":
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5:
            opinion.rating = value
        else:
            unknown[f"ratings outside 1 to 5 ({str(value)[:20]})"] += 1
        return
    texts = [
        each.strip() for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)
    ]
    if kind == "choices":
        for text in texts:
            if verdict := VERDICTS.get(text.lower()):
                opinion.verdict = verdict
            else:
                opinion.tags.append(text[:60])  # another project's choices are kept as tags
    elif name == "tags":
        opinion.tags += [text[:60] for text in texts if text]
    elif name == "better_answer":
        opinion.better = "\n\n".join(texts)
    elif name == "note":
        opinion.note = "\n\n".join(texts)[:2000]
    else:
        unknown[f"results of type {kind}" + (f" ({name})" if name else "")] += 1


def _name_of(who: Any) -> str:
    """An annotator as Label Studio writes one: an e-mail, an object with one, or a number."""
    if isinstance(who, dict):
        who = who.get("email") or who.get("username") or who.get("id")
    if isinstance(who, int):
        return f"annotator {who}"
    # No name holds a character that nobody sees; a NUL no database takes.
    return "".join(each for each in str(who)[:200] if each.isprintable()).strip()[:60] if who else ""


def keys_in(data: Row) -> list[str]:
    """Keys of the row that a task's data may show, the surest first: as we wrote it, the row itself, what is shown."""
    given = data.get("row_key")
    keys = [given] if isinstance(given, str) and len(given) == 64 else []
    candidates = [data.get("row"), data]
    shown = data.get("messages") or data.get("dialogue")
    if isinstance(shown, list) and all(isinstance(m, dict) and {"author", "text"} <= set(m) for m in shown):
        candidates.insert(1, {"messages": [{"role": m["author"], "content": m["text"]} for m in shown]})
    for candidate in candidates:
        if isinstance(candidate, dict):
            # Another project's data is no row.
            with contextlib.suppress(ValueError, TypeError, AttributeError, LookupError, OverflowError):
                keys.append(row_key(candidate))
    return keys
