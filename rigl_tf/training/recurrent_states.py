"""Carry the states of recurrent models from one batch to the next."""

import typing

import keras
import tensorflow as tf

from rigl_tf import updaters


class CarriedStates:
    """The states of a recurrent model `[x, *states] -> [y, *states]`.

    States are [rows, units]; row i belongs to row i of every global batch. Each
    replica holds the states of all rows, so that checkpoints do not depend on
    how many replicas there are. No gradient flows from one batch into another.

    Args:
        model: Keras model with lists of inputs and outputs; create this under
            the model's strategy.
        n_rows: number of examples in a global batch; None if all inputs of
            the model are data, and none of them a state.
    """

    def __init__(self, model: keras.Model, n_rows: int | None):
        self._n_rows = n_rows
        states = [] if n_rows is None else model.inputs[1:]
        self._variables = [
            updaters.state_variable(
                tf.zeros([n_rows, *state.shape[1:]], state.dtype),
                f"carried_{number}",
            )
            for number, state in enumerate(states)
        ]

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the variables."""
        return {variable.name: variable for variable in self._variables}

    def reset(self) -> None:
        """Reset the states to zeros."""
        for variable in self._variables:
            variable.assign(tf.zeros_like(variable.value))

    def call(
        self, model: keras.Model, x: tf.Tensor, training: bool
    ) -> typing.Any:
        """Run the model on this replica's rows; keep its new states.

        Args:
            model: the model.
            x: its first input, of this replica's share of a batch.
            training: as for the model.

        Returns:
            its first output.

        Raises:
            ValueError: the batch has another number of rows.
        """
        if not self._variables:
            return model(x, training=training)
        context = tf.distribute.get_replica_context()
        n_replicas = context.num_replicas_in_sync
        share = self._n_rows // n_replicas
        if x.shape[0] is not None and x.shape[0] != share:
            raise ValueError(
                f"States are carried for {self._n_rows} rows, {share} per "
                f"replica. Received: a batch of {x.shape[0]}"
            )
        begin = share * context.replica_id_in_sync_group
        before = [
            tf.slice(v.value, [begin, 0], [share, v.shape[1]])
            for v in self._variables
        ]
        y, *after = model([x, *before], training=training)
        for variable, rows in zip(self._variables, after):
            rows = tf.cast(tf.stop_gradient(rows), variable.dtype)
            if n_replicas > 1:
                # The others add zeros: the sum has the bits of the rows.
                padding = [[begin, self._n_rows - begin - share], [0, 0]]
                rows = context.all_reduce("sum", tf.pad(rows, padding))
            variable.assign(rows)
        return y
