"""Evaluate on the test data while training."""

from rigl_tf.training.callbacks import base


class Evaluate(base.Callback):
    """Evaluate every so many steps and append the result to a file.

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two evaluations.
        dataset: finite `tf.data.Dataset`, or distributed one.
    """

    everywhere = True
    activity = "evaluate"

    def __init__(self, path, interval, dataset):
        super().__init__(interval)
        self._path = path
        self._dataset = dataset

    def on_interval(self, trainer, step, means):
        """Evaluate and write the line."""
        means = trainer.evaluate(self._dataset)
        record = {"step": step}
        record.update({f"test_{name}": v for name, v in means.items()})
        trainer.workers.from_chief(
            lambda: base.append_json_line(self._path, record)
        )
