// Cholesky factorisation of one team's matrix and its reverse pass, in register tiles of 2 rows x NB columns.
//
// Rows are stored in pairs: entry (i, k) lies at (i / 2) * 2 * np + 2 * k + (i & 1), so that a tile streams through
// contiguous memory. The finished factor is also written by pairs of columns (columns_at) where the reverse pass wants it.
#pragma once

#include "lanes.h"

namespace epure {
namespace EPURE_ISA {

#ifndef EPURE_BLOCK
#define EPURE_BLOCK 6  // columns per block: 2 * 6 accumulators, 2 + 1 operands of 16 registers
#endif

EPURE_HD int row_at(int np, int i) { return (i / 2) * 2 * np + (i & 1); }

// acc[r][c] = sum over k in [from, to) of a[2 k + r] * b[c / 2][2 k + c % 2]. From zero, and only then subtracted from
// the entry: starting at the entry would round every step to its size.
template <class V, int NB>
EPURE_HD void sum_products(V (&acc)[2][NB], const V* a, const V* const (&b)[NB / 2], int from, int to) {
  EPURE_UNROLL
  for (int c = 0; c < NB; ++c) acc[0][c] = acc[1][c] = splat<V>(0);
  for (int k = from; k < to; ++k) {
    const V a0 = a[2 * k], a1 = a[2 * k + 1];
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      V x = b[c / 2][2 * k + c % 2];
      EPURE_KEEP(x);
      acc[0][c] += a0 * x;
      acc[1][c] += a1 * x;
    }
  }
}

// Factor of a block column's diagonal block, shared by the rows below it.
template <class V, int NB>
struct Corner {
  V at[NB][NB];     // lower triangle
  V inverse[NB];    // of the diagonal
};

// One block column of a left-looking factorisation. Apart: of a leading block that is diagonal, so that nothing is
// subtracted and a column needs no other.
//   source.minus(i, j, acc): acc = the matrix entries of rows i, i + 1 and columns j .. j + NB - 1, minus acc
//   source.end_columns(): a block column is done
//   sink.corner(j, corner), sink.tile(i, j, acc): told each finished piece of the factor
// `bad` is set to 1 in the lanes whose pivot is not positive (NaN included).
template <int NB, bool Apart, class V, class Team, class Source, class Sink>
EPURE_HD void factor_columns(const Team& team, int np, int j, V* rows, V* columns, Corner<V, NB>& corner, V& bad,
                             Source& source, Sink& sink) {
  using T = ScalarOf<V>;
  const int from = Apart ? j : 0;
  const V* b[NB / 2];
  EPURE_UNROLL
  for (int c = 0; c < NB / 2; ++c) b[c] = rows + (j / 2 + c) * 2 * np;
  if (team.rank() == 0) {
    EPURE_ROLL
    for (int p = 0; p < NB / 2; ++p) {
      V acc[2][NB];
      sum_products<V, NB>(acc, b[p], b, from, j);
      source.template minus<NB>(j + 2 * p, j, acc);
      EPURE_UNROLL
      for (int c = 0; c < NB; ++c) {
        corner.at[2 * p][c] = acc[0][c];
        corner.at[2 * p + 1][c] = acc[1][c];
      }
    }
    const V one = splat<V>(1), zero = splat<V>(0);
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      V pivot = corner.at[c][c];
      EPURE_UNROLL
      for (int l = 0; l < c; ++l) pivot -= corner.at[c][l] * corner.at[c][l];
      bad = choose(pivot > zero, bad, one);
      const V d = root(pivot);
      corner.at[c][c] = d;
      corner.inverse[c] = one / d;
      EPURE_UNROLL
      for (int r = c + 1; r < NB; ++r) {
        V x = corner.at[r][c];
        EPURE_UNROLL
        for (int l = 0; l < c; ++l) x -= corner.at[r][l] * corner.at[c][l];
        corner.at[r][c] = x * corner.inverse[c];
      }
    }
    EPURE_UNROLL
    for (int r = 0; r < NB; ++r) {
      EPURE_UNROLL
      for (int c = 0; c <= r; ++c) {
        rows[row_at(np, j + r) + 2 * (j + c)] = corner.at[r][c];
        if (columns) columns[columns_at(np, j + c) + 2 * (j + r) + c % 2] = corner.at[r][c];
      }
      if (columns && r % 2 == 0) columns[columns_at(np, j + r + 1) + 2 * (j + r) + 1] = splat<V>(T(0));
    }
    sink.template corner<NB>(j, corner);
  }
  team.sync();
  for (int p = (j + NB) / 2 + team.rank(); p < np / 2; p += team.size()) {
    const int i = 2 * p;
    V* row = rows + p * 2 * np;
    V acc[2][NB];
    sum_products<V, NB>(acc, row, b, from, j);
    source.template minus<NB>(i, j, acc);
    V* out = row + 2 * j;
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      EPURE_UNROLL
      for (int l = Apart ? c : 0; l < c; ++l) {
        acc[0][c] -= acc[0][l] * corner.at[c][l];
        acc[1][c] -= acc[1][l] * corner.at[c][l];
      }
      acc[0][c] *= corner.inverse[c];
      acc[1][c] *= corner.inverse[c];
      out[2 * c] = acc[0][c];
      out[2 * c + 1] = acc[1][c];
    }
    if (columns) {
      EPURE_UNROLL
      for (int c = 0; c < NB; ++c) {
        V* column = columns + columns_at(np, j + c) + 2 * i + c % 2;
        column[0] = acc[0][c];
        column[2] = acc[1][c];
      }
    }
    sink.template tile<NB>(i, j, acc);
  }
  source.end_columns();
  team.sync();
}

