import dataclasses

import pytest

from training.engine.config import ConfigError, TrainingConfig, describe
from training.engine.plan import fit_to_data


def test_the_defaults_are_the_usual_ones_for_lora():
    config = TrainingConfig.from_dict({})
    assert (config.lora_r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.05)
    assert (config.epochs, config.batch_size, config.gradient_accumulation_steps) == (3, 4, 4)
    assert (config.learning_rate, config.lr_scheduler_type, config.warmup_ratio) == (2e-4, "cosine", 0.03)
    assert config.max_length == 2048 and len(config.target_modules) == 7


def test_settings_go_to_json_and_back():
    config = TrainingConfig.from_dict(
        {"epochs": 5.0, "max_steps": 7, "target_modules": ["q_proj", "q_proj", "v_proj"]}
    )
    assert config.epochs == 5 and isinstance(config.epochs, int)
    assert config.target_modules == ("q_proj", "v_proj")
    assert TrainingConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"epochs": 0}, "epochs", "epochs is 0; it should be between 1 and 100"),
        ({"learning_rate": 3}, "learning_rate", "learning_rate is 3; it should be between 1e-07 and 0.1"),
        ({"learning_rate": "fast"}, "learning_rate", "'fast'"),
        ({"learning_rate": float("nan")}, "learning_rate", "nan"),
        ({"learning_rate": 10**400}, "learning_rate", "should be a number"),
        ({"seed": -(10**400)}, "seed", "should be a number"),
        ({"epochs": True}, "epochs", "True"),
        ({"epochs": 2.5}, "epochs", "whole number"),
        ({"epochs": None}, "epochs", "None"),
        ({"lr_scheduler_type": "zigzag"}, "lr_scheduler_type", "cosine"),
        ({"lr_scheduler_type": ["cosine"]}, "lr_scheduler_type", "cosine"),
        ({"target_modules": []}, "target_modules", "list of layer names"),
        ({"target_modules": ["a b"]}, "target_modules", "a b"),
        ({"epoch": 3}, "epoch", "There is no setting 'epoch'"),
        ([], "config", "object of settings"),
    ],
)
def test_a_wrong_setting_names_field_value_and_bounds(values, field, words):
    with pytest.raises(ConfigError) as caught:
        TrainingConfig.from_dict(values)
    assert caught.value.field == field and words in caught.value.message


def test_every_setting_has_words_and_a_default_within_its_bounds():
    described = describe()
    assert [entry["name"] for entry in described] == [
        field.name for field in dataclasses.fields(TrainingConfig)
    ]
    for entry in described:
        assert entry["label"] and entry["term"] and entry["help"].endswith(".")
        method = entry["methods"][0]
        assert TrainingConfig.from_dict(
            {entry["name"]: entry["default"]}, method
        ) == TrainingConfig.from_dict({}, method)


@pytest.mark.parametrize(
    ("rows", "steps", "accumulation", "epochs"),
    [
        (1000, 189, 4, 3),  # enough as it is
        (44, 66, 1, 6),  # 11 batches: accumulation down to 1, then 6 epochs
        (200, 75, 2, 3),  # 50 batches: accumulation 2 is enough
        (1, 60, 1, 60),
    ],
)
def test_small_data_is_gone_over_until_there_are_sixty_steps(rows, steps, accumulation, epochs):
    plan = fit_to_data(TrainingConfig(), rows)
    assert (plan.total_steps, plan.gradient_accumulation_steps, plan.epochs) == (steps, accumulation, epochs)
    assert plan.is_fitted == (rows != 1000)
    assert plan.rows_seen == rows * epochs


def test_max_steps_has_the_last_word():
    plan = fit_to_data(TrainingConfig(max_steps=5), 44)
    assert (plan.total_steps, plan.epochs, plan.rows_seen) == (5, 1, 20)


def test_a_run_is_checked_about_twelve_times():
    for rows in (1, 44, 1000, 100_000):
        plan = fit_to_data(TrainingConfig(), rows)
        assert 10 <= plan.total_steps / plan.eval_steps <= 12
    assert fit_to_data(TrainingConfig(eval_steps=7), 44).eval_steps == 7


def test_no_rows_cannot_be_planned():
    with pytest.raises(ValueError, match="not 0"):
        fit_to_data(TrainingConfig(), 0)
