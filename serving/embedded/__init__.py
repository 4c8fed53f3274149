"""The embedded backend: one process that answers from base models and LoRA adapters. No Django in here.

`python -m serving.embedded` listens on a unix socket or a local port and speaks the OpenAI and vLLM shapes.
torch, transformers and PEFT are imported in its worker thread at the first request that needs them, so that
the waiting process stays small.
"""
