"""The Data pages, a module for each."""
