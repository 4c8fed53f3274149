"""English prose of free licence: Python's own documentation, as it comes with every Python (PSF licence).

Two sources: the help topics of `pydoc_data`, and the documentation strings of the standard library's modules,
read from their source by `ast` without importing them.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
from pathlib import Path

_LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "__pycache__",
}


def help_topics() -> list[str]:
    """The language reference as `help()` shows it, one text per topic."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def documentation_strings() -> list[str]:
    """One text per standard library module: its documentation strings of 80 characters or more, in order."""
    root = Path(sysconfig.get_paths()["stdlib"])
    texts = []
    for path in sorted(root.rglob("*.py")):
        if _LEFT_OUT & set(path.relative_to(root).parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue  # a few library files hold wrong code on purpose
        found = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text and len(text) >= 80:
                    found.append(inspect.cleandoc(text))
        if found:
            texts.append("\n\n".join(found))
    return texts


def is_english(paragraph: str) -> bool:
    """Whether a paragraph is mostly words: few signs of code, and a few of the commonest English words."""
    if len(paragraph) < 60 or ">>>" in paragraph:
        return False
    letters = sum(character.isalpha() or character in " ,.;:'\n" for character in paragraph)
    words = set(re.findall(r"[a-z]+", paragraph.lower()))
    return (
        letters / len(paragraph) > 0.93
        and len(words & {"the", "is", "of", "to", "a", "and", "in", "that"}) >= 3
    )


def prose() -> list[str]:
    """All texts, cut down to their paragraphs of English, lines joined; texts that become empty are left out."""
    texts = []
    for text in help_topics() + documentation_strings():
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
        kept = "\n\n".join(part for part in paragraphs if is_english(part))
        if kept:
            texts.append(kept)
    return texts
