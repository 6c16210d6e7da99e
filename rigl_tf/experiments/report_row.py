"""Define a row of a report: one experiment with the results of its seeds."""

import dataclasses
from typing import Any

# Fields that tell experiments apart, beside their settings.
IDENTITY = (
    "task",
    "method",
    "distribution",
    "sparsity",
    "pattern",
    "training_multiplier",
    "published",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One experiment of a report.

    Means and deviations are None if a run does not know the number. All of them
    are None if the experiment was published, but not run.

    Attributes:
        task: name of the task; the published model if it was not run.
        method: name of the method; the published name if it was not run.
        distribution: name of the sparsity distribution.
        sparsity: overall fraction of zeros, in [0, 1).
        pattern: pattern of the masks, such as "unstructured".
        training_multiplier: factor on the number of steps.
        settings: settings that its runs share, see `run_settings.collect`;
            empty if it was not run.
        n: number of runs.
        accuracy: mean test accuracy, in [0, 1].
        accuracy_std: standard deviation of the accuracy; 0 for one run.
        accuracies: accuracy of each seed, in [0, 1]; None if seeds repeat.
        bits: bits per character of each seed, for a language model.
        test_examples: number of test examples.
        bits_per_character: mean bits per character of a language model.
        bits_per_character_std: their standard deviation; 0 for one run.
        inference_flops_ratio: mean FLOPs of inference, as a multiple of dense.
        train_flops_ratio_run: mean FLOPs of training, as a multiple of dense.
        directories: work directories of the runs.
        edge: mean shares of the input connections at the edge, first and last;
            None unless `rigl_tf connectivity` has drawn all runs.
        published: published row that it reproduces, SWEEP/LABEL, or None.
        published_accuracy: published accuracy, in per cent, or None.
        published_std: published standard deviation, in per cent, or None.
        published_n: number of published runs, or None.
        digitised: whether the published accuracy was read off a figure.
        source: where it was published, or None.
    """

    task: str
    method: str
    distribution: str
    sparsity: float
    pattern: str
    training_multiplier: float
    settings: dict[str, Any]
    n: int
    accuracy: float | None = None
    accuracy_std: float | None = None
    accuracies: dict[int, float] | None = None
    bits: dict[int, float] | None = None
    test_examples: int | None = None
    bits_per_character: float | None = None
    bits_per_character_std: float | None = None
    inference_flops_ratio: float | None = None
    train_flops_ratio_run: float | None = None
    edge: list[float] | None = None
    directories: tuple[str, ...] = ()
    published: str | None = None
    published_accuracy: float | None = None
    published_std: float | None = None
    published_n: int | None = None
    digitised: bool = False
    source: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is judged by its bits per character, the fewer the better.

        Other rows are judged by their accuracy.
        """
        return self.bits_per_character is not None

    def known(self) -> dict[str, Any]:
        """Return the fields that are not None, by name."""
        fields = (field.name for field in dataclasses.fields(self))
        values = {name: getattr(self, name) for name in fields}
        return {n: value for n, value in values.items() if value is not None}
