// The conjugate posterior of one team's matrix: a shared prior N(m, L L^T) times diagonal Gaussian evidence (y, e).
//
// Entries are taken in reversed order, so that A = L^T so reversed is lower triangular, as all that follows. With
//   K = I + A diag(e) A^T = C C^T,   G = C^-1 A,   q = G (e (y - m))
// the posterior has covariance G^T G, mean m + G^T q and sample m + G^T (q + noise), and its divergence from the prior is
//   (|C^-T q|^2 - sum_i e_i |column i of G|^2) / 2 + log det C.
// K has no eigenvalue below 1, so C exists whatever the evidence. scale_tril is G^T in the entries' own order.
//
// G^T is stored by pairs of rows (row_at): column a of G in a row of its own, zero before k = a within its block column.
#pragma once

#include "cholesky.h"

namespace epure {
namespace EPURE_ISA {

// What the batch shares, reversed and padded to np: the padding row of A is the unit vector, that of the mean 0.
template <class T>
struct Whitening {
  const T* root;  // A, (np, np) row-major
  const T* mean;  // m, (np,)
};

// K as the factorisation's source.
template <class V>
struct WhitePrecision {
  const ScalarOf<V>* root;
  const V* evidence;
  int np;
  template <int NB>
  EPURE_HD void minus(int i, int j, V (&acc)[2][NB]) {
    const ScalarOf<V>*row = root + i * np, *other = root + j * np;
    V sum[2][NB];
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) sum[0][c] = sum[1][c] = splat<V>(0);
    for (int k = 0; k < j + NB; ++k) {  // A has zeros from there on
      const V low = evidence[k] * row[k], high = evidence[k] * row[np + k];
      EPURE_UNROLL
      for (int c = 0; c < NB; ++c) {
        sum[0][c] += low * other[c * np + k];
        sum[1][c] += high * other[c * np + k];
      }
    }
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      acc[0][c] = sum[0][c] - acc[0][c];
      acc[1][c] = sum[1][c] - acc[1][c];
      if (i == j + c) acc[0][c] += splat<V>(1);
      if (i + 1 == j + c) acc[1][c] += splat<V>(1);
    }
  }
  EPURE_HD void end_columns() {}
};

// Sink of the factorisation: what is wanted of the diagonal.
template <class V>
struct Diagonal {
  V* inverse;
  LogProduct<V> determinant;
  template <int NB>
  EPURE_HD void corner(int j, const Corner<V, NB>& corner) {
    EPURE_UNROLL
    for (int r = 0; r < NB; ++r) {
      inverse[j + r] = corner.inverse[r];
      determinant.times(corner.at[r][r]);
    }
  }
  template <int NB>
  EPURE_HD void tile(int, int, const V (&)[2][NB]) {}
};

// Columns j .. j + NB - 1 of G by forward substitution; no other column is read.
template <int NB, class V>
EPURE_HD void solve_columns(int np, int j, const V* rows, const V* inverse, const ScalarOf<V>* root, V* turned) {
  const V* b[NB / 2];
  EPURE_UNROLL
  for (int c = 0; c < NB / 2; ++c) b[c] = turned + (j / 2 + c) * 2 * np;
  for (int i = j; i < np; i += 2) {
    const V* row = rows + (i / 2) * 2 * np;
    const ScalarOf<V>* right = root + i * np + j;
    V acc[2][NB];
    sum_products<V, NB>(acc, row, b, j, i);
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      const V top = (splat<V>(right[c]) - acc[0][c]) * inverse[i];
      V* out = turned + (j / 2 + c / 2) * 2 * np + 2 * i + c % 2;
      out[0] = top;
      out[2] = (splat<V>(right[np + c]) - acc[1][c] - row[2 * i + 1] * top) * inverse[i + 1];
    }
  }
}

template <class V, class Team>
EPURE_HD void solve(const Team& team, int np, const V* rows, const V* inverse, const ScalarOf<V>* root, V* turned) {
  int j = 0;
  if (Team::alone) {
    for (; j + EPURE_BLOCK <= np; j += EPURE_BLOCK) solve_columns<EPURE_BLOCK>(np, j, rows, inverse, root, turned);
    for (; j + 4 <= np; j += 4) solve_columns<4>(np, j, rows, inverse, root, turned);
  }
  for (j += 2 * team.rank(); j < np; j += 2 * team.size()) solve_columns<2>(np, j, rows, inverse, root, turned);
  team.sync();
}