// Workspace for a Corner of any width: under nvcc it must lie where the whole team sees it.
template <class V>
union AnyCorner {
  Corner<V, EPURE_BLOCK> wide;
  Corner<V, 4> four;
  Corner<V, 2> two;
  EPURE_HD AnyCorner() {}
};

// Lower Cholesky factor of the source, whose leading `diagonal` entries are no neighbours of each other. `columns` may
// be null.
template <class V, class Team, class Source, class Sink>
EPURE_HD void factor(const Team& team, int np, int diagonal, V* rows, V* columns, AnyCorner<V>& corner, V& bad,
                     Source& source, Sink& sink) {
  int j = 0;
  for (; j + 4 <= diagonal; j += 4)
    factor_columns<4, true>(team, np, j, rows, columns, corner.four, bad, source, sink);
  for (; j + EPURE_BLOCK <= np; j += EPURE_BLOCK)
    factor_columns<EPURE_BLOCK, false>(team, np, j, rows, columns, corner.wide, bad, source, sink);
  for (; j + 4 <= np; j += 4) factor_columns<4, false>(team, np, j, rows, columns, corner.four, bad, source, sink);
  for (; j < np; j += 2) factor_columns<2, false>(team, np, j, rows, columns, corner.two, bad, source, sink);
}

// Sum of logarithms as one logarithm: the running product is kept in [1, 2) x 2^exponent.
template <class V>
struct LogProduct {
  V product, exponent;
  EPURE_HD LogProduct() : product(splat<V>(1)), exponent(splat<V>(0)) {}
  EPURE_HD void times(V x) { product = mantissa(V(product * mantissa(x, exponent)), exponent); }
  EPURE_HD double log(int l) const {
    return ::log(double(lane(product, l))) + 0.6931471805599453 * double(lane(exponent, l));
  }
};

