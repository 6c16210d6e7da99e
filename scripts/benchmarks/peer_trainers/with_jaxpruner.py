"""JaxPruner with Flax and Optax, for `peers.py`."""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import jaxpruner
import ml_collections
import networks
import numpy as np
import optax


class JaxPruner:
    """RigL; every step is one function compiled by XLA."""

    method = "RigL"
    distribution = "ERK"

    def __init__(self, settings):
        self._settings = settings

    def version(self):
        """Return the versions that matter."""
        return f"JaxPruner, JAX {jax.__version__}, Optax {optax.__version__}"

    def train(self, x, y):
        """Train; return how to predict, and how to get the kernels."""
        settings = self._settings
        net = LeNet()
        seed = jax.random.PRNGKey(settings["seed"])
        params = net.init(seed, x[:1])["params"]
        rate = optax.cosine_decay_schedule(settings["rate"], settings["steps"])
        pruner = _pruner(settings, rng_seed=seed)
        optimizer = pruner.wrap_optax(optax.sgd(rate, 0.9, nesterov=True))
        state = optimizer.init(params)
        params = pruner.post_gradient_update(params, state)

        @jax.jit
        def step(params, state, x, y):
            gradients = jax.grad(
                lambda params: _loss(net.apply({"params": params}, x), y)
            )(params)
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            return pruner.post_gradient_update(params, state), state

        rng = np.random.default_rng(settings["seed"])
        for rows in networks.orders(
            rng.permutation, len(x), settings["batch"], settings["steps"]
        ):
            params, state = step(params, state, x[rows], y[rows])
        jax.block_until_ready(params)
        return (
            lambda images: np.argmax(
                net.apply({"params": params}, images), axis=1
            ),
            lambda: [
                np.asarray(w)
                for w in jax.tree_util.tree_leaves(params)
                if w.ndim > 1
            ],
        )

    def steps(self, x, y):
        """Return functions that make a dense and a masked step."""
        never = {"sparsity": 0.9, "interval": 10**9, "end": 2 * 10**9}
        pruner = _pruner({**never, "drop": 0.3}, begin=10**9)
        dense = _resnet_step(x, y, jaxpruner.NoPruning(), wrap=False)
        return dense, _resnet_step(x, y, pruner, wrap=True)

    def update(self):
        """Return a function that updates the masks of ResNet-50."""
        rng = np.random.default_rng(0)
        params, gradients = (
            {
                f"layer{index}": {"kernel": _normal(rng, shape)}
                for index, shape in enumerate(networks.resnet50_kernels())
            }
            for _ in range(2)
        )
        settings = {"sparsity": 0.9, "interval": 100, "end": 1000, "drop": 0.3}
        pruner = _pruner(settings, distribution="uniform")
        optimizer = pruner.wrap_optax(optax.sgd(0.01, 0.9, nesterov=True))
        state = optimizer.init(params)
        params = pruner.post_gradient_update(params, state)

        @jax.jit
        def change(state, params, gradients):
            state = pruner.update_state(state, params, gradients)
            return state, pruner.post_gradient_update(params, state)

        def run():
            nonlocal state, params
            state, params = jax.block_until_ready(
                change(state, params, gradients)
            )

        return run


class LeNet(nn.Module):
    """LeNet-300-100."""

    @nn.compact
    def __call__(self, x):
        """Return the logits."""
        _, *hidden, n_classes = networks.LENET
        for units in hidden:
            x = nn.relu(nn.Dense(units)(x))
        return nn.Dense(n_classes)(x)


class ResNet18(nn.Module):
    """ResNet-18 with a 3x3 stem, for images of 32x32."""

    @nn.compact
    def __call__(self, x):
        """Return the logits."""
        x = nn.relu(_conv(x, 64, 3))
        for filters, stride, projects in networks.resnet18_blocks():
            y = nn.relu(_conv(x, filters, 3, stride))
            y = _conv(y, filters, 3)
            if projects:
                x = _conv(x, filters, 1, stride)
            x = nn.relu(x + y)
        return nn.Dense(10)(x.mean((1, 2)))


def _conv(x, filters, size, stride=1):
    x = nn.Conv(filters, (size, size), stride, use_bias=False)(x)
    return nn.BatchNorm(use_running_average=False, momentum=0.9)(x)


def _loss(logits, y):
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    return losses.mean()


def _pruner(settings, distribution="erk", begin=0, **more):
    config = ml_collections.ConfigDict(more)
    config.algorithm = "rigl"
    config.dist_type = distribution
    config.sparsity = settings["sparsity"]
    config.update_freq = settings["interval"]
    config.update_start_step = begin
    config.update_end_step = settings["end"]
    config.drop_fraction = settings["drop"]
    return jaxpruner.create_updater_from_config(config)


def _normal(rng, shape):
    return jnp.asarray(rng.normal(size=shape).astype(np.float32))


def _resnet_step(x, y, pruner, wrap):
    """Return a function that makes one step of ResNet-18."""
    net, x, y = ResNet18(), jnp.asarray(x), jnp.asarray(y)
    variables = net.init(jax.random.PRNGKey(0), x)
    optimizer = optax.sgd(0.01, 0.9, nesterov=True)
    if wrap:
        optimizer = pruner.wrap_optax(optimizer)

    def loss_of(params, stats):
        logits, changed = net.apply(
            {"params": params, "batch_stats": stats},
            x,
            mutable=["batch_stats"],
        )
        return _loss(logits, y), changed["batch_stats"]

    @functools.partial(jax.jit, donate_argnums=0)
    def step(carried):
        params, stats, state = carried
        (loss, stats), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            params, stats
        )
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        if wrap:
            params = pruner.post_gradient_update(params, state)
        return loss, (params, stats, state)

    params = variables["params"]
    carried = params, variables["batch_stats"], optimizer.init(params)

    def run():
        nonlocal carried
        loss, carried = jax.block_until_ready(step(carried))
        return float(loss)

    return run


PEERS = {"jaxpruner": JaxPruner}
