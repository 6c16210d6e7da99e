"""Networks and batches that `peers.py` builds in every framework."""

LENET = (784, 300, 100, 10)


def resnet18_blocks():
    """Return (filters, stride, whether it projects) of each basic block."""
    return [
        (64 * 2**group, 2 if group and not block else 1, not block)
        for group in range(4)
        for block in range(2)
    ]


def resnet50_kernels():
    """Return the 54 shapes of ResNet-50's kernels, in the order of Keras."""
    shapes, channels = [(7, 7, 3, 64)], 64
    for group, n_blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**group
        for block in range(n_blocks):
            shapes += [
                (1, 1, channels, width),
                (3, 3, width, width),
                (1, 1, width, 4 * width),
            ]
            if block == 0:
                shapes.append((1, 1, channels, 4 * width))
            channels = 4 * width
    return [*shapes, (channels, 1000)]


def orders(permutation, n_examples, batch, n_steps):
    """Yield the rows of each batch, in a new order every epoch.

    Args:
        permutation: function that draws an order of so many rows.
        n_examples: number of rows.
        batch: number of rows of a batch; the rest of an epoch is left out.
        n_steps: number of batches.
    """
    per_epoch = n_examples // batch
    for index in range(n_steps):
        if index % per_epoch == 0:
            order = permutation(n_examples)
        start = index % per_epoch * batch
        yield order[start : start + batch]
