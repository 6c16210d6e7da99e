"""A random order of many positions that is never stored.

The order is a permutation that is computed for single places and single
positions, in either direction. So the first few of billions of positions can
be drawn at a cost of those few, each once, and a tensor that holds the place
of every position agrees with them.
"""

import dataclasses
import math

import tensorflow as tf

from rigl_tf import checks

_ROUNDS = 6
_TRIED = 1000  # possible numbers of rows
_LARGEST = 2**62
# Multipliers of MurmurHash3's last step (Appleby 2011).
_MULTIPLIERS = (0x85EBCA6B, 0xC2B2AE35)


@dataclasses.dataclass(frozen=True, eq=False)
class Shuffle:
    """A random order of the positions `0, 1, ..., size - 1`.

    Positions are cells (r, c) of a nearly square table [a, b]. The rounds of a
    Feistel network add a hash of c to r, modulo a, and of r to c, modulo b, by
    turns; each can be undone. If the table has a few more cells than there are
    positions, these cells go through the rounds again.

    Attributes:
        size: number of positions, in [1, 2^62].
        keys: uint32 tensor, one key of the hash for each round.
    """

    size: int
    keys: tf.Tensor

    def __post_init__(self):
        checks.between("size", self.size, 1, _LARGEST)

    @property
    def _table(self):
        """Rows and columns: of a divisor, if a large one is found soon."""
        root = math.isqrt(self.size)
        for n_rows in range(root, root // 2, -1)[:_TRIED]:
            if self.size % n_rows == 0:
                return n_rows, self.size // n_rows
        return root + 1, -(-self.size // (root + 1))

    def positions(self, places: tf.Tensor) -> tf.Tensor:
        """Return the positions at some places of the order.

        Args:
            places: int64 tensor, in [0, size).

        Returns:
            int64 tensor of the same shape.
        """
        return self._walk(places, range(_ROUNDS), forward=True)

    def places(self, positions: tf.Tensor) -> tf.Tensor:
        """Return the places of some positions in the order.

        Args:
            positions: int64 tensor, in [0, size).

        Returns:
            int64 tensor of the same shape.
        """
        return self._walk(positions, range(_ROUNDS)[::-1], forward=False)

    def _walk(self, numbers, rounds, forward):
        """Apply the rounds until all cells are positions."""
        n_rows, n_columns = self._table

        def apply(numbers):
            cell = [
                tf.cast(numbers // n_columns, tf.uint32),
                tf.cast(numbers % n_columns, tf.uint32),
            ]
            for index in rounds:
                changed, other = index % 2, 1 - index % 2
                length = (n_rows, n_columns)[changed]
                shift = _hash(cell[other], self.keys[index]) % length
                shift = shift if forward else length - shift
                total = cell[changed] + shift
                cell[changed] = tf.where(total < length, total, total - length)
            row, column = (tf.cast(part, tf.int64) for part in cell)
            return row * n_columns + column

        found = apply(numbers)
        if n_rows * n_columns == self.size:
            return found
        (found,) = tf.while_loop(
            lambda found: tf.reduce_any(found >= self.size),
            lambda found: [tf.where(found < self.size, found, apply(found))],
            [found],
        )
        return found


def shuffle(size: int, seed: tf.Tensor) -> Shuffle:
    """Draw a random order, equal on every device.

    Args:
        size: number of positions, in [1, 2^62].
        seed: `[2]` integer seed, see `draws.stateless_seed`.
    """
    keys = tf.random.stateless_uniform(
        [_ROUNDS], seed, None, None, tf.uint32, alg="philox"
    )
    return Shuffle(size, keys)


def _hash(numbers, key):
    """Mix the bits of uint32 numbers with those of a key."""
    mixed = tf.bitwise.bitwise_xor(numbers, key)
    for shift, multiplier in zip((16, 13), _MULTIPLIERS):
        mixed = tf.bitwise.bitwise_xor(
            mixed, tf.bitwise.right_shift(mixed, tf.constant(shift, tf.uint32))
        )
        mixed *= tf.constant(multiplier, tf.uint32)
    return tf.bitwise.bitwise_xor(
        mixed, tf.bitwise.right_shift(mixed, tf.constant(16, tf.uint32))
    )
