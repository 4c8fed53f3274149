"""What holds for every template and script: no inline code, no missing icon or file, parts that say what they take."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template.loader import get_template

TEMPLATES = Path(settings.BASE_DIR) / "templates"
STATIC = Path(settings.BASE_DIR) / "static"
PAGES = sorted(TEMPLATES.rglob("*.html"))
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
ICONS = set(re.findall(r'id="i-([a-z]+)"', (STATIC / "img/icons.svg").read_text()))


def name_of(path: Path) -> str:
    return str(path.relative_to(TEMPLATES))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_template_compiles(path):
    get_template(name_of(path))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_template_has_no_inline_code(path):
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\b(src=|type=\"application/json\"))", text), "inline script"
    assert not re.search(r"<style\b|\sstyle=\"", text), "inline style"
    assert not re.search(r"\son[a-z]+=\"|\bhx-on\b|\"js:", text), "inline handler"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_tag_is_broken_over_lines(path):
    """Django prints such a tag as text."""
    assert not re.search(r"\{%(?:(?!%\}).)*\n(?:(?!%\})[\s\S])*?%\}", path.read_text())


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_icons_and_files_exist(path):
    text = path.read_text()
    for icon in re.findall(r'components/icon\.html" with name="([a-z]+)"', text):
        assert icon in ICONS, icon
    for file in re.findall(r"\{% static ['\"]([^'\"]+)['\"] %\}", text):
        assert finders.find(file), file


@pytest.mark.parametrize("path", sorted((TEMPLATES / "components").glob("*.html")), ids=name_of)
def test_a_component_says_what_it_takes(path):
    assert path.read_text().startswith("{% comment %}")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_and_imports_only_what_is_there(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    assert "eval(" not in text and "innerHTML" not in text
    for imported in re.findall(r'from "\./([^"]+)"', text):
        assert (path.parent / imported).exists(), imported


def test_every_word_that_a_script_says_can_be_translated():
    known = set(re.findall(r'data-word="([a-z-]+)"', (TEMPLATES / "components/words.html").read_text()))
    said = {key for path in SCRIPTS for key in re.findall(r'\bword\("([a-z-]+)"', path.read_text())}
    assert said <= known, said - known
    assert known <= said, known - said
