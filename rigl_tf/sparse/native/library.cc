// A plain library around kernels.h, for `ctypes`, on threads of its own.

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "instruction_sets.h"
#include "kernels.h"

namespace {

int& NumberOfThreads() {
  static int number = 1;
  return number;
}

// Runs functions of ranges on threads that live as long as the call.
struct Threads {
  template <class Function>
  void operator()(int64_t n, int64_t cost, Function function) const {
    // A thread starts in the time of some 200,000 multiplications.
    const int64_t worthwhile = n * cost / 200000;
    const int64_t n_threads =
        std::min({n, worthwhile, static_cast<int64_t>(NumberOfThreads())});
    if (n_threads <= 1) return function(0, n);
    std::vector<std::thread> threads;
    for (int64_t i = 1; i < n_threads; i++) {
      threads.emplace_back(function, n * i / n_threads,
                           n * (i + 1) / n_threads);
    }
    function(0, n / n_threads);
    for (std::thread& thread : threads) thread.join();
  }
};

}  // namespace

extern "C" {

void RiglSetThreads(int number) { NumberOfThreads() = number; }

int64_t RiglPaddedBatch(int64_t batch) {
  return rigl::PaddedBatch(batch, rigl::Current()->lanes);
}

void RiglSlabs(const float* x, int64_t batch, int64_t n_features,
               float* slabs) {
  if (batch > 0) rigl::MakeSlabs(Threads(), x, batch, n_features, slabs);
}

void RiglMultiply(const float* slabs, int64_t batch, int64_t n_features,
                  const float* values, int64_t n_rows, const int64_t* starts,
                  const int32_t* indices, const int32_t* order,
                  float* result) {
  if (batch == 0) return;
  rigl::Multiply(Threads(), {n_rows, starts, indices, order}, values, slabs,
                 batch, n_features, result);
}

void RiglSample(const float* slabs_x, const float* slabs_dy, int64_t batch,
                int64_t n_rows, int64_t n_columns, const int64_t* starts,
                const int32_t* indices, float* products) {
  if (batch == 0) {
    std::fill(products, products + starts[n_rows], 0.f);
    return;
  }
  rigl::SampleProduct(Threads(), {n_rows, starts, indices, nullptr}, slabs_x,
                      slabs_dy, batch, n_columns, products);
}

// `place` holds row, column and width; `n` and `threshold` change in place.
void RiglCollect(const float* tile, int64_t n_rows, int64_t n_columns,
                 const int64_t* place, int64_t n_kept_rows,
                 const int64_t* starts, const int32_t* indices, int64_t k,
                 int is_last, int64_t capacity, float* scores,
                 int64_t* positions, int64_t* n, float* threshold) {
  rigl::Best best = {k, capacity, scores, positions, *n, *threshold};
  rigl::Collect(tile, n_rows, n_columns, place[0], place[1], place[2],
                {n_kept_rows, starts, indices, nullptr}, &best);
  if (is_last) rigl::Compact(&best, true);
  *n = best.n;
  *threshold = best.threshold;
}

}  // extern "C"
