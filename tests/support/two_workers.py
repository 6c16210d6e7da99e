"""One of two workers: train each kind of method, save what came out.

    python tests/support/two_workers.py INDEX ADDRESSES DIRECTORY

Started twice by test_multi_worker.py.
"""

import os
import pathlib
import sys


def main(index, addresses, directory):
    """Train a sample of methods under MultiWorkerMirroredStrategy."""
    from rigl_tf.training.hardware import cluster_config

    os.environ["TF_CONFIG"] = cluster_config.tf_config(
        addresses.split(","), index
    )
    import keras
    import method_rows
    import numpy as np
    import sparse_layers
    import tiny

    from rigl_tf.training.hardware import strategies

    strategy = strategies.multi_worker()
    directory = pathlib.Path(directory)
    for method, pattern in method_rows.SHARED:
        keras.utils.set_random_seed(0)
        trainer = tiny.trainer(
            method.build(),
            strategy=strategy,
            dtype="float64",
            pattern=pattern,
        )
        trainer.train(tiny.batches(dtype="float64"), method_rows.N_STEPS)
        assert trainer.workers.count == 2
        np.savez(directory / f"{method.name}-{index}.npz", **states(trainer))
    trainer = tiny.wide_resnet_trainer(strategy)
    trainer.train(tiny.images(), 4)
    np.savez(directory / f"wide_resnet-{index}.npz", **states(trainer))
    trainer = sparse_layers.trainer(strategy)
    trainer.train(sparse_layers.batches(), sparse_layers.N_STEPS)
    np.savez(directory / f"truly_sparse-{index}.npz", **states(trainer))


def states(trainer):
    """Map names to masks, weights and moving statistics."""
    arrays = {f"mask:{k.path}": k.mask.numpy() for k in trainer.kernels}
    for number, variable in enumerate(trainer.model.weights):
        arrays[f"weight:{number}"] = variable.numpy()
    return arrays


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
