// Weights as checkpoints have them, row after row, turned into panels in the memory where they are.
#pragma once

#include <cstring>
#include <vector>

#include "matrix.h"

// Turns [PANEL][width] into [width][PANEL].
template <class T>
static void turn(const T* rows, int64_t width, int64_t begin, T* to) {
  for (int64_t k = begin; k < width; ++k)
    for (int r = 0; r < PANEL; ++r) to[k * PANEL + r] = rows[r * width + k];
}

// The same for words of 32 bits, by blocks of eight by eight in registers: at a third of the time.
static void turn_words(const uint32_t* rows, int64_t width, uint32_t* to) {
  typedef uint32_t Eight __attribute__((vector_size(32)));
  const int64_t whole = width / 8 * 8;
  for (int64_t k = 0; k < whole; k += 8)
    for (int first = 0; first < PANEL; first += 8) {
      Eight a[8], b[8];
      UNROLL
      for (int r = 0; r < 8; ++r) a[r] = load_as<Eight>(rows + (first + r) * width + k);
      UNROLL
      for (int r = 0; r < 8; r += 2) {
        b[r] = __builtin_shufflevector(a[r], a[r + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[r + 1] = __builtin_shufflevector(a[r], a[r + 1], 2, 10, 3, 11, 6, 14, 7, 15);
      }
      UNROLL
      for (int r = 0; r < 8; r += 4)
        UNROLL
        for (int i = 0; i < 2; ++i) {
          const Eight upper = b[r + i], lower = b[r + 2 + i];
          a[r + 2 * i] = __builtin_shufflevector(upper, lower, 0, 1, 8, 9, 4, 5, 12, 13);
          a[r + 2 * i + 1] = __builtin_shufflevector(upper, lower, 2, 3, 10, 11, 6, 7, 14, 15);
        }
      UNROLL
      for (int i = 0; i < 4; ++i) {
        const Eight low = __builtin_shufflevector(a[i], a[4 + i], 0, 1, 2, 3, 8, 9, 10, 11);
        const Eight high = __builtin_shufflevector(a[i], a[4 + i], 4, 5, 6, 7, 12, 13, 14, 15);
        std::memcpy(to + (k + i) * PANEL + first, &low, sizeof low);
        std::memcpy(to + (k + 4 + i) * PANEL + first, &high, sizeof high);
      }
    }
  turn(rows, width, whole, to);
}

// Turns [PANEL][in / 2], an even input in the low half of a byte, into `Nibbles`.
static void turn_nibbles(const uint8_t* rows, int64_t in, uint16_t* to) {
  for (int64_t k = 0; k < in; k += 2)
    for (int lane = 0; lane < LANES; ++lane) {
      uint32_t even = 0, odd = 0;
      for (int v = 0; v < REGISTERS; ++v) {
        const uint32_t both = rows[((v * LANES + lane) * in + k) / 2];
        even |= (both & 15) << 4 * v;
        odd |= (both >> 4) << 4 * v;
      }
      to[k * LANES + lane] = static_cast<uint16_t>(even);
      to[(k + 1) * LANES + lane] = static_cast<uint16_t>(odd);
    }
}

// Packs [num_panels * PANEL, in] numbers of a kind; int4 as [num_panels * PANEL, in / 2] bytes.
static void pack(char* rows, Kind kind, int64_t num_panels, int64_t in, int64_t threads) {
  const int64_t bytes = PANEL * in * (kind == F32 ? 8 : kind == BF16 ? 4 : kind == INT8 ? 2 : 1) / 2;
  Team team(threads);
  team.run(std::make_shared<Job>(1, [=](Member& member) {
    const int64_t pieces = std::min(num_panels, PIECES);
    member.each(pieces, [&](int64_t piece) {
      std::vector<char> copy(bytes);
      for (int64_t p = num_panels * piece / pieces; p < num_panels * (piece + 1) / pieces; ++p) {
        char* to = rows + p * bytes;
        std::memcpy(copy.data(), to, bytes);
        const void* from = copy.data();
        switch (kind) {
          case F32: turn_words((const uint32_t*)from, in, (uint32_t*)to); break;
          case BF16: turn_words((const uint32_t*)from, in / 2, (uint32_t*)to); break;
          case INT8: turn((const int8_t*)from, in, 0, (int8_t*)to); break;
          case INT4: turn_nibbles((const uint8_t*)from, in, (uint16_t*)to); break;
        }
      }
    });
  }));
}
