// Exact conditioning under a shared prior: rows grouped by mask, one factor per mask, up to two vectors of rows at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "../condition.h"
#include "group.h"

namespace epure {
namespace EPURE_ISA {

// acc_r += sum over j in [from, to) of factor_{i+r, j} drive_j, for H vectors of rows: each factor entry serves H times.
template <int R, int H, class V>
EPURE_HD void add_products(const ScalarOf<V>* factor, int n, const V* drive, int from, int to, V (&acc)[R][H]) {
  const ScalarOf<V>* row[R];
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) row[r] = factor + r * n;
  for (int j = from; j < to; ++j) {
    V x[H];
    EPURE_UNROLL
    for (int h = 0; h < H; ++h) x[h] = drive[H * j + h];
    EPURE_UNROLL
    for (int r = 0; r < R; ++r) {
      EPURE_UNROLL
      for (int h = 0; h < H; ++h) acc[r][h] += x[h] * row[r][j];
    }
  }
}

// w_i = (d_i - sum_{j<i} L_ij w_j) / L_ii in place for the observed entries i .. i + R - 1.
template <int R, int H, class V>
EPURE_HD void solve_block(const ScalarOf<V>* factor, int n, int i, V* drive) {
  using T = ScalarOf<V>;
  const T* rows = factor + long(i) * n;
  V w[R][H] = {};
  add_products<R, H, V>(rows, n, drive, 0, i, w);
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    const T inverse = T(1) / rows[r * n + i + r];
    EPURE_UNROLL
    for (int h = 0; h < H; ++h) {
      V x = drive[H * (i + r) + h] - w[r][h];
      EPURE_UNROLL
      for (int c = 0; c < r; ++c) x -= w[c][h] * rows[r * n + i + c];
      w[r][h] = x * inverse;
    }
  }
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    EPURE_UNROLL
    for (int h = 0; h < H; ++h) drive[H * (i + r) + h] = w[r][h];
  }
}

// Conditional mean and sample of the missing entries i .. i + R - 1, `known` of all entries being observed.
template <int R, int H, class V>
EPURE_HD void move_block(const ScalarOf<V>* factor, int n, int known, int i, const int* entry, const V* drive,
                         const ScalarOf<V>* prior_mean, bool draw, V* centre, V* sample) {
  V acc[R][H];
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    EPURE_UNROLL
    for (int h = 0; h < H; ++h) acc[r][h] = splat<V>(prior_mean[entry[i + r]]);
  }
  add_products<R, H, V>(factor + long(i) * n, n, drive, 0, known, acc);
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    EPURE_UNROLL
    for (int h = 0; h < H; ++h) centre[h * n + entry[i + r]] = acc[r][h];
  }
  if (!draw) return;
  add_products<R, H, V>(factor + long(i) * n, n, drive, known, i + R, acc);  // zeros above the diagonal
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) {
    EPURE_UNROLL
    for (int h = 0; h < H; ++h) sample[h * n + entry[i + r]] = acc[r][h];
  }
}

// Asks for the lines of rows to come, a few at a time between blocks of arithmetic: all at once would wait for each other.
// The next piece of the batch comes from memory into the second cache, the mask's next rows from there into the first.
template <class T>
struct RowsAhead {
  const SharedCall<T>& call;
  bool past;       // results are written past the cache: not to be read
  long far, end;   // of the next piece, in numbers
  long near = 0, stop = 0;  // of the mask's rows, in the call's order
  int column = 0;

  void of_mask(long from, long to) {
    near = from;
    stop = to;
    column = 0;
  }
  void ask(int lines) {
#if defined(__GNUC__)
    constexpr int line = 64 / int(sizeof(T));
    for (; lines > 0; --lines) {
      if (far < end) {
        __builtin_prefetch(call.observed + far, 0, 2);
        if (call.noise) __builtin_prefetch(call.noise + far, 0, 2);
        if (!past) __builtin_prefetch(call.centre + far, 1, 2);
        if (!past && call.noise) __builtin_prefetch(call.sample + far, 1, 2);
        far += line;
      }
      if (near < stop) {
        const long at = call.order[near] * call.shape.n + column;
        __builtin_prefetch(call.observed + at);
        if (call.noise) __builtin_prefetch(call.noise + at);
        column += line;
        if (column >= call.shape.n) column = 0, ++near;
      }
    }
#else
    (void)lines;
#endif
  }
};

// A thread's buffers, of 2 n values each unless said otherwise.
template <class V>
struct SharedWorkspace {
  V *value, *noise, *drive, *centre, *sample;
  int* entry;  // (n,) the observed ones first
  int known;   // how many are observed
};

