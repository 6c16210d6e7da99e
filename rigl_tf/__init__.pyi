"""What `import rigl_tf` offers, for editors and type checkers."""

from rigl_tf import accounting as accounting
from rigl_tf import analysis as analysis
from rigl_tf import datasets as datasets
from rigl_tf import export as export
from rigl_tf import layers as layers
from rigl_tf import masks as masks
from rigl_tf import models as models
from rigl_tf import sparse as sparse
from rigl_tf import training as training
from rigl_tf import updaters as updaters
from rigl_tf.accounting import count as count
from rigl_tf.analysis import plots as plots
from rigl_tf.experiments import experiment as experiment
from rigl_tf.layers import initializers as initializers
from rigl_tf.layers.kernel_masks import masked_kernels as masked_kernels
from rigl_tf.layers.masked import Masked as Masked
from rigl_tf.layers.masked import MaskedModel as MaskedModel
from rigl_tf.layers.masking import sparsify as sparsify
from rigl_tf.layers.masking import strip as strip
from rigl_tf.layers.summary import summary as summary
from rigl_tf.masks import distributions as distributions
from rigl_tf.masks import patterns as patterns
from rigl_tf.training import callbacks as callbacks
from rigl_tf.training import learning_rates as learning_rates
from rigl_tf.training import losses as losses
from rigl_tf.training import metrics as metrics
from rigl_tf.training.hardware import strategies as _strategies
from rigl_tf.training.sparse_model import SparseModel as SparseModel
from rigl_tf.training.sparse_trainer import SparseTrainer as SparseTrainer
from rigl_tf.training.steps import SparseSteps as SparseSteps
from rigl_tf.updaters import schedules as schedules

hardware = _strategies

__version__: str
