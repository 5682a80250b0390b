// A pass of a dense pre-norm decoder (rotary, grouped-query attention with or without windows and
// norms of queries and keys, gated SiLU MLP) on a CPU.
//
// One call runs all layers. At a single token a layer's matrices take some 20 µs, less than the
// dispatch of the dozen tensor operations that it consists of. Arithmetic is f32; weights are f32,
// bf16, int8 or int4, the KV pool f32 or bf16. `models/decoder.py` is the reference, `models/native.py` the
// caller, and the structs here are repeated there.

#include <algorithm>
#include <vector>

#include "attention.h"
#include "matrix.h"
#include "packing.h"
#include "team.h"
#include "vector.h"

struct Layer {
  const float* attention_norm;  // [hidden]
  Matrix qkv;
  const float* q_norm;  // [head_dim], of every head of the queries before it is turned; or null
  const float* k_norm;  // the same of the keys
  int64_t window;       // positions that a query sees, its own included; 0: all
  Matrix out;
  const float* mlp_norm;  // [hidden]
  Matrix gate_up;         // in halves: gate, and up
  Matrix down;
  void* keys;  // [slots, kv_heads, head_dim]
  void* values;
};

struct Model {
  int64_t layers, hidden, heads, kv_heads, head_dim, intermediate, vocab;
  int64_t pool_is_bf16;
  float eps, scale;
  float magnitude;           // of turned queries and keys
  const float* frequencies;  // [head_dim / 2] radians a position
  const float* norm;         // [hidden]
  const void* embedding;     // [vocab, hidden], or null: the head's panels
  int64_t embedding_is_bf16;
  Matrix head;
  const Layer* layer;  // [layers]
};

struct Pass {
  int64_t tokens, rows, wanted;
  const int64_t* token_ids;   // [tokens]
  const int64_t* inserted_at;  // [tokens] a row of `inserted`, or -1: the token's own; or null
  const float* inserted;       // [any, hidden] embeddings that are no token's
  const int64_t* positions;   // [tokens]
  const int64_t* query_lens;  // [rows]
  const int64_t* kv_lens;     // [rows]
  const int32_t* const* slots;  // [rows] of [kv_len]
  const int64_t* wanted_tokens;  // [wanted]
  float* logits;                 // [wanted, vocab], or null
  float* states;                 // [wanted, hidden] normalised, in place of logits, or null
};

