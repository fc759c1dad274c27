// The fused step over the batch.
#pragma once

#include <string.h>

#include "group.h"
#include "prior.h"

namespace epure {
namespace EPURE_ISA {

template <class V>
inline Workspace<V> make_workspace(Arena<V>& arena, const Shape& shape, AnyCorner<V>* corner, bool backward) {
  const std::size_t np = shape.np, k = shape.k;
  Workspace<V> work{};
  work.coupling = arena.take(k);
  work.dcoupling = backward ? arena.take(k) : nullptr;
  V** const pieces[] = {&work.variance, &work.mean,   &work.noise,     &work.scale, &work.centred,
                        &work.white,    &work.sample, &work.dvariance, &work.dmean, &work.dscale};
  for (V** piece : pieces) *piece = arena.take(np);
  work.rows = arena.take(np * np);
  work.columns = arena.take(packed_columns(shape.np));
  work.corner = corner;
  return work;
}

// Inputs of a group; padding: variance 1, everything else 0.
template <class V>
inline void load_workspace(const ElboCall<ScalarOf<V>>& call, const Group<V>& group, const Workspace<V>& work) {
  const int n = call.shape.n;
  group.load(call.coupling, call.shape.k, call.shape.k, work.coupling);
  group.load(call.variance, n, n, work.variance);
  group.load(call.mean, n, n, work.mean);
  group.load(call.noise, n, n, work.noise);
  for (int i = n; i < call.shape.np; ++i) {
    work.variance[i] = splat<V>(1);
    work.mean[i] = work.noise[i] = work.sample[i] = splat<V>(0);
  }
}

template <class V>
inline std::size_t workspace_bytes(const Shape& shape, bool backward, std::size_t more) {
  Arena<V> arena{nullptr};
  make_workspace<V>(arena, shape, nullptr, backward);
  return (arena.used + more) * sizeof(V);
}

template <class V>
long elbo_forward(const ElboCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const Shape& shape = call.shape;
  const int n = shape.n, np = shape.np;
  prepare_prior(n, np, call.prior_mean, call.prior_tril, call.prior);
  const Prior<T> prior = prior_view(call.prior, np);
  const long groups = (call.rows + W - 1) / W;
  Counter counter;
  return on_threads(call.threads, groups, matrix_cost(np), [&](int) {
    Arena<V> arena{static_cast<V*>(scratch(workspace_bytes<V>(shape, false, 0)))};
    AnyCorner<V> corner;
    const Workspace<V> work = make_workspace<V>(arena, shape, &corner, false);
    long first = -1;
    for (long g; (g = take(counter)) < groups;) {
      const Group<V> group(g * W, call.rows);
      load_workspace(call, group, work);
      V* kept = call.factors ? reinterpret_cast<V*>(call.factors) + g * factor_size(np) : nullptr;
      V kl, bad = splat<V>(0);
      elbo_forward(Solo{}, shape, prior, call.shrink, work, kept, kl, bad);
      if (kept) memcpy(kept + packed_columns(np), work.scale, sizeof(V) * np);
      bad = not_finite(kl, bad);
      for (int i = 0; i < n; ++i) bad = not_finite(work.sample[i], bad);
      group.store(work.sample, n, call.sample, n);
      group.store(&kl, 1, call.kl, 1);
      first = group.earliest(bad, first);
    }
    return first;
  });
}

// Adds up the lanes of a team's sums into (np * np + np + 1) doubles.
template <class V>
inline void fold_sums(const V* sums, const V& total, int np, double* out) {
  for (int i = 0; i < np * np + np; ++i) {
    double sum = 0;
    for (int l = 0; l < Traits<V>::width; ++l) sum += double(lane(sums[i], l));
    out[i] = sum;
  }
  double sum = 0;
  for (int l = 0; l < Traits<V>::width; ++l) sum += double(lane(total, l));
  out[np * np + np] = sum;
}

template <class V>
long elbo_backward(const ElboCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const Shape& shape = call.shape;
  const int n = shape.n, np = shape.np;
  const long groups = (call.rows + W - 1) / W;
  const Prior<T> prior = prior_view(static_cast<const T*>(call.prior), np);
  const std::size_t folded = call.dprior_tril ? std::size_t(np) * np + np + 1 : 0;
  const std::size_t summed = call.dprior_tril ? std::size_t(np) * np + np : 0;
  const int teams = call.threads < 256 ? call.threads : 256;
  double* partial = folded ? new double[folded * (std::size_t(teams) + 1)]() : nullptr;
  Counter counter;
  on_threads(teams, groups, 2 * matrix_cost(np), [&](int rank) {
    Arena<V> arena{static_cast<V*>(scratch(workspace_bytes<V>(shape, true, summed)))};
    AnyCorner<V> corner;
    const Workspace<V> work = make_workspace<V>(arena, shape, &corner, true);
    V* sums = summed ? arena.take(summed) : nullptr;
    if (sums) memset(static_cast<void*>(sums), 0, sizeof(V) * summed);
    V total = splat<V>(0);
    for (long g; (g = take(counter)) < groups;) {
      const Group<V> group(g * W, call.rows);
      load_workspace(call, group, work);
      const V* columns = work.columns;
      V dkl, bad = splat<V>(0);
      if (call.factors) {
        columns = reinterpret_cast<const V*>(call.factors) + g * factor_size(np);
        memcpy(static_cast<void*>(work.scale), columns + packed_columns(np), sizeof(V) * np);
      } else {
        elbo_forward(Solo{}, shape, prior, call.shrink, work, work.columns, dkl, bad);
      }
      group.load(call.dsample, n, n, work.sample);
      for (int i = n; i < np; ++i) work.sample[i] = splat<V>(0);
      group.load(call.dkl, 1, 1, &dkl);
      for (int l = group.valid; l < W; ++l) set_lane(dkl, l, T(0));  // the repeated row counts once
      const PriorSums<V> into{sums, sums ? sums + long(np) * np : nullptr};
      elbo_backward(Solo{}, shape, prior, call.shrink, work, columns, dkl, into);
      total += dkl;
      group.store(work.dmean, n, call.dmean, n);
      group.store(work.dvariance, n, call.dvariance, n);
      group.store(work.dcoupling, shape.k, call.dcoupling, shape.k);
    }
    if (sums) fold_sums(sums, total, np, partial + folded * (std::size_t(rank) + 1));
    return -1L;
  });
  if (!folded) return -1;
  for (int t = 1; t <= teams; ++t)
    for (std::size_t i = 0; i < folded; ++i) partial[i] += partial[folded * t + i];
  prior_gradient(n, np, prior, partial, partial[folded - 1], call.dprior_tril);
  for (int i = 0; i < n; ++i) call.dprior_mean[i] = T(-partial[std::size_t(np) * np + i]);
  delete[] partial;
  return -1;
}

}  // namespace EPURE_ISA
}  // namespace epure
