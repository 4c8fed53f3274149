"""Messages → text, token ids and the mask of trained tokens, by the model's own chat template.

Preview, engine, serving and gateway all come here, so that they can never differ. Light to import:
no Django, no torch, no transformers.
"""

from rendering.errors import BadModel, RenderError, RowTooLong
from rendering.renderer import Rendered, Renderer

__all__ = ["BadModel", "RenderError", "Rendered", "Renderer", "RowTooLong"]
