"""Agents: a persona with its adapter, knowledge, providers and limits, and the conversations with it."""