// out_m = G x_m for M vectors.
template <int M, class V, class Team>
EPURE_HD void turn_back(const Team& team, int np, const V* turned, const V* const (&x)[M], V* const (&out)[M]) {
  for (int k = team.rank(); k < np; k += team.size()) {
    EPURE_UNROLL
    for (int m = 0; m < M; ++m) out[m][k] = splat<V>(0);
    if (Team::alone) continue;
    for (int a = 0; a <= k; ++a) {  // no two threads add to one entry
      const V g = turned[row_at(np, a) + 2 * k];
      EPURE_UNROLL
      for (int m = 0; m < M; ++m) out[m][k] += g * x[m][a];
    }
  }
  for (int a = 0; Team::alone && a < np; a += 2) {  // in the order of memory
    const V* g = turned + a * np;
    V low[M], high[M];
    EPURE_UNROLL
    for (int m = 0; m < M; ++m) {
      low[m] = x[m][a];
      high[m] = x[m][a + 1];
    }
    for (int k = a; k < np; ++k) {
      EPURE_UNROLL
      for (int m = 0; m < M; ++m) out[m][k] += g[2 * k] * low[m] + g[2 * k + 1] * high[m];
    }
  }
  team.sync();
}

// A team's buffers, each of np values unless said otherwise; vectors in reversed order.
template <class V>
struct EvidenceWorkspace {
  V* evidence;  // input: e, 0 where there is none
  V* apart;     // input: y - m forward, y - posterior mean backward; 0 where there is no evidence
  V* noise;     // input
  V* inverse;   // of C's diagonal
  V* white;     // q, then C^-T q; G dsample backward
  V* pulled;    // e (y - m); G (whole gradient of the mean) backward
  V* mean;      // output; backward: whole gradient of the mean, an input
  V* sample;    // output; backward: dsample, an input
  V* rows;      // (np * np,) C; forward only
  AnyCorner<V>* corner;  // forward only
};

// Fills mean, sample and `turned` (np * np); returns the KL through `kl` (rank 0's value counts) and sets `bad` in lanes
// without a factor.
template <class V, class Team>
EPURE_HD void evidence_forward(const Team& team, int np, const Whitening<ScalarOf<V>>& prior, const EvidenceWorkspace<V>& work,
                               V* turned, V& kl, V& bad) {
  using T = ScalarOf<V>;
  WhitePrecision<V> source{prior.root, work.evidence, np};
  Diagonal<V> sink{work.inverse, LogProduct<V>()};
  factor(team, np, 0, work.rows, static_cast<V*>(nullptr), *work.corner, bad, source, sink);
  for (int k = team.rank(); k < np; k += team.size()) work.pulled[k] = work.evidence[k] * work.apart[k];
  solve(team, np, work.rows, work.inverse, prior.root, turned);
  turn_back<1, V>(team, np, turned, {work.pulled}, {work.white});
  V shrunk = splat<V>(0), part = splat<V>(0);  // long sums in pieces, which rounds less
  for (int a = 2 * team.rank(); a < np; a += 2 * team.size()) {
    const V* g = turned + a * np;
    V moved[2] = {splat<V>(0), splat<V>(0)}, drawn[2] = {splat<V>(0), splat<V>(0)};
    V norm[2] = {splat<V>(0), splat<V>(0)};
    for (int begin = a; begin < np; begin += 16) {
      V move[2] = {splat<V>(0), splat<V>(0)}, draw[2] = {splat<V>(0), splat<V>(0)};
      for (int k = begin; k < np && k < begin + 16; ++k) {
        EPURE_UNROLL
        for (int r = 0; r < 2; ++r) {
          const V x = g[2 * k + r];
          move[r] += x * work.white[k];
          draw[r] += x * work.noise[k];
          norm[r] += x * x;
        }
      }
      EPURE_UNROLL
      for (int r = 0; r < 2; ++r) {
        moved[r] += move[r];
        drawn[r] += draw[r];
      }
    }
    EPURE_UNROLL
    for (int r = 0; r < 2; ++r) {
      work.mean[a + r] = splat<V>(prior.mean[a + r]) + moved[r];
      work.sample[a + r] = work.mean[a + r] + drawn[r];
      part += work.evidence[a + r] * norm[r];
    }
    if (a % 16 == 14) {
      shrunk += part;
      part = splat<V>(0);
    }
  }
  const V narrowed = team.sum(V(shrunk + part));
  V distance = splat<V>(0);
  part = splat<V>(0);
  for (int i = np - 1; i >= 0; --i) {  // C^-T q, not q: |q|^2 - sum e (mean - m)^2 would cancel
    team.sync();
    const V* row = work.rows + row_at(np, i);
    const V value = work.white[i] * work.inverse[i];
    part += value * value;
    if (i % 16 == 0) {
      distance += part;
      part = splat<V>(0);
    }
    for (int k = team.rank(); k < i; k += team.size()) work.white[k] -= row[2 * k] * value;
  }
  for (int l = 0; l < Traits<V>::width; ++l)
    set_lane(kl, l, T(0.5 * (double(lane(distance, l)) - double(lane(narrowed, l))) + sink.determinant.log(l)));
}

