"""Signal propagation: how the first weights scale what a network passes on."""

import keras
import numpy as np

from rigl_tf import checks
from rigl_tf.analysis import weights
from rigl_tf.layers import masking
from rigl_tf.layers import model_paths
from rigl_tf.masks import draws


def signal(
    model: keras.Model, n_examples: int = 500, seed: int = 0
) -> dict[str, float]:
    """Measure how the outputs of each layer vary over random inputs.

    Inputs are normal, x ~ N(0, 1). The number of a layer is the standard
    deviation of each of its units over the examples, averaged over its units
    (Evci et al. 2022, section 3.1). Layers of a Sequential or functional model
    are listed if they have kernels, after their activation; of other models,
    only the output is.

    Args:
        model: dense or sparse Keras model with one input of known shape.
        n_examples: number of inputs, at least 2.
        seed: seed of the inputs.

    Returns:
        A dictionary from the name of a layer to its number; the output of the
        network is the last.

    Raises:
        ValueError: the model does not have one input of known shape.
    """
    checks.at_least("n_examples", n_examples, 2, integer=True)
    network = weights.of_network(model).model
    inputs = network.inputs
    if inputs is None or len(inputs) != 1 or None in inputs[0].shape[1:]:
        raise ValueError(
            "`model` must have one input of known shape. Received: "
            f"{[tuple(x.shape) for x in inputs or ()]}"
        )
    outputs = {}
    if model_paths.is_graph(network):
        outputs = {
            name: layer.output
            for name, layer in model_paths.sublayers(network)
            if name and getattr(layer, "kernel", None) is not None
        }
    wanted = [*outputs.values(), *network.outputs]
    x = np.random.default_rng(seed).standard_normal(
        (n_examples, *inputs[0].shape[1:]), np.float32
    )
    found = keras.Model(network.inputs[0], wanted)(x, training=False)
    measured = [
        float(np.mean(np.std(y, axis=0))) for y in map(np.asarray, found)
    ]
    return dict(zip([*outputs, "output"], measured))


def uneven_masks(
    model: keras.Model, sparsity: float, seed: int = 0
) -> dict[str, np.ndarray]:
    """Draw masks whose output units have very different numbers of inputs.

    The density of unit j is proportional to a uniform draw u_j, scaled so that
    a kernel has the density 1 - S; a unit keeps at least one input. Where units
    are so uneven, an initializer must count inputs of each unit.

    Args:
        model: dense Keras model.
        sparsity: fraction of zeros S of each kernel, in [0, 1).
        seed: seed of the draws.

    Returns:
        A dictionary from the path of a kernel to a boolean array, for
        `masking.with_masks`.
    """
    checks.fraction("sparsity", sparsity, include_one=False)
    targets = masking.target_sparsities(model, sparsity, "uniform")
    variables = model_paths.variables_by_path(model)
    masks = {}
    for path in targets:
        shape = tuple(variables[path].shape)
        state = draws.stateless_seed(seed, path, "uneven").numpy()
        random = np.random.default_rng(np.abs(state).tolist())
        shares = random.random(shape[-1])
        density = np.minimum((1 - sparsity) * shares / shares.mean(), 1)
        mask = random.random(shape) < density
        flat = mask.reshape(-1, shape[-1])
        lonely = np.flatnonzero(~flat.any(axis=0))
        flat[random.integers(len(flat), size=len(lonely)), lonely] = True
        masks[path] = mask
    return masks
