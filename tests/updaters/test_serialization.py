"""Names of updaters, and their configurations."""

import keras
import pytest

from rigl_tf import updaters
from rigl_tf.updaters import schedules


@pytest.mark.parametrize(
    "identifier, expected",
    [
        ("rigl", updaters.RigL()),
        ("RigL", updaters.RigL()),
        ("static_reinit", updaters.StaticReinit()),
        ("TopKAST", updaters.TopKAST()),
        ("top_kast", updaters.TopKAST()),
        (
            {"class_name": "RigL", "config": {"update_interval": 7}},
            updaters.RigL(update_interval=7),
        ),
        (
            keras.saving.serialize_keras_object(updaters.SET(seed=3)),
            updaters.SET(seed=3),
        ),
        (updaters.Static(), updaters.Static()),
        (None, None),
    ],
)
def test_updaters_have_names_and_configurations(identifier, expected):
    assert updaters.get(identifier) == expected


def test_names_take_fields():
    found = updaters.get("snfs", momentum=0.5, update_interval=3)
    assert found == updaters.SNFS(momentum=0.5, update_interval=3)
    with pytest.raises(TypeError, match="momentun"):
        updaters.get("snfs", momentun=0.5)
    with pytest.raises(TypeError, match="with momentum"):
        updaters.get(updaters.SNFS(), momentum=0.5)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.Constant(0.2),
        schedules.Cosine(0.3, 2, 8),
        schedules.Linear(0.3, 2, 8),
        schedules.InversePower(0.3, 2, 8, power=2.0),
        schedules.LikeLearningRate(
            0.3, keras.optimizers.schedules.CosineDecay(0.1, 8)
        ),
        schedules.Stretched(schedules.Cosine(0.3, 2, 8), 2.0),
    ],
)
def test_schedules_are_saved_with_their_updater(schedule):
    updater = updaters.RigL(drop_fraction=schedule)
    config = keras.saving.serialize_keras_object(updater)
    again = keras.saving.deserialize_keras_object(config)
    for step in (0, 3, 7):
        assert float(again.drop_fraction(step)) == float(schedule(step))
