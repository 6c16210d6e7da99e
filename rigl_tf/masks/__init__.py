"""Sparsities, masks and patterns of kernels, as functions of arrays.

- `distributions`: the sparsity of each kernel (uniform, Erdos-Renyi, tables).
- `counts`: the exact number of active weights for a sparsity.
- `draws`: stateless random numbers.
- `selection`: the masks of the largest scores.
- `patterns`: which weights are switched together, and how many per group.
- `storage`: mask files.
"""
