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

// Asks for the lines of a later item's rows, a few at a time between blocks of arithmetic: sorted by mask the rows lie
// anywhere, out of the hardware prefetcher's reach, and all lines at once would wait for each other.
template <class T>
struct RowsAhead {
  const SharedCall<T>& call;
  long row, stop;  // in call.order
  int column = 0;

  RowsAhead(const SharedCall<T>& call, long from, long count)
      : call(call), row(from), stop(from + count < call.rows ? from + count : call.rows) {}
  void ask(int lines) {
#if defined(__GNUC__)
    for (; lines > 0 && row < stop; --lines) {
      const long at = call.order[row] * call.n + column;
      __builtin_prefetch(call.observed + at);
      __builtin_prefetch(call.centre + at, 1);
      if (call.noise) {
        __builtin_prefetch(call.noise + at);
        __builtin_prefetch(call.sample + at, 1);
      }
      column += 64 / int(sizeof(T));
      if (column >= call.n) {
        column = 0;
        ++row;
      }
    }
#else
    (void)lines;
#endif
  }
};

template <class V>
long condition_shared(const SharedCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const int n = call.n;
  const long per = 2 * W;  // rows of a work item, all of one mask
  const int lines = int(per) * 4 * int(sizeof(T)) / 64 + 1;  // to ask for per block of four entries
  long items = 0;
  for (long m = 0; m < call.masks; ++m) items += (call.begin[m + 1] - call.begin[m] + per - 1) / per;
  Counter counter;
  on_threads(call.threads, items, 4.0 * n * n, [&](int) {
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
      RowsAhead<T> ahead(call, from + call.threads * per, per);
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
      for (; i + 4 <= known; i += 4) {
        solve_block<4, V>(factor, n, i, drive);
        ahead.ask(lines);
      }
      for (; i < known; ++i) solve_block<1, V>(factor, n, i, drive);
      const bool draw = call.noise != nullptr;
      for (; i + 4 <= n; i += 4) {
        move_block<4, V>(factor, n, known, i, entry, drive, call.prior_mean, draw, centre, sample);
        ahead.ask(lines);
      }
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
