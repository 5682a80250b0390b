// y = W x for a few rows x at a time, with W packed into panels.
//
// A panel holds PANEL outputs: f32 as [in][PANEL], bf16 as [in / 2][PANEL][2], so that a register of
// pairs becomes two registers of floats by one shift and one mask, int8 as [in][PANEL], and int4 as
// [in][LANES] of 16 bits, an output of each of the panel's registers in each. Arithmetic is f32
// throughout. Each output is one sum over the inputs in their order, or over groups of them in
// theirs, however many rows there are: a row's result does not depend on the batch, bit for bit.
#pragma once

#include <algorithm>
#include <vector>

#include "team.h"
#include "vector.h"

constexpr int REGISTERS = 4;  // of a panel
constexpr int PANEL = REGISTERS * LANES;
constexpr int MAX_ROWS_AT_ONCE = MAX_ROWS / 2;  // of a tile that is as wide as a panel

// Accumulators stay in registers only where every loop over them is unrolled.
#define UNROLL _Pragma("GCC unroll 32")

// Without this GCC widens a weight again for each row.
#if defined(__x86_64__)
#define IN_REGISTERS(a, b) asm("" : "+x"(a), "+x"(b))
#else
#define IN_REGISTERS(a, b)
#endif

enum Kind : int64_t { F32, BF16, INT8, INT4 };

struct Matrix {
  const void* panels;   // the last one filled up with zeros
  const float* bias;    // [num_panels * PANEL], or null
  const float* scales;  // of int8 and int4, [num_panels, in / group, PANEL]
  const float* lowest;  // of int4, likewise
  int64_t num_panels;
  int64_t in;  // even
  int64_t kind;
  int64_t group;   // inputs that share a scale; all of them but for int4
  int64_t halves;  // 2: the outputs are two halves whose panels are computed in turns; else 1
};

// How weights lie in a panel: UNITS of a type for each input, and how registers are made of them.
// Those that IS_DEAR to make are widened to f32 once if several tiles read them.
struct Floats {
  typedef float Unit;
  static constexpr int UNITS = PANEL, STEP = 1;  // STEP inputs lie together
  static constexpr bool IS_DEAR = false, IS_GROUPED = false;

  static Vec weight(const Unit* from, int, int v) { return load(from + v * LANES); }
};

// Read each time: a register for it would be missing in tiles of MAX_ROWS.
static const volatile UVec UPPER_HALVES = ~UVec{} << 16;

struct Halves {
  typedef bf16 Unit;
  static constexpr int UNITS = PANEL, STEP = 2;
  static constexpr bool IS_DEAR = false, IS_GROUPED = false;

  static Vec weight(const Unit* from, int i, int v) {
    const UVec pairs = load_as<UVec>(from + v * 2 * LANES);
    return (Vec)(i == 0 ? pairs << 16 : pairs & UPPER_HALVES);
  }
};

struct Bytes {
  typedef int8_t Unit;
  static constexpr int UNITS = PANEL, STEP = 1;
  static constexpr bool IS_DEAR = true, IS_GROUPED = false;

  static Vec weight(const Unit* from, int, int v) {
    return __builtin_convertvector(widened(from + v * LANES), Vec);
  }
};

struct Nibbles {  // from 0 to 15, times 16 for each register before: it stays where it is in its unit
  typedef uint16_t Unit;
  static constexpr int UNITS = LANES, STEP = 1;
  static constexpr bool IS_DEAR = true, IS_GROUPED = true;

  static Vec weight(const Unit* from, int, int v) {
    return __builtin_convertvector((IVec)(widened(from) & 15u << 4 * v), Vec);
  }
};

// How a group's sums become parts of outputs.
struct Group {
  const float* scales;  // [PANEL]
  const float* lowest;  // [PANEL]
  const float* inputs;  // the sum of a row's inputs; the next row's is `stride` further
  int64_t stride;
};

