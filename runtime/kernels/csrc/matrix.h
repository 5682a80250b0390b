// y = W x for a few rows x at a time, with W packed into panels.
//
// A panel holds PANEL outputs. f32: [in][PANEL]. bf16: [in / 2][PANEL][2], so that a register of
// pairs becomes two registers of floats by one shift and one mask. int8: [in / 4][PANEL][4], each
// output with a scale. int4: [in / 8][PANEL] words, each output with a scale and a lowest value for
// every group of inputs. Arithmetic is f32 throughout. Each output is one sum over the inputs in
// their order, or over groups of them in theirs, however many rows there are: a row's result does
// not depend on the batch, bit for bit.
#pragma once

#include <algorithm>
#include <vector>

#include "team.h"
#include "vector.h"

constexpr int PANEL = 2 * LANES;

// Accumulators stay in registers only where every loop over them is unrolled.
#define UNROLL _Pragma("GCC unroll 32")

enum Kind : int64_t { F32, BF16, INT8, INT4 };

struct Matrix {
  const void* panels;   // [num_panels, in, PANEL]; num_panels is even, filled up with zeros
  const float* bias;    // [num_panels * PANEL], or null
  const float* scales;  // of int8 and int4, [num_panels, in / group, PANEL]
  const float* lowest;  // of int4, likewise
  int64_t num_panels;
  int64_t in;  // even, and whole words of int8 and int4
  int64_t kind;
  int64_t group;  // inputs that share a scale; for int8 all of them, for int4 whole registers
};

struct Bytes {  // four inputs of one output, the first in the lowest
  static constexpr int INPUTS = 4;
  uint32_t bits;

  // An input of LANES outputs, times 2^24: at the upper end of a word it needs no sign extension.
  static Vec input(UVec words, int i) {
    return __builtin_convertvector((IVec)(words << (24 - 8 * i) & 0xFF000000u), Vec);
  }
};

struct Nibbles {  // eight inputs of one output, the first in the lowest
  static constexpr int INPUTS = 8;
  uint32_t bits;

