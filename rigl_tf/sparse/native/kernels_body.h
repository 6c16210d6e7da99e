// The inner loops, included once per instruction set by kernels.h, which
// defines RIGL_NAMESPACE, RIGL_TARGET and RIGL_LANES (floats in a vector).
//
// A slab holds one batch tile feature by feature: slab[feature * width + row],
// width = kVectors * RIGL_LANES.

namespace RIGL_NAMESPACE {

constexpr int kLanes = RIGL_LANES;
typedef float Vector
    __attribute__((vector_size(4 * RIGL_LANES), aligned(4), may_alias));
using Lanes = std::make_integer_sequence<int, kLanes>;

#define RIGL_INLINE RIGL_TARGET static inline __attribute__((always_inline))

RIGL_INLINE Vector Load(const float* p) {
  return *reinterpret_cast<const Vector*>(p);
}

RIGL_INLINE void Store(float* p, Vector v) {
  *reinterpret_cast<Vector*>(p) = v;
}

RIGL_INLINE Vector Splat(float value) { return value - Vector{}; }

// Lanes of two vectors, interleaved in runs of `stride`: the lower halves...
template <int stride, int... i>
RIGL_INLINE Vector Lower(Vector a, Vector b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(
      a, b, ((i & stride) ? kLanes + i - stride : i)...);
}

// ... and the upper halves.
template <int stride, int... i>
RIGL_INLINE Vector Upper(Vector a, Vector b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, ((i & stride) ? kLanes + i : i + stride)...);
}

// Transposes a square of kLanes vectors.
template <int stride = 1>
RIGL_INLINE void TransposeSquare(Vector* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i++) {
    if (i & stride) continue;
    const Vector a = rows[i], b = rows[i + stride];
    rows[i] = Lower<stride>(a, b, Lanes());
    rows[i + stride] = Upper<stride>(a, b, Lanes());
  }
  if constexpr (2 * stride < kLanes) TransposeSquare<2 * stride>(rows);
}

// Returns the vector whose lane i is the sum of the lanes of terms[i].
template <int stride = 1>
RIGL_INLINE Vector SumOfEach(Vector* terms) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes / (2 * stride); i++) {
    const Vector a = terms[2 * i], b = terms[2 * i + 1];
    terms[i] = Lower<stride>(a, b, Lanes()) + Upper<stride>(a, b, Lanes());
  }
  if constexpr (2 * stride < kLanes) {
    return SumOfEach<2 * stride>(terms);
  } else {
    return terms[0];
  }
}

// slab[column * width + row] = x[row * stride + column]; rows from n_rows to
// width are zero.
RIGL_TARGET static void ToSlab(const float* x, int64_t stride, int64_t n_rows,
                               int64_t n_columns, int64_t width, float* slab) {
  for (int64_t row = 0; row < width; row += kLanes) {
    int64_t column = 0;
    if (row + kLanes <= n_rows) {
      for (; column + kLanes <= n_columns; column += kLanes) {
        Vector square[kLanes];
        for (int i = 0; i < kLanes; i++) {
          square[i] = Load(x + (row + i) * stride + column);
        }
        TransposeSquare(square);
        for (int i = 0; i < kLanes; i++) {
          Store(slab + (column + i) * width + row, square[i]);
        }
      }
    }
    for (; column < n_columns; column++) {
      for (int64_t i = row; i < row + kLanes; i++) {
        slab[column * width + i] = i < n_rows ? x[i * stride + column] : 0.f;
      }
    }
  }
}

// The inverse: y[row * stride + column] = slab[column * width + row].
RIGL_TARGET static void FromSlab(const float* slab, int64_t width,
                                 int64_t n_rows, int64_t n_columns,
                                 int64_t stride, float* y) {
  int64_t row = 0;
  for (; row + kLanes <= n_rows; row += kLanes) {
    int64_t column = 0;
    for (; column + kLanes <= n_columns; column += kLanes) {
      Vector square[kLanes];
      for (int i = 0; i < kLanes; i++) {
        square[i] = Load(slab + (column + i) * width + row);
      }
      TransposeSquare(square);
      for (int i = 0; i < kLanes; i++) {
        Store(y + (row + i) * stride + column, square[i]);
      }
    }
    for (; column < n_columns; column++) {
      for (int64_t i = row; i < row + kLanes; i++) {
        y[i * stride + column] = slab[column * width + i];
      }
    }
  }
  for (; row < n_rows; row++) {
    for (int64_t column = 0; column < n_columns; column++) {
      y[row * stride + column] = slab[column * width + row];
    }
  }
}

