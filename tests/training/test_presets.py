import pytest

from training.engine.config import METHOD_DEFAULTS, TrainingConfig
from training.engine.plan import fit_to_data
from training.presets import NAMES, preset_config, presets_for

METHODS = list(METHOD_DEFAULTS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [5, 44, 800, 5_000, 200_000])
def test_every_preset_is_a_valid_config_and_better_takes_longer(method, rows):
    plans = []
    for preset in presets_for(method, rows, held_out_rows=rows // 10):
        config = TrainingConfig.from_dict(preset.config, method)
        plans.append(fit_to_data(config, rows))
    quick, balanced, best = (plan.rows_seen for plan in plans)
    assert quick <= balanced <= best and plans[0].total_steps <= 100


@pytest.mark.parametrize("method", METHODS)
def test_only_what_servers_take_is_offered(method):
    for preset in presets_for(method, 500, held_out_rows=50, recommended={"lora_r": 64, "lora_alpha": 128}):
        config = TrainingConfig.from_dict({"lora_r": 64, "lora_alpha": 128, **preset.config}, method)
        assert config.lora_r <= 64 and config.lora_alpha == 2 * config.lora_r


def test_balanced_leaves_to_the_base_model_what_suits_it():
    assert preset_config("balanced", "sft", 44, recommended={"epochs": 4}) == {}
    assert preset_config("balanced", "sft", 50_000, held_out_rows=100) == {
        "epochs": 1,
        "early_stopping_checks": 4,
    }


def test_nothing_kept_aside_means_nothing_to_stop_by():
    for preset in presets_for("sft", 100):
        assert "early_stopping_checks" not in preset.config


def test_an_unknown_name_is_balanced():
    assert preset_config("no such", "sft", 100) == preset_config("balanced", "sft", 100)
    assert NAMES == ("quick", "balanced", "best")
