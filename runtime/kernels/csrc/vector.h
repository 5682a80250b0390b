// A vector register of floats, by the compiler's own vector types: the same source becomes AVX2,
// AVX-512 or NEON code, whatever -march=native means where it is compiled.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
constexpr int MAX_ROWS = 12;  // rows of a tile: 24 accumulators of 32 registers
#else
constexpr int LANES = 8;
constexpr int MAX_ROWS = 6;  // 12 accumulators of 16 registers
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IVec __attribute__((vector_size(LANES * 4)));
typedef uint32_t UVec __attribute__((vector_size(LANES * 4)));
typedef uint16_t HVec __attribute__((vector_size(LANES * 2)));
typedef int8_t BVec __attribute__((vector_size(LANES)));
typedef uint16_t bf16;  // its bits: the upper half of a float's

template <class V, class T>
static inline V load_as(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

static inline Vec load(const float* from) { return load_as<Vec>(from); }

// LANES numbers of fewer bits as 32: one instruction each, which GCC 12 does not find by itself.
static inline UVec widened(const uint16_t* from) {
#if defined(__AVX512F__)
  return (UVec)_mm512_cvtepu16_epi32(load_as<__m256i>(from));
#elif defined(__AVX2__)
  return (UVec)_mm256_cvtepu16_epi32(load_as<__m128i>(from));
#else
  return __builtin_convertvector(load_as<HVec>(from), UVec);
#endif
}

static inline IVec widened(const int8_t* from) {
#if defined(__AVX512F__)
  return (IVec)_mm512_cvtepi8_epi32(load_as<__m128i>(from));
#elif defined(__AVX2__)
  return (IVec)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#else
  return __builtin_convertvector(load_as<BVec>(from), IVec);
#endif
}

static inline Vec load(const bf16* from) { return (Vec)(widened(from) << 16); }

static inline void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

// Rounds to nearest, ties to even, as torch does; a NaN may come out as infinity.
static inline void store(bf16* to, Vec v) {
  UVec bits = (UVec)v;
  bits += 0x7FFF + ((bits >> 16) & 1);
  HVec half = __builtin_convertvector(bits >> 16, HVec);
  std::memcpy(to, &half, sizeof half);
}

static inline Vec fill(float x) { return x - Vec{}; }

// Adds halves to each other, in one fixed order.
static inline float sum(Vec v) {
  typedef float Eight __attribute__((vector_size(32)));
  typedef float Four __attribute__((vector_size(16)));
#if defined(__AVX512F__)
  Eight e = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
            __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
#else
  Eight e = v;
#endif
  Four f = __builtin_shufflevector(e, e, 0, 1, 2, 3) + __builtin_shufflevector(e, e, 4, 5, 6, 7);
  return (f[0] + f[2]) + (f[1] + f[3]);
}

static inline Vec select(IVec mask, Vec yes, Vec no) {
  return (Vec)(((IVec)yes & mask) | ((IVec)no & ~mask));
}

// e^x to a relative error of about 2e-7: x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial in r.
// Below -87 it is e^-87 and above 88 e^88: as good as 0 and infinity to a softmax or a sigmoid.
static inline Vec exponential(Vec x) {
  x = select(x < -87.0f, fill(-87.0f), x);
  x = select(x > 88.0f, fill(88.0f), x);
  const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  Vec n = x * 1.44269504088896341f + round;
  IVec exponent = (IVec)n << 23;
  n -= round;
  Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
  Vec p = fill(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return (Vec)((IVec)p + exponent);
}

// Whether any lane of a comparison holds.
static inline bool any(IVec mask) {
  typedef int64_t Four __attribute__((vector_size(32)));
  typedef int64_t Two __attribute__((vector_size(16)));
#if defined(__AVX512F__)
  typedef int64_t Eight __attribute__((vector_size(64)));
  const Eight e = (Eight)mask;
  const Four f = __builtin_shufflevector(e, e, 0, 1, 2, 3) | __builtin_shufflevector(e, e, 4, 5, 6, 7);
#else
  const Four f = (Four)mask;
#endif
  const Two t = __builtin_shufflevector(f, f, 0, 1) | __builtin_shufflevector(f, f, 2, 3);
  return (t[0] | t[1]) != 0;
}

// ln x to a relative error of about 2e-7, x positive and normal: x = m 2^n with m from sqrt(1/2) to
// sqrt(2), and ln m = 2 artanh s with s = (m - 1) / (m + 1), |s| < 0.172, by its power series.
static inline Vec logarithm(Vec x) {
  const int32_t SQRT_HALF = 0x3F3504F3;  // the bits of sqrt(1/2)
  const IVec exponent = ((IVec)x - SQRT_HALF) >> 23;
  const Vec m = (Vec)((IVec)x - (exponent << 23));
  const Vec s = (m - 1.0f) / (m + 1.0f), square = s * s;
  Vec series = fill(2.0f / 9);
  series = series * square + 2.0f / 7;
  series = series * square + 2.0f / 5;
  series = series * square + 2.0f / 3;
  const Vec whole = __builtin_convertvector(exponent, Vec) * 0.693147180559945f;
  return whole + (s * 2.0f + s * square * series);
}

// ln(1 + x) to the same error, also where x is so small that 1 + x rounds it away.
static inline Vec logarithm_of_1_plus(Vec x) {
  const Vec rounded = 1.0f + x;
  return logarithm(rounded) + (x - (rounded - 1.0f)) / rounded;
}
