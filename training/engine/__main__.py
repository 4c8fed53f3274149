"""`python -m training.engine RUN.json`: trains as RUN.json says and prints events, one JSON object a line.

Takes `checkpoint` and `pause` as lines on standard input, and ends at once when that closes (`--keep-running`
turns the end off, for shells without a terminal). Exit status 0 after `finished` and `paused`, 1 after `failed`.
With `"processes": 2` in RUN.json it becomes the launcher of two of itself, of which one speaks.
"""

import argparse
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from rendering.light_imports import leave_out_unused
from training.engine import progress
from training.engine.control import Control, Paused, listen
from training.engine.errors import BAD_CONFIG, EngineError, explain
from training.engine.launching import become_launcher
from training.engine.methods import METHODS, Method
from training.engine.setting import ConfigError, Settings
from training.engine.spreading import Ranks

ENVIRONMENT = {
    # Nothing is fetched: a base model is a directory.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin while they wait starve each other as soon as the machine has anything else to do: on
    # two busy cores training was 7 times slower. Read when torch is first imported.
    "OMP_WAIT_POLICY": "passive",
}
NEEDED = ("base_model_dir", "rows_path", "output_dir")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.engine", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="what to do; docs/architecture.md says what stands in it")
    parser.add_argument("--keep-running", action="store_true", help="go on when standard input closes")
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT)
    events = progress.take_standard_output()
    ranks = Ranks.here()
    reporter: progress.Reporter = events if ranks.is_first else progress.Silent()
    control = Control()
    try:
        run = _read_run(options.run)
        become_launcher(options.run, run, arguments, events)
        if not run.get("checkpoints_dir"):
            control.obstacle = f"{options.run} names no checkpoints_dir to write to"
        listen(control, keep_running=options.keep_running, is_first=ranks.is_first)
        method = _read_method(run)
        config = _read_config(run, method)
        leave_out_unused(needs_four_bits=getattr(config, "quantization", "none") != "none")
        importlib.import_module(method.recipe).run(run, config, reporter, control)
    except Paused as paused:
        print(paused, file=sys.stderr)
    # Whatever happens, the last event says so in words; the traceback goes to the log.
    except Exception as error:
        traceback.print_exc()
        # Of several processes one says why; that another went away is no reason, and leaves the job to go on.
        if not ranks.is_lost(error) and ranks.may_say_why():
            told = explain(error)
            events.report("failed", reason=told.reason, message=told.message, advice=told.advice)
        return 1
    ranks.part()
    return 0


def _read_run(path: Path) -> dict:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(BAD_CONFIG, f"{path} cannot be read: {error}") from error
    missing = [name for name in NEEDED if not isinstance(run, dict) or not isinstance(run.get(name), str)]
    if missing:
        raise EngineError(BAD_CONFIG, f"{path} does not name {', '.join(missing)}.")
    return run


def _read_method(run: dict) -> Method:
    name = run.get("method", "sft")
    if name not in METHODS:
        raise EngineError(BAD_CONFIG, f"The method is {name!r}; it can be {', '.join(METHODS)}.")
    return METHODS[name]


def _read_config(run: dict, method: Method) -> Settings:
    try:
        return method.config.from_dict(run.get("config"), method.name)
    except ConfigError as error:
        raise EngineError(BAD_CONFIG, error.message, f"Change {error.field} and start again.") from error


if __name__ == "__main__":
    sys.exit(main())
