"""Options of input pipelines."""

import numpy as np
import pytest

from rigl_tf import datasets
from rigl_tf.datasets import fake

BYTES = np.arange(200, dtype=np.uint8)
TEXT = datasets.TextDataset("text", lambda: BYTES, lambda: BYTES, 8)


@pytest.mark.parametrize(
    "dataset", [datasets.digits(), TEXT, fake.FakeDataset(TEXT)]
)
def test_iterators_are_deleted_without_waiting(dataset):
    """The thread that tunes a pipeline would delay it, by up to a minute."""
    for pipeline in (dataset.train(4, seed=0), dataset.test(4)):
        assert pipeline.options().autotune.enabled is False
