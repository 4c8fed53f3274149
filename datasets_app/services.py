"""Brings datasets in, renames and deletes them.

Contract that the wizard and the API of training rely on (fill in, keep the names):
  free_name(*, owner, wanted: str) -> str                      a name that the owner has not used yet
  create_dataset(*, owner, name, file=None, text=None, file_name="", made_by=None) -> DatasetVersion
  demo_dataset(*, owner) -> DatasetVersion                     the example set; made once per owner, reused after
  class DatasetRefused(Exception): str() is one plain sentence, .faults: list[dict] (line, problem, mend, severity)
"""


class DatasetRefused(Exception):
    faults: list = []
