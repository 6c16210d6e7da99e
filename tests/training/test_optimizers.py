"""Every optimizer of Keras trains a masked model, or is refused."""

import functools
import inspect

import keras
import numpy as np
import params
import pytest
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.training import optimizer_slots


def rigl():
    return updaters.RigL(
        update_interval=4, update_end_step=8, drop_fraction=0.5
    )


def assert_sparse(model, sparsity):
    for item in rigl_tf.masked_kernels(model):
        active = item.mask.numpy().sum()
        assert active == item.size - int(sparsity * item.size)
        assert not tiny.off_mask(item, item.kernel).any()


def multi(cls):
    first, second = keras.optimizers.Adam(0.01), tiny.sgd()
    return cls(lambda variable: first if "fc1" in variable.path else second)


MAKE = {
    "LossScaleOptimizer": lambda cls: cls(keras.optimizers.Adam(0.01), 8.0),
    "MultiOptimizer": multi,
}
# Older versions of Muon keep slots by the variables' paths.
REFUSED = ("Adafactor", "Muon")[: 2 if keras.version() < "3.13" else 1]
OPTIONS = {
    "accumulation": {"momentum": 0.9, "gradient_accumulation_steps": 2},
    "average": {"use_ema": True, "ema_overwrite_frequency": 3},
    "clipping": {"momentum": 0.9, "global_clipnorm": 0.1},
    "decay": {"weight_decay": 0.1},
}
OPTIMIZERS = {
    name: functools.partial(MAKE[name], cls) if name in MAKE else cls
    for name, cls in vars(keras.optimizers).items()
    if inspect.isclass(cls)
    and issubclass(cls, keras.optimizers.Optimizer)
    and cls is not keras.optimizers.Optimizer
} | {
    key: functools.partial(keras.optimizers.SGD, 0.1, **value)
    for key, value in OPTIONS.items()
}


@pytest.mark.parametrize(
    "name",
    params.cover(
        list(OPTIMIZERS),
        quick=("Adafactor", "AdamW", "Ftrl", "MultiOptimizer", "average"),
    ),
)
def test_every_optimizer_trains_or_is_refused(name):
    if name in REFUSED:
        with pytest.raises(ValueError, match="mirrors none; use e.g. SGD"):
            tiny.trainer(rigl(), OPTIMIZERS[name])
        return
    trainer = tiny.trainer(rigl(), OPTIMIZERS[name])
    items = rigl_tf.masked_kernels(trainer.model)
    before = [(i.mask.numpy(), i.kernel.numpy()) for i in items]
    trainer.train(tiny.batches(), 12)
    assert trainer.step == 12 and trainer.last_update_step == 8
    assert_sparse(trainer.model, 0.5)
    found = optimizer_slots.slots_of(
        trainer.optimizer, [i.kernel for i in items]
    )
    for item, (mask, kernel), kernel_slots in zip(items, before, found):
        assert (item.mask.numpy() != mask).any()
        kept = item.mask.numpy() * mask > 0
        assert (item.kernel.numpy() != kernel)[kept].any()
        for slot in kernel_slots:
            # Adagrad and Ftrl; all others begin with zeros, or the weight.
            initial = 0.1 if slot.name == "_accumulators" else 0.0
            off = tiny.off_mask(item, slot.variable)
            assert (off == np.float32(initial)).all(), slot.name