namespace {

constexpr int64_t ROW_PIECES = 16;  // of work that goes row by row

struct Item {  // queries at up to BLOCK positions of one row, all heads of one KV head
  int64_t token, count, kv_len;  // the first token, its number of positions, what it attends to
  int64_t kv_head;
  const int32_t* slots;  // of its row
};

// What a pass computes in, made large enough before it; plain pointers, since a late helper may
// look at a pass that is over.
struct Work {
  const Model& m;
  Pass p;
  float *hidden, *normed, *qkv, *attended, *gated, *cosines, *sines;
  const Item* items;
  int64_t num_items;
  const int32_t* new_slots;  // [tokens]
};

struct Runner {
  Model model;
  Team team;
  std::vector<float> buffer;
  std::vector<Item> items;
  std::vector<int32_t> new_slots;
};

template <class W>
void embed_packed(const Matrix& head, int64_t token, float* to);

template <>
void embed_packed<float>(const Matrix& head, int64_t token, float* to) {
  const float* panel = static_cast<const float*>(head.panels) + token / PANEL * head.in * PANEL;
  for (int64_t k = 0; k < head.in; ++k) to[k] = panel[k * PANEL + token % PANEL];
}

float widen(bf16 half) {
  const uint32_t bits = uint32_t(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <>
void embed_packed<bf16>(const Matrix& head, int64_t token, float* to) {
  const bf16* panel = static_cast<const bf16*>(head.panels) + token / PANEL * head.in * PANEL;
  for (int64_t k = 0; k < head.in; ++k)
    to[k] = widen(panel[(k / 2 * PANEL + token % PANEL) * 2 + k % 2]);
}

template <>
void embed_packed<int8_t>(const Matrix& head, int64_t token, float* to) {
  const int8_t* panel = static_cast<const int8_t*>(head.panels) + token / PANEL * head.in * PANEL;
  for (int64_t k = 0; k < head.in; ++k)
    to[k] = panel[k * PANEL + token % PANEL] * head.scales[token];
}

void embed(const Model& m, int64_t token, float* to) {
  if (!m.embedding) switch (m.head.kind) {
      case F32: return embed_packed<float>(m.head, token, to);
      case BF16: return embed_packed<bf16>(m.head, token, to);
      default: return embed_packed<int8_t>(m.head, token, to);  // int4 is never a head's
    }
  if (m.embedding_is_bf16) {
    const bf16* from = static_cast<const bf16*>(m.embedding) + token * m.hidden;
    for (int64_t k = 0; k < m.hidden; ++k) to[k] = widen(from[k]);
  } else {
    std::memcpy(to, static_cast<const float*>(m.embedding) + token * m.hidden,
                m.hidden * sizeof(float));
  }
}

void normalise(const float* x, const float* weight, float eps, int64_t width, float* to) {
  Vec squares = {};
  for (int64_t k = 0; k < width; k += LANES) squares += load(x + k) * load(x + k);
  const float factor = 1.0f / std::sqrt(sum(squares) / width + eps);
  for (int64_t k = 0; k < width; k += LANES) store(to + k, load(x + k) * factor * load(weight + k));
}

// Rotates the halves of a head against each other, in place.
void rotate(float* head, const float* cosines, const float* sines, int64_t half) {
  for (int64_t d = 0; d < half; d += LANES) {
    const Vec a = load(head + d), b = load(head + half + d);
    const Vec cosine = load(cosines + d), sine = load(sines + d);
    store(head + d, a * cosine - b * sine);
    store(head + half + d, b * cosine + a * sine);
  }
}

void list_items(const Model& m, const Pass& p, std::vector<Item>& items) {
  items.clear();
  int64_t token = 0;
  for (int64_t row = 0; row < p.rows; ++row) {
    const int64_t count = p.query_lens[row], length = p.kv_lens[row];
    for (int64_t done = 0; done < count; done += BLOCK)
      for (int64_t head = 0; head < m.kv_heads; ++head)
        items.push_back({token + done, std::min<int64_t>(BLOCK, count - done),
                         length - count + done + 1, head, p.slots[row]});
    token += count;
  }
  // The longest first, so that no thread ends with one of them alone.
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.kv_len > b.kv_len; });
}

template <class KV>
void write(const Model& m, const Layer& layer, const float* from, int64_t slot, KV*) {
  const int64_t width = m.kv_heads * m.head_dim;
  KV* key = static_cast<KV*>(layer.keys) + slot * width;
  KV* value = static_cast<KV*>(layer.values) + slot * width;
  for (int64_t d = 0; d < width; d += LANES) {
    store(key + d, load(from + d));
    store(value + d, load(from + width + d));
  }
}

template <class KV>
void attend_item(const Work& w, const Layer& layer, const Item& item, KV*) {
  static thread_local std::vector<float> scratch;
  const Model& m = w.m;
  const int64_t group = m.heads / m.kv_heads;
  const int64_t stride = (m.heads + 2 * m.kv_heads) * m.head_dim;
  const KV* keys = static_cast<const KV*>(layer.keys) + item.kv_head * m.head_dim;
  const KV* values = static_cast<const KV*>(layer.values) + item.kv_head * m.head_dim;
  const float* queries[BLOCK];
  float* out[BLOCK];
  int64_t begins[BLOCK], lengths[BLOCK];
  int filled = 0;
  for (int64_t i = 0; i < item.count * group; ++i) {
    const int64_t token = item.token + i / group;
    const int64_t head = item.kv_head * group + i % group;
    queries[filled] = w.qkv + token * stride + head * m.head_dim;
    out[filled] = w.attended + (token * m.heads + head) * m.head_dim;
    lengths[filled] = item.kv_len + i / group;
    begins[filled] = layer.window ? std::max<int64_t>(0, lengths[filled] - layer.window) : 0;
    if (++filled < BLOCK && i + 1 < item.count * group) continue;
    const int64_t first = begins[0];  // queries come in the order of their positions
    for (int q = 0; q < filled; ++q) {
      begins[q] -= first;
      lengths[q] -= first;
    }
    attend<KV>(filled, queries, begins, lengths, keys, values, m.kv_heads * m.head_dim,
               item.slots + first, m.head_dim, m.scale, scratch, out);
    filled = 0;
  }
}

void normalise_rows(Member& team, const Work& w, const float* weight, int64_t rows,
                    const int64_t* of, float* to) {
  const int64_t width = w.m.hidden, pieces = std::min(rows, ROW_PIECES);
  team.each(pieces, [&](int64_t piece) {
    for (int64_t r = rows * piece / pieces; r < rows * (piece + 1) / pieces; ++r)
      normalise(w.hidden + (of ? of[r] : r) * width, weight, w.m.eps, width, to + r * width);
  });
}

// Queries and keys normalised and turned to their positions; keys and values written to their slots.
void rotate_and_write(Member& team, const Work& w, const Layer& layer) {
  const Model& m = w.m;
  const int64_t q_width = m.heads * m.head_dim, half = m.head_dim / 2;
  const int64_t stride = q_width + 2 * m.kv_heads * m.head_dim;
  const int64_t pieces = std::min(w.p.tokens, ROW_PIECES);
  team.each(pieces, [&](int64_t piece) {
    for (int64_t t = w.p.tokens * piece / pieces; t < w.p.tokens * (piece + 1) / pieces; ++t) {
      float* row = w.qkv + t * stride;
      for (int64_t head = 0; head < m.heads + m.kv_heads; ++head) {
        float* own = row + head * m.head_dim;
        const float* norm = head < m.heads ? layer.q_norm : layer.k_norm;
        if (norm) normalise(own, norm, m.eps, m.head_dim, own);
        rotate(own, w.cosines + t * half, w.sines + t * half, half);
      }
      if (m.pool_is_bf16)
        write(m, layer, row + q_width, w.new_slots[t], static_cast<bf16*>(nullptr));
      else
        write(m, layer, row + q_width, w.new_slots[t], static_cast<float*>(nullptr));
    }
  });
}

void run_layer(Member& team, const Work& w, const Layer& layer) {
  const Model& m = w.m;
  const int64_t tokens = w.p.tokens, q_width = m.heads * m.head_dim;
  const int64_t stride = q_width + 2 * m.kv_heads * m.head_dim;
  const auto add_to_hidden = [&](int64_t row, int64_t first, const float* values) {
    const int64_t count = std::min<int64_t>(PANEL, m.hidden - first);
    for (int64_t i = 0; i < count; ++i) w.hidden[row * m.hidden + first + i] += values[i];
  };
  const auto put_qkv = [&](int64_t row, int64_t first, const float* values) {
    const int64_t count = std::min<int64_t>(PANEL, stride - first);
    std::copy(values, values + count, w.qkv + row * stride + first);
  };
  const int64_t up = layer.gate_up.num_panels / 2 * PANEL;  // the first output of that half
  const auto put_gated = [&](int64_t row, int64_t first, const float* values) {
    const int64_t at = first % up, count = std::min<int64_t>(PANEL, m.intermediate - at);
    float* to = w.gated + row * m.intermediate + at;
    if (first < up) {
      std::copy(values, values + count, to);
      return;
    }
    for (int64_t i = 0; i < count; i += LANES) {
      const Vec gate = load(to + i);
      store(to + i, gate / (1.0f + exponential(-gate)) * load(values + i));
    }
  };

  normalise_rows(team, w, layer.attention_norm, tokens, nullptr, w.normed);
  multiply(team, layer.qkv, w.normed, m.hidden, tokens, put_qkv);
  rotate_and_write(team, w, layer);
  team.each(w.num_items, [&](int64_t i) {
    if (m.pool_is_bf16)
      attend_item(w, layer, w.items[i], static_cast<bf16*>(nullptr));
    else
      attend_item(w, layer, w.items[i], static_cast<float*>(nullptr));
  });
  multiply(team, layer.out, w.attended, q_width, tokens, add_to_hidden);
  normalise_rows(team, w, layer.mlp_norm, tokens, nullptr, w.normed);
  multiply(team, layer.gate_up, w.normed, m.hidden, tokens, put_gated);
  multiply(team, layer.down, w.gated, m.intermediate, tokens, add_to_hidden);
}

void embed_rows(Member& team, const Work& w) {
  const int64_t half = w.m.head_dim / 2, pieces = std::min(w.p.tokens, ROW_PIECES);
  team.each(pieces, [&](int64_t piece) {
    for (int64_t t = w.p.tokens * piece / pieces; t < w.p.tokens * (piece + 1) / pieces; ++t) {
      float* to = w.hidden + t * w.m.hidden;
      if (w.p.inserted_at && w.p.inserted_at[t] >= 0)
        std::memcpy(to, w.p.inserted + w.p.inserted_at[t] * w.m.hidden, w.m.hidden * sizeof(float));
      else
        embed(w.m, w.p.token_ids[t], to);
      for (int64_t d = 0; d < half; ++d) {
        const float angle = float(w.p.positions[t]) * w.m.frequencies[d];
        w.cosines[t * half + d] = std::cos(angle) * w.m.magnitude;
        w.sines[t * half + d] = std::sin(angle) * w.m.magnitude;
      }
    }
  });
}

void run_pass(Member& team, const Work& w) {
  const int64_t vocab = w.m.vocab;
  embed_rows(team, w);
  for (int64_t i = 0; i < w.m.layers; ++i) run_layer(team, w, w.m.layer[i]);
  normalise_rows(team, w, w.m.norm, w.p.wanted, w.p.wanted_tokens,
                 w.p.states ? w.p.states : w.normed);
  if (w.p.states) return;
  multiply(team, w.m.head, w.normed, w.m.hidden, w.p.wanted,
           [&](int64_t row, int64_t first, const float* values) {
             const int64_t count = std::min<int64_t>(PANEL, vocab - first);
             std::copy(values, values + count, w.p.logits + row * vocab + first);
           });
}

int64_t count_phases(const Model& m, const Pass& p) {
  const int64_t layer = 4 + 4 * multiply_phases(p.tokens);
  return 2 + m.layers * layer + (p.states ? 0 : multiply_phases(p.wanted));
}

Work make_work(Runner& runner, const Pass& p) {
  const Model& m = runner.model;
  const int64_t widths[] = {m.hidden,
                            m.hidden,
                            (m.heads + 2 * m.kv_heads) * m.head_dim,
                            m.heads * m.head_dim,
                            m.intermediate,
                            m.head_dim / 2,
                            m.head_dim / 2};
  int64_t total = 0;
  for (int64_t width : widths) total += width * p.tokens;
  if (runner.buffer.size() < size_t(total)) runner.buffer.resize(total);
  list_items(m, p, runner.items);
  runner.new_slots.clear();
  for (int64_t row = 0; row < p.rows; ++row)
    runner.new_slots.insert(runner.new_slots.end(),
                            p.slots[row] + p.kv_lens[row] - p.query_lens[row],
                            p.slots[row] + p.kv_lens[row]);
  float* at[std::size(widths)];
  float* next = runner.buffer.data();
  for (size_t i = 0; i < std::size(widths); ++i) {
    at[i] = next;
    next += widths[i] * p.tokens;
  }
  return {m,     p,     at[0], at[1], at[2], at[3],
          at[4], at[5], at[6], runner.items.data(), int64_t(runner.items.size()),
          runner.new_slots.data()};
}

}  // namespace

extern "C" {

int64_t radixlm_panel() { return PANEL; }

// See `pack`.
void radixlm_pack(void* rows, int64_t kind, int64_t num_panels, int64_t in, int64_t threads) {
  pack(static_cast<char*>(rows), static_cast<Kind>(kind), num_panels, in, threads);
}

// What `model` points to must outlive the runner.
void* radixlm_decoder_new(const Model* model, int64_t threads) {
  return new Runner{*model, Team(threads), {}, {}, {}};
}

void radixlm_decoder_free(void* runner) { delete static_cast<Runner*>(runner); }

// Not for two threads at a time.
void radixlm_decoder_run(void* runner, const Pass* pass) {
  Runner& own = *static_cast<Runner*>(runner);
  const Work work = make_work(own, *pass);
  own.team.run(std::make_shared<Job>(count_phases(own.model, *pass),
                                     [work](Member& team) { run_pass(team, work); }));
}
}