// One block column of the reverse pass: finds the symmetric S with tril(S L) = Lbar, last column first. Then
// 2 dloss/dSigma = S, because dSigma = dL L^T + L dL^T. Here Lbar = tril(left right^T) + diag(extra / diag(L)).
//   symmetric: S, rows in pairs, both triangles. columns: the factor by pairs of columns.
template <int NB, class V, class Team>
EPURE_HD void adjoint_columns(const Team& team, int np, int j, const V* columns, V* symmetric, const V* left,
                              const V* right, V extra, Corner<V, NB>& corner) {
  const V* b[NB / 2];
  EPURE_UNROLL
  for (int c = 0; c < NB / 2; ++c) b[c] = columns + columns_at(np, j + 2 * c);
  if (team.rank() == 0) {
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      EPURE_UNROLL
      for (int r = c; r < NB; ++r) corner.at[r][c] = b[c / 2][2 * (j + r) + c % 2];
      corner.inverse[c] = splat<V>(1) / corner.at[c][c];
    }
  }
  team.sync();
  for (int p = (j + NB) / 2 + team.rank(); p < np / 2; p += team.size()) {
    const int i = 2 * p;
    V* row = symmetric + p * 2 * np;
    V acc[2][NB];
    sum_products<V, NB>(acc, row, b, j + NB, np);
    EPURE_UNROLL
    for (int c = 0; c < NB; ++c) {
      acc[0][c] = left[i] * right[j + c] - acc[0][c];
      acc[1][c] = left[i + 1] * right[j + c] - acc[1][c];
    }
    EPURE_UNROLL
    for (int c = NB - 1; c >= 0; --c) {
      EPURE_UNROLL
      for (int l = NB - 1; l > c; --l) {
        acc[0][c] -= acc[0][l] * corner.at[l][c];
        acc[1][c] -= acc[1][l] * corner.at[l][c];
      }
      acc[0][c] *= corner.inverse[c];
      acc[1][c] *= corner.inverse[c];
      row[2 * (j + c)] = acc[0][c];
      row[2 * (j + c) + 1] = acc[1][c];
      V* mirror = symmetric + row_at(np, j + c) + 2 * i;
      mirror[0] = acc[0][c];
      mirror[2] = acc[1][c];
    }
  }
  team.sync();
  if (team.rank() == 0) {
    V own[NB][NB];
    EPURE_ROLL
    for (int p = 0; p < NB / 2; ++p) {
      V acc[2][NB];
      sum_products<V, NB>(acc, symmetric + (j / 2 + p) * 2 * np, b, j + NB, np);
      EPURE_UNROLL
      for (int c = 0; c < NB; ++c) {
        own[2 * p][c] = left[j + 2 * p] * right[j + c] - acc[0][c];
        own[2 * p + 1][c] = left[j + 2 * p + 1] * right[j + c] - acc[1][c];
      }
    }
    EPURE_UNROLL
    for (int c = NB - 1; c >= 0; --c) {
      EPURE_UNROLL
      for (int r = NB - 1; r >= c; --r) {
        V x = own[r][c];
        if (r == c) x += extra * corner.inverse[c];
        EPURE_UNROLL
        for (int l = NB - 1; l > c; --l) x -= (l <= r ? own[r][l] : own[l][r]) * corner.at[l][c];
        own[r][c] = x * corner.inverse[c];
        symmetric[row_at(np, j + r) + 2 * (j + c)] = own[r][c];
        symmetric[row_at(np, j + c) + 2 * (j + r)] = own[r][c];
      }
    }
  }
  team.sync();
}

template <class V, class Team>
EPURE_HD void adjoint(const Team& team, int np, const V* columns, V* symmetric, const V* left, const V* right, V extra,
                      AnyCorner<V>& corner) {
  const int wide = np - np % EPURE_BLOCK, rest = np - wide;
  int j = np;
  if (rest % 4) {
    j -= 2;
    adjoint_columns<2>(team, np, j, columns, symmetric, left, right, extra, corner.two);
  }
  if (rest >= 4) {
    j -= 4;
    adjoint_columns<4>(team, np, j, columns, symmetric, left, right, extra, corner.four);
  }
  while (j > 0) {
    j -= EPURE_BLOCK;
    adjoint_columns<EPURE_BLOCK>(team, np, j, columns, symmetric, left, right, extra, corner.wide);
  }
}

}  // namespace EPURE_ISA
}  // namespace epure
