// A row of logits, whole or as far as a grammar's bitmask allows it, in registers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "vector.h"

constexpr float INFINITE = std::numeric_limits<float>::infinity();

// The bitmask of a batch, as `constrained/bitmask.py` has it, and who is held to what of it; all
// zeros: nobody to any. Repeated in `engine/masks.py`.
struct Masks {
  const uint32_t* words;   // [any, num_words]
  int64_t num_words;
  const int64_t* mask_of;  // [rows] the row of the mask for each row of logits; -1: none

  const uint32_t* of(int64_t row) const {
    return mask_of && mask_of[row] >= 0 ? words + mask_of[row] * num_words : nullptr;
  }
};

struct Row {
  // What a mask does not cover is padding, and forbidden. Without a mask `num_words` counts not.
  Row(const float* logits, int64_t width, const uint32_t* mask, int64_t num_words)
      : logits(logits),
        vocab(mask ? std::min(width, num_words * 32) : width),
        mask(mask),
        tail(fill(-INFINITE)) {
    std::memcpy(&tail, logits + vocab / LANES * LANES, vocab % LANES * sizeof(float));
  }

  // The logits of LANES tokens from `first` on, a multiple of LANES, as they came; behind the last
  // one -inf.
  Vec raw(int64_t first) const { return first + LANES <= vocab ? load(logits + first) : tail; }

  // Which of them a mask allows: all bits of a lane, or none.
  IVec allowed(int64_t first) const {
    IVec bits;
    for (int lane = 0; lane < LANES; ++lane) bits[lane] = 1 << lane;
    uint32_t word = mask[first / 32] >> first % 32;
    if (first + LANES > vocab) word &= (1u << (vocab - first)) - 1;
    return (bits & int32_t(word)) != 0;
  }

  // The same logits, -inf where a token is forbidden.
  Vec at(int64_t first) const {
    return mask ? select(allowed(first), raw(first), fill(-INFINITE)) : raw(first);
  }

  // Calls work(first token, LANES logits) for all tokens from `begin`, a multiple of LANES, to
  // `end`.
  template <class Work>
  void each(int64_t begin, int64_t end, const Work& work) const {
    const Row row = *this;  // so that nothing that `work` writes can change it
    for (int64_t i = begin; i < end; i += LANES) work(i, row.at(i));
  }

  const float* logits;
  int64_t vocab;
  const uint32_t* mask;  // null: all is allowed
  Vec tail;              // what is left of the logits after whole registers
};
