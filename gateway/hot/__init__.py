"""The way of a question from a program: asked thousands of times a second, so it runs beside Django, not through it.

One app for each event loop (`app.HotPath`); what it knows of tokens and models is a moment old at most
(`fresh.Fresh`), bodies are passed on as bytes, and what was used is written down in the background.
"""
