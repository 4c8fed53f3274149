"""Makes of an adapter what goes out of the house: a child process without Django (`python -m serving.exports.engine`).

It reads one JSON object on standard input (`asked.Asked`), and says one JSON object a line on standard output:

| `event` | fields |
|---|---|
| `step` | `name` (a word of `serving/exports/words.py`), `progress` (percent) |
| `may_connect` | `url`; answered by a line on standard input, `{"addresses": […]}` or `{"refused": "why"}` |
| `made` | `file` (path, or "" where nothing is to be kept here), `files` (`name`, `size`, `sha256` of each), `link` |
| `failed` | `reason`, `message`, `advice` |

Nothing that it is given is written anywhere else than below `folder`; a token never reaches a disk or a log.
"""
