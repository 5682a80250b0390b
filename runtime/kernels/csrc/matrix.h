// y = W x for a few rows x at a time, with W packed into panels.
//
// A panel holds PANEL outputs. f32: [in][PANEL]. bf16: [in / 2][PANEL][2], so that a register of
// pairs becomes two registers of floats by one shift and one mask; arithmetic is f32 throughout.
// Each output is one sum over the inputs in their order, however many rows there are: a row's
// result does not depend on the batch, bit for bit.
#pragma once

#include <algorithm>

#include "team.h"
#include "vector.h"

constexpr int PANEL = 2 * LANES;

// Accumulators stay in registers only where every loop over them is unrolled.
#define UNROLL _Pragma("GCC unroll 32")

struct Matrix {
  const void* panels;  // [num_panels, in, PANEL]; num_panels is even, filled up with zeros
  const float* bias;   // [num_panels * PANEL], or null
  int64_t num_panels;
  int64_t in;      // even
  int64_t is_bf16;
};

// Adds ROWS x PANELS * PANEL products. x: row r at x + r * stride. out: [ROWS][2 * PANEL].
template <int ROWS, int PANELS>
static void tile(const float* x, int64_t stride, const float* const* panels, int64_t in,
                 float* out, int column) {
  Vec acc[ROWS][PANELS * 2] = {};
  for (int64_t k = 0; k < in; ++k) {
    UNROLL
    for (int p = 0; p < PANELS; ++p) {
      Vec w0 = load(panels[p] + k * PANEL), w1 = load(panels[p] + k * PANEL + LANES);
      UNROLL
      for (int r = 0; r < ROWS; ++r) {
        float value = x[r * stride + k];
        acc[r][p * 2] += w0 * value;
        acc[r][p * 2 + 1] += w1 * value;
      }
    }
  }
  UNROLL
  for (int r = 0; r < ROWS; ++r)
    UNROLL
    for (int v = 0; v < PANELS * 2; ++v) store(out + r * 2 * PANEL + column + v * LANES, acc[r][v]);
}

template <int ROWS, int PANELS>
static void tile(const float* x, int64_t stride, const bf16* const* panels, int64_t in,
                 float* out, int column) {
  Vec acc[ROWS][PANELS * 2] = {};
  for (int64_t k = 0; k < in; k += 2) {
    UNROLL
    for (int p = 0; p < PANELS; ++p) {
      // Even inputs, then odd ones: the pairs are read twice, which is cheaper than a register.
      const bf16* pairs = panels[p] + k * PANEL;
      Vec w0 = (Vec)(load_as<UVec>(pairs) << 16);
      Vec w1 = (Vec)(load_as<UVec>(pairs + 2 * LANES) << 16);
      UNROLL
      for (int r = 0; r < ROWS; ++r) {
        float value = x[r * stride + k];
        acc[r][p * 2] += w0 * value;
        acc[r][p * 2 + 1] += w1 * value;
      }
      asm("" : "+r"(pairs));  // forget that they were read
      w0 = (Vec)(load_as<UVec>(pairs) & 0xFFFF0000u);
      w1 = (Vec)(load_as<UVec>(pairs + 2 * LANES) & 0xFFFF0000u);
      UNROLL
      for (int r = 0; r < ROWS; ++r) {
        float value = x[r * stride + k + 1];
        acc[r][p * 2] += w0 * value;
        acc[r][p * 2 + 1] += w1 * value;
      }
    }
  }
  UNROLL
  for (int r = 0; r < ROWS; ++r)
    UNROLL
    for (int v = 0; v < PANELS * 2; ++v) store(out + r * 2 * PANEL + column + v * LANES, acc[r][v]);
}

// A pair of panels for `rows` rows, at most MAX_ROWS: both at once while the registers last.
template <class W, int ROWS = MAX_ROWS>
static void pair_tile(int rows, const float* x, int64_t stride, const W* const* panels, int64_t in,
                      float* out) {
  if constexpr (ROWS == 0) {
    return;
  } else {
    if (rows < ROWS) return pair_tile<W, ROWS - 1>(rows, x, stride, panels, in, out);
    if constexpr (ROWS * 2 <= MAX_ROWS) {
      tile<ROWS, 2>(x, stride, panels, in, out, 0);
    } else {
      tile<ROWS, 1>(x, stride, panels, in, out, 0);
      tile<ROWS, 1>(x, stride, panels + 1, in, out, PANEL);
    }
  }
}

constexpr int64_t ROWS_IN_CACHE = 96;  // rows that share one reading of a panel; they fit in L2
constexpr int64_t PIECES = 16;         // of a matrix: even loads, and short waits for the last one

// Calls finish(row, first_output, values[2 * PANEL]) for each row and pair of panels, bias added.
template <class W, class Finish>
static void multiply_as(Member& team, const Matrix& m, const float* x, int64_t stride, int64_t rows,
                        const Finish& finish) {
  const int64_t pairs = m.num_panels / 2;
  const int64_t pieces = std::min(pairs, PIECES);
  for (int64_t begin = 0; begin < rows; begin += ROWS_IN_CACHE) {
    const int64_t count = std::min(rows - begin, ROWS_IN_CACHE);
    const int64_t tiles = (count + MAX_ROWS - 1) / MAX_ROWS;
    team.each(pieces, [&](int64_t piece) {
      alignas(64) float out[MAX_ROWS * 2 * PANEL];
      for (int64_t pair = pairs * piece / pieces; pair < pairs * (piece + 1) / pieces; ++pair) {
        const W* first = static_cast<const W*>(m.panels) + pair * 2 * m.in * PANEL;
        const W* panels[2] = {first, first + m.in * PANEL};
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t from = begin + count * t / tiles, to = begin + count * (t + 1) / tiles;
          pair_tile<W>(static_cast<int>(to - from), x + from * stride, stride, panels, m.in, out);
          for (int64_t row = from; row < to; ++row) {
            float* values = out + (row - from) * 2 * PANEL;
            if (m.bias)
              for (int i = 0; i < 2 * PANEL; ++i) values[i] += m.bias[pair * 2 * PANEL + i];
            finish(row, pair * 2 * PANEL, values);
          }
        }
      }
    });
  }
}

template <class Finish>
static void multiply(Member& team, const Matrix& m, const float* x, int64_t stride, int64_t rows,
                     const Finish& finish) {
  if (m.is_bf16)
    multiply_as<bf16>(team, m, x, stride, rows, finish);
  else
    multiply_as<float>(team, m, x, stride, rows, finish);
}

// How many phases `multiply` takes.
static inline int64_t multiply_phases(int64_t rows) {
  return (rows + ROWS_IN_CACHE - 1) / ROWS_IN_CACHE;
}
