"""What people ask for: a module for each kind of thing. Call them as `services.create_dataset(...)`."""

from .bringing import (
    DatasetInUse,
    DatasetRefused,
    NameTaken,
    TooLarge,
    add_version,
    create_dataset,
    delete_dataset,
    delete_unused_files,
    demo_dataset,
    free_name,
    rename_dataset,
    too_large,
    upload_limit,
)

__all__ = [
    "DatasetInUse",
    "DatasetRefused",
    "NameTaken",
    "TooLarge",
    "add_version",
    "create_dataset",
    "delete_dataset",
    "delete_unused_files",
    "demo_dataset",
    "free_name",
    "rename_dataset",
    "too_large",
    "upload_limit",
]
