// The assembly alone over the batch: the covariance written out, and its reverse pass.
#pragma once

#include "../assembly.h"
#include "group.h"

namespace epure {
namespace EPURE_ISA {

template <class T>
inline void write_covariance(const Shape& shape, const T* variance, const T* coupling, const T* scale, T* out) {
  const int n = shape.n;
  for (int i = 0; i < n; ++i) {
    T* row = out + long(i) * n;
    const T* packed = coupling + shape.offset[i];
    const T own = scale[i];
    const int stop = shape.start[i];
    for (int j = 0; j < stop; ++j) row[j] = packed[j] * own * scale[j];
    for (int j = stop; j < i; ++j) row[j] = out[long(j) * n + i] = 0;
    row[i] = variance[i];
    for (int j = 0; j < stop; ++j) out[long(j) * n + i] = row[j];
  }
}

template <class V>
long assemble(const AssembleCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const Shape& shape = call.shape;
  const long groups = (call.rows + W - 1) / W, n = shape.n, np = shape.np, k = shape.k;
  Counter counter;
  return on_threads(call.threads, groups, 8.0 * double(np) * double(np), [&](int) {
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * std::size_t(k + 3 * np)))};
    V *coupling = arena.take(k), *variance = arena.take(np), *scale = arena.take(np);
    T* own = reinterpret_cast<T*>(arena.take(np));
    long first = -1;
    for (long g; (g = take(counter)) < groups;) {
      const Group<V> group(g * W, call.rows);
      group.load(call.coupling, k, int(k), coupling);
      group.load(call.variance, n, int(n), variance);
      for (long i = n; i < np; ++i) variance[i] = splat<V>(1);
      scale_factors<V>(Solo{}, shape, call.shrink, variance, coupling, scale);
      V bad = splat<V>(0);
      for (int i = 0; i < n; ++i) {  // 0 < r, also where the sum of the coupling overflowed to inf and r = 0
        bad = choose(variance[i] > splat<V>(0), bad, splat<V>(1));
        bad = not_finite(variance[i], bad);
      }
      for (int i = 0; i < k; ++i) bad = not_finite(coupling[i], bad);
      first = group.earliest(bad, first);
      for (int l = 0; l < group.valid; ++l) {
        for (int i = 0; i < n; ++i) own[i] = lane(scale[i], l);
        const long b = group.row[l];
        write_covariance(shape, call.variance + b * n, call.coupling + b * k, own, call.covariance + b * n * n);
      }
    }
    return first;
  });
}

template <class V>
long assemble_backward(const AssembleCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const Shape& shape = call.shape;
  const long groups = (call.rows + W - 1) / W, n = shape.n, np = shape.np, k = shape.k;
  Counter counter;
  return on_threads(call.threads, groups, 8.0 * double(np) * double(np), [&](int) {
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * std::size_t(2 * k + 4 * np)))};
    V *coupling = arena.take(k), *pairs = arena.take(k), *variance = arena.take(np), *scale = arena.take(np);
    V *dvariance = arena.take(np), *dscale = arena.take(np);
    for (long g; (g = take(counter)) < groups;) {
      const Group<V> group(g * W, call.rows);
      group.load(call.coupling, k, int(k), coupling);
      group.load(call.variance, n, int(n), variance);
      for (long i = n; i < np; ++i) variance[i] = splat<V>(1);
      scale_factors<V>(Solo{}, shape, call.shrink, variance, coupling, scale);
      for (int l = 0; l < W; ++l) {
        const T* in = call.dcovariance + group.row[l] * n * n;
        T* into = reinterpret_cast<T*>(pairs) + l;
        for (int i = 0; i < n; ++i) {
          for (int j = 0; j < shape.start[i]; ++j) into[long(shape.offset[i] + j) * W] = in[i * n + j] + in[j * n + i];
          set_lane(dvariance[i], l, in[i * n + i]);
        }
      }
      assembly_adjoint(shape, call.shrink, variance, coupling, scale, dscale, dvariance, pairs);
      group.store(dvariance, int(n), call.dvariance, n);
      group.store(pairs, int(k), call.dcoupling, k);
    }
    return -1L;
  });
}

}  // namespace EPURE_ISA
}  // namespace epure
