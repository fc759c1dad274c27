// The plan's assembly: Sigma_ij = M_ij r_i r_j across components, diag(v) within, with r_i = sqrt(alpha_i) and
// alpha_i = min(1, shrink v_i / (sum_j |M_ij| + 1e-8)). Forward factors and their reverse pass.
#pragma once

#include "lanes.h"

namespace epure {
namespace EPURE_ISA {

// Sums of |M| along R rows of one component, added to sums_i .. sums_{i+R-1} and down the columns to sums_j. In pieces,
// which rounds less than one long sum.
template <int R, class V>
EPURE_HD void add_magnitudes(const V* packed, int length, int i, V* sums) {
  for (int begin = 0; begin < length; begin += 16) {
    const int end = begin + 16 < length ? begin + 16 : length;
    V along[R];
    EPURE_UNROLL
    for (int r = 0; r < R; ++r) along[r] = splat<V>(0);
    for (int j = begin; j < end; ++j) {
      V down = splat<V>(0);
      EPURE_UNROLL
      for (int r = 0; r < R; ++r) {
        const V size = magnitude(packed[r * length + j]);
        along[r] += size;
        down += size;
      }
      sums[j] += down;
    }
    EPURE_UNROLL
    for (int r = 0; r < R; ++r) sums[i + r] += along[r];
  }
}

// Leading entries without coupling among them: those of the first component.
EPURE_HD int uncoupled(const Shape& shape) {
  int count = 0;
  while (count < shape.n && shape.start[count] == 0) ++count;
  return count;
}

// sum_j |M_ij| for every row. `coupling` is packed as Shape says, `sums` (np,) or longer.
template <class V, class Team>
EPURE_HD void row_sums(const Team& team, const Shape& shape, const V* coupling, V* sums) {
  for (int i = team.rank(); i < shape.np; i += team.size()) {
    sums[i] = splat<V>(0);
    if (Team::alone) continue;
    for (int j = 0; j < shape.start[i]; ++j) sums[i] += magnitude(coupling[shape.offset[i] + j]);
    for (int j = i + 1; j < shape.n; ++j)
      if (i < shape.start[j]) sums[i] += magnitude(coupling[shape.offset[j] + i]);
  }
  for (int i = 0; Team::alone && i < shape.n;) {  // one pass, the column sums on the way
    const int length = shape.start[i];
    const V* packed = coupling + shape.offset[i];
    if (i + 4 <= shape.n && shape.start[i + 3] == length) {
      add_magnitudes<4>(packed, length, i, sums);
      i += 4;
    } else {
      add_magnitudes<1>(packed, length, i, sums);
      ++i;
    }
  }
}

// r_i for every row into `scale`, (np,) or longer as is `variance`.
template <class V, class Team>
EPURE_HD void scale_factors(const Team& team, const Shape& shape, ScalarOf<V> shrink, const V* variance,
                            const V* coupling, V* scale) {
  using T = ScalarOf<V>;
  const V delta = splat<V>(T(kDelta)), one = splat<V>(1);
  row_sums(team, shape, coupling, scale);
  for (int i = team.rank(); i < shape.np; i += team.size()) {
    // roots apart: 1e-6 / 1e38 would fall below the smallest float
    const V ratio = root(V(variance[i] * splat<V>(shrink))) / root(V(scale[i] + delta));
    scale[i] = choose(ratio < one, ratio, choose(ratio == ratio, one, ratio));
  }
  team.sync();
}

// The same covariance as Sigma = R (M + D) R with R = diag(r), D_i = v_i / r_i^2 = max(v_i, (sum_j |M_ij| + 1e-8) / shrink):
// M + D is taken as it is stored, and R is left to the vectors. `variance` becomes D, `scale` r.
template <class V, class Team>
EPURE_HD void dominate(const Team& team, const Shape& shape, ScalarOf<V> shrink, V* variance, const V* coupling,
                       V* scale) {
  using T = ScalarOf<V>;
  const V delta = splat<V>(T(kDelta)), zero = splat<V>(0);
  row_sums(team, shape, coupling, scale);
  for (int i = team.rank(); i < shape.np; i += team.size()) {
    const V own = variance[i], least = (scale[i] + delta) / splat<V>(shrink);
    const V diagonal = choose(own > zero, V(choose(own > least, own, least)), own);  // a bad variance stays a bad pivot
    scale[i] = root(own) / root(diagonal);
    variance[i] = diagonal;
  }
  team.sync();
}

// M + D as the factorisation's source.
template <class V>
struct Dominant {
  const Shape& shape;
  const V* diagonal;
  const V* coupling;

