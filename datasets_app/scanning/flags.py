"""What the scanner says about a line beside its counts. scan.c has the same numbers."""

MAY_HOLD_ADDRESS = 1  # an @ with something before and behind it
MAY_HOLD_NUMBER = 2  # nine digits with nothing but separators between them
MAY_HOLD_KEY = 4  # one of checking.privacy.KEY_MARKS
MAY_BE_TEST_QUESTION = 8  # a line of a question begins like an item of checking.contamination.known_items
IN_SAMPLE = 32  # one of the lines by which the whole is judged (checking.languages.place_of)
LOOK = 16  # not perfect beyond doubt: the careful reader decides

# The flags of a line whose texts are worth a look, by the name of the check. A check without an entry sees every row.
LOOK_OF_CHECK: dict[str, int] = {
    "privacy": MAY_HOLD_ADDRESS | MAY_HOLD_NUMBER | MAY_HOLD_KEY,
    "contamination": MAY_BE_TEST_QUESTION,
    "languages": IN_SAMPLE,
    "damage": 0,  # what may be damaged is not perfect: the careful reader sees it
}
