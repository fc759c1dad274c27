// Exact conditioning over the batch, each row on its own subset.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "../assembly.h"
#include "../condition.h"
#include "group.h"

namespace epure {
namespace EPURE_ISA {

// Entries of each lane's row, observed ones first, in their own order.
template <int W>
struct Permutation {
  int* entry[W];  // (np,): padding maps to itself
  int observed[W];
  bool uniform = false;  // the same in all lanes, and then:
  int* place;            // (n,) where an entry stands
  int *start, *offset;   // (np,) the permuted matrix's own packed form, as in Shape
  const unsigned char* last = nullptr;  // the mask that all lanes had

  static constexpr std::size_t places = W + 3;  // np numbers each

  void settle(int* work, int np) {
    for (int l = 0; l < W; ++l) entry[l] = work + l * np;
    place = work + W * np;
    start = place + np;
    offset = start + np;
  }

  template <class Call>
  void read(const Call& call, const long (&row)[W]) {
    const Shape& shape = call.shape;
    const std::size_t size = call.components;
    const unsigned char* ours = call.mask + row[0] * size;
    bool same = last && !std::memcmp(last, ours, size);  // rows are sorted by mask
    for (int l = 1; same && l < W; ++l) same = !std::memcmp(ours, call.mask + row[l] * size, size);
    if (same) return;
    uniform = true;
    for (int l = 0; l < W; ++l) {
      const unsigned char* mask = call.mask + row[l] * size;
      for (int c = 0; c < call.components; ++c) uniform = uniform && (mask[c] != 0) == (ours[c] != 0);
      observed[l] = observed_first(mask, call.component, shape.n, entry[l]);
      for (int i = shape.n; i < shape.np; ++i) entry[l][i] = i;
    }
    last = uniform ? ours : nullptr;
    if (uniform) pack(call);
  }

  template <class Call>
  void pack(const Call& call) {
    int packed = 0;
    for (int i = 0; i < call.shape.np; ++i) {
      const bool pads = i >= call.shape.n;
      const int own = entry[0][i];
      const bool same = i && !pads && call.component[own] == call.component[entry[0][i - 1]];
      start[i] = pads ? 0 : same ? start[i - 1] : i;
      offset[i] = packed;
      packed += start[i];
      if (!pads) place[own] = i;
    }
  }
};

// Rows of packed couplings into lanes and into the permuted order's packed form, where all lanes have one order.
// `ends`: where each component ends.
template <class V, int W>
inline void load_permuted(const ConditionCall<ScalarOf<V>>& call, const std::vector<int>& ends, const Group<V>& group,
                          const Permutation<W>& order, V* out) {
  const Shape& shape = call.shape;
  const ScalarOf<V>* rows[W];
  for (int l = 0; l < W; ++l) rows[l] = call.coupling + group.row[l] * shape.k;
  for (int a = 0; a < shape.n; ++a)
    for (int b = 0, stop; b < shape.start[a]; b = stop) {  // a component's entries: neighbours in either order
      stop = ends[call.component[b]];
      const int p = order.place[a], q = order.place[b];
      V* to = p > q ? out + order.offset[p] + q : out + order.offset[q] + p;
      load_lanes<V>(rows, shape.offset[a] + b, stop - b, to, p > q ? 1 : order.start[q]);
    }
}

// The permuted lower triangle from the packed form, into pairs of rows; every lane has its own order.
template <class V, int W>
inline void permute_packed(const Shape& shape, const Permutation<W>& order, const V* diagonal, const V* coupling,
                           V* rows) {
  using T = ScalarOf<V>;
  for (int i = 0; i < shape.n; ++i)
    for (int l = 0; l < W; ++l) {
      const int a = order.entry[l][i];
      T* out = reinterpret_cast<T*>(rows + row_at(shape.np, i)) + l;
      for (int j = 0; j < i; ++j) {
        const int b = order.entry[l][j], high = a > b ? a : b, low = a > b ? b : a;
        out[2 * j * W] =
            low < shape.start[high] ? reinterpret_cast<const T*>(coupling + shape.offset[high] + low)[l] : T(0);
      }
      out[2 * i * W] = reinterpret_cast<const T*>(diagonal + a)[l];
    }
}

// Likewise from full matrices (B, N, N), of which it reads the lower triangle.
template <class V, int W>
inline void permute_full(const Shape& shape, const Permutation<W>& order, const ScalarOf<V>* covariance,
                         const long (&from)[W], V* rows) {
  using T = ScalarOf<V>;
  const long n = shape.n;
  for (int l = 0; l < W; ++l) {
    const T* matrix = covariance + from[l] * n * n;
    for (int i = 0; i < n; ++i) {
      T* out = reinterpret_cast<T*>(rows + row_at(shape.np, i)) + l;
      const int a = order.entry[l][i];
      for (int j = 0; j <= i; ++j) {
        const int b = order.entry[l][j];
        out[2 * j * W] = a > b ? matrix[a * n + b] : matrix[b * n + a];
      }
    }
  }
}

// Asks for the rows of the next group while this one is factorised: they come from memory, and nothing else hides that.
// A line at a time in step with the multiply-adds, for memory has a pace of its own.
template <class V, class Sink>
struct Ahead {
  using T = ScalarOf<V>;
  Sink sink;
  const Group<V>& next;
  const T* const tensors[6];
  const long bytes[6];  // of a row; 0 where the call has no such tensor
  double step, due = 0;  // lines of every row to ask for after a multiply-add
  int tensor = 0;
  long at = 0;  // bytes of this tensor's rows asked for