  static Vec input(UVec words, int i) {
    return __builtin_convertvector((IVec)(words >> (4 * i) & 15u), Vec);
  }
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

template <int ROWS, int PANELS, class Word>
static void tile(const float* x, int64_t stride, const Word* const* panels, int64_t in, float* out,
                 int column) {
  Vec acc[ROWS][PANELS * 2] = {};
  for (int64_t k = 0; k < in; k += Word::INPUTS) {
    UNROLL
    for (int v = 0; v < PANELS * 2; ++v) {
      const Word* from = panels[v / 2] + k / Word::INPUTS * PANEL + v % 2 * LANES;
      const UVec words = load_as<UVec>(from);
      UNROLL
      for (int i = 0; i < Word::INPUTS; ++i) {
        const Vec w = Word::input(words, i);
        UNROLL
        for (int r = 0; r < ROWS; ++r) acc[r][v] += w * x[r * stride + k + i];
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

// Writes panels of words as bf16, which holds every value of their inputs.
template <class Word>
static void widen(const Word* words, int64_t count, bf16* to) {
  for (int64_t n = 0; n < count; n += PANEL, to += Word::INPUTS * PANEL)
    for (int v = 0; v < 2; ++v)
      UNROLL
      for (int i = 0; i < Word::INPUTS; i += 2) {
        const UVec four = load_as<UVec>(words + n + v * LANES);
        const UVec even = (UVec)Word::input(four, i), odd = (UVec)Word::input(four, i + 1);
        const UVec pair = even >> 16 | (odd & 0xFFFF0000u);
        std::memcpy(to + i * PANEL + v * 2 * LANES, &pair, sizeof pair);
      }
}

// Pairs of panels of plain numbers.
template <class W>
struct Plain {
  const Matrix& m;
  const bool is_widened;  // nothing is

  void begin(int64_t) {}

  void multiply(int rows, int64_t pair, const float* x, int64_t stride, float* out) {
    const W* first = static_cast<const W*>(m.panels) + pair * 2 * m.in * PANEL;
    const W* panels[2] = {first, first + m.in * PANEL};
    pair_tile<W>(rows, x, stride, panels, m.in, out);
  }
};

// Pairs of panels of words, with scales. Each is widened first if several tiles will read it.
template <class Word>
struct Scaled {
  const Matrix& m;
  const bool is_widened;

  void begin(int64_t pair) {
    const int64_t count = 2 * m.in / Word::INPUTS * PANEL;
    if (!is_widened) return;
    wide().resize(2 * m.in * PANEL);
    widen(static_cast<const Word*>(m.panels) + pair * count, count, wide().data());
  }

  void multiply(int rows, int64_t pair, const float* x, int64_t stride, float* out) {
    for (int64_t begin = 0; begin < m.in; begin += m.group) {
      alignas(64) float part[MAX_ROWS * 2 * PANEL];
      if (is_widened) {
        const bf16* first = wide().data() + begin * PANEL;
        const bf16* panels[2] = {first, first + m.in * PANEL};
        pair_tile<bf16>(rows, x + begin, stride, panels, m.group, part);
      } else {
        const int64_t count = m.in / Word::INPUTS * PANEL;
        const Word* first = static_cast<const Word*>(m.panels) + pair * 2 * count;
        const Word* panels[2] = {first + begin / Word::INPUTS * PANEL,
                                 first + begin / Word::INPUTS * PANEL + count};
        pair_tile<Word>(rows, x + begin, stride, panels, m.group, part);
      }
      for (int r = 0; r < rows; ++r)
        add(pair, begin, x + r * stride + begin, part + r * 2 * PANEL, out + r * 2 * PANEL);
    }
  }

 private:
  static std::vector<bf16>& wide() {
    static thread_local std::vector<bf16> panels;
    return panels;
  }

  // Adds a group's sums of one row to those of the groups before.
  void add(int64_t pair, int64_t begin, const float* x, const float* part, float* out) {
    Vec inputs = {};
    if (m.lowest)
      for (int64_t k = 0; k < m.group; k += LANES) inputs += load(x + k);
    const float all = sum(inputs);
    for (int v = 0; v < 4; ++v) {
      const int64_t panel = pair * 2 + v / 2;
      const int64_t at = (panel * (m.in / m.group) + begin / m.group) * PANEL + v % 2 * LANES;
      Vec total = begin ? load(out + v * LANES) : Vec{};
      total += load(part + v * LANES) * load(m.scales + at);
      if (m.lowest) total += all * load(m.lowest + at);
      store(out + v * LANES, total);
    }
  }
};

// Calls finish(row, first_output, values[2 * PANEL]) for each row and pair of panels, bias added.
template <class Pairs, class Finish>
static void multiply_as(Member& team, const Matrix& m, const float* x, int64_t stride, int64_t rows,
                        const Finish& finish) {
  const int64_t pairs = m.num_panels / 2;
  const int64_t pieces = std::min(pairs, PIECES);
  for (int64_t begin = 0; begin < rows; begin += ROWS_IN_CACHE) {
    const int64_t count = std::min(rows - begin, ROWS_IN_CACHE);
    const int64_t tiles = (count + MAX_ROWS - 1) / MAX_ROWS;
    team.each(pieces, [&](int64_t piece) {
      alignas(64) float out[MAX_ROWS * 2 * PANEL];
      Pairs panels{m, tiles > 1};
      for (int64_t pair = pairs * piece / pieces; pair < pairs * (piece + 1) / pieces; ++pair) {
        panels.begin(pair);
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t from = begin + count * t / tiles, to = begin + count * (t + 1) / tiles;
          panels.multiply(static_cast<int>(to - from), pair, x + from * stride, stride, out);
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
  switch (m.kind) {
    case F32: return multiply_as<Plain<float>>(team, m, x, stride, rows, finish);
    case BF16: return multiply_as<Plain<bf16>>(team, m, x, stride, rows, finish);
    case INT8: return multiply_as<Scaled<Bytes>>(team, m, x, stride, rows, finish);
    case INT4: return multiply_as<Scaled<Nibbles>>(team, m, x, stride, rows, finish);
  }
}

// How many phases `multiply` takes.
static inline int64_t multiply_phases(int64_t rows) {
  return (rows + ROWS_IN_CACHE - 1) / ROWS_IN_CACHE;
}
