"""What is known of rows that people judge: their keys, edits, exports, agreement, and Label Studio's shapes."""

from .row_keys import content_of, kind_of_content, row_key

__all__ = ["content_of", "kind_of_content", "row_key"]
