import numpy as np
import pytest

from rigl_tf import layers
from rigl_tf import models


@pytest.mark.parametrize(
    "build, n_parameters, n_kernel_weights",
    [(models.mlp, 266_610, 266_200), (models.lenet5, 44_426, 44_190)],
)
def test_sizes_are_the_published_ones(build, n_parameters, n_kernel_weights):
    model = build((28, 28, 1), 10)
    assert model.count_params() == n_parameters
    kernels = layers.maskable_kernels(model)
    total = sum(np.prod(kernel.shape) for kernel in kernels.values())
    assert total == n_kernel_weights
    assert model(np.zeros((2, 28, 28, 1))).shape == (2, 10)


def test_kernels_have_readable_names():
    names = list(layers.maskable_kernels(models.lenet5((28, 28, 1), 10)))
    assert names == [
        "conv1/kernel",
        "conv2/kernel",
        "fc1/kernel",
        "fc2/kernel",
        "fc3/kernel",
    ]