// sums[0..width) = sum over k of values[order[k]] * slab[indices[k]], the order
// being k itself without `ordered`.
template <int kVectors, bool ordered>
RIGL_TARGET static void AddUp(const int32_t* indices, const int32_t* order,
                              const float* values, int64_t begin, int64_t end,
                              const float* slab, float* sums) {
  Vector sum[kVectors] = {};
  for (int64_t k = begin; k < end; k++) {
    const float* row = slab + int64_t{indices[k]} * (kVectors * kLanes);
    const Vector value = Splat(values[ordered ? order[k] : k]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) sum[v] += Load(row + v * kLanes) * value;
  }
  for (int v = 0; v < kVectors; v++) Store(sums + v * kLanes, sum[v]);
}

// products[k] (+)= <x, slab[indices[k]]>, for one row x of a slab.
template <int kVectors>
RIGL_TARGET static void Dots(const int32_t* indices, int64_t begin, int64_t end,
                             const float* slab, const float* x, bool add,
                             float* products) {
  Vector held[kVectors];
  for (int v = 0; v < kVectors; v++) held[v] = Load(x + v * kLanes);
  int64_t k = begin;
  for (; k < end; k += kLanes) {
    const int n = end - k < kLanes ? static_cast<int>(end - k) : kLanes;
    Vector terms[kLanes] = {};
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) {
      const int32_t index = indices[i < n ? k + i : k];
      const float* row = slab + int64_t{index} * (kVectors * kLanes);
      Vector term = held[0] * Load(row);
#pragma GCC unroll 8
      for (int v = 1; v < kVectors; v++) term += held[v] * Load(row + v * kLanes);
      terms[i] = term;
    }
    Vector sums = SumOfEach(terms);
    if (n == kLanes) {
      Store(products + k, add ? Load(products + k) + sums : sums);
    } else {
      for (int i = 0; i < n; i++) {
        products[k + i] = add ? products[k + i] + sums[i] : sums[i];
      }
    }
  }
}

template <int kVectors>
RIGL_TARGET static void MultiplyRows(const Matrix& matrix, const float* values,
                                     int64_t first, int64_t last,
                                     const float* slab, float* sums) {
  for (int64_t row = first; row < last; row++) {
    const int64_t begin = matrix.starts[row], end = matrix.starts[row + 1];
    float* sum = sums + (row - first) * kVectors * kLanes;
    if (matrix.order != nullptr) {
      AddUp<kVectors, true>(matrix.indices, matrix.order, values, begin, end,
                            slab, sum);
    } else {
      AddUp<kVectors, false>(matrix.indices, nullptr, values, begin, end, slab,
                             sum);
    }
  }
}

template <int kVectors>
RIGL_TARGET static void DotsOfRows(const Matrix& matrix, int64_t first,
                                   int64_t last, const float* slab_x,
                                   const float* slab_dy, bool add,
                                   float* products) {
  for (int64_t row = first; row < last; row++) {
    Dots<kVectors>(matrix.indices, matrix.starts[row], matrix.starts[row + 1],
                   slab_dy, slab_x + row * kVectors * kLanes, add, products);
  }
}

RIGL_TARGET static void Multiply(const Matrix& matrix, const float* values,
                                 int64_t first, int64_t last, int64_t width,
                                 const float* slab, float* sums) {
  switch (width / kLanes) {
    case 8: return MultiplyRows<8>(matrix, values, first, last, slab, sums);
    case 4: return MultiplyRows<4>(matrix, values, first, last, slab, sums);
    case 2: return MultiplyRows<2>(matrix, values, first, last, slab, sums);
    default: return MultiplyRows<1>(matrix, values, first, last, slab, sums);
  }
}

RIGL_TARGET static void Sample(const Matrix& matrix, int64_t first,
                               int64_t last, int64_t width, const float* x,
                               const float* dy, bool add, float* products) {
  switch (width / kLanes) {
    case 8: return DotsOfRows<8>(matrix, first, last, x, dy, add, products);
    case 4: return DotsOfRows<4>(matrix, first, last, x, dy, add, products);
    case 2: return DotsOfRows<2>(matrix, first, last, x, dy, add, products);
    default: return DotsOfRows<1>(matrix, first, last, x, dy, add, products);
  }
}

// Returns whether any of n scores is not below a threshold. NaN counts.
RIGL_TARGET static bool AnyReaches(const float* scores, int64_t n,
                                   float threshold) {
  int found = 0;
  for (int64_t i = 0; i < n; i++) found |= !(scores[i] < threshold);
  return found;
}

static const InstructionSet kSet = {RIGL_NAME, kLanes, ToSlab,    FromSlab,
                                    Multiply,  Sample, AnyReaches};

#undef RIGL_INLINE
}  // namespace RIGL_NAMESPACE
#undef RIGL_NAMESPACE
#undef RIGL_NAME
#undef RIGL_TARGET
#undef RIGL_LANES