// sums_i += sum over the tile of (G^T G)_ij^2 e_j and the other way round: rows a, a + 1 and columns j .. j + NB - 1 < a.
template <int NB, class V>
EPURE_HD void square_tile(int np, int a, int j, const V* turned, const V* evidence, V* sums) {
  const V* b[NB / 2];
  EPURE_UNROLL
  for (int c = 0; c < NB / 2; ++c) b[c] = turned + (j / 2 + c) * 2 * np;
  V acc[2][NB];
  sum_products<V, NB>(acc, turned + a * np, b, a, np);
  V low = splat<V>(0), high = splat<V>(0);
  EPURE_UNROLL
  for (int c = 0; c < NB; ++c) {
    const V first = acc[0][c] * acc[0][c], second = acc[1][c] * acc[1][c];
    low += first * evidence[j + c];
    high += second * evidence[j + c];
    sums[j + c] += first * evidence[a] + second * evidence[a + 1];
  }
  sums[a] += low;
  sums[a + 1] += high;
}

// Rows a, a + 1 of it: both halves of the symmetric square in a lone thread, else these rows' own sums only.
template <class V, class Team>
EPURE_HD void square_sums(const Team&, int np, int a, const V* turned, const V* evidence, V* sums) {
  const V* row = turned + a * np;
  int j = 0;
  if (Team::alone) {
    for (; j + EPURE_BLOCK <= a; j += EPURE_BLOCK) square_tile<EPURE_BLOCK>(np, a, j, turned, evidence, sums);
    for (; j + 4 <= a; j += 4) square_tile<4>(np, a, j, turned, evidence, sums);
    for (; j < a; j += 2) square_tile<2>(np, a, j, turned, evidence, sums);
  }
  for (; j < (Team::alone ? a + 2 : np); j += 2) {  // two columns: the diagonal's, or all in turn
    const V* other[1] = {turned + j * np};
    V acc[2][2];
    sum_products<V, 2>(acc, row, other, j > a ? j : a, np);
    EPURE_UNROLL
    for (int r = 0; r < 2; ++r)
      sums[a + r] += acc[r][0] * acc[r][0] * evidence[j] + acc[r][1] * acc[r][1] * evidence[j + 1];
  }
}

// The reverse pass, without a factorisation or a solve: with D = dmean + dsample + dkl e (y - mean) and u = G dsample,
//   pull = G^T G D,   de_i = pull_i (y_i - mean_i) + dkl / 2 sum_j (G^T G)_ij^2 e_j
//                            - sum_k G_ki u_k (noise_k G_ki / 2 + sum_{l > k} noise_l G_li),   dy = e pull.
// Source: Murray, "Differentiation of the Cholesky decomposition", 2016, eq. 8, for an outer product as its input.
// Out: `pull`, `slope` (de). work.mean holds dmean + dsample, and is overwritten.
template <class V, class Team>
EPURE_HD void evidence_backward(const Team& team, int np, const EvidenceWorkspace<V>& work, const V* turned, V dkl, V* pull,
                                V* slope) {
  using T = ScalarOf<V>;
  V *whole = work.pulled, *drawn = work.white, *sums = work.inverse;
  for (int k = team.rank(); k < np; k += team.size()) {
    work.mean[k] += dkl * work.evidence[k] * work.apart[k];
    sums[k] = splat<V>(0);
  }
  team.sync();
  turn_back<2, V>(team, np, turned, {work.mean, work.sample}, {whole, drawn});
  for (int a = 2 * team.rank(); a < np; a += 2 * team.size()) {
    const V* g = turned + a * np;
    V pulled[2] = {splat<V>(0), splat<V>(0)}, turn[2] = {splat<V>(0), splat<V>(0)}, later[2] = {splat<V>(0), splat<V>(0)};
    for (int k = np - 1; k >= a; --k) {
      const V noise = work.noise[k], half = noise * T(0.5);
      EPURE_UNROLL
      for (int r = 0; r < 2; ++r) {
        const V x = g[2 * k + r];
        pulled[r] += x * whole[k];
        turn[r] += x * drawn[k] * (later[r] + half * x);
        later[r] += noise * x;
      }
    }
    EPURE_UNROLL
    for (int r = 0; r < 2; ++r) {
      pull[a + r] = pulled[r];
      slope[a + r] = pulled[r] * work.apart[a + r] - turn[r];
    }
    square_sums(team, np, a, turned, work.evidence, sums);
  }
  team.sync();
  for (int k = team.rank(); k < np; k += team.size()) slope[k] += dkl * sums[k] * T(0.5);
  team.sync();
}

}  // namespace EPURE_ISA
}  // namespace epure
