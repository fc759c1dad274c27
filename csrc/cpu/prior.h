// What the batch shares of the prior: made once per forward pass, in double; and the prior's gradient.
#pragma once

#include <math.h>

#include "../elbo.h"
#include "kernels.h"
#include "pool.h"

namespace epure {
namespace EPURE_ISA {

// The layout of ElboCall::prior.
template <class T>
inline Prior<T> prior_view(const T* work, int np) {
  const long size = long(np) * np;
  return Prior<T>{work + 3 * size, work, work + size, work + 2 * size, work[3 * size + np]};
}

// out_j += sum over k < count of weight_k matrix_kj, for j in [from, to); rows of the matrix np apart. Four at a time, or
// the sums would wait for memory.
inline void add_rows(int count, const double* weight, const double* matrix, int np, int from, int to, double* out) {
  int k = 0;
  for (; k + 4 <= count; k += 4) {
    const double w0 = weight[k], w1 = weight[k + 1], w2 = weight[k + 2], w3 = weight[k + 3];
    const double *r0 = matrix + long(k) * np, *r1 = r0 + np, *r2 = r1 + np, *r3 = r2 + np;
    for (int j = from; j < to; ++j) out[j] += (w0 * r0[j] + w1 * r1[j]) + (w2 * r2[j] + w3 * r3[j]);
  }
  for (; k < count; ++k) {
    const double w = weight[k], *row = matrix + long(k) * np;
    for (int j = from; j < to; ++j) out[j] += w * row[j];
  }
}

// W = tril^-1 row by row, P = W^T W.
template <class T>
inline void prepare_prior(int n, int np, const T* mean, const T* tril, T* work) {
  const long size = long(np) * np;
  double* white = static_cast<double*>(scratch(sizeof(double) * (3 * size_t(size) + size_t(np))));
  double *turned = white + size, *precision = turned + size, *weight = precision + size;
  for (long i = 0; i < 3 * size; ++i) white[i] = 0;
  double log_det = 0;
  for (int i = 0; i < n; ++i) {
    double* row = white + long(i) * np;
    for (int k = 0; k < i; ++k) weight[k] = -double(tril[long(i) * n + k]);
    add_rows(i, weight, white, np, 0, i, row);
    const double inverse = 1.0 / double(tril[long(i) * n + i]);
    for (int j = 0; j < i; ++j) row[j] *= inverse;
    row[i] = inverse;
    log_det += log(double(tril[long(i) * n + i]));
    for (int j = 0; j <= i; ++j) turned[long(j) * np + i] = row[j];
  }
  for (int i = 0; i < n; ++i) {
    const long own = long(i) * np;
    add_rows(n - i, turned + own + i, white + own, np, 0, i + 1, precision + own);
    for (int j = 0; j < i; ++j) precision[long(j) * np + i] = precision[own + j];
  }
  for (long i = 0; i < size; ++i) {
    work[i] = T(precision[i]);
    work[size + i] = T(white[i]);
    work[2 * size + i] = T(turned[i]);
  }
  for (int i = 0; i < np; ++i) work[3 * size + i] = i < n ? mean[i] : T(0);
  work[3 * size + np] = T(log_det);
}

// d loss / d tril = -tril(P Q W^T) + total diag(1 / diag(tril)), where loss = sum of gkl (tr(P (Sigma + d d^T)) / 2 +
// log det tril) and Q = sum of gkl (Sigma + d d^T). `moments` holds Q's lower half, and is overwritten.
template <class T>
inline void prior_gradient(int n, int np, const Prior<T>& prior, double* moments, double total, T* dtril) {
  const long size = long(np) * np;
  double* product = static_cast<double*>(scratch(sizeof(double) * (2 * size_t(size) + size_t(np))));
  double *turned = product + size, *weight = turned + size;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < i; ++j) moments[long(j) * np + i] = moments[long(i) * np + j];
  for (long i = 0; i < size; ++i) {
    product[i] = 0;
    turned[i] = double(prior.white_turned[i]);
  }
  for (int i = 0; i < n; ++i)  // Q W^T, in blocks of the columns where W^T is zero below
    for (int k = 0; k < n; k += 16)
      add_rows(n - k < 16 ? n - k : 16, moments + long(i) * np + k, turned + long(k) * np, np, k, n, product + long(i) * np);
  for (int i = 0; i < n; ++i) {
    double* row = moments + long(i) * np;  // not needed any more
    for (int k = 0; k < n; ++k) {
      weight[k] = -double(prior.precision[long(i) * np + k]);
      row[k] = 0;
    }
    add_rows(n, weight, product, np, 0, i + 1, row);
    for (int j = 0; j < n; ++j) dtril[long(i) * n + j] = j <= i ? T(row[j]) : T(0);
    dtril[long(i) * n + i] += T(total * double(prior.white[long(i) * np + i]));
  }
}

}  // namespace EPURE_ISA
}  // namespace epure
