// Causal attention of a block of queries over keys and values in pool slots.
//
// A query's scores, their sum and the weighted values are each added up in the order of positions,
// so that a result depends neither on the batch nor on how a prompt was cut into passes.
#pragma once

#include <algorithm>
#include <vector>

#include "vector.h"

constexpr int BLOCK = MAX_ROWS;  // queries that share one reading of the keys

// scores[q * capacity + j] = scale * q . key of position j, for positions 0..length-1.
template <int Q, class KV>
static void score(const float* const* queries, const KV* keys, int64_t slot_stride,
                  const int32_t* slots, int64_t length, int64_t head_dim, float scale,
                  float* scores, int64_t capacity) {
  for (int64_t j = 0; j < length; ++j) {
    const KV* key = keys + slots[j] * slot_stride;
    Vec acc[Q] = {};
    for (int64_t d = 0; d < head_dim; d += LANES) {
      Vec k = load(key + d);
      for (int q = 0; q < Q; ++q) acc[q] += k * load(queries[q] + d);
    }
    for (int q = 0; q < Q; ++q) scores[q * capacity + j] = sum(acc[q]) * scale;
  }
}

// Turns `length` scores into weights e^(s - max), fills up to whole registers with 0, returns 1/sum.
static float soften(float* scores, int64_t length) {
  float largest = scores[0];
  for (int64_t j = 1; j < length; ++j) largest = std::max(largest, scores[j]);
  const int64_t whole = (length + LANES - 1) / LANES * LANES;
  for (int64_t j = length; j < whole; ++j) scores[j] = -INFINITY;
  Vec total = {};
  for (int64_t j = 0; j < whole; j += LANES) {
    Vec s = load(scores + j) - largest;
    Vec weight = select(s < -87.0f, Vec{}, exponential(s));
    total += weight;
    store(scores + j, weight);
  }
  return 1.0f / sum(total);
}

// out[q] = norm[q] * sum of weights[q * capacity + j] * value of position j.
template <int Q, class KV>
static void average(const float* weights, int64_t capacity, const float* norms, const KV* values,
                    int64_t slot_stride, const int32_t* slots, int64_t length, int64_t head_dim,
                    float* const* out) {
  int64_t d = 0;
  for (; d + 2 * LANES <= head_dim; d += 2 * LANES) {
    Vec acc[Q][2] = {};
    for (int64_t j = 0; j < length; ++j) {
      const KV* value = values + slots[j] * slot_stride + d;
      Vec v0 = load(value), v1 = load(value + LANES);
      for (int q = 0; q < Q; ++q) {
        acc[q][0] += v0 * weights[q * capacity + j];
        acc[q][1] += v1 * weights[q * capacity + j];
      }
    }
    for (int q = 0; q < Q; ++q) {
      store(out[q] + d, acc[q][0] * norms[q]);
      store(out[q] + d + LANES, acc[q][1] * norms[q]);
    }
  }
  for (; d < head_dim; d += LANES) {
    Vec acc[Q] = {};
    for (int64_t j = 0; j < length; ++j) {
      Vec v = load(values + slots[j] * slot_stride + d);
      for (int q = 0; q < Q; ++q) acc[q] += v * weights[q * capacity + j];
    }
    for (int q = 0; q < Q; ++q) store(out[q] + d, acc[q] * norms[q]);
  }
}

// Attends for `count` <= BLOCK queries of one KV head, each over its own positions: from
// begins[q] to lengths[q].
template <class KV, int Q = BLOCK>
static void attend(int count, const float* const* queries, const int64_t* begins,
                   const int64_t* lengths, const KV* keys, const KV* values, int64_t slot_stride,
                   const int32_t* slots, int64_t head_dim, float scale,
                   std::vector<float>& scratch, float* const* out) {
  if constexpr (Q > 0) {
    if (count < Q)
      return attend<KV, Q - 1>(count, queries, begins, lengths, keys, values, slot_stride, slots,
                               head_dim, scale, scratch, out);
    const int64_t longest = *std::max_element(lengths, lengths + Q);
    const int64_t capacity = longest + LANES;
    if (scratch.size() < size_t(Q * capacity)) scratch.resize(Q * capacity * 2);
    float* scores = scratch.data();
    score<Q>(queries, keys, slot_stride, slots, longest, head_dim, scale, scores, capacity);
    float norms[Q];
    for (int q = 0; q < Q; ++q) {
      float* own = scores + q * capacity;
      norms[q] = soften(own + begins[q], lengths[q] - begins[q]);
      std::fill(own, own + begins[q], 0.0f);
      std::fill(own + lengths[q], own + longest, 0.0f);
    }
    average<Q>(scores, capacity, norms, values, slot_stride, slots, longest, head_dim, out);
  }
}
