"""Answers from base models and adapters: one front (`services`), one file per place where a model can run."""
