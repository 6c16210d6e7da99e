// Products of sparse matrices with batches, and the search for the largest
// scores. Plain C++17, without TensorFlow; threads come from the caller, and
// the bits of a result do not depend on their number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace rigl {

// A sparse matrix by rows: row r holds the entries starts[r] .. starts[r + 1],
// in ascending columns `indices`. The value of entry k is values[order[k]], or
// values[k] without `order`.
struct Matrix {
  int64_t n_rows;
  const int64_t* starts;
  const int32_t* indices;
  const int32_t* order;
};

struct InstructionSet {
  const char* name;
  int lanes;
  void (*to_slab)(const float*, int64_t, int64_t, int64_t, int64_t, float*);
  void (*from_slab)(const float*, int64_t, int64_t, int64_t, int64_t, float*);
  void (*multiply)(const Matrix&, const float*, int64_t, int64_t, int64_t,
                   const float*, float*);
  void (*sample)(const Matrix&, int64_t, int64_t, int64_t, const float*,
                 const float*, bool, float*);
  bool (*any_reaches)(const float*, int64_t, float);
};

#if defined(__x86_64__)
#define RIGL_NAMESPACE avx512
#define RIGL_NAME "AVX-512"
#define RIGL_TARGET \
  __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))
#define RIGL_LANES 16
#include "kernels_body.h"
#define RIGL_NAMESPACE avx2
#define RIGL_NAME "AVX2"
#define RIGL_TARGET __attribute__((target("avx2,fma")))
#define RIGL_LANES 8
#include "kernels_body.h"
// The code of 16 lanes on machines with 8: for tests.
#define RIGL_NAMESPACE wide
#define RIGL_NAME "AVX2, 16 lanes"
#define RIGL_TARGET __attribute__((target("avx2,fma")))
#define RIGL_LANES 16
#include "kernels_body.h"
#endif
#define RIGL_NAMESPACE portable
#define RIGL_NAME "portable"
#define RIGL_TARGET
#define RIGL_LANES 4
#include "kernels_body.h"

// Returns the sets that this processor has, the fastest first.
inline std::vector<const InstructionSet*> AvailableSets() {
  std::vector<const InstructionSet*> sets;
#if defined(__x86_64__)
  const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    sets.push_back(&avx512::kSet);
  }
  if (has_avx2) sets.insert(sets.end(), {&avx2::kSet, &wide::kSet});
#endif
  sets.push_back(&portable::kSet);
  return sets;
}

// The set in use; tests assign others.
inline const InstructionSet*& Current() {
  static const InstructionSet* set = AvailableSets().front();
  return set;
}

// Rows `first` to `first + n` of a batch, in a slab of `width` rows.
struct Tile {
  int64_t first, n, width;
};

// Cuts a batch into tiles of eight vectors; the last is as narrow as fits.
inline std::vector<Tile> TilesOf(int64_t batch, int lanes) {
  std::vector<Tile> tiles;
  for (int64_t first = 0; first < batch;) {
    int64_t width = 8 * lanes;
    const int64_t left = batch - first;
    while (width > lanes && left <= width / 2) width /= 2;
    tiles.push_back({first, std::min(left, width), width});
    first += width;
  }
  return tiles;
}

// Returns the rows of all slabs of a batch, padding included.
inline int64_t PaddedBatch(int64_t batch, int lanes) {
  int64_t rows = 0;
  for (const Tile& tile : TilesOf(batch, lanes)) rows += tile.width;
  return rows;
}

constexpr int64_t kRowsAtATime = 32;

// Writes the slabs of x [batch, n_features], one after the other.
template <class ParallelFor>
void MakeSlabs(const ParallelFor& parallel_for, const float* x, int64_t batch,
               int64_t n_features, float* slabs) {
  const InstructionSet& set = *Current();
  const std::vector<Tile> tiles = TilesOf(batch, set.lanes);
  constexpr int64_t kFeatures = 64;
  const int64_t n_blocks = (n_features + kFeatures - 1) / kFeatures;
  const int64_t n_tiles = tiles.size();
  parallel_for(n_tiles * n_blocks, kFeatures * 64,
               [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; job++) {
      const Tile& tile = tiles[job / n_blocks];
      const int64_t feature = job % n_blocks * kFeatures;
      // All slabs but the last have the width of the first.
      float* slab = slabs + tile.first * n_features + feature * tile.width;
      set.to_slab(x + tile.first * n_features + feature, n_features, tile.n,
                  std::min(kFeatures, n_features - feature), tile.width, slab);
    }
  });
}

// Calls function(begin, end) for blocks of kRowsAtATime rows, in parallel.
template <class ParallelFor, class Function>
void ForBlocksOfRows(const ParallelFor& parallel_for, const Matrix& matrix,
                     int64_t batch, Function function) {
  const int64_t n_blocks = (matrix.n_rows + kRowsAtATime - 1) / kRowsAtATime;
  const int64_t n_entries = matrix.starts[matrix.n_rows];
  const int64_t per_block = n_entries / std::max<int64_t>(1, n_blocks);
  parallel_for(n_blocks, (per_block + kRowsAtATime) * batch / 8, function);
}