// Adds the products of ROWS rows with COUNT registers of a panel to out, [ROWS][PANEL]; those of a
// group, where there is one, are summed up before. `ahead` is what will be read next, AHEAD bytes of
// it for each input. Not inlined: among other code the accumulators do not stay in registers.
template <class K, int AHEAD, bool IS_GROUP, int ROWS, int FIRST, int COUNT>
[[gnu::noinline]] static void tile(const float* x, int64_t stride, const typename K::Unit* from,
                                   int64_t inputs, const char* ahead, const Group& group,
                                   float* out) {
  out += FIRST * LANES;
  Vec acc[ROWS][COUNT];
  UNROLL
  for (int r = 0; r < ROWS; ++r)
    UNROLL
    for (int v = 0; v < COUNT; ++v)
      acc[r][v] = IS_GROUP ? Vec{} : load(out + r * PANEL + v * LANES);
  for (int64_t k = 0; k < inputs; k += K::STEP, from += K::STEP * K::UNITS) {
    UNROLL
    for (int line = 0; line < K::STEP * AHEAD; line += 64)
      __builtin_prefetch(ahead + k * AHEAD + line);
    UNROLL
    for (int i = 0; i < K::STEP; ++i) {
      UNROLL
      for (int v = 0; v < COUNT; v += 2) {
        Vec w0 = K::weight(from, i, FIRST + v), w1 = K::weight(from, i, FIRST + v + 1);
        if constexpr (K::STEP == 1) IN_REGISTERS(w0, w1);
        UNROLL
        for (int r = 0; r < ROWS; ++r) {
          const float value = x[r * stride + k + i];
          acc[r][v] += w0 * value;
          acc[r][v + 1] += w1 * value;
        }
        // Forget what was read, here and below: reading it again is cheaper than a register.
        if (v + 2 < COUNT) asm("" : "+r"(x));
      }
      if (i + 1 < K::STEP) asm("" : "+r"(from));
    }
  }
  UNROLL
  for (int r = 0; r < ROWS; ++r)
    UNROLL
    for (int v = 0; v < COUNT; ++v) {
      float* to = out + r * PANEL + v * LANES;
      if constexpr (IS_GROUP) {
        const int at = (FIRST + v) * LANES;
        acc[r][v] = load(to) + acc[r][v] * load(group.scales + at);
        acc[r][v] += group.inputs[r * group.stride] * load(group.lowest + at);
      }
      store(to, acc[r][v]);
    }
}

// A panel for `rows` rows, at most MAX_ROWS: all of it at once while the registers last.
template <class K, int AHEAD, bool IS_GROUP, int ROWS = MAX_ROWS, class... Rest>
static void panel_tile(int rows, Rest... rest) {
  if constexpr (ROWS > 0) {
    if (rows < ROWS) return panel_tile<K, AHEAD, IS_GROUP, ROWS - 1>(rows, rest...);
    if constexpr (ROWS <= MAX_ROWS_AT_ONCE) {
      tile<K, AHEAD, IS_GROUP, ROWS, 0, 4>(rest...);
    } else {
      tile<K, AHEAD, IS_GROUP, ROWS, 0, 2>(rest...);
      tile<K, AHEAD, IS_GROUP, ROWS, 2, 2>(rest...);
    }
  }
}

constexpr int64_t ROWS_IN_CACHE = 96;  // rows that share one reading of a panel; they fit in L2
constexpr int64_t PIECES = 16;         // of a matrix: even loads, and short waits for the last one
constexpr int64_t INPUTS_IN_CACHE = 128;  // whose weights stay in L1 for several tiles
constexpr int64_t AHEAD_BYTES = 1024;  // of what is read once, from one end to the other

// One thread's products of some rows with panels of one matrix.
template <class K>
class Products {
 public:
  Products(const Matrix& m, const float* x, int64_t stride, int64_t rows)
      : m_(m), x_(x), stride_(stride), rows_(rows), tiles_((rows + MAX_ROWS - 1) / MAX_ROWS),
        is_small_(rows <= MAX_ROWS_AT_ONCE) {
    if constexpr (K::IS_GROUPED) add_up();
  }

  // Returns [rows][PANEL], which the next call overwrites.
  float* multiply(int64_t panel) {
    std::fill_n(out_, rows_ * PANEL, 0.0f);
    const int64_t block = K::IS_GROUPED ? m_.group : is_small_ ? m_.in : INPUTS_IN_CACHE;
    for (int64_t k = 0; k < m_.in; k += block) multiply_block(panel, k, std::min(block, m_.in - k));
    if (m_.scales && !K::IS_GROUPED) scale(m_.scales + panel * PANEL);
    return out_;
  }

 private:
  typedef typename K::Unit Unit;
  static constexpr int BYTES = K::UNITS * sizeof(Unit);  // of an input

