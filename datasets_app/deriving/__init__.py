"""New versions from old ones: how rows are chosen, changed, told apart and written. No Django inside."""
