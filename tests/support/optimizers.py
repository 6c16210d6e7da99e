"""Optimizers: how to build one, its slots of a kernel, their first value."""

import keras

ELEMENTWISE = {
    "SGD": (lambda: keras.optimizers.SGD(0.1, momentum=0.9), 1, 0.0),
    "Adam": (lambda: keras.optimizers.Adam(0.1), 2, 0.0),
    "amsgrad": (lambda: keras.optimizers.Adam(0.1, amsgrad=True), 3, 0.0),
    "AdamW": (lambda: keras.optimizers.AdamW(0.1), 2, 0.0),
    "RMSprop": (
        lambda: keras.optimizers.RMSprop(0.1, momentum=0.9, centered=True),
        3,
        0.0,
    ),
    "Adagrad": (lambda: keras.optimizers.Adagrad(0.1), 1, 0.1),
    "Adadelta": (lambda: keras.optimizers.Adadelta(0.1), 2, 0.0),
    "Nadam": (lambda: keras.optimizers.Nadam(0.1), 2, 0.0),
    "Lion": (lambda: keras.optimizers.Lion(0.1), 1, 0.0),
    "EMA": (lambda: keras.optimizers.SGD(0.1, use_ema=True), 1, 0.0),
    "accumulation": (
        lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
        1,
        0.0,
    ),
    "loss scaling": (
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)),
        2,
        0.0,
    ),
}