// result [batch, n_rows] = x times the transpose of the matrix, where x
// [batch, n_features] is given as slabs.
template <class ParallelFor>
void Multiply(const ParallelFor& parallel_for, const Matrix& matrix,
              const float* values, const float* slabs, int64_t batch,
              int64_t n_features, float* result) {
  const InstructionSet& set = *Current();
  const std::vector<Tile> tiles = TilesOf(batch, set.lanes);
  const int64_t n_rows = matrix.n_rows;
  ForBlocksOfRows(parallel_for, matrix, batch, [&](int64_t begin, int64_t end) {
    std::vector<float> sums(kRowsAtATime * tiles[0].width);
    for (const Tile& tile : tiles) {
      for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * kRowsAtATime;
        const int64_t last = std::min(n_rows, first + kRowsAtATime);
        set.multiply(matrix, values, first, last, tile.width,
                     slabs + tile.first * n_features, sums.data());
        set.from_slab(sums.data(), tile.width, tile.n, last - first, n_rows,
                      result + tile.first * n_rows + first);
      }
    }
  });
}

// products[k] = sum over the batch of x[:, row of k] * dy[:, column of k].
template <class ParallelFor>
void SampleProduct(const ParallelFor& parallel_for, const Matrix& matrix,
                   const float* slabs_x, const float* slabs_dy, int64_t batch,
                   int64_t n_columns, float* products) {
  const InstructionSet& set = *Current();
  const std::vector<Tile> tiles = TilesOf(batch, set.lanes);
  const int64_t n_rows = matrix.n_rows;
  ForBlocksOfRows(parallel_for, matrix, batch, [&](int64_t begin, int64_t end) {
    for (const Tile& tile : tiles) {
      set.sample(matrix, begin * kRowsAtATime,
                 std::min(n_rows, end * kRowsAtATime), tile.width,
                 slabs_x + tile.first * n_rows,
                 slabs_dy + tile.first * n_columns, tile.first > 0, products);
    }
  });
}

// The k best pairs so far, among at most `capacity`: higher scores first, then
// lower positions.
struct Best {
  int64_t k;
  int64_t capacity;
  float* scores;
  int64_t* positions;
  int64_t n;
  float threshold;  // what a score must reach; NaN always does
};

// Keeps the k best pairs; `sorted` puts them in ascending positions.
inline void Compact(Best* best, bool sorted) {
  std::vector<std::pair<float, int64_t>> pairs(best->n);
  for (int64_t i = 0; i < best->n; i++) {
    pairs[i] = {best->scores[i], best->positions[i]};
  }
  const auto is_better = [](const auto& a, const auto& b) {
    const bool a_is_nan = a.first != a.first, b_is_nan = b.first != b.first;
    if (a_is_nan != b_is_nan) return a_is_nan;
    if (!a_is_nan && a.first != b.first) return a.first > b.first;
    return a.second < b.second;
  };
  const int64_t kept = std::min(best->k, best->n);
  if (kept < best->n) {
    std::nth_element(pairs.begin(), pairs.begin() + kept, pairs.end(),
                     is_better);
  }
  pairs.resize(kept);
  if (sorted) {
    std::sort(pairs.begin(), pairs.end(),
              [](const auto& a, const auto& b) { return a.second < b.second; });
  }
  for (int64_t i = 0; i < kept; i++) {
    best->scores[i] = pairs[i].first;
    best->positions[i] = pairs[i].second;
  }
  if (kept == best->k) {
    for (const auto& pair : pairs) {
      if (&pair == &pairs.front() || pair.first < best->threshold) {
        best->threshold = pair.first;
      }
    }
  }
  best->n = kept;
}

// Adds the scores of a tile [n_rows, n_columns] at (row, column) of a matrix
// with `width` columns, but not those of the entries of `kept`.
inline void Collect(const float* tile, int64_t n_rows, int64_t n_columns,
                    int64_t row, int64_t column, int64_t width,
                    const Matrix& kept, Best* best) {
  const InstructionSet& set = *Current();
  constexpr int64_t kBlock = 64;
  if (best->k == 0) return;
  for (int64_t r = 0; r < n_rows; r++) {
    const float* scores = tile + r * n_columns;
    const int32_t* end = kept.indices + kept.starts[row + r + 1];
    const int32_t* next = std::lower_bound(
        kept.indices + kept.starts[row + r], end, static_cast<int32_t>(column));
    for (int64_t c = 0; c < n_columns; c += kBlock) {
      const int64_t last = std::min(n_columns, c + kBlock);
      if (!set.any_reaches(scores + c, last - c, best->threshold)) continue;
      for (int64_t j = c; j < last; j++) {
        if (scores[j] < best->threshold) continue;
        while (next < end && *next < column + j) next++;
        if (next < end && *next == column + j) continue;
        if (best->n == best->capacity) {
          Compact(best, false);
          if (scores[j] < best->threshold) continue;
        }
        best->scores[best->n] = scores[j];
        best->positions[best->n++] = (row + r) * width + column + j;
      }
    }
  }
}

}  // namespace rigl
