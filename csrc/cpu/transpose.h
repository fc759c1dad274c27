// Rows of the batch into lanes and back: out[k] lane l = row l, entry k.
#pragma once

#include "../lanes.h"

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define EPURE_SHUFFLE 1
#endif
#endif
#if defined(EPURE_SHUFFLE) && defined(__AVX__) && EPURE_BYTES >= 32
#define EPURE_STREAM 1
#include <immintrin.h>
#endif

namespace epure {
namespace EPURE_ISA {

#if defined(EPURE_SHUFFLE)
// A quad: 16 bytes of one row (4 floats or 2 doubles). Lanes are built of one or two quads and turned within each.
template <class T>
struct Quad {
  typedef T type __attribute__((vector_size(16), aligned(alignof(T)), may_alias));
};

#define EPURE_SHUF(...) __builtin_shufflevector(__VA_ARGS__)

template <class T, int W>
struct Gather {
  using V = Lanes<T, W>;
  static constexpr int per = 16 / int(sizeof(T));
  using Q = typename Quad<T>::type;
  static EPURE_HD V join(const T* const* rows, int first, long k) {
    if constexpr (W == per) {
      return V(*reinterpret_cast<const Q*>(rows[first] + k));
    } else {
      static_assert(W == 2 * per, "one or two quads");
      const Lanes<T, per> a = *reinterpret_cast<const Q*>(rows[first] + k);
      const Lanes<T, per> b = *reinterpret_cast<const Q*>(rows[first + per] + k);
      if constexpr (per == 4)
        return EPURE_SHUF(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
      else
        return EPURE_SHUF(a, b, 0, 1, 2, 3);
    }
  }
  static EPURE_HD void split(V v, T* const* rows, int first, long k) {
    if constexpr (W == per) {
      *reinterpret_cast<Q*>(rows[first] + k) = v;
    } else {
      if constexpr (per == 4) {
        *reinterpret_cast<Q*>(rows[first] + k) = EPURE_SHUF(v, v, 0, 1, 2, 3);
        *reinterpret_cast<Q*>(rows[first + per] + k) = EPURE_SHUF(v, v, 4, 5, 6, 7);
      } else {
        *reinterpret_cast<Q*>(rows[first] + k) = EPURE_SHUF(v, v, 0, 1);
        *reinterpret_cast<Q*>(rows[first + per] + k) = EPURE_SHUF(v, v, 2, 3);
      }
    }
  }
};

// Transposes 4 x 4 (2 x 2 for doubles) within each 16 bytes.
EPURE_HD void turn(Lanes<float, 4> (&v)[4]) {
  const auto a = EPURE_SHUF(v[0], v[1], 0, 4, 1, 5), b = EPURE_SHUF(v[0], v[1], 2, 6, 3, 7);
  const auto c = EPURE_SHUF(v[2], v[3], 0, 4, 1, 5), d = EPURE_SHUF(v[2], v[3], 2, 6, 3, 7);
  v[0] = EPURE_SHUF(a, c, 0, 1, 4, 5);
  v[1] = EPURE_SHUF(a, c, 2, 3, 6, 7);
  v[2] = EPURE_SHUF(b, d, 0, 1, 4, 5);
  v[3] = EPURE_SHUF(b, d, 2, 3, 6, 7);
}
EPURE_HD void turn(Lanes<double, 2> (&v)[2]) {
  const auto a = EPURE_SHUF(v[0], v[1], 0, 2);
  v[1] = EPURE_SHUF(v[0], v[1], 1, 3);
  v[0] = a;
}
#if EPURE_BYTES >= 32
EPURE_HD void turn(Lanes<float, 8> (&v)[4]) {
  const auto a = EPURE_SHUF(v[0], v[1], 0, 8, 1, 9, 4, 12, 5, 13), b = EPURE_SHUF(v[0], v[1], 2, 10, 3, 11, 6, 14, 7, 15);
  const auto c = EPURE_SHUF(v[2], v[3], 0, 8, 1, 9, 4, 12, 5, 13), d = EPURE_SHUF(v[2], v[3], 2, 10, 3, 11, 6, 14, 7, 15);
  v[0] = EPURE_SHUF(a, c, 0, 1, 8, 9, 4, 5, 12, 13);
  v[1] = EPURE_SHUF(a, c, 2, 3, 10, 11, 6, 7, 14, 15);
  v[2] = EPURE_SHUF(b, d, 0, 1, 8, 9, 4, 5, 12, 13);
  v[3] = EPURE_SHUF(b, d, 2, 3, 10, 11, 6, 7, 14, 15);
}
EPURE_HD void turn(Lanes<double, 4> (&v)[2]) {
  const auto a = EPURE_SHUF(v[0], v[1], 0, 4, 2, 6);
  v[1] = EPURE_SHUF(v[0], v[1], 1, 5, 3, 7);
  v[0] = a;
}
#endif
#endif  // EPURE_SHUFFLE

// out_0, out_step, ... = entries first, first + 1, ... of each row. `rows`: one pointer per lane (repeat the last row where
// the batch ends).
template <class V>
inline void load_lanes(const ScalarOf<V>* const* rows, int first, int count, V* out, int step = 1) {
  constexpr int W = Traits<V>::width;
  int k = 0;
#if defined(EPURE_SHUFFLE)
  using T = ScalarOf<V>;
  constexpr int per = 16 / int(sizeof(T));
  for (; k + per <= count; k += per) {
    V v[per];
    EPURE_UNROLL
    for (int r = 0; r < per; ++r) v[r] = Gather<T, W>::join(rows, r, first + k);
    turn(v);
    EPURE_UNROLL
    for (int r = 0; r < per; ++r) out[(k + r) * step] = v[r];
  }
#endif
  for (; k < count; ++k)
    for (int l = 0; l < W; ++l) set_lane(out[k * step], l, rows[l][first + k]);
}

// Only the first `valid` lanes are written.
template <class V>
inline void store_lanes(const V* in, int count, ScalarOf<V>* const* rows, int valid) {
  constexpr int W = Traits<V>::width;
  int k = 0;
#if defined(EPURE_SHUFFLE)
  using T = ScalarOf<V>;
  constexpr int per = 16 / int(sizeof(T));
  for (; valid == W && k + per <= count; k += per) {
    V v[per];
    EPURE_UNROLL
    for (int r = 0; r < per; ++r) v[r] = in[k + r];
    turn(v);
    EPURE_UNROLL
    for (int r = 0; r < per; ++r) Gather<T, W>::split(v[r], rows, r, k);
  }
#endif
  for (; k < count; ++k)
    for (int l = 0; l < valid; ++l) rows[l][k] = lane(in[k], l);
}

// As store_lanes, past the cache and in whole lines of 64 bytes, for results larger than it: nothing is read to be written
// over. Demands all lanes and rows that start at a line. False: left undone, this body cannot.
template <class V>
inline bool stream_lanes(const V* in, int count, ScalarOf<V>* const* rows) {
#if defined(EPURE_STREAM)
  using T = ScalarOf<V>;
  constexpr int per = 16 / int(sizeof(T));
  for (int k = 0; k < count; k += 4 * per) {
    V v[4][per];
    EPURE_UNROLL
    for (int q = 0; q < 4; ++q) {
      EPURE_UNROLL
      for (int r = 0; r < per; ++r) v[q][r] = in[k + q * per + r];
      turn(v[q]);
    }
    EPURE_UNROLL
    for (int r = 0; r < per; ++r) {
      T *low = rows[r] + k, *high = rows[r + per] + k;
      EPURE_UNROLL
      for (int q = 0; q < 4; q += 2) {
        const V a = v[q][r], b = v[q + 1][r];
        if constexpr (per == 4) {
          _mm256_stream_ps(low + 4 * q, (__m256)EPURE_SHUF(a, b, 0, 1, 2, 3, 8, 9, 10, 11));
          _mm256_stream_ps(high + 4 * q, (__m256)EPURE_SHUF(a, b, 4, 5, 6, 7, 12, 13, 14, 15));
        } else {
          _mm256_stream_pd(low + 2 * q, (__m256d)EPURE_SHUF(a, b, 0, 1, 4, 5));
          _mm256_stream_pd(high + 2 * q, (__m256d)EPURE_SHUF(a, b, 2, 3, 6, 7));
        }
      }
    }
  }
  return true;
#else
  (void)in, (void)count, (void)rows;
  return false;
#endif
}

// After the last of stream_lanes: what was written is seen by other threads.
inline void end_stream() {
#if defined(EPURE_STREAM)
  _mm_sfence();
#endif
}

}  // namespace EPURE_ISA
}  // namespace epure
