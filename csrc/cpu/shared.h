// Affine conditionals under a shared prior: mean = m + gain (x - m), sample = mean + tril noise, rows grouped by mask.
#pragma once

#include "group.h"

namespace epure {
namespace EPURE_ISA {

// The table of one mask without its zeros: `gain` (missing, observed) and `tril` (missing, missing), row-major.
template <class T>
struct Compact {
  int *seen, *lost;
  int seen_count = 0, lost_count = 0;
  T *gain, *tril;

  void read(const SharedCall<T>& call, long mask) {
    const int n = call.n;
    const unsigned char* observed = call.mask + mask * call.components;
    seen_count = lost_count = 0;
    for (int i = 0; i < n; ++i) (observed[call.component[i]] ? seen[seen_count++] : lost[lost_count++]) = i;
    const long base = mask * n * n;
    for (int i = 0; i < lost_count; ++i) {
      for (int j = 0; j < seen_count; ++j) gain[i * seen_count + j] = call.gain[base + long(lost[i]) * n + seen[j]];
      for (int j = 0; j < lost_count; ++j) tril[i * lost_count + j] = call.tril[base + long(lost[i]) * n + lost[j]];
    }
  }
};

// acc_i .. acc_{i+R-1} of two vectors of rows: += matrix x, each matrix entry used twice.
template <int R, class V>
EPURE_HD void affine_rows(const ScalarOf<V>* matrix, int stride, const V* x, int count, V (&acc)[R][2]) {
  for (int j = 0; j < count; ++j) {
    const V a = x[2 * j], b = x[2 * j + 1];
    EPURE_UNROLL
    for (int r = 0; r < R; ++r) {
      acc[r][0] += a * matrix[r * stride + j];
      acc[r][1] += b * matrix[r * stride + j];
    }
  }
}

template <int R, class V>
EPURE_HD void affine_block(const Compact<ScalarOf<V>>& table, int i, const V* given, const V* noise, V* mean, V* drawn) {
  V acc[R][2];
  EPURE_UNROLL
  for (int r = 0; r < R; ++r)
    for (int h = 0; h < 2; ++h) acc[r][h] = mean[2 * table.lost[i + r] + h];
  affine_rows<R, V>(table.gain + i * table.seen_count, table.seen_count, given, table.seen_count, acc);
  EPURE_UNROLL
  for (int r = 0; r < R; ++r)
    for (int h = 0; h < 2; ++h) mean[2 * table.lost[i + r] + h] = acc[r][h];
  if (!noise) return;
  affine_rows<R, V>(table.tril + i * table.lost_count, table.lost_count, noise, i + R, acc);
  EPURE_UNROLL
  for (int r = 0; r < R; ++r)
    for (int h = 0; h < 2; ++h) drawn[2 * table.lost[i + r] + h] = acc[r][h];
}

template <class V>
long condition_shared(const SharedCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const int n = call.n;
  // work items: two vectors of rows with one mask; the masks of the items are found by walking `begin`
  const long per = 2 * W;
  long items = 0;
  for (long m = 0; m < call.masks; ++m) items += (call.begin[m + 1] - call.begin[m] + per - 1) / per;
  Counter counter;
  on_threads(call.threads, items, [&](int) {
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * 11 * std::size_t(n) + sizeof(T) * 2 * std::size_t(n) * n +
                                           sizeof(int) * 2 * std::size_t(n)))};
    V *line = arena.take(n), *given = arena.take(2 * n), *noise = arena.take(2 * n), *mean = arena.take(2 * n);
    V *drawn = arena.take(2 * n), *value = arena.take(2 * n);
    Compact<T> table;
    table.gain = reinterpret_cast<T*>(arena.start + arena.used);
    table.tril = table.gain + long(n) * n;
    table.seen = reinterpret_cast<int*>(table.tril + long(n) * n);
    table.lost = table.seen + n;
    long mask = -1, past = 0;  // items before the end of `mask`
    for (long item; (item = take(counter)) < items;) {
      const long before = mask;
      while (item >= past) {
        ++mask;
        past += (call.begin[mask + 1] - call.begin[mask] + per - 1) / per;
      }
      if (mask != before) table.read(call, mask);
      const long pieces = (call.begin[mask + 1] - call.begin[mask] + per - 1) / per;
      const long from = call.begin[mask] + (item - (past - pieces)) * per, to = call.begin[mask + 1];
      const Group<V> low(from, to, call.order), high(from + W < to ? from + W : from, to, call.order);
      const Group<V>* halves[2] = {&low, &high};
      for (int h = 0; h < 2; ++h) {
        halves[h]->load(call.observed, n, n, line);
        for (int i = 0; i < n; ++i) value[2 * i + h] = line[i];
        if (call.noise) halves[h]->load(call.noise, n, n, line);
        for (int i = 0; call.noise && i < table.lost_count; ++i) noise[2 * i + h] = line[table.lost[i]];
        for (int i = 0; i < table.seen_count; ++i) {
          const int at = table.seen[i];
          mean[2 * at + h] = drawn[2 * at + h] = value[2 * at + h];
          given[2 * i + h] = value[2 * at + h] - splat<V>(call.prior_mean[at]);
        }
        for (int i = 0; i < table.lost_count; ++i) mean[2 * table.lost[i] + h] = splat<V>(call.prior_mean[table.lost[i]]);
      }
      int i = 0;
      const V* drive = call.noise ? noise : nullptr;
      for (; i + 4 <= table.lost_count; i += 4) affine_block<4, V>(table, i, given, drive, mean, drawn);
      for (; i < table.lost_count; ++i) affine_block<1, V>(table, i, given, drive, mean, drawn);
      for (int h = 0; h < 2; ++h) {
        for (int j = 0; j < n; ++j) line[j] = mean[2 * j + h];
        halves[h]->store(line, n, call.centre, n);
        if (!call.noise) continue;
        for (int j = 0; j < n; ++j) line[j] = drawn[2 * j + h];
        halves[h]->store(line, n, call.sample, n);
      }
    }
    return -1L;
  });
  return -1;
}

}  // namespace EPURE_ISA
}  // namespace epure
