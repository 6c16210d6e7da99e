"""Augment batches of images with given random numbers."""

import tensorflow as tf


def crop_and_flip(
    images: tf.Tensor, draws: tf.Tensor, padding: int = 4
) -> tf.Tensor:
    """Shift images within a mirrored frame, and flip half of them.

    The frame repeats the border pixels (symmetric padding), as in the original
    code. Two gathers process the whole batch.

    Args:
        images: [batch, height, width, channels].
        draws: non-negative integers [batch, 3], large compared with the
            padding: for rows, columns and flips.
        padding: width of the frame [pixels].

    Returns:
        A tensor of the shape of `images`.
    """
    height, width = images.shape[1:3]
    draws = tf.cast(draws, tf.int32)
    rows = _window(draws[:, 0], height, padding)
    columns = _window(draws[:, 1], width, padding)
    flips = draws[:, 2:] % 2 == 1
    columns = tf.where(flips, columns[:, ::-1], columns)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _window(draws, size, padding):
    """Return the indices of the pixels that a crop contains, [batch, size]."""
    shifts = draws % (2 * padding + 1) - padding
    places = tf.range(size)[None, :] + shifts[:, None]
    places = tf.where(places < 0, -places - 1, places)
    return tf.where(places >= size, 2 * size - 1 - places, places)
