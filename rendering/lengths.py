"""How many tokens of an example are read at once, where nobody says otherwise."""

DEFAULT_MAX_LENGTH = 2048
SHORTEST_MAX_LENGTH, LONGEST_MAX_LENGTH = 16, 131072
