// What a constraint did to a model's distribution at some positions, on a CPU; the reference is
// `distortions_in_torch` in `engine/distortion.py`, and the caller, where the structs here are
// repeated, `engine/native_distortion.py`.
//
// A row of 4,096 logits is read some five times and stays in the first cache meanwhile.

#include <algorithm>
#include <cmath>

#include "row.h"
#include "vector.h"

struct Measure {
  int64_t rows, vocab;
  const float* logits;    // [any, vocab]
  const int64_t* row;     // [rows] of the logits
  const int64_t* tokens;  // [rows] what was chosen
  Masks masks;            // of the rows: -1 where nothing but the chosen token was allowed
  double* kept;           // [rows] log of the probability that the allowed tokens have together
  int64_t* rank;          // [rows] how many tokens are likelier than the chosen one
  int64_t* allowed;       // [rows] how many tokens were
};

namespace {

constexpr int64_t CHUNK = 64 * LANES;  // summands that are added in f32 before f64

// Returns ln of the sum of e^logit over the tokens that a row allows.
double log_sum_exp(const Row& row) {
  Vec largest = fill(-INFINITE);
  row.each(0, row.vocab, [&](int64_t, Vec x) { largest = x > largest ? x : largest; });
  float best = largest[0];
  for (int lane = 1; lane < LANES; ++lane) best = std::max(best, largest[lane]);
  double total = 0;
  for (int64_t begin = 0; begin < row.vocab; begin += CHUNK) {
    Vec sums = {};
    row.each(begin, std::min(begin + CHUNK, row.vocab),
             [&](int64_t, Vec x) { sums += exponential(x - best); });
    total += sum(sums);
  }
  return best + std::log(total);
}

int64_t count_of(IVec lanes) {  // each of which counts downwards
  int64_t count = 0;
  for (int lane = 0; lane < LANES; ++lane) count -= lanes[lane];
  return count;
}

void measure_row(const Measure& m, int64_t index) {
  const float* logits = m.logits + m.row[index] * m.vocab;
  const float own = logits[m.tokens[index]];
  const Row all(logits, m.vocab, nullptr, 0);
  const Row held(logits, m.vocab, m.masks.of(index), m.masks.num_words);
  IVec likelier = {}, allowed = {};
  all.each(0, all.vocab, [&](int64_t, Vec x) { likelier += x > own; });
  for (int64_t i = 0; held.mask && i < held.vocab; i += LANES) allowed += held.allowed(i);
  m.rank[index] = count_of(likelier);
  m.allowed[index] = held.mask ? count_of(allowed) : 1;
  m.kept[index] = (held.mask ? log_sum_exp(held) : own) - log_sum_exp(all);
}

}  // namespace

extern "C" void radixlm_distortion_measure(const Measure* measure) {
  for (int64_t index = 0; index < measure->rows; ++index) measure_row(*measure, index);
}
