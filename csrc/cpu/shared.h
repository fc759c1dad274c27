// Exact conditioning under a shared prior: rows grouped by mask, one factor per mask, two vectors of rows at a time.
#pragma once

#include "group.h"

namespace epure {
namespace EPURE_ISA {

// acc_r += sum over j in [from, to) of factor_{i+r, j} drive_j, for two vectors of rows: each factor entry serves twice.
template <int R, class V>
EPURE_HD void add_products(const ScalarOf<V>* factor, int n, const V* drive, int from, int to, V (&acc)[R][2]) {
  for (int j = from; j < to; ++j) {
    const V a = drive[2 * j], b = drive[2 * j + 1];
    EPURE_UNROLL
    for (int r = 0; r < R; ++r) {
      acc[r][0] += a * factor[r * n + j];
      acc[r][1] += b * factor[r * n + j];
    }
  }
}

// w_i = (d_i - sum_{j<i} L_ij w_j) / L_ii in place for the observed entries i .. i + R - 1.
template <int R, class V>
EPURE_HD void solve_block(const ScalarOf<V>* factor, int n, int i, V* drive) {
  const ScalarOf<V>* rows = factor + long(i) * n;
  V acc[R][2] = {};
  add_products<R, V>(rows, n, drive, 0, i, acc);
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    EPURE_UNROLL
    for (int h = 0; h < 2; ++h) {
      V x = drive[2 * (i + r) + h] - acc[r][h];
      EPURE_UNROLL
      for (int c = 0; c < r; ++c) x -= drive[2 * (i + c) + h] * rows[r * n + i + c];
      drive[2 * (i + r) + h] = x / splat<V>(rows[r * n + i + r]);
    }
  }
}

// Conditional mean and sample of the missing entries i .. i + R - 1, `known` of all entries being observed.
template <int R, class V>
EPURE_HD void move_block(const ScalarOf<V>* factor, int n, int known, int i, const int* entry, const V* drive,
                         const ScalarOf<V>* prior_mean, bool draw, V* centre, V* sample) {
  V acc[R][2];
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = splat<V>(prior_mean[entry[i + r]]);
  add_products<R, V>(factor + long(i) * n, n, drive, 0, known, acc);
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    centre[entry[i + r]] = acc[r][0];
    centre[n + entry[i + r]] = acc[r][1];
  }
  if (!draw) return;
  add_products<R, V>(factor + long(i) * n, n, drive, known, i + R, acc);  // zeros above the diagonal
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    sample[entry[i + r]] = acc[r][0];
    sample[n + entry[i + r]] = acc[r][1];
  }
}

// Asks for the rows of a later item: sorted by mask they lie anywhere, out of the hardware prefetcher's reach.
template <class T>
inline void prefetch_rows(const SharedCall<T>& call, long from, long to) {
#if defined(__GNUC__)
  const long line = 64 / long(sizeof(T)), n = call.n;
  for (long b = from; b < to && b < call.rows; ++b)
    for (long i = 0; i < n; i += line) {
      __builtin_prefetch(call.observed + call.order[b] * n + i);
      if (call.noise) __builtin_prefetch(call.noise + call.order[b] * n + i);
    }
#else
  (void)call, (void)from, (void)to;
#endif
}

template <class V>
long condition_shared(const SharedCall<ScalarOf<V>>& call) {
  constexpr int W = Traits<V>::width;
  const int n = call.n;
  const long per = 2 * W;  // rows of a work item, all of one mask
  long items = 0;
  for (long m = 0; m < call.masks; ++m) items += (call.begin[m + 1] - call.begin[m] + per - 1) / per;
  Counter counter;
  on_threads(call.threads, items, [&](int) {
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * 10 * std::size_t(n) + sizeof(int) * std::size_t(n)))};
    V *value = arena.take(2 * n), *noise = arena.take(2 * n), *drive = arena.take(2 * n);
    V *centre = arena.take(2 * n), *sample = arena.take(2 * n);
    int* entry = reinterpret_cast<int*>(arena.start + arena.used);
    int known = 0;
    long mask = -1, past = 0;  // items before the end of `mask`
    for (long item; (item = take(counter)) < items;) {
      for (; item >= past; past += (call.begin[mask + 1] - call.begin[mask] + per - 1) / per) {
        ++mask;
        known = 0;
      }
      if (!known) {
        const unsigned char* seen = call.mask + mask * call.components;
        for (int i = 0; i < n; ++i)
          if (seen[call.component[i]]) entry[known++] = i;
        for (int i = 0, at = known; i < n; ++i)
          if (!seen[call.component[i]]) entry[at++] = i;
      }
      const long pieces = (call.begin[mask + 1] - call.begin[mask] + per - 1) / per;
      const long from = call.begin[mask] + (item - (past - pieces)) * per, to = call.begin[mask + 1];
      const Group<V> low(from, to, call.order), high(from + W < to ? from + W : from, to, call.order);
      const Group<V>* halves[2] = {&low, &high};
      prefetch_rows(call, from + call.threads * per, from + (call.threads + 1) * per);
      for (int h = 0; h < 2; ++h) {
        halves[h]->load(call.observed, n, n, value + h * n);
        if (call.noise) halves[h]->load(call.noise, n, n, noise + h * n);
        for (int i = 0; i < known; ++i) {
          const V x = value[h * n + entry[i]];
          centre[h * n + entry[i]] = sample[h * n + entry[i]] = x;
          drive[2 * i + h] = x - splat<V>(call.prior_mean[entry[i]]);
        }
        for (int i = known; call.noise && i < n; ++i) drive[2 * i + h] = noise[h * n + entry[i]];
      }
      const ScalarOf<V>* factor = call.factor + mask * n * n;
      int i = 0;
      for (; i + 4 <= known; i += 4) solve_block<4, V>(factor, n, i, drive);
      for (; i < known; ++i) solve_block<1, V>(factor, n, i, drive);
      const bool draw = call.noise != nullptr;
      for (; i + 4 <= n; i += 4)
        move_block<4, V>(factor, n, known, i, entry, drive, call.prior_mean, draw, centre, sample);
      for (; i < n; ++i) move_block<1, V>(factor, n, known, i, entry, drive, call.prior_mean, draw, centre, sample);
      for (int h = 0; h < 2; ++h) {
        halves[h]->store(centre + h * n, n, call.centre, n);
        if (draw) halves[h]->store(sample + h * n, n, call.sample, n);
      }
    }
    return -1L;
  });
  return -1;
}

}  // namespace EPURE_ISA
}  // namespace epure
