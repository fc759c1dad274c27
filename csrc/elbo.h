// The fused step of one team's matrix: assembly, Cholesky, sample and KL to the shared prior, and its reverse pass.
#pragma once

#include "assembly.h"
#include "cholesky.h"

namespace epure {
namespace EPURE_ISA {

// What the batch shares. All matrices (np, np) row-major, zero in the padding.
template <class T>
struct Prior {
  const T* mean;          // (np,)
  const T* precision;     // P = W^T W
  const T* white;         // W, the inverse of the prior's Cholesky factor: lower triangular
  const T* white_turned;  // W^T
  T log_det;              // sum of log diag of the prior's Cholesky factor
};

// Sink of the factorisation: sample += L noise as the tiles come out, and the diagonal's logarithms.
template <class V>
struct Sampler {
  const V* noise;
  V* sample;
  LogProduct<V> determinant;

  template <int NB>
  EPURE_HD void corner(int j, const Corner<V, NB>& corner) {
    EPURE_UNROLL
    for (int r = 0; r < NB; ++r) {
      V sum = splat<V>(0);
      EPURE_UNROLL
      for (int c = 0; c <= r; ++c) sum += corner.at[r][c] * noise[j + c];
      sample[j + r] += sum;
    }
    EPURE_UNROLL
    for (int r = 0; r < NB; ++r) determinant.times(corner.at[r][r]);
  }
  template <int NB>
  EPURE_HD void tile(int i, int j, const V (&acc)[2][NB]) {
    const V* by = noise + j;
    V low = splat<V>(0), high = splat<V>(0);
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      low += acc[0][c] * by[c];
      high += acc[1][c] * by[c];
    }
    sample[i] += low;
    sample[i + 1] += high;
  }
};

// out_i .. out_{i+R-1} = sum over j in [from, to) of matrix_ij x_j; R rows share each load of x and hide the latency.
template <int R, class V>
EPURE_HD void rows_times(int np, const ScalarOf<V>* matrix, const V* x, V* out, int i, int from, int to) {
  const ScalarOf<V>* row = matrix + i * np;
  EPURE_UNROLL
  for (int r = 0; r < R; ++r) out[i + r] = splat<V>(0);
  for (int begin = from; begin < to; begin += 16) {  // in pieces, which rounds less than one long sum
    const int end = begin + 16 < to ? begin + 16 : to;
    V acc[R];
    EPURE_UNROLL
    for (int r = 0; r < R; ++r) acc[r] = splat<V>(0);
    for (int j = begin; j < end; ++j) {
      const V value = x[j];
      EPURE_UNROLL
      for (int r = 0; r < R; ++r) acc[r] += value * row[r * np + j];
    }
    EPURE_UNROLL
    for (int r = 0; r < R; ++r) out[i + r] += acc[r];
  }
}

// out = matrix x, the matrix lower or upper triangular with zeros stored in its other half.
template <bool Lower, class V, class Team>
EPURE_HD void triangular_times(const Team& team, int np, const ScalarOf<V>* matrix, const V* x, V* out) {
  int i = 0;
  if (Team::alone)
    for (; i + 8 <= np; i += 8) rows_times<8>(np, matrix, x, out, i, Lower ? 0 : i, Lower ? i + 8 : np);
  for (i += 2 * team.rank(); i < np; i += 2 * team.size())
    rows_times<2>(np, matrix, x, out, i, Lower ? 0 : i, Lower ? i + 2 : np);
  team.sync();
}

// Buffers of one team, each of np values unless said otherwise.
template <class V>
struct Workspace {
  V* coupling;    // (k,) input
  V* variance;    // input
  V* mean;        // input
  V* noise;       // input
  V* scale;       // r
  V* centred;     // mean - prior mean
  V* white;       // W (mean - prior mean)
  V* sample;      // output; in the reverse pass its gradient, an input
  V* rows;        // (np * np,) factor by pairs of rows; in the reverse pass S
  V* columns;     // (packed_columns,) factor by pairs of columns
  V* dvariance;   // output
  V* dmean;       // output
  V* dscale;
  V* dcoupling;   // (k,) output
  AnyCorner<V>* corner;
};

// Fills sample; returns the KL through `kl` (rank 0's value counts) and sets `bad` in lanes without a factor.
template <class V, class Team>
EPURE_HD void elbo_forward(const Team& team, const Shape& shape, const Prior<ScalarOf<V>>& prior,
                           ScalarOf<V> shrink, const Workspace<V>& work, V* columns, V& kl, V& bad) {
  using T = ScalarOf<V>;
  const int np = shape.np;
  scale_factors<V>(team, shape, shrink, work.variance, work.coupling, work.scale);
  for (int i = team.rank(); i < np; i += team.size()) {
    work.centred[i] = work.mean[i] - splat<V>(prior.mean[i]);
    work.sample[i] = splat<V>(0);
  }
  team.sync();
  Assembled<V> source{shape, work.variance, work.coupling, work.scale, prior.precision, splat<V>(0),
                      splat<V>(0)};
  Sampler<V> sink{work.noise, work.sample, LogProduct<V>()};
  factor(team, np, uncoupled(shape), work.rows, columns, *work.corner, bad, source, sink);
  triangular_times<true>(team, np, prior.white, work.centred, work.white);
  V diagonal = splat<V>(0), distance = splat<V>(0);
  for (int begin = 16 * team.rank(); begin < np; begin += 16 * team.size()) {  // in pieces, as in rows_times
    V piece = splat<V>(0), part = splat<V>(0);
    for (int i = begin; i < begin + 16 && i < np; ++i) {
      piece += work.variance[i] * prior.precision[i * np + i];
      part += work.white[i] * work.white[i];
      work.sample[i] += work.mean[i];
    }
    diagonal += piece;
    distance += part;
  }
  const V trace = team.sum(source.trace), ends = team.sum(diagonal), apart = team.sum(distance);
  for (int l = 0; l < Traits<V>::width; ++l) {  // in double: the terms cancel
    const double sum = 2.0 * double(lane(trace, l)) + double(lane(ends, l)) + double(lane(apart, l)) - shape.n;
    set_lane(kl, l, T(0.5 * sum + double(prior.log_det) - sink.determinant.log(l)));
  }
}

// Sums over the batch for the prior's gradient, one set per team: moments (np * np,) holds the lower half of
// sum gkl (Sigma + d d^T), shift (np,) sum gkl P d. Null: not wanted.
template <class V>
struct PriorSums {
  V* moments;
  V* shift;
};

// In: work.{coupling, variance, mean, noise, scale, columns} as the forward pass left them, work.sample = dloss/dsample.
// Out: work.{dvariance, dmean, dcoupling}.
template <class V, class Team>
EPURE_HD void elbo_backward(const Team& team, const Shape& shape, const Prior<ScalarOf<V>>& prior,
                            ScalarOf<V> shrink, const Workspace<V>& work, const V* columns, V dkl,
                            const PriorSums<V>& sums) {
  using T = ScalarOf<V>;
  const int np = shape.np;
  for (int i = team.rank(); i < np; i += team.size()) {
    work.centred[i] = work.mean[i] - splat<V>(prior.mean[i]);
    work.dscale[i] = splat<V>(0);
  }
  team.sync();
  adjoint(team, np, columns, work.rows, work.sample, work.noise, V(-dkl), *work.corner);
  triangular_times<true>(team, np, prior.white, work.centred, work.white);
  triangular_times<false>(team, np, prior.white_turned, work.white, work.dmean);  // P d
  for (int i = team.rank(); i < np; i += team.size()) {
    const V pull = dkl * work.dmean[i];
    work.dmean[i] = work.sample[i] + pull;
    work.dvariance[i] = (work.rows[row_at(np, i) + 2 * i] + dkl * prior.precision[i * np + i]) * T(0.5);
    if (sums.shift) sums.shift[i] += pull;
  }
  // per entry across components: g = S_ij + dkl P_ij, the cotangent of the pair Sigma_ij = Sigma_ji
  for (int i = team.rank(); i < shape.n; i += team.size()) {
    const V* packed = work.coupling + shape.offset[i];
    V* out = work.dcoupling + shape.offset[i];
    const V* row = work.rows + row_at(np, i);
    const T* weight = prior.precision + i * np;
    V sum = splat<V>(0);
    const V own = work.scale[i];
    for (int j = 0; j < shape.start[i]; ++j) {
      const V g = row[2 * j] + dkl * weight[j];
      const V gm = g * packed[j];
      out[j] = g;
      sum += gm * work.scale[j];
      if (Team::alone) work.dscale[j] += gm * own;
    }
    work.dscale[i] += sum;
  }
  team.sync();
  if (!Team::alone) {  // the column sums apart, so that no two threads add to one entry
    for (int j = team.rank(); j < shape.n; j += team.size()) {
      V sum = splat<V>(0);
      for (int i = j + 1; i < shape.n; ++i)
        if (j < shape.start[i])
          sum += work.dcoupling[shape.offset[i] + j] * work.coupling[shape.offset[i] + j] * work.scale[i];
      work.dscale[j] += sum;
    }
    team.sync();
  }
  scale_adjoint(team, shape, shrink, work.variance, work.scale, work.dscale, work.dvariance);
  for (int i = team.rank(); i < shape.n; i += team.size()) {
    const V* packed = work.coupling + shape.offset[i];
    V* out = work.dcoupling + shape.offset[i];
    const V own = work.scale[i], slope = work.dscale[i], weighed = dkl * own, moved = dkl * work.centred[i];
    V* moments = sums.moments ? sums.moments + i * np : nullptr;
    for (int j = 0; j < shape.start[i]; ++j) {
      const V m = packed[j], other = work.scale[j];
      out[j] = out[j] * own * other + sign(m) * (slope + work.dscale[j]);
      if (moments) moments[j] += weighed * m * other + moved * work.centred[j];
    }
    if (moments) {
      for (int j = shape.start[i]; j <= i; ++j) moments[j] += moved * work.centred[j];
      moments[i] += dkl * work.variance[i];
    }
  }
  team.sync();
}

}  // namespace EPURE_ISA
}  // namespace epure
