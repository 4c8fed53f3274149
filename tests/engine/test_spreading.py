"""One job by two processes: the same as by one, within rounding; stopped, the same bits as if it had not been."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.engine.test_drill import Kept, adapter_sha256, description
from tests.engine.test_resume import describe
from tests.engine.test_resume import train as train_alone
from tests.engine.tiny import ROOT, preference_rows, start_engine, unpaired_rows
from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.errors import EngineError
from training.engine.launching import fsdp_config, launch_config
from training.engine.spreading import deal, own_seed

# The sum of the same numbers in another order: nothing but fp32's rounding, grown over 15 steps of Adam.
LOSS, NORM, WEIGHT = 2e-5, 1e-4, 1e-4
EXACT = {"lora_dropout": 0.0}
# Eight rows a step, four of them in each process; the longest has 63 tokens.
LARGE = {**EXACT, "batch_size": 4, "gradient_accumulation_steps": 2, "eval_steps": 2}


# --- Who takes what ---


def test_rows_are_dealt_out_by_length_and_none_twice():
    sizes = [90, 10, 40, 50, 20, 70]
    hands = deal(sizes, 2)
    assert sorted(index for hand in hands for index in hand) == [0, 1, 2, 3, 4, 5]
    assert [sum(sizes[index] for index in hand) for hand in hands] == [140, 140]
    assert deal([5], 3) == [[0], [], []] and deal([], 2) == [[], []]


def test_only_the_first_process_draws_what_one_alone_would():
    assert own_seed(42, 0) == 42
    assert len({own_seed(2**31 - 1, index) for index in range(64)}) == 64


# --- The configuration that is written ---


@pytest.mark.parametrize("spread", ["ddp", "fsdp"])
@pytest.mark.parametrize("is_gpu", [True, False])
def test_accelerate_reads_what_is_written_for_it(spread, is_gpu, tmp_path):
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    run = {"config": {"spread": spread, "precision": "fp32"}}
    path = tmp_path / "accelerate.json"
    path.write_text(json.dumps(launch_config(run, 2, is_gpu=is_gpu)))
    given = launch_command_parser().parse_args(
        ["--config_file", str(path), "--module", "training.engine", "RUN.json"]
    )
    arguments, defaults, _ = _validate_launch_command(given)
    assert (arguments.num_processes, arguments.num_machines, arguments.mixed_precision) == (2, 1, "no")
    assert arguments.use_fsdp == (spread == "fsdp") and arguments.multi_gpu == (spread == "ddp")
    environment = prepare_multi_gpu_env(arguments)
    assert arguments.nproc_per_node == "2" and int(arguments.master_port) > 0
    if spread == "fsdp":
        assert environment["ACCELERATE_USE_FSDP"] == "true" and environment["FSDP_VERSION"] == "2"
        assert environment["FSDP_AUTO_WRAP_POLICY"] == "TRANSFORMER_BASED_WRAP"
        assert environment["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "true"
        assert set(defaults.fsdp_config) == set(fsdp_config())


def test_on_gpus_the_number_format_is_that_of_the_training():
    formats = {"auto": ("bf16", "no"), "bf16": ("bf16", "bf16"), "fp32": ("no", "no")}
    for precision, expected in formats.items():
        run = {"config": {"precision": precision}}
        found = [launch_config(run, 2, is_gpu=is_gpu)["mixed_precision"] for is_gpu in (True, False)]
        assert tuple(found) == expected


# --- Two processes that are started once for several trainings ---


def start_two(directory, jobs, spread):
    plan, config = directory / "plan.json", directory / "accelerate.json"
    plan.write_text(json.dumps(jobs))
    config.write_text(json.dumps(launch_config({"config": {"spread": spread}}, 2, is_gpu=False)))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    done = subprocess.run(
        [*launcher, "--module", "tests.engine.ranks", str(plan)], cwd=ROOT, env=environment, timeout=900,
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (directory / "log.txt").write_text(done.stderr)
    assert done.returncode == 0, f"see {directory / 'log.txt'}"


def job(directory, model, *, rows=None, method="sft", resume_from=None, config=None, **more):
    run = describe(directory, model, rows, method=method, resume_from=resume_from)
    run["config"] |= config or {}
    return {"run": run, "events": str(directory / "events.json"), **more}


def told(directory):
    kept = Kept()
    kept.events = json.loads((directory / "events.json").read_text())
    return kept


def pausing(directory, model, name, config, step=6):
    """A training without a stop, and the same one paused at `step` and gone on with."""
    stopped = directory / f"{name}-stopped"
    checkpoint = str(stopped / "checkpoints" / f"step-{step:08d}")
    return [
        job(directory / name, model, config=config),
        job(stopped, model, config=config, pause_at=step),
        job(directory / f"{name}-on", model, config=config, resume_from=checkpoint),
    ]


COMPARED = {"dpo": preference_rows, "orpo": preference_rows, "kto": unpaired_rows}


def compared(method):
    return {
        "rows": COMPARED[method](),
        "method": method,
        "config": {**EXACT, "epochs": 1, "learning_rate": 0.001},
    }


@pytest.fixture(scope="module")
def by_two(tiny_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("ddp")
    hurried = {"learning_rate": 0.1, "eval_steps": 1, "early_stopping_checks": 2, "epochs": 20}
    start_two(
        directory,
        [
            job(directory / "exact", tiny_model, config=EXACT),
            *pausing(directory, tiny_model, "dropout", {}),
            job(directory / "small", tiny_model, config=LARGE, little_memory={"process": 1, "tokens": 70}),
            job(directory / "stuck", tiny_model, config={**EXACT, **hurried}),
            *(job(directory / method, tiny_model, **compared(method)) for method in COMPARED),
        ],
        "ddp",
    )
    return directory


@pytest.fixture(scope="module")
def split_over_two(tiny_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("fsdp")
    jobs = pausing(directory, tiny_model, "exact", {**EXACT, "spread": "fsdp"})
    jobs.append(job(directory / "nf4", tiny_model, config={**EXACT, "spread": "fsdp", "quantization": "nf4"}))
    start_two(directory, jobs, "fsdp")
    return directory


@pytest.fixture(scope="module")
def by_one(tiny_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("one")
    return train_alone(describe(directory, tiny_model), **EXACT), directory


def assert_equal_within_bounds(found, expected):
    """Curve, held-out losses and adapter of two (reporter, directory)."""
    (some, there), (others, here) = found, expected
    for name, bound in {"loss": LOSS, "grad_norm": NORM, "learning_rate": 1e-12, "tokens": 0}.items():
        values = [[event[name] for event in kept.named("step")] for kept in (some, others)]
        assert values[0] == pytest.approx(values[1], abs=bound), name
    checks = [[event["eval_loss"] for event in kept.named("evaluated")] for kept in (some, others)]
    assert checks[0] == pytest.approx(checks[1], abs=LOSS)
    from safetensors.torch import load_file

    weights = [load_file(d / "out" / "adapter" / "adapter_model.safetensors") for d in (there, here)]
    assert weights[0].keys() == weights[1].keys()
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < WEIGHT


def assert_gone_on_in_the_same_bits(directory, name, step=6):
    whole, stopped, after = (told(directory / f"{name}{end}") for end in ("", "-stopped", "-on"))
    assert stopped.events[-1] == {"event": "paused", "step": step} and after.events[0]["resumed_step"] == step
    assert after.curve()[0] == whole.curve()[0][step:]
    assert stopped.curve()[0] == whole.curve()[0][:step]
    assert adapter_sha256(directory / f"{name}-on") == adapter_sha256(directory / name)


def test_two_processes_learn_what_one_learns(by_two, by_one):
    kept = told(by_two / "exact")
    assert kept.events[0]["processes"] == 2 and kept.events[0]["device"].startswith("2 × cpu")
    # The last step of each epoch has one row, so that one of the two has nothing to do.
    assert kept.events[0]["train_rows"] % 2 == 1
    assert_equal_within_bounds((kept, by_two / "exact"), by_one)


def test_two_processes_that_split_the_model_learn_what_one_learns(split_over_two, by_one):
    assert_equal_within_bounds((told(split_over_two / "exact"), split_over_two / "exact"), by_one)


def test_two_processes_that_split_a_model_in_four_bits_learn_what_one_learns(
    split_over_two, tiny_model, tmp_path
):
    alone = train_alone(describe(tmp_path, tiny_model), **EXACT, quantization="nf4")
    assert_equal_within_bounds((told(split_over_two / "nf4"), split_over_two / "nf4"), (alone, tmp_path))


def test_paused_with_two_processes_it_ends_in_the_same_bits(by_two):
    assert_gone_on_in_the_same_bits(by_two, "dropout")


def test_paused_with_a_split_model_it_ends_in_the_same_bits(split_over_two):
    assert_gone_on_in_the_same_bits(split_over_two, "exact")


def test_each_process_leaves_out_something_else(by_two, by_one):
    """Dropout is drawn, and not the same in both: what the checkpoint keeps of it differs."""
    from safetensors.torch import load_file

    state = load_file(by_two / "dropout" / "checkpoints" / "step-00000004" / "training.safetensors")
    assert not state["random.0/cpu"].equal(state["random.1/cpu"])
    losses = [
        [event["loss"] for event in kept.named("step")] for kept in (told(by_two / "dropout"), by_one[0])
    ]
    assert losses[0] != losses[1]


def test_memory_that_ran_out_in_one_process_halves_the_passes_of_all(by_two, tiny_model, tmp_path):
    kept = told(by_two / "small")
    assert [event["step"] for event in kept.named("batch_halved")] == [1] * 4
    alone = train_alone(describe(tmp_path, tiny_model), **LARGE)
    assert_equal_within_bounds((kept, by_two / "small"), (alone, tmp_path))


@pytest.mark.parametrize("method", COMPARED)
def test_two_processes_compare_answers_as_one_does(method, by_two, tiny_model, tmp_path):
    from training.engine.recipes import preferences

    run, alone, kept = job(tmp_path, tiny_model, **compared(method))["run"], Kept(), told(by_two / method)
    preferences.run(run, TrainingConfig.from_dict(run["config"], method), alone, Control())
    assert_equal_within_bounds((kept, by_two / method), (alone, tmp_path))
    for name, event_name in {"rewards_margin": "step", "eval_rewards_margin": "evaluated"}.items():
        margins = [[event[name] for event in one.named(event_name)] for one in (kept, alone)]
        assert margins[0] == pytest.approx(margins[1], abs=LOSS), name


def test_a_split_model_is_refused_where_answers_are_compared(tiny_model, tmp_path, monkeypatch):
    from training.engine.recipes import preferences

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(EngineError, match="Answers cannot be compared") as caught:
        preferences.run(
            job(tmp_path, tiny_model, **compared("dpo"))["run"], TrainingConfig(), Kept(), Control()
        )
    assert caught.value.reason == "bad_config" and "ddp" in caught.value.advice


def test_two_processes_stop_early_together(by_two):
    kept = told(by_two / "stuck")
    assert kept.named("early_stopped") and kept.events[-1]["event"] == "finished"


@pytest.mark.parametrize("spread", ["ddp", "fsdp"])
def test_a_checkpoint_of_two_processes_is_gone_on_with_by_one(spread, request, by_one, tiny_model, tmp_path):
    directory = request.getfixturevalue("by_two" if spread == "ddp" else "split_over_two")
    path = directory / "exact" / "checkpoints" / "step-00000008"
    kept = train_alone(describe(tmp_path, tiny_model, resume_from=str(path)), **EXACT)
    assert "written by 2 and is taken up by 1" in kept.named("log")[0]["message"]
    losses = [[event["loss"] for event in run.named("step")] for run in (kept, by_one[0])]
    assert losses[0] == pytest.approx(losses[1][8:], abs=LOSS)


# --- Through the command that a worker starts ---


def spread_run(directory, model, **changes):
    run = {**describe(directory, model), "processes": 2, **changes}
    run["config"] |= {**EXACT, **changes.get("config", {})}
    (directory / "RUN.json").write_text(json.dumps(run))
    return directory / "RUN.json"


def spread_drill(directory, **config):
    directory.mkdir(exist_ok=True)
    run = description(directory, processes=2, config={"steps": 2000, "seconds_per_step": 0.05, **config})
    (directory / "RUN.json").write_text(json.dumps(run))
    return directory / "RUN.json"


def read_until(process, name):
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == name:
            break
    return events


def ranks_of(process):
    found = psutil.Process(process.pid).children(recursive=True)
    return {child.environ()["RANK"]: child for child in found if "RANK" in child.environ()}


def closed(process):
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def test_a_word_of_the_worker_pauses_both_and_the_whole_goes_on(by_one, tiny_model, tmp_path):
    process = start_engine(spread_run(tmp_path, tiny_model))
    process.stdin.write("pause\n")
    process.stdin.flush()
    before = read_until(process, "paused")
    assert process.wait(120) == 0 and before[-1]["event"] == "paused"
    closed(process)
    checkpoint = next(event["path"] for event in before if event["event"] == "checkpoint")
    process = start_engine(spread_run(tmp_path, tiny_model, resume_from=checkpoint))
    after = read_until(process, "finished")
    assert process.wait(120) == 0
    closed(process)
    whole = Kept()
    whole.events = [event for event in [*before, *after] if event["event"] in ("step", "evaluated")]
    assert_equal_within_bounds((whole, tmp_path), by_one)


@pytest.mark.parametrize("ended", ["a process", "the launcher", "the worker"])
def test_whatever_ends_all_end_at_once_without_a_reason(ended, tmp_path):
    process = start_engine(spread_drill(tmp_path))
    events = read_until(process, "step")
    ranks = ranks_of(process)
    assert sorted(ranks) == ["0", "1"]
    begun = time.monotonic()
    if ended == "a process":
        ranks["1"].send_signal(signal.SIGKILL)
    elif ended == "the launcher":
        process.send_signal(signal.SIGKILL)
    else:
        process.stdin.close()
    events += [json.loads(line) for line in process.stdout]
    assert process.wait(120) != 0
    psutil.wait_procs(list(ranks.values()), timeout=60)
    assert time.monotonic() - begun < 60 and not any(rank.is_running() for rank in ranks.values())
    # Nobody says that the work failed: the job is to go on from its checkpoint.
    assert "failed" not in {event["event"] for event in events}
    closed(process)


def test_why_they_end_is_said_once(tmp_path):
    process = start_engine(spread_drill(tmp_path, steps=20, seconds_per_step=0, nan_at_step=3))
    events = [json.loads(line) for line in process.stdout]
    assert process.wait(120) == 1
    closed(process)
    assert [event["reason"] for event in events if event["event"] == "failed"] == ["nan_loss"]
    assert [event["step"] for event in events if event["event"] == "step"] == [1, 2]


def test_more_processes_than_gpus_are_refused_before_anything_starts(tmp_path, monkeypatch):
    from training.engine import launching
    from training.engine.hardware import Gpu

    monkeypatch.setattr(launching, "read_gpus", lambda: (Gpu(0, "H100", 1, 1),) * 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    run = {"processes": 4, "rows_path": "rows", "config": {}}
    with pytest.raises(EngineError, match="asks for 4 GPUs; here are 2"):
        launching.become_launcher(tmp_path / "RUN.json", run, [], None)
    with pytest.raises(EngineError, match="processes is 0"):
        launching.become_launcher(tmp_path / "RUN.json", {**run, "processes": 0}, [], None)


def test_rows_from_a_pipe_reach_every_process(tmp_path):
    from training.engine import launching

    os.mkfifo(tmp_path / "rows")
    run = {"rows_path": str(tmp_path / "rows")}
    feed = subprocess.Popen(["sh", "-c", f"printf 'one\\ntwo\\n' > {tmp_path / 'rows'}"])
    launching._keep_stream(tmp_path / "RUN.json", run)
    feed.wait()
    kept = tmp_path / "rows.jsonl"
    assert json.loads((tmp_path / "RUN.json").read_text())["rows_path"] == str(kept)
    assert kept.read_text() == "one\ntwo\n" and kept.stat().st_mode & 0o077 == 0
