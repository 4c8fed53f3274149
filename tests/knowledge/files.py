"""Documents for tests, made by hand so that each byte is known."""

import io
import zipfile

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pdf(*pages: str, bookmarks: tuple[str, ...] = ()) -> bytes:
    """A PDF with one line of text a page; `bookmarks` name the first pages."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [b"", f"<< /Type /Pages /Count {count} /Kids [{kids}] >>".encode()]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for number, text in enumerate(pages):
        shown = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        stream = f"BT /F1 12 Tf 50 700 Td ({shown}) Tj ET".encode("cp1252")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {5 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    outline = ""
    if bookmarks:
        root = len(objects) + 1
        outline = f" /Outlines {root} 0 R"
        last = root + len(bookmarks)
        objects.append(f"<< /First {root + 1} 0 R /Last {last} 0 R /Count {len(bookmarks)} >>".encode())
        for number, title in enumerate(bookmarks):
            following = f" /Next {root + 2 + number} 0 R" if number + 1 < len(bookmarks) else ""
            objects.append(
                f"<< /Title ({title}) /Parent {root} 0 R /Dest [{4 + 2 * number} 0 R /Fit]{following} >>".encode()
            )
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R{outline} >>".encode()
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, each in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + each + b"\nendobj\n")
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{place:010} 00000 n \n".encode() for place in places)
    out.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def docx(*paragraphs: tuple[str, str], body: str = "") -> bytes:
    """A Word document of (style, text), and whatever `body` adds as XML."""
    inside = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    return packed(f'<w:document xmlns:w="{WORD}"><w:body>{inside}{body}</w:body></w:document>'.encode())


def packed(document: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", document)
    return out.getvalue()


TABLE = (
    "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Berth</w:t></w:r></w:p></w:tc>"
    "<w:tc><w:p><w:r><w:t>Depth</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
)
