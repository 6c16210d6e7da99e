"""What `import rigl_tf` offers, for editors and type checkers."""

from rigl_tf import accounting as accounting
from rigl_tf import callbacks as callbacks
from rigl_tf import datasets as datasets
from rigl_tf import distribute as distribute
from rigl_tf import distributions as distributions
from rigl_tf import experiment as experiment
from rigl_tf import initializers as initializers
from rigl_tf import layers as layers
from rigl_tf import losses as losses
from rigl_tf import masking as masking
from rigl_tf import masks as masks
from rigl_tf import metrics as metrics
from rigl_tf import models as models
from rigl_tf import packed as packed
from rigl_tf import rates as rates
from rigl_tf import schedules as schedules
from rigl_tf import shapes as shapes
from rigl_tf import steps as steps
from rigl_tf import trainer as trainer
from rigl_tf import updaters as updaters
from rigl_tf.accounting import count as count
from rigl_tf.keras_fit import SparseModel as SparseModel
from rigl_tf.layers import Masked as Masked
from rigl_tf.layers import MaskedModel as MaskedModel
from rigl_tf.masking import masked_kernels as masked_kernels
from rigl_tf.masking import sparsify as sparsify
from rigl_tf.masking import strip as strip
from rigl_tf.reports import summary as summary
from rigl_tf.trainer import SparseTrainer as SparseTrainer

__version__: str
