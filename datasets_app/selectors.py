"""Page-shaped reads.

Contract that the wizard relies on (fill in, keep the names):
  preview(version, index: int) -> dict with keys version, row (a chat row), rows (its neighbours if any), index, number, total,
  next_index, previous_index (None at the ends): the context of templates/datasets_app/_preview.html
"""