  template <int NB>
  EPURE_HD void minus(int i, int j, V (&acc)[2][NB]) {
    EPURE_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int row = i + r, stop = shape.start[row];
      const V* packed = coupling + shape.offset[row] + j;
      if (j + NB <= stop) {
        EPURE_UNROLL
        for (int c = 0; c < NB; ++c) acc[r][c] = packed[c] - acc[r][c];
      } else {
        EPURE_UNROLL
        for (int c = 0; c < NB; ++c) {
          const V entry = j + c < stop ? packed[c] : j + c == row ? diagonal[row] : splat<V>(0);
          acc[r][c] = entry - acc[r][c];
        }
      }
    }
  }
  EPURE_HD void end_columns() {}
};

// The factorisation's source: Sigma in tiles of rows i, i + 1 and columns j .. j + NB - 1 (nothing above the diagonal is
// meaningful). `trace` sums weight_ij Sigma_ij over the entries across components, tile by tile and block column by block
// column, which rounds less than one long sum.
template <class V>
struct Assembled {
  using T = ScalarOf<V>;
  const Shape& shape;
  const V* variance;
  const V* coupling;
  const V* scale;
  const T* weight;  // (np, np) shared by the batch
  V trace;
  V column_trace;

  template <int NB>
  EPURE_HD void minus(int i, int j, V (&acc)[2][NB]) {
    EPURE_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int row = i + r, stop = shape.start[row];
      const V *packed = coupling + shape.offset[row] + j, *scales = scale + j;
      const T* weights = weight + row * shape.np + j;
      const V scaled = scale[row];
      V sum = splat<V>(0);
      if (j + NB <= stop) {
        EPURE_UNROLL
        for (int c = 0; c < NB; ++c) {
          const V entry = packed[c] * scaled * scales[c];
          sum += entry * weights[c];
          acc[r][c] = entry - acc[r][c];
        }
      } else {
        EPURE_UNROLL
        for (int c = 0; c < NB; ++c) {
          V entry = splat<V>(0);
          if (j + c < stop) {
            entry = packed[c] * scaled * scales[c];
            sum += entry * weights[c];
          } else if (j + c == row) {
            entry = variance[row];
          }
          acc[r][c] = entry - acc[r][c];
        }
      }
      column_trace += sum;
    }
  }
  EPURE_HD void end_columns() {
    trace += column_trace;
    column_trace = splat<V>(0);
  }
};

// From dloss/dr (dscale) to dloss/dv (added) and dloss/ds (in place of dscale): r = sqrt(shrink v) / sqrt(s + delta).
template <class V, class Team>
EPURE_HD void scale_adjoint(const Team& team, const Shape& shape, ScalarOf<V> shrink, const V* variance,
                            const V* scale, V* dscale, V* dvariance) {
  using T = ScalarOf<V>;
  const V one = splat<V>(1), zero = splat<V>(0);
  for (int i = team.rank(); i < shape.n; i += team.size()) {
    const V slope = choose(scale[i] < one, V(dscale[i] * scale[i] / variance[i] * T(0.5)), zero);  // of r in v
    dvariance[i] += slope;
    // ds = -dr r / (2 (s + delta)), and s + delta = shrink v / r^2
    dscale[i] = -slope * (scale[i] * scale[i]) / splat<V>(shrink);
  }
  team.sync();
}

// Reverse pass of the assembly alone. In: dcoupling holds dloss/dSigma_ij + dloss/dSigma_ji, dvariance the diagonal.
template <class V>
EPURE_HD void assembly_adjoint(const Shape& shape, ScalarOf<V> shrink, const V* variance, const V* coupling,
                               const V* scale, V* dscale, V* dvariance, V* dcoupling) {
  for (int i = 0; i < shape.np; ++i) dscale[i] = splat<V>(0);
  for (int i = 0; i < shape.n; ++i) {
    const int at = shape.offset[i];
    V sum = splat<V>(0);
    for (int j = 0; j < shape.start[i]; ++j) {
      const V gm = dcoupling[at + j] * coupling[at + j];
      sum += gm * scale[j];
      dscale[j] += gm * scale[i];
    }
    dscale[i] += sum;
  }
  scale_adjoint(Solo{}, shape, shrink, variance, scale, dscale, dvariance);
  for (int i = 0; i < shape.n; ++i) {
    const int at = shape.offset[i];
    for (int j = 0; j < shape.start[i]; ++j)
      dcoupling[at + j] =
          dcoupling[at + j] * scale[i] * scale[j] + sign(coupling[at + j]) * (dscale[i] + dscale[j]);
  }
}

}  // namespace EPURE_ISA
}  // namespace epure
