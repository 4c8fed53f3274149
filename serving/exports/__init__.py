"""An adapter on its way out: rows, pages and workers in here, the child that makes the files in `engine`."""