  Ahead(const Sink& sink, const Group<V>& next, const ConditionCall<T>& call)
      : sink(sink),
        next(next),
        tensors{call.mean, call.observed, call.noise, call.variance, call.coupling, call.covariance},
        bytes{size(call.mean, call.shape.n),         size(call.observed, call.shape.n),
              size(call.noise, call.shape.n),        size(call.variance, call.shape.n),
              size(call.coupling, call.shape.k),     size(call.covariance, long(call.shape.n) * call.shape.n)} {
    double lines = 6;
    for (const long count : bytes) lines += double(count) / 64;
    const double np = call.shape.np;
    step = 1.1 * lines / (np * np * np / 6);
  }
  static long size(const T* tensor, long numbers) { return tensor ? numbers * long(sizeof(T)) : 0; }

  template <int NB>
  EPURE_HD void corner(int j, const Corner<V, NB>& corner) {
    sink.template corner<NB>(j, corner);
  }
  template <int NB>
  EPURE_HD void tile(int i, int j, const V (&acc)[2][NB]) {
    sink.template tile<NB>(i, j, acc);
#if defined(__GNUC__)
    for (due += step * (2 * NB * j); due >= 1 && tensor < 6; due -= 1) {
      const char* from = reinterpret_cast<const char*>(tensors[tensor]);
      for (int l = 0; at < bytes[tensor] && l < Traits<V>::width; ++l)
        __builtin_prefetch(from + next.row[l] * bytes[tensor] + at, 0, 3);
      at += 64;
      if (at >= bytes[tensor]) {
        ++tensor;
        at = 0;
      }
    }
#endif
  }
};

// First row and end of every group, cut where the mask changes unless that makes many more groups.
template <int W, class T>
inline std::vector<std::pair<long, long>> cut(const ConditionCall<T>& call) {
  std::vector<std::pair<long, long>> pieces;
  for (long m = 0; m < call.masks; ++m)
    for (long at = call.begin[m]; at < call.begin[m + 1]; at += W) pieces.push_back({at, call.begin[m + 1]});
  const long least = (call.rows + W - 1) / W;
  if (long(pieces.size()) <= least + least / 8) return pieces;
  pieces.clear();
  for (long at = 0; at < call.rows; at += W) pieces.push_back({at, call.rows});
  return pieces;
}

template <class V>
long condition(const ConditionCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const Shape& shape = call.shape;
  const int n = shape.n, np = shape.np, k = call.coupling ? shape.k : 0;
  const auto pieces = cut<W>(call);
  const long groups = long(pieces.size());
  std::vector<int> ends(call.components);
  for (int i = 0; i < n; ++i) ends[call.component[i]] = i + 1;
  Counter counter;
  return on_threads(call.threads, groups, matrix_cost(np), [&](int) {
    const std::size_t numbers = std::size_t(k) + 11 * std::size_t(np) + std::size_t(np) * np;
    const std::size_t places = Permutation<W>::places * std::size_t(np);
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * numbers + sizeof(int) * places))};
    V *coupling = arena.take(k), *variance = arena.take(np), *scale = arena.take(np), *rows = arena.take(np * np);
    V *mean = arena.take(np), *value = arena.take(np), *noise = arena.take(np), *known = arena.take(np);
    V *drive = arena.take(np), *shift = arena.take(np), *spread = arena.take(np), *drawn = arena.take(np);
    V* centre = arena.take(np);
    Permutation<W> order;
    for (int i = n; i < np; ++i) variance[i] = splat<V>(1);
    for (int i = 0; i < np; ++i) scale[i] = splat<V>(1);  // as a covariance given whole leaves it
    order.settle(reinterpret_cast<int*>(arena.start + numbers), np);
    AnyCorner<V> corner;
    long first = -1;
    for (long g; (g = take(counter)) < groups;) {
      const Group<V> group(pieces[g].first, pieces[g].second, call.order);
      const auto& next = pieces[g + call.threads < groups ? g + call.threads : g];
      order.read(call, group.row);
      group.load(call.mean, n, n, mean);
      group.load(call.observed, n, n, value);
      if (call.noise) group.load(call.noise, n, n, drawn);
      const bool assembles = call.coupling && order.uniform;  // from the packed form, entry by entry when a tile wants it
      const Shape permuted{n, np, k, order.start, order.offset};
      if (assembles) {
        load_permuted<V, W>(call, ends, group, order, coupling);
        group.load(call.variance, n, n, scale);
        for (int i = 0; i < n; ++i) variance[i] = scale[order.entry[0][i]];
        dominate(Solo{}, permuted, call.shrink, variance, coupling, scale);
      } else if (call.coupling) {
        group.load(call.coupling, k, k, coupling);
        group.load(call.variance, n, n, variance);
        dominate(Solo{}, shape, call.shrink, variance, coupling, scale);
        permute_packed<V, W>(shape, order, variance, coupling, rows);
      } else {
        permute_full<V, W>(shape, order, call.covariance, group.row, rows);
      }
      for (int i = 0; i < np; ++i) {
        known[i] = noise[i] = drive[i] = shift[i] = spread[i] = splat<V>(0);
        if (order.uniform && i < n) {
          const int at = order.entry[0][i];
          if (i < order.observed[0]) {
            known[i] = splat<V>(1);
            drive[i] = (value[at] - mean[at]) / scale[i];
          } else if (call.noise) {
            noise[i] = drawn[at];
          }
          continue;
        }
        for (int l = 0; l < W && i < n; ++l) {
          const int at = order.entry[l][i];
          if (i < order.observed[l]) {
            set_lane(known[i], l, T(1));
            set_lane(drive[i], l, (lane(value[at], l) - lane(mean[at], l)) / lane(scale[at], l));
          } else if (call.noise) {
            set_lane(noise[i], l, lane(drawn[at], l));
          }
        }
      }
      for (int i = n; i < np; ++i)
        for (int j = 0; j <= i; ++j) rows[row_at(np, i) + 2 * j] = splat<V>(T(j == i));
      V bad = splat<V>(0);
      const Group<V> following(next.first, next.second, call.order);
      const auto limits = std::minmax_element(order.observed, order.observed + W);
      const Conditioner<V> conditioner{known, noise, drive, shift, spread, *limits.first, *limits.second};
      Ahead<V, Conditioner<V>> sink(conditioner, following, call);
      if (assembles) {
        Dominant<V> source{permuted, variance, coupling};
        factor(Solo{}, np, uncoupled(permuted), rows, static_cast<V*>(nullptr), corner, bad, source, sink);
      } else {
        Stored<V> source{rows, np};
        factor(Solo{}, np, 0, rows, static_cast<V*>(nullptr), corner, bad, source, sink);
      }
      for (int i = 0; i < n; ++i) {  // back in the entries' own order
        if (order.uniform) {
          const int at = order.entry[0][i];
          centre[at] = i < order.observed[0] ? value[at] : V(mean[at] + scale[i] * shift[i]);
          drawn[at] = centre[at] + scale[i] * spread[i];
          continue;
        }
        for (int l = 0; l < W; ++l) {
          const int at = order.entry[l][i];
          const T own = lane(scale[at], l);
          const T middle = i < order.observed[l] ? lane(value[at], l) : T(lane(mean[at], l) + own * lane(shift[i], l));
          set_lane(centre[at], l, middle);
          set_lane(drawn[at], l, T(middle + own * lane(spread[i], l)));
        }
      }
      for (int i = 0; i < n; ++i) bad = not_finite(drawn[i], bad);
      group.store(centre, n, call.centre, n);
      if (call.sample) group.store(drawn, n, call.sample, n);
      first = group.earliest(bad, first);
      for (int l = 0; call.tril && l < group.valid; ++l) {
        T* out = call.tril + group.row[l] * long(n) * n;
        for (int i = order.observed[l]; i < n; ++i) {
          const int own = order.entry[l][i];
          double r = 1;  // anew: its float's rounding would be that of a whole row
          if (call.coupling)
            r = std::sqrt(double(call.variance[group.row[l] * n + own]) / lane(variance[order.uniform ? i : own], l));
          for (int j = order.observed[l]; j <= i; ++j)
            out[long(own) * n + order.entry[l][j]] = T(r * lane(rows[row_at(np, i) + 2 * j], l));
        }
      }
    }
    return first;
  });
}

}  // namespace EPURE_ISA
}  // namespace epure
