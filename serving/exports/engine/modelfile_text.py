"""A Modelfile whose TEMPLATE renders as the base model's chat template does, and which stops where it stops.

Ollama's templates are Go's (its docs/template.md). The words around each turn are found by rendering a few
conversations; what was found is put together again and compared with the chat template itself, and written only where
the two are equal. Else the line is left out, and Ollama takes the template that is in the GGUF, or its own guess.
"""

from dataclasses import dataclass
from pathlib import Path

from rendering import Renderer, RenderError

SYSTEM, FIRST, ANSWER, SECOND = "SYSTEMWORDS", "FIRSTWORDS", "ANSWERWORDS", "SECONDWORDS"
MOST_CONTEXT = 8192  # tokens; Ollama sets memory aside for all of it
LEFT_OUT = (
    "# Its chat template says more than a TEMPLATE can; Ollama takes the one that comes with the weights."
)


@dataclass(frozen=True)
class Turns:
    """What stands before and behind the words of each role; `default` comes first where there is no system message."""

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    opening: str  # of the answer that is asked for
    default: str = ""

    def words(self) -> list[str]:
        return [*self.system, *self.user, *self.assistant, self.opening, self.default]

    def text(self, messages: list[dict]) -> str:
        """As the Go template of `go` renders it."""
        around = {"system": self.system, "user": self.user, "assistant": self.assistant}
        turns = [around[each["role"]][0] + each["content"] + around[each["role"]][1] for each in messages]
        start = "" if any(each["role"] == "system" for each in messages) else self.default
        return start + "".join(turns) + self.opening

    def go(self) -> str:
        turn = "{{ end }}{{ end }}"
        branches = "".join(
            f'{{{{ {word} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{behind}'
            for word, role, (before, behind) in (
                ("if", "system", self.system), ("else if", "user", self.user),
                ("else if", "assistant", self.assistant),
            )
        )  # fmt: skip
        default = f"{{{{ if not .System }}}}{self.default}{{{{ end }}}}" if self.default else ""
        return f"{default}{{{{ range .Messages }}}}{branches}{turn}{self.opening}"


def modelfile_text(model_dir: Path, weights: str) -> str:
    """`weights` as it stands behind FROM, from the folder of the Modelfile."""
    renderer = Renderer.from_directory(model_dir)
    lines = [f"FROM {weights}", ""]
    turns = find_turns(renderer)
    lines += [f'TEMPLATE """{turns.go()}"""' if turns else LEFT_OUT, ""]
    lines += [f'PARAMETER stop "{word}"' for word in stop_words(renderer)]
    if renderer.context:
        lines.append(f"PARAMETER num_ctx {min(renderer.context, MOST_CONTEXT)}")
    return "\n".join(lines) + "\n"


def stop_words(renderer: Renderer) -> list[str]:
    words = [renderer.decode([number], skip_special_tokens=False) for number in renderer.stop_token_ids]
    return [word for word in dict.fromkeys(words) if word.strip() and '"' not in word]


def find_turns(renderer: Renderer) -> Turns | None:
    """None where the template does more than put words around turns."""
    try:
        found = read_turns(renderer)
        if found is None or not all(is_same(renderer, found, each) for each in conversations()):
            return None
    except RenderError:  # no system messages, say
        return None
    return None if any(sign in words for words in found.words() for sign in ("{{", "}}", '"""')) else found


def read_turns(renderer: Renderer) -> Turns | None:
    system, first, answer, second = (
        {"role": role, "content": words}
        for role, words in (("system", SYSTEM), ("user", FIRST), ("assistant", ANSWER), ("user", SECOND))
    )
    before, behind = cut(rendered(renderer, [first], is_asking=False), FIRST)
    asking = cut(rendered(renderer, [first]), FIRST)[1]
    whole = cut(rendered(renderer, [system, first, answer, second]), SYSTEM, FIRST, ANSWER, SECOND)
    answered = cut(rendered(renderer, [first, answer], is_asking=False), FIRST, ANSWER)
    opening, (start, to_user, to_answer, to_next, last) = asking.removeprefix(behind), whole
    ends = answered[2]
    if last != asking or not asking.startswith(behind) or not to_next.startswith(ends):
        return None
    opens_user = to_next.removeprefix(ends)
    if (
        not to_user.endswith(opens_user)
        or not before.endswith(opens_user)
        or not to_answer.startswith(behind)
    ):
        return None
    return Turns(
        system=(start, to_user.removesuffix(opens_user)),
        user=(opens_user, behind),
        assistant=(to_answer.removeprefix(behind), ends),
        opening=opening,
        default=before.removesuffix(opens_user),
    )


def rendered(renderer: Renderer, messages: list[dict], *, is_asking: bool = True) -> str:
    """Without the token that begins a text: llama.cpp puts that there itself."""
    text = renderer.render_text(messages, add_generation_prompt=is_asking)
    return text.removeprefix(beginning(renderer))


def beginning(renderer: Renderer) -> str:
    """The token that begins a text. One that begins every turn, too, belongs to the turns."""
    token = renderer.special_tokens.get("bos_token") or ""
    turns = [{"role": role, "content": "words"} for role in ("user", "assistant", "user")]
    return token if token and renderer.render_text(turns).count(token) == 1 else ""


def cut(text: str, *words: str) -> list[str]:
    """What stands before, between and behind `words`. Raises RenderError if one of them is not there, or twice."""
    parts = [text]
    for word in words:
        head, found, tail = parts.pop().partition(word)
        if not found or word in tail:
            raise RenderError(f"The template does not show {word} once.")
        parts += [head, tail]
    return parts


def conversations() -> list[list[dict]]:
    system = {"role": "system", "content": "Be brief."}
    talk = [
        {"role": ("user", "assistant")[number % 2], "content": f"words {number} of it"} for number in range(5)
    ]
    found = [talk[:1], talk[:3], talk]
    return [*found, *([system, *each] for each in found)]


def is_same(renderer: Renderer, turns: Turns, messages: list[dict]) -> bool:
    return rendered(renderer, messages) == turns.text(messages)