  void multiply_block(int64_t panel, int64_t k, int64_t count) {
    const Unit* from = static_cast<const Unit*>(m_.panels) + (panel * m_.in + k) * K::UNITS;
    const char* ahead = reinterpret_cast<const char*>(from);
    ahead += is_small_ ? AHEAD_BYTES : count * BYTES;
    Group group{};
    int64_t g = 0;
    if constexpr (K::IS_GROUPED) {
      group.stride = m_.in / m_.group;
      g = k / m_.group;
      const int64_t at = (panel * group.stride + g) * PANEL;
      group.scales = m_.scales + at;
      group.lowest = m_.lowest + at;
    }
    const bool is_widened = K::IS_DEAR && tiles_ > 1;
    if (is_widened) widen(from, count);
    for (int64_t t = 0; t < tiles_; ++t) {
      const int64_t row = rows_ * t / tiles_, next = rows_ * (t + 1) / tiles_;
      const int rows = static_cast<int>(next - row);
      const float* x = x_ + row * stride_ + k;
      float* out = out_ + row * PANEL;
      if constexpr (K::IS_GROUPED) group.inputs = &inputs_[row * group.stride + g];
      if (is_widened)
        panel_tile<Floats, BYTES, K::IS_GROUPED>(rows, x, stride_, wide_, count, ahead, group, out);
      else
        panel_tile<K, BYTES, K::IS_GROUPED>(rows, x, stride_, from, count, ahead, group, out);
    }
  }

  static void widen(const Unit* from, int64_t inputs) {
    for (int64_t k = 0; k < inputs; k += K::STEP, from += K::STEP * K::UNITS)
      UNROLL
      for (int i = 0; i < K::STEP; ++i)
        UNROLL
        for (int v = 0; v < REGISTERS; ++v)
          store(wide_ + (k + i) * PANEL + v * LANES, K::weight(from, i, v));
  }

  void scale(const float* scales) {
    for (int64_t r = 0; r < rows_; ++r)
      for (int v = 0; v < REGISTERS; ++v) {
        float* out = out_ + r * PANEL + v * LANES;
        store(out, load(out) * load(scales + v * LANES));
      }
  }

  // The sum of each row's inputs, for each group.
  void add_up() {
    const int64_t groups = m_.in / m_.group;
    inputs_.resize(rows_ * groups);
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t g = 0; g < groups; ++g) {
        Vec inputs = {};
        for (int64_t k = 0; k < m_.group; k += LANES)
          inputs += load(x_ + r * stride_ + g * m_.group + k);
        inputs_[r * groups + g] = sum(inputs);
      }
  }

  const Matrix& m_;
  const float* x_;
  const int64_t stride_, rows_, tiles_;
  const bool is_small_;  // each weight is read once
  alignas(64) static thread_local inline float wide_[INPUTS_IN_CACHE * PANEL];
  alignas(64) static thread_local inline float out_[ROWS_IN_CACHE * PANEL];
  static thread_local inline std::vector<float> inputs_;  // [rows][groups]
};

// Calls finish(row, first_output, values[PANEL]) for each row and panel, bias added.
template <class K, class Finish>
static void multiply_as(Member& team, const Matrix& m, const float* x, int64_t stride, int64_t rows,
                        const Finish& finish) {
  const int64_t turns = m.num_panels / m.halves;
  const int64_t pieces = std::min(turns, PIECES);
  for (int64_t begin = 0; begin < rows; begin += ROWS_IN_CACHE) {
    const int64_t count = std::min(rows - begin, ROWS_IN_CACHE);
    team.each(pieces, [&](int64_t piece) {
      Products<K> products(m, x + begin * stride, stride, count);
      for (int64_t turn = turns * piece / pieces; turn < turns * (piece + 1) / pieces; ++turn)
        for (int64_t panel = turn; panel < m.num_panels; panel += turns) {
          float* values = products.multiply(panel);
          for (int64_t row = 0; row < count; ++row, values += PANEL) {
            if (m.bias)
              for (int i = 0; i < PANEL; ++i) values[i] += m.bias[panel * PANEL + i];
            finish(begin + row, panel * PANEL, values);
          }
        }
    });
  }
}

template <class Finish>
static void multiply(Member& team, const Matrix& m, const float* x, int64_t stride, int64_t rows,
                     const Finish& finish) {
  switch (m.kind) {
    case F32: return multiply_as<Floats>(team, m, x, stride, rows, finish);
    case BF16: return multiply_as<Halves>(team, m, x, stride, rows, finish);
    case INT8: return multiply_as<Bytes>(team, m, x, stride, rows, finish);
    case INT4: return multiply_as<Nibbles>(team, m, x, stride, rows, finish);
  }
}

// How many phases `multiply` takes.
static inline int64_t multiply_phases(int64_t rows) {
  return (rows + ROWS_IN_CACHE - 1) / ROWS_IN_CACHE;
}
