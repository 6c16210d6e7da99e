"""Hardware and precision of a run, and the strategies for them.

A strategy must be created before TensorFlow has run anything in the process,
and only once: two would use the same keys for their collectives. Hence the
caches.
"""

import collections.abc
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import os
import typing

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.training.hardware import batch_norms
from rigl_tf.training.hardware import cluster_config
from rigl_tf.training.hardware import workers

PRECISIONS = ("float32", "float64", "mixed_bfloat16", "mixed_float16")
_MOST_BATCHES = 1024
_MOST_CPUS = 128
_COMMUNICATION = ("auto", "ring", "nccl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hardware:
    """The hardware and the precision of a run.

    Attributes:
        strategy: function without arguments that returns a
            `tf.distribute.Strategy`, such as `cpu`, `gpu`, `multi_worker` and
            `tpu`; None for one device, a GPU if there is one.
        precision: dtype policy of Keras: "float32", "float64",
            "mixed_bfloat16" or "mixed_float16" (with loss scaling). Weights and
            masks of the mixed ones are float32.
        sync_batch_norm: whether batch normalization looks at the global batch,
            not at each replica's share. Moving statistics are averaged over the
            replicas either way.
        jit_compile: whether XLA compiles the steps. (A TPU always does; several
            CPU devices cannot.)
        input_buffer: batches that wait on each replica, from 1 to 1024.
    """

    strategy: collections.abc.Callable | None = None
    precision: str = "float32"
    sync_batch_norm: bool = False
    jit_compile: bool = False
    input_buffer: int = 1

    def __post_init__(self):
        if self.strategy is not None:
            checks.function("strategy", self.strategy)
        checks.one_of("precision", self.precision, PRECISIONS)
        for name in ("sync_batch_norm", "jit_compile"):
            checks.one_of(name, getattr(self, name), (True, False))
        checks.between(
            "input_buffer", self.input_buffer, 1, _MOST_BATCHES, integer=True
        )

    def create(self) -> tf.distribute.Strategy:
        """Return the strategy; raises if the hardware is missing.

        Raises:
            ValueError: the hardware is missing.
        """
        if self.strategy is None:
            return tf.distribute.get_strategy()
        strategy = self.strategy()
        if not isinstance(strategy, tf.distribute.Strategy):
            raise ValueError(
                "`strategy` must be a function that returns a "
                f"tf.distribute.Strategy. Received: one that returns {strategy}"
            )
        return strategy

    def workers(self) -> workers.Workers:
        """Return the `workers.Workers` of the strategy."""
        return workers.Workers(self.create())

    def check(self, strategy: tf.distribute.Strategy, batch_size: int) -> None:
        """Require that the strategy can train batches of a size.

        Raises:
            ValueError: the size is no multiple of the replicas, or the strategy
                cannot be compiled.
        """
        n_replicas = strategy.num_replicas_in_sync
        if (
            self.jit_compile
            and n_replicas > 1
            and "CPU" in str(strategy.extended.worker_devices)
        ):
            raise ValueError(
                "`jit_compile` does not go with several CPU devices. Received: "
                f"jit_compile=True, {n_replicas} replicas (JIT_COMPILE=False)"
            )
        if batch_size % n_replicas:
            raise ValueError(
                f"`batch_size` must be a multiple of the {n_replicas} replicas "
                f"of this hardware. Received: batch_size={batch_size}"
            )

    @contextlib.contextmanager
    def scope(self, strategy: tf.distribute.Strategy) -> Iterator[None]:
        """Enter the scope of a strategy, with this precision as policy."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.precision)
        try:
            with strategy.scope():
                yield
        finally:
            keras.config.set_dtype_policy(before)

    def adapt(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer
    ) -> keras.optimizers.Optimizer:
        """Synchronize batch normalization and scale losses if configured.

        Args:
            model: Keras model, changed in place.
            optimizer: Keras optimizer.

        Returns:
            the optimizer to train with.
        """
        if self.sync_batch_norm:
            for layer in batch_norms.find(model):
                layer.synchronized = True
        if self.precision == "mixed_float16":
            return keras.optimizers.LossScaleOptimizer(optimizer)
        return optimizer

    def batches(
        self, strategy: tf.distribute.Strategy, function: Callable
    ) -> typing.Any:
        """Distribute a pipeline.

        Args:
            strategy: from `create`.
            function: `tf.distribute.InputContext` -> dataset of the batches of
                single replicas, those of one global batch in a row.
        """
        options = tf.distribute.InputOptions(
            experimental_per_replica_buffer_size=self.input_buffer
        )
        return strategy.distribute_datasets_from_function(function, options)


@functools.cache
def cpu(*, devices: int = 1) -> tf.distribute.Strategy:
    """Return a strategy for the CPU alone.

    Args:
        devices: number of logical devices, from 1 to 128; with more than one,
            MirroredStrategy trains a replica on each, as on as many GPUs.

    Raises:
        ValueError: TensorFlow has already started with fewer devices.
    """
    checks.between("devices", devices, 1, _MOST_CPUS, integer=True)
    if tf.config.get_visible_devices("GPU"):
        _before_start("hardware/cpu", tf.config.set_visible_devices, [], "GPU")
    if devices == 1:
        return tf.distribute.get_strategy()
    _keep_memory()
    (physical,) = tf.config.list_physical_devices("CPU")
    configured = tf.config.get_logical_device_configuration(physical)
    if len(configured or [None]) < devices:
        _before_start(
            f"hardware/cpu DEVICES={devices}",
            tf.config.set_logical_device_configuration,
            physical,
            [tf.config.LogicalDeviceConfiguration()] * devices,
        )
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])


@functools.cache
def gpu(*, devices: int | None = None) -> tf.distribute.Strategy:
    """Return MirroredStrategy over the GPUs of this machine.

    Args:
        devices: how many of them, at least 1; None for all.

    Raises:
        ValueError: there are fewer.
    """
    if devices is not None:
        checks.at_least("devices", devices, 1, integer=True)
    found = tf.config.list_physical_devices("GPU")
    if len(found) < (devices or 1):
        raise ValueError(
            f"hardware/gpu needs {devices or 'a'} visible GPU(s). Received: "
            f"{len(found)} (install rigl-tf[gpu], look at nvidia-smi and "
            "CUDA_VISIBLE_DEVICES, or name hardware/cpu)"
        )
    names = [f"GPU:{i}" for i in range(devices or len(found))]
    return tf.distribute.MirroredStrategy(names)


@functools.cache
def multi_worker(
    *, communication: str = "auto", port: int = 8888
) -> tf.distribute.Strategy:
    """Return MultiWorkerMirroredStrategy over all GPUs, or CPUs, of machines.

    Every machine runs the same command. They find each other by `TF_CONFIG`
    (set by `--workers` and `--worker` too), or else by Slurm's variables.

    Args:
        communication: "auto", "ring" (gRPC) or "nccl" (GPUs).
        port: first port of each machine under Slurm.

    Raises:
        ValueError: the workers are not configured, or TensorFlow has started.
    """
    checks.one_of("communication", communication, _COMMUNICATION)
    checks.between("port", port, 1, 65535, integer=True)
    _keep_memory()
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=getattr(
            tf.distribute.experimental.CommunicationImplementation,
            communication.upper(),
        )
    )
    return _before_start(
        "hardware/multi_worker",
        tf.distribute.MultiWorkerMirroredStrategy,
        _cluster(port),
        options,
    )


@functools.cache
def tpu(
    *,
    address: str | None = "local",
    zone: str | None = None,
    project: str | None = None,
) -> tf.distribute.Strategy:
    """Return TPUStrategy.

    Args:
        address: "local" on the TPU VM itself; else name, or grpc:// address, of
            a TPU. A pod slice is driven by the program on its worker 0, with
            its name as the address.
        zone: of a named TPU in Google Cloud; None for that of the machine.
        project: as `zone`.

    Raises:
        ValueError: there is no such TPU.
    """
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(
            address, zone=zone, project=project
        )
        return tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # of many kinds, from the network to libtpu
        text = str(error).strip() or type(error).__name__
        raise ValueError(
            "hardware/tpu needs a Cloud TPU and the package tensorflow-tpu "
            "(scripts/cloud_tpu.py makes both). Received: "
            f"address={address!r} ({text.splitlines()[0][:200]})"
        ) from error


def _cluster(port):
    """Return the addresses of the workers and the index of this process."""
    resolvers = tf.distribute.cluster_resolver
    if os.environ.get("TF_CONFIG"):
        cluster_config.check_tf_config(os.environ["TF_CONFIG"])
        return resolvers.TFConfigClusterResolver()
    if "SLURM_STEP_TASKS_PER_NODE" in os.environ:
        # Not TensorFlow's resolver for Slurm, which orders hosts as strings and
        # wants to hand out the GPUs.
        os.environ["TF_CONFIG"] = cluster_config.of_slurm(os.environ, port)
        return resolvers.TFConfigClusterResolver()
    raise ValueError(
        "hardware/multi_worker must know its workers. Received: neither "
        "TF_CONFIG, nor --workers and --worker, nor a Slurm step (srun)"
    )


def _keep_memory():
    """Keep malloc from returning the memory of large tensors.

    Distributed iterators free tensors of 128 KiB or more in every step; mapping
    their pages again took more than a third of the time of WRN-22-2
    (TensorFlow 2.21, `scripts/benchmarks/scaling.py`).
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")


def _before_start(name, function, *args):
    """Call a function that TensorFlow allows only before it has started."""
    try:
        return function(*args)
    except tf.errors.UnknownError as error:
        raise ValueError(
            f"{name} must be able to open its port. Received: "
            f"{os.environ.get('TF_CONFIG')} ({str(error).splitlines()[0]})"
        ) from error
    except RuntimeError as error:
        raise ValueError(
            f"{name} must be created before TensorFlow runs anything in the "
            "process, and once. Received: a running TensorFlow"
        ) from error
