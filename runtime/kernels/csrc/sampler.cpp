// Draws a token for each row of logits on a CPU: masks, temperature, top-k, top-p, min-p, noise.
//
// What is drawn is the largest of logit / temperature + noise among the tokens that the filters
// keep. Neither noise for the whole vocabulary nor its order is needed for that. The likeliest
// token is always kept, so only tokens that score more than it contend, and a bound on a token's
// noise that takes no logarithm rules nearly all others out. The filters keep the likeliest so
// many, so that the best contender is judged by what is likelier than itself: one pass that counts
// and adds up. A contender that is dropped takes along all that are less likely. `engine/sampler.py`
// is the reference and `engine/native_sampler.py` the caller, where the struct here is repeated.

#include <algorithm>
#include <vector>

#include "row.h"
#include "team.h"
#include "vector.h"

struct Draw {
  int64_t rows, vocab;
  const float* logits;  // [rows, vocab]
  Masks masks;
  // [rows] each; see `Drawing`
  const bool* greedy;
  const float* temperature;
  const int64_t* top_k;
  const float* top_p;
  const float* min_p;
  const uint64_t* seed;
  const int64_t* position;
  int64_t* tokens;  // [rows] what is drawn
};

namespace {

constexpr int64_t FAILED = -1;
constexpr int64_t LEAST_SHARED = 8 * 4096;  // logits; fewer are done before a helper has woken up
constexpr int64_t CHUNK = 64 * LANES;       // summands that are added in f32 before f64
constexpr float LOG2_E = 1.44269504088896341f;

typedef uint64_t Words __attribute__((vector_size(LANES * 4)));
constexpr int WORDS = LANES / 2;
constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15;

// The finaliser of splitmix64, of one word or of several.
template <class W>
W mix(W x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t noise_key(uint64_t seed, int64_t position) {
  return mix(mix(seed + GOLDEN) + uint64_t(position) * GOLDEN);
}

// The high halves of the hashes of LANES tokens. The even ones are computed apart from the odd
// ones, so that their halves lie side by side without a shuffle.
UVec hash(uint64_t key, int64_t first) {
  Words steps;
  for (int i = 0; i < WORDS; ++i) steps[i] = 2 * i * GOLDEN;
  const uint64_t start = key + uint64_t(first) * GOLDEN;
  const Words even = mix(steps + start), odd = mix(steps + (start + GOLDEN));
  return (UVec)((even >> 32) | (odd & 0xFFFFFFFF00000000u));
}

// Standard Gumbel noise: -ln E, where E = -ln(1 - u) is exponential and u uniform.
Vec gumbel(UVec hashes) {
  const Vec uniform = (__builtin_convertvector(hashes, Vec) + 0.5f) * 0x1p-32f;
  const Vec below_one = uniform < 1 - 0x1p-24f ? uniform : fill(1 - 0x1p-24f);
  return -logarithm(-logarithm_of_1_plus(-below_one));
}

// A lower bound on log2 E for each hash, as E > u: a float's bits, read as an integer, are its
// logarithm with straight lines between powers of two, at most 0.09 too small.
Vec least_log2(UVec hashes) {
  const Vec half = __builtin_convertvector((IVec)(hashes >> 1), Vec);  // signed: one instruction
  return __builtin_convertvector((IVec)half, Vec) * 0x1p-23f - (127.0f + 31.0f);
}
constexpr float LEAST_LOG2 = -33;  // of u = 2^-33, where all 32 bits are 0

// Returns the first of the largest logits' tokens, or FAILED: one is NaN, or the largest infinite.
int64_t find_likeliest(const Row& row) {
  Vec largest = fill(-INFINITE);
  IVec odd = {};
  row.each(0, row.vocab, [&](int64_t, Vec x) {
    largest = x > largest ? x : largest;
    odd |= x != x;
  });
  float best = largest[0];
  for (int lane = 1; lane < LANES; ++lane) best = std::max(best, largest[lane]);
  if (any(odd) || !std::isfinite(best)) return FAILED;
  int64_t token = 0;
  while (!any(row.at(token) == best)) token += LANES;
  const Vec around = row.at(token);
  for (int lane = 0; around[lane] != best; ++lane) ++token;
  return token;
}

struct Contender {
  float score, logit;
  int64_t token;
};

// Lists the tokens that score more than the likeliest one, and that one first. Without filters a
// token needs to score more than all before it, and the last one listed is the best.
void list_contenders(const Row& row, float temperature, uint64_t key, bool filtered,
                     int64_t likeliest, std::vector<Contender>& found) {
  const int64_t start = likeliest / LANES * LANES;
  float bar = 0, intercept = 0;
  const auto add = [&](int64_t token, float score) {
    found.push_back({score, row.logits[token], token});
    bar = filtered ? found[0].score : score;
    // Rounding of what is compared with a bound stays far below these margins.
    intercept = 0.01f + 1e-6f * std::abs(bar) - bar * LOG2_E;
  };
  found.clear();
  row.each(start, start + LANES, [&](int64_t first, Vec x) {
    add(likeliest, (x / temperature + gumbel(hash(key, first)))[likeliest - first]);
  });
  const float slope = LOG2_E / temperature;
  row.each(0, row.vocab, [&](int64_t first, Vec x) {
    const Vec reach = x * slope + intercept;  // what log2 E must be below to score more
    if (!any(reach > LEAST_LOG2)) return;
    const UVec hashes = hash(key, first);
    if (!any(least_log2(hashes) < reach)) return;
    const Vec scores = x / temperature + gumbel(hashes);
    for (int lane = 0; lane < LANES; ++lane)
      if (scores[lane] > bar) add(first + lane, scores[lane]);
  });
}

// Judges single tokens of a row by its three filters. Probabilities are in units of the largest.
class Filters {
 public:
  Filters(const Row& row, float temperature, int64_t top_k, float top_p, float min_p, float best,
          std::vector<float>& scratch)
      : row_(row), temperature_(temperature), best_(best), min_p_(min_p), weights_(scratch) {
    is_limited_ = top_k > 0 && top_k < row.vocab;
    most_ = is_limited_ ? top_k : row.vocab;
    is_nucleus_ = top_p < 1;
    if (is_nucleus_) mass_ = top_p * weigh_all();
  }

  // Whether a token with this logit is kept: fewer than top_k are likelier, what is likelier adds
  // up to less than top_p, and it has min_p of the likeliest's probability.
  bool keep(float logit) const {
    if (logit == best_) return true;
    if (min_p_ > 0 && weigh(fill(logit))[0] < min_p_) return false;
    if (!is_limited_ && !is_nucleus_) return true;
    int64_t count = 0;
    double total = 0;
    for (int64_t begin = 0; begin < row_.vocab; begin += CHUNK) {
      IVec likelier = {};
      Vec sums = {};
      row_.each(begin, std::min(begin + CHUNK, row_.vocab), [&](int64_t i, Vec x) {
        const IVec above = x > logit;
        likelier -= above;
        if (is_nucleus_) sums += (Vec)((IVec)load(weights_.data() + i) & above);
      });
      for (int lane = 0; lane < LANES; ++lane) count += likelier[lane];
      total += sum(sums);
      if (count >= most_ || (is_nucleus_ && total >= mass_)) return false;
    }
    return true;
  }

 private:
  Vec weigh(Vec logits) const { return exponential(logits / temperature_ - best_ / temperature_); }

  // Writes down all weights and returns their sum.
  double weigh_all() {
    weights_.resize((row_.vocab + LANES - 1) / LANES * LANES);
    double total = 0;
    for (int64_t begin = 0; begin < row_.vocab; begin += CHUNK) {
      Vec sums = {};
      row_.each(begin, std::min(begin + CHUNK, row_.vocab), [&](int64_t i, Vec x) {
        const Vec weights = weigh(x);
        store(weights_.data() + i, weights);
        sums += weights;
      });
      total += sum(sums);
    }
    return total;
  }

  const Row& row_;
  float temperature_, best_, min_p_;
  int64_t most_;  // tokens
  double mass_ = 0;
  bool is_limited_, is_nucleus_;
  std::vector<float>& weights_;  // [vocab, filled up] if top-p counts
};

// Returns the best contender that is kept.
int64_t choose(const std::vector<Contender>& found, const Filters& filters) {
  float dropped = -INFINITE;
  for (;;) {
    const Contender* best = &found[0];  // the likeliest: kept always
    for (const Contender& one : found)
      if (one.logit > dropped && one.score > best->score) best = &one;
    if (filters.keep(best->logit)) return best->token;
    dropped = best->logit;
  }
}

int64_t draw_row(const Draw& d, int64_t index) {
  static thread_local std::vector<Contender> found;
  static thread_local std::vector<float> weights;
  const Row row(d.logits + index * d.vocab, d.vocab, d.masks.of(index), d.masks.num_words);
  const int64_t likeliest = find_likeliest(row);
  if (likeliest == FAILED || d.greedy[index]) return likeliest;
  const float temperature = d.temperature[index], best = row.logits[likeliest];
  if (!std::isfinite(best / temperature)) return FAILED;
  const int64_t top_k = d.top_k[index];
  const float top_p = d.top_p[index], min_p = d.min_p[index];
  const bool filtered = top_k != -1 || top_p < 1 || min_p > 0;
  const uint64_t key = noise_key(d.seed[index], d.position[index]);
  list_contenders(row, temperature, key, filtered, likeliest, found);
  if (!filtered || found.size() == 1) return found.back().token;
  return choose(found, Filters(row, temperature, top_k, top_p, min_p, best, weights));
}

}  // namespace

extern "C" {

void* radixlm_sampler_new(int64_t threads) { return new Team(threads); }

void radixlm_sampler_free(void* team) { delete static_cast<Team*>(team); }

// Not for two threads at a time.
void radixlm_sampler_draw(void* team, const Draw* draw) {
  const Draw d = *draw;
  if (d.rows == 1 || d.rows * d.vocab < LEAST_SHARED) {
    for (int64_t row = 0; row < d.rows; ++row) d.tokens[row] = draw_row(d, row);
    return;
  }
  static_cast<Team*>(team)->run(std::make_shared<Job>(1, [d](Member& member) {
    member.each(d.rows, [&](int64_t row) { d.tokens[row] = draw_row(d, row); });
  }));
}
}
