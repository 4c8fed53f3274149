"""Types of files: bytes to records with their line, one module a type, recognised by content. No Django inside."""

from types import ModuleType

from . import json_lines, json_whole, parquet, plain_text, table

# In the order in which they are asked.
CONTAINERS: dict[str, ModuleType] = {
    parquet.NAME: parquet,
    json_lines.NAME: json_lines,
    json_whole.NAME: json_whole,
    table.NAME: table,
    plain_text.NAME: plain_text,
}
