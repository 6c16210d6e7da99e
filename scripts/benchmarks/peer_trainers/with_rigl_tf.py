"""rigl_tf, for `peers.py`."""

import keras
import numpy as np
import tensorflow as tf

import rigl_tf

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class RigL:
    """RigL with ERK, in the loop of the command line."""

    method = "RigL, by SparseTrainer"
    distribution = "ERK"
    _options = {}

    def __init__(self, settings):
        self._settings = settings

    def version(self):
        """Return the versions that matter."""
        return (
            f"rigl_tf {rigl_tf.__version__}, TensorFlow {tf.version.VERSION}, "
            f"Keras {keras.__version__}"
        )

    def train(self, x, y):
        """Train; return how to predict, and how to get the kernels."""
        settings = self._settings
        keras.utils.set_random_seed(settings["seed"])
        model = rigl_tf.sparsify(
            rigl_tf.models.mlp((784,), 10),
            settings["sparsity"],
            seed=settings["seed"],
            **self._options,
        )
        rate = keras.optimizers.schedules.CosineDecay(
            settings["rate"], settings["steps"]
        )
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        self._run(model, optimizer, self._batches(x, y))
        return (
            lambda images: np.argmax(model.predict(images, 1000, 0), axis=1),
            lambda: [
                v.numpy() for v in model.trainable_variables if v.ndim > 1
            ],
        )

    def _updater(self):
        settings = self._settings
        return rigl_tf.updaters.RigL(
            update_interval=settings["interval"],
            update_end_step=settings["end"],
            drop_fraction=settings["drop"],
        )

    def _batches(self, x, y):
        split = rigl_tf.datasets.Split(x, y)
        data = rigl_tf.datasets.ArrayDataset(
            "arrays", x.shape[1:], 10, lambda: (split, split)
        )
        return data.train(self._settings["batch"], self._settings["seed"])

    def _run(self, model, optimizer, batches):
        trainer = rigl_tf.SparseTrainer(model, self._updater(), optimizer, LOSS)
        trainer.train(batches, self._settings["steps"])

    def steps(self, x, y):
        """Return functions that make a dense and a masked step."""
        dense, masked = (
            rigl_tf.models.resnet((32, 32, 3), 10, depth=18, stem="cifar")
            for _ in range(2)
        )
        never = rigl_tf.updaters.RigL(
            update_interval=10**9,
            update_begin_step=10**8,
            update_end_step=10**10,
        )
        masked = rigl_tf.SparseModel(rigl_tf.sparsify(masked, 0.9), never)
        return _fit_step(dense, x, y), _fit_step(masked, x, y)

    def update(self):
        """Return a function that updates the masks of ResNet-50."""
        model = rigl_tf.models.resnet((224, 224, 3), 1000)
        model = rigl_tf.sparsify(model, 0.9, "uniform")
        steps = rigl_tf.SparseSteps(
            model,
            rigl_tf.updaters.RigL(update_end_step=1000, drop_fraction=0.3),
            keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        )
        gradients = [
            tf.random.normal(v.shape, seed=i)
            for i, v in enumerate(model.trainable_variables)
        ]
        return tf.function(
            lambda: steps.update_masks(gradients), autograph=False
        )


class RigLFit(RigL):
    """The same by Keras' `fit`."""

    method = "RigL, by fit"

    def _run(self, model, optimizer, batches):
        sparse = rigl_tf.SparseModel(model, self._updater())
        sparse.compile(optimizer, LOSS)
        steps = self._settings["steps"]
        sparse.fit(batches, steps_per_epoch=steps, verbose=0)


class Pruning(RigL):
    """Gradual magnitude pruning, as in TFMOT."""

    method = "gradual pruning, dense to sparse"
    distribution = "uniform"
    _options = {"distribution": "uniform", "first_mask": "dense"}

    def _updater(self):
        settings = self._settings
        return rigl_tf.updaters.Pruning(
            update_interval=settings["interval"],
            update_begin_step=settings["prune_begin"],
            update_end_step=settings["end"],
        )

    def update(self):
        """Return a function that prunes the kernels of ResNet-50."""
        model = rigl_tf.models.resnet((224, 224, 3), 1000)
        model = rigl_tf.sparsify(model, 0.9, "uniform", first_mask="dense")
        steps = rigl_tf.SparseSteps(
            model,
            rigl_tf.updaters.Pruning(schedule="constant", update_end_step=None),
            keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        )
        return tf.function(steps.update_masks, autograph=False)


def _fit_step(model, x, y):
    """Return a function that runs Keras' `train_function` once."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer, LOSS)
    model.make_train_function()
    data = tf.data.Dataset.from_tensors((tf.constant(x), tf.constant(y)))
    iterator = iter(data.cache().repeat())
    return lambda: float(model.train_function(iterator)["loss"])


PEERS = {"rigl_tf": RigL, "rigl_tf_fit": RigLFit, "rigl_tf_pruning": Pruning}
