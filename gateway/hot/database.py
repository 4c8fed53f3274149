"""Where the ways to the database stood before they came to the shared floor."""

from apex.common.async_database import as_a_request, in_database, in_database_behind

__all__ = ["as_a_request", "in_database", "in_database_behind"]
