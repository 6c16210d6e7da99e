"""Communication between the processes that train one model together.

Under MultiWorkerMirroredStrategy each process runs the same program on its
share of the data. Besides gradients they exchange the contents of files that
the chief reads, and requests to stop. With one process these are no-ops.
"""

from collections.abc import Callable
import typing

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.training.hardware import payloads

# Numbers per message; fixed, so that one graph serves all.
_MESSAGE = 1 << 20
# Messages of TensorFlow when a peer has ended.
SIGNS_OF_LOSS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


class LostWorker(Exception):
    """Another process ended; training can resume from the last checkpoint."""


class ChiefRefused(ValueError):
    """The chief raised an error that the user can fix."""


class Workers:
    """The processes under a strategy.

    Attributes:
        index: of this process; the chief is 0.
        count: number of processes.

    Args:
        strategy: `tf.distribute.Strategy`. Only MultiWorkerMirroredStrategy
            has several processes; a Cloud TPU pod is driven by one.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self.index, self.count = 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            jobs = resolver.cluster_spec().as_dict() if resolver else {}
            n_chiefs = len(jobs.get("chief", ()))
            self.count = max(n_chiefs + len(jobs.get("worker", ())), 1)
            if self.count > 1:
                is_worker = resolver.task_type == "worker"
                self.index = resolver.task_id + n_chiefs * is_worker
        self._total = tf.function(self._total_of, autograph=False)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief, which writes files."""
        return self.index == 0

    def agree(self, stop: bool, n_steps: int) -> tuple[bool, int]:
        """Agree on whether to stop, and on how many steps to make next.

        Args:
            stop: whether this process wants to stop.
            n_steps: how many steps it would make; the chief's counts.

        Returns:
            `(stop, n_steps)`, the same on all: stop if any wants to.
        """
        if self.count == 1:
            return stop, n_steps
        n_wishes, n_steps = self._sum([stop, n_steps if self.is_chief else 0])
        return n_wishes > 0, int(n_steps)

    def from_chief(self, function: Callable) -> typing.Any:
        """Call a function in the chief only, while the others wait.

        Args:
            function: without arguments; what it returns, see
                `payloads.encode`.

        Returns:
            the result, on all.

        Raises:
            ChiefRefused: it met a mistake, such as a full disk, on the chief,
                which raises the error itself.
            LostWorker: it failed there for another reason.
        """
        if self.count == 1:
            return function()
        data, error, kind = b"", None, 0
        if self.is_chief:
            try:
                result = function()
                data = b"" if result is None else payloads.encode(result)
            except Exception as raised:  # raised after the others were told
                error = raised
                kind = 1 if isinstance(raised, checks.MISTAKES) else 2
        n_bytes, kind = self._sum([len(data), kind])
        if error is not None:
            raise error
        if kind == 1:
            raise ChiefRefused("the chief refused; its own line says why")
        if kind == 2:
            raise LostWorker("the chief failed; its own line says why")
        if not n_bytes:
            return None
        return payloads.decode(self._receive(data, int(n_bytes)))

    def _receive(self, data, n_bytes):
        """Return the chief's data, sent in messages of one size."""
        words = np.zeros(-(-n_bytes // (4 * _MESSAGE)) * _MESSAGE, np.uint32)
        words.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
        for part in words.reshape(-1, _MESSAGE):
            part[:] = self._sum(part)
        return words.tobytes()[:n_bytes]

    def _sum(self, values):
        """Add vectors of integers below 2^53 over all processes."""
        # Doubles: the only kind that every collective library adds exactly.
        return self._total(tf.constant(values, tf.float64)).numpy()

    def _total_of(self, values):
        def reduce(values):
            context = tf.distribute.get_replica_context()
            n_local = context.num_replicas_in_sync // self.count
            first = context.replica_id_in_sync_group % n_local == 0
            values = tf.where(first, values, tf.zeros_like(values))
            return context.all_reduce("sum", values)

        totals = self._strategy.run(reduce, args=(values,))
        return self._strategy.experimental_local_results(totals)[0]
