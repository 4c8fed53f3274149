"""One file per way of training; each reads top to bottom."""
