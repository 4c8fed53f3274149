"""Documents to text with places, by content whatever the name says; hostile ones cost themselves."""

import zipfile

import pytest

from knowledge.parsing import Refused
from knowledge.parsing.parsers import parse
from tests.knowledge.files import TABLE, docx, packed, pdf


@pytest.fixture
def read(tmp_path):
    def parsed(content: str | bytes, name: str, hint: str = ""):
        path = tmp_path / "document"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return parse(path, name, hint)

    return parsed


def places(parsed) -> dict[str, tuple]:
    """First words of each marked stretch → its place and heading."""
    return {parsed.text[at : at + 12].split("\n")[0]: (place, heading) for at, place, heading in parsed.marks}


def test_a_pdf_keeps_its_pages_and_bookmarks(read):
    parsed = read(
        pdf("The gate opens at six.", "Boats leave at noon.", bookmarks=("Gate", "Boats")), "guide.pdf"
    )
    assert parsed.kind == "pdf" and parsed.places == 2
    assert "The gate opens at six." in parsed.text and "Boats leave at noon." in parsed.text
    assert [mark[1:] for mark in parsed.marks] == [(1, "Gate"), (2, "Boats")]


def test_a_pdf_is_known_by_its_content(read):
    assert read(pdf("Hello there."), "letter.txt").kind == "pdf"


def test_a_page_without_text_is_told(read):
    parsed = read(pdf("Words.", ""), "scan.pdf")
    assert parsed.remarks == ["Page 2 had no text (pictures are not read)."]


def test_a_scan_says_what_to_do(read):
    with pytest.raises(Refused, match="OCR"):
        read(pdf("", ""), "scan.pdf")


def test_a_word_document_keeps_headings_and_tables(read):
    parsed = read(docx(("Heading1", "Berths"), ("Normal", "There are nine."), body=TABLE), "harbour.docx")
    assert parsed.text == "Berths\n\nThere are nine.\n\nBerth | Depth"
    assert parsed.marks == [(0, None, "Berths")]


def test_a_web_page_is_read_as_a_reader_would(read):
    page = """<!DOCTYPE html><html><head><title>Harbour</title><style>p { color: red }</style></head><body>
      <nav>Home | About</nav><h1>Opening <em>hours</em></h1><p>From six &amp; on.<br>Daily.</p>
      <script>alert("x")</script><h2>Winter</h2><ul><li>From eight.</li></ul>
      <table><tr><th>Day</th><td>Closed</td></tr></table></body></html>"""
    parsed = read(page, "hours")
    assert parsed.kind == "html"
    assert parsed.text.split("\n\n") == [
        "Harbour", "Opening hours", "From six & on.\nDaily.", "Winter", "- From eight.", "Day | Closed",
    ]  # fmt: skip
    assert places(parsed)["Winter"] == (None, "Opening hours › Winter")


def test_a_page_may_be_as_deep_as_it_likes(read):
    assert read("<html>" + "<div>" * 200_000 + "deep down", "deep.html").text == "deep down"
    assert (
        read("<html>" + "<svg>" * 200_000 + "</svg>" * 200_000 + "out again", "deep.html").text == "out again"
    )


def test_markdown_keeps_its_headings_and_not_those_in_code(read):
    text = "# Gate\n\nOpens at six.\n\n```\n# no heading\n```\n\nWinter\n------\n\nOpens at eight."
    parsed = read(text, "gate.md")
    assert [mark[2] for mark in parsed.marks] == ["Gate", "Gate › Winter"]
    assert "# no heading" in parsed.text


def test_a_row_of_a_table_says_what_its_values_are(read):
    parsed = read("berth;depth\nA;4 m\nB;\n", "berths.csv")
    assert parsed.text == "berth: A; depth: 4 m\nberth: B"
    assert [mark[1] for mark in parsed.marks] == [2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_letters_are_read_in_the_usual_encodings(read, encoding):
    assert read("Größe: 4 m".encode(encoding), "size.txt").text == "Größe: 4 m"


def test_control_characters_and_halves_of_characters_are_left_out(read):
    assert read("a\x1bb\x00"[:3] + "c", "odd.txt").text == "abc"


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b"", "empty.txt", "empty"),
        (b"   \n ", "blank.txt", "empty"),
        (b"\x7fELF\x02\x01", "program", "program"),
        (b"\x89PNG\r\n\x1a\n", "photo.pdf", "picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old.doc", "docx"),
        (b"text\x00\x01\x02", "odd.txt", "no text"),
        (b"%PDF-1.7 and nothing more", "cut.pdf", "damaged"),
        (b"PK\x03\x04 no archive", "cut.docx", "damaged"),
        (packed(b"<w:document"), "cut.docx", "damaged"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(read, content, name, says):
    with pytest.raises(Refused, match=says):
        read(content, name)


def test_an_archive_and_a_workbook_say_what_to_do(read, tmp_path):
    for inside, says in (("xl/workbook.xml", "CSV"), ("letter.txt", "Unpack")):
        with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
            archive.writestr(inside, "x")
        with pytest.raises(Refused, match=says):
            read((tmp_path / "zip").read_bytes(), "thing.zip")


def test_a_word_document_that_explodes_is_refused_before_it_is_unpacked(read):
    bomb = packed(b"<w:p/>" * 5_000_000)
    assert len(bomb) < 200_000
    with pytest.raises(Refused, match="unpacks to 28 MB"):
        read(bomb, "bomb.docx")


def test_entities_that_multiply_are_refused(read):
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><w:document xmlns:w="urn:x">&l11;</w:document>'
    with pytest.raises(Refused, match="damaged"):
        read(packed(text.encode()), "laughs.docx")
