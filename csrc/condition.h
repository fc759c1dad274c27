// Exact conditioning of one team's matrix, its observed entries first.
//
// In that order chol(Sigma) = [[L_oo, 0], [L_mo, L_mm]]: L_mm is the factor of the conditional covariance, and with
// w_k = (x_k - mean_k - sum_{l<k} L_kl w_l) / L_kk for observed k and w_k = noise_k for missing k,
//   conditional mean_i = mean_i + sum over observed k of L_ik w_k,   sample_i = that + sum over missing k <= i of L_ik w_k.
// So one factorisation does it all, and matrices with different subsets may share a vector's lanes.
#pragma once

#include "cholesky.h"

namespace epure {
namespace EPURE_ISA {

// Entries (n,) with the observed components' first, each in its own order; returns how many those are.
EPURE_HD int observed_first(const unsigned char* mask, const int* component, int n, int* entry) {
  int known = 0;
  for (int i = 0; i < n; ++i)
    if (mask[component[i]]) entry[known++] = i;
  for (int i = 0, at = known; i < n; ++i)
    if (!mask[component[i]]) entry[at++] = i;
  return known;
}

// Lower triangle of a matrix stored by pairs of rows, as the factorisation's source.
template <class V>
struct Stored {
  const V* rows;
  int np;
  template <int NB>
  EPURE_HD void minus(int i, int j, V (&acc)[2][NB]) {
    const V* row = rows + (i / 2) * 2 * np;
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      acc[0][c] = row[2 * (j + c)] - acc[0][c];
      acc[1][c] = row[2 * (j + c) + 1] - acc[1][c];
    }
  }
  EPURE_HD void end_columns() {}
};

// Sink of a factorisation whose factor is all that is wanted.
struct Ignore {
  template <int NB, class V>
  EPURE_HD void corner(int, const Corner<V, NB>&) {}
  template <int NB, class V>
  EPURE_HD void tile(int, int, const V (&)[2][NB]) {}
};

// Sink of the factorisation: runs the recurrence above. `known[k]` is 1 where entry k is observed, else 0.
template <class V>
struct Conditioner {
  const V* known;
  const V* noise;  // zeros where no sample is wanted
  V* drive;        // in: x - mean where observed; out: w
  V* shift;        // in: 0; out: conditional mean - mean
  V* spread;       // in: 0; out: sample - conditional mean
  int seen;        // entries before it are observed in every lane
  int hidden;      // from it on they are missing in every lane

  template <int NB>
  EPURE_HD void corner(int j, const Corner<V, NB>& corner) {
    const V half = splat<V>(ScalarOf<V>(0.5)), zero = splat<V>(0);
    EPURE_UNROLL
    for (int r = 0; r < NB; ++r) {
      V moved = shift[j + r], spreads = spread[j + r];
      EPURE_UNROLL
      for (int c = 0; c < r; ++c) {
        const V step = corner.at[r][c] * drive[j + c];
        moved += choose(known[j + c] > half, step, zero);
        spreads += choose(known[j + c] > half, zero, step);
      }
      const auto seen = known[j + r] > half;
      drive[j + r] = choose(seen, V((drive[j + r] - moved) * corner.inverse[r]), noise[j + r]);
      shift[j + r] = moved;
      spread[j + r] = choose(seen, zero, V(spreads + corner.at[r][r] * drive[j + r]));
    }
  }
  template <int NB>
  EPURE_HD void tile(int i, int j, const V (&acc)[2][NB]) {
    if (j + NB <= seen) return add<NB>(i, j, acc, shift);
    if (j >= hidden) return add<NB>(i, j, acc, spread);
    V moved[2] = {shift[i], shift[i + 1]}, spreads[2] = {spread[i], spread[i + 1]};
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      const V given = drive[j + c] * known[j + c], drawn = drive[j + c] - given;
      EPURE_UNROLL
      for (int r = 0; r < 2; ++r) {
        moved[r] += acc[r][c] * given;
        spreads[r] += acc[r][c] * drawn;
      }
    }
    shift[i] = moved[0];
    shift[i + 1] = moved[1];
    spread[i] = spreads[0];
    spread[i + 1] = spreads[1];
  }
  template <int NB>
  EPURE_HD void add(int i, int j, const V (&acc)[2][NB], V* sums) {
    const V* by = drive + j;
    V low = sums[i], high = sums[i + 1];
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      low += acc[0][c] * by[c];
      high += acc[1][c] * by[c];
    }
    sums[i] = low;
    sums[i + 1] = high;
  }
};

}  // namespace EPURE_ISA
}  // namespace epure
