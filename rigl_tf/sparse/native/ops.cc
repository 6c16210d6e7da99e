// TensorFlow operations around kernels.h, on TensorFlow's own threads.

#include "instruction_sets.h"
#include "kernels.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/lib/core/threadpool.h"

namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;

// Runs functions of ranges on the threads that TensorFlow gives an operation.
struct Threads {
  OpKernelContext* context;

  template <class Function>
  void operator()(int64_t n, int64_t cost, Function function) const {
    const auto* threads =
        context->device()->tensorflow_cpu_worker_threads();
    if (threads->num_threads == 1 || n * cost < 20000) return function(0, n);
    threads->workers->ParallelFor(n, cost, function);
  }
};

template <class T>
const T* Input(OpKernelContext* context, int index) {
  return context->input(index).flat<T>().data();
}

template <class T>
T Scalar(OpKernelContext* context, int index) {
  return context->input(index).scalar<T>()();
}

int64_t Length(OpKernelContext* context, int index) {
  return context->input(index).NumElements();
}

// The matrix of three inputs: starts, indices and, if not empty, order.
rigl::Matrix MatrixOf(OpKernelContext* context, int starts, int order = -1) {
  const bool ordered = order >= 0 && Length(context, order) > 0;
  return {Length(context, starts) - 1, Input<int64_t>(context, starts),
          Input<int32_t>(context, starts + 1),
          ordered ? Input<int32_t>(context, order) : nullptr};
}

int64_t Padded(int64_t batch) {
  return rigl::PaddedBatch(batch, rigl::Current()->lanes);
}

absl::Status UnknownVector(InferenceContext* c) {
  c->set_output(0, c->Vector(c->UnknownDim()));
  return absl::OkStatus();
}

REGISTER_OP("RiglSparseSlabs")
    .Input("x: float")
    .Output("slabs: float")
    .SetShapeFn(UnknownVector);

class SlabsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    OP_REQUIRES(context, x.dims() == 2,
                absl::InvalidArgumentError("`x` must be a matrix"));
    const int64_t batch = x.dim_size(0), n_features = x.dim_size(1);
    Tensor* slabs;
    OP_REQUIRES_OK(context,
                   context->allocate_output(
                       0, TensorShape({Padded(batch) * n_features}), &slabs));
    if (batch == 0) return;
    rigl::MakeSlabs(Threads{context}, x.flat<float>().data(), batch, n_features,
                    slabs->flat<float>().data());
  }
};
REGISTER_KERNEL_BUILDER(Name("RiglSparseSlabs").Device("CPU"), SlabsOp);

REGISTER_OP("RiglSparseMultiply")
    .Input("slabs: float")
    .Input("batch: int64")
    .Input("values: float")
    .Input("starts: int64")
    .Input("indices: int32")
    .Input("order: int32")
    .Output("result: float")
    .SetShapeFn([](InferenceContext* c) {
      DimensionHandle n_rows;
      TF_RETURN_IF_ERROR(c->Subtract(c->Dim(c->input(3), 0), 1, &n_rows));
      c->set_output(0, c->Matrix(c->UnknownDim(), n_rows));
      return absl::OkStatus();
    });

class MultiplyOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const int64_t batch = Scalar<int64_t>(context, 1);
    const rigl::Matrix matrix = MatrixOf(context, 3, 5);
    Tensor* result;
    OP_REQUIRES_OK(context,
                   context->allocate_output(
                       0, TensorShape({batch, matrix.n_rows}), &result));
    if (batch == 0) return;
    rigl::Multiply(Threads{context}, matrix, Input<float>(context, 2),
                   Input<float>(context, 0), batch,
                   Length(context, 0) / Padded(batch),
                   result->flat<float>().data());
  }
};
REGISTER_KERNEL_BUILDER(Name("RiglSparseMultiply").Device("CPU"), MultiplyOp);

REGISTER_OP("RiglSparseSample")
    .Input("slabs_x: float")
    .Input("slabs_dy: float")
    .Input("batch: int64")
    .Input("starts: int64")
    .Input("indices: int32")
    .Output("products: float")
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(4));
      return absl::OkStatus();
    });

class SampleOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const int64_t batch = Scalar<int64_t>(context, 2);
    Tensor* products;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, context->input(4).shape(), &products));
    float* p = products->flat<float>().data();
    if (batch == 0) {
      std::fill(p, p + products->NumElements(), 0.f);
      return;
    }
    rigl::SampleProduct(Threads{context}, MatrixOf(context, 3),
                        Input<float>(context, 0), Input<float>(context, 1),
                        batch, Length(context, 1) / Padded(batch), p);
  }
};
REGISTER_KERNEL_BUILDER(Name("RiglSparseSample").Device("CPU"), SampleOp);

REGISTER_OP("RiglSparseCollect")
    .Input("tile: float")
    .Input("row: int64")
    .Input("column: int64")
    .Input("width: int64")
    .Input("kept_starts: int64")
    .Input("kept_indices: int32")
    .Input("k: int64")
    .Input("is_last: bool")
    .Input("scores: float")
    .Input("positions: int64")
    .Input("n: int64")
    .Input("threshold: float")
    .Output("scores_out: float")
    .Output("positions_out: int64")
    .Output("n_out: int64")
    .Output("threshold_out: float")
    .SetShapeFn([](InferenceContext* c) {
      for (int i = 0; i < 4; i++) c->set_output(i, c->input(8 + i));
      return absl::OkStatus();
    });

class CollectOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& tile = context->input(0);
    Tensor* outputs[4];
    for (int i = 0; i < 4; i++) {  // in place, if nobody else needs the input
      int forwarded = -1;
      const Tensor& given = context->input(8 + i);
      OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                  {8 + i}, i, given.shape(), &outputs[i],
                                  &forwarded));
      if (forwarded < 0) {
        std::memcpy(outputs[i]->data(), given.data(), given.TotalBytes());
      }
    }
    rigl::Best best = {Scalar<int64_t>(context, 6),
                       outputs[0]->NumElements(),
                       outputs[0]->flat<float>().data(),
                       outputs[1]->flat<int64_t>().data(),
                       outputs[2]->scalar<int64_t>()(),
                       outputs[3]->scalar<float>()()};
    OP_REQUIRES(context, best.k < best.capacity,
                absl::InvalidArgumentError("`scores` must hold more than k"));
    rigl::Collect(tile.flat<float>().data(), tile.dim_size(0),
                  tile.dim_size(1), Scalar<int64_t>(context, 1),
                  Scalar<int64_t>(context, 2), Scalar<int64_t>(context, 3),
                  MatrixOf(context, 4), &best);
    if (Scalar<bool>(context, 7)) rigl::Compact(&best, true);
    outputs[2]->scalar<int64_t>()() = best.n;
    outputs[3]->scalar<float>()() = best.threshold;
  }
};
REGISTER_KERNEL_BUILDER(Name("RiglSparseCollect").Device("CPU"), CollectOp);

}  // namespace