// H vectors of rows of one mask, from `from` on in the call's order; rows before `to` count. Returns the first row that is
// not finite, or `bad` if that is earlier.
template <int H, class V>
long condition_rows(const SharedCall<ScalarOf<V>>& call, const ScalarOf<V>* factor, const SharedWorkspace<V>& work, long from,
                    long to, RowsAhead<ScalarOf<V>>& ahead, long bad) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  constexpr int lines = W * H * 4 * int(sizeof(T)) / 64 + 1;  // those of as many rows, shared out to blocks of four entries
  ahead.of_mask(from + W * H, std::min(from + 2 * W * H, to));
  const int n = call.shape.n, known = work.known, *entry = work.entry;
  for (int h = 0; h < H; ++h) {
    const Group<V> group(from + h * W, to, call.order);
    group.load(call.observed, n, n, work.value + h * n);
    if (call.noise) group.load(call.noise, n, n, work.noise + h * n);
    for (int i = 0; i < known; ++i) {
      const V x = work.value[h * n + entry[i]];
      work.centre[h * n + entry[i]] = work.sample[h * n + entry[i]] = x;
      work.drive[H * i + h] = x - splat<V>(call.prior_mean[entry[i]]);
    }
    for (int i = known; call.noise && i < n; ++i) work.drive[H * i + h] = work.noise[h * n + entry[i]];
  }
  int i = 0;
  for (; i + 4 <= known; i += 4) {
    solve_block<4, H, V>(factor, n, i, work.drive);
    ahead.ask(lines);
  }
  for (; i < known; ++i) solve_block<1, H, V>(factor, n, i, work.drive);
  const bool draw = call.noise != nullptr;
  const auto move = [&](auto rows) {
    move_block<decltype(rows)::value, H, V>(factor, n, known, i, entry, work.drive, call.prior_mean, draw, work.centre,
                                            work.sample);
  };
  for (; i + 4 <= n; i += 4) {
    move(std::integral_constant<int, 4>());
    ahead.ask(lines);
  }
  for (; i < n; ++i) move(std::integral_constant<int, 1>());
  for (int h = 0; h < H; ++h) {
    const Group<V> group(from + h * W, to, call.order);
    group.store(work.centre + h * n, n, call.centre, n, ahead.past);
    if (draw) group.store(work.sample + h * n, n, call.sample, n, ahead.past);
    V wrong = splat<V>(0);
    for (int k = 0; k < n; ++k) wrong = not_finite((draw ? work.sample : work.centre)[h * n + k], wrong);
    bad = group.earliest(wrong, bad);
  }
  return bad;
}

// Whether results are large enough to be written past the cache, and lie so that whole lines can be.
template <class T>
bool outgrows_cache(const SharedCall<T>& call) {
  const auto aligned = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 64 == 0; };
  const long bytes = call.shape.n * long(sizeof(T));
  return bytes % 64 == 0 && aligned(call.centre) && aligned(call.sample) && bytes * call.rows >= 8L << 20;
}

// The batch is walked in pieces of neighbouring rows, within which rows are taken mask by mask: sorted as a whole, they
// would lie anywhere in memory, and every line would be waited for.
template <class V>
long condition_shared(const SharedCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr long W = Traits<V>::width;
  const int n = call.shape.n;
  // rows enough for a mask to fill some vectors, few enough for the cache
  const long most = call.threads * std::max(1024L, 96 * call.masks);
  const long rounds = (call.rows + most - 1) / most, pieces = call.threads * rounds;
  const long size = pieces ? (call.rows + pieces - 1) / pieces : 0;
  const bool past = outgrows_cache(call);
  Counter counter;
  return on_threads(call.threads, pieces, double(size) / W * n * n, [&](int) {
    const std::size_t count = 2 * std::size_t(n);
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * 5 * count + sizeof(int) * std::size_t(n)))};
    SharedWorkspace<V> work{};
    for (V** piece : {&work.value, &work.noise, &work.drive, &work.centre, &work.sample}) *piece = arena.take(count);
    work.entry = reinterpret_cast<int*>(arena.start + arena.used);
    long bad = -1;
    for (long taken; (taken = take(counter)) < pieces;) {
      // pieces in hand lie far apart: a page that two threads touch first at once is cleared twice
      const long first = (taken % call.threads * rounds + taken / call.threads) * size, next = first + size;
      RowsAhead<T> ahead{call, past, next * n, std::min(next + size, call.rows) * n};
      for (long m = 0; m < call.masks; ++m) {
        const auto *begin = call.order + call.begin[m], *end = call.order + call.begin[m + 1];  // ascending
        long at = std::lower_bound(begin, end, first) - call.order;
        const long stop = std::lower_bound(begin, end, first + size) - call.order;
        if (at == stop) continue;
        work.known = observed_first(call.mask + m * call.components, call.component, n, work.entry);
        const T* factor = call.factor + m * n * n;
        for (; at + W < stop; at += 2 * W) bad = condition_rows<2, V>(call, factor, work, at, stop, ahead, bad);
        if (at < stop) bad = condition_rows<1, V>(call, factor, work, at, stop, ahead, bad);
      }
    }
    if (past) end_stream();
    return bad;
  });
}

}  // namespace EPURE_ISA
}  // namespace epure
