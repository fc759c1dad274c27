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
inline Prior<T> prior_view(const T* room, int np) {
  const long size = long(np) * np;
  return Prior<T>{room + 3 * size, room, room + size, room + 2 * size, room[3 * size + np]};
}

// W = tril^-1 row by row, P = W^T W.
template <class T>
inline void prepare_prior(int n, int np, const T* mean, const T* tril, T* room) {
  const long size = long(np) * np;
  double* white = static_cast<double*>(scratch(sizeof(double) * 2 * size_t(size)));
  double* precision = white + size;
  for (long i = 0; i < 2 * size; ++i) white[i] = 0;
  double log_det = 0;
  for (int i = 0; i < n; ++i) {
    double* row = white + long(i) * np;
    for (int k = 0; k < i; ++k) {
      const double factor = tril[long(i) * n + k];
      const double* other = white + long(k) * np;
      for (int j = 0; j <= k; ++j) row[j] -= factor * other[j];
    }
    const double inverse = 1.0 / double(tril[long(i) * n + i]);
    for (int j = 0; j < i; ++j) row[j] *= inverse;
    row[i] = inverse;
    log_det += log(double(tril[long(i) * n + i]));
    for (int j = 0; j <= i; ++j)
      for (int c = 0; c <= j; ++c) precision[long(j) * np + c] += row[j] * row[c];
  }
  for (int i = 0; i < np; ++i)
    for (int j = 0; j < np; ++j) {
      room[long(i) * np + j] = T(i >= j ? precision[long(i) * np + j] : precision[long(j) * np + i]);
      room[size + long(i) * np + j] = T(white[long(i) * np + j]);
      room[2 * size + long(i) * np + j] = T(white[long(j) * np + i]);
    }
  for (int i = 0; i < np; ++i) room[3 * size + i] = i < n ? mean[i] : T(0);
  for (long i = 3 * size + np; i < prior_size(np); ++i) room[i] = T(0);  // no number is left to chance
  room[3 * size + np] = T(log_det);
}

// d loss / d tril = -tril(P Q W^T) + total diag(1 / diag(tril)), where loss = sum of gkl (tr(P (Sigma + d d^T)) / 2 +
// log det tril) and Q = sum of gkl (Sigma + d d^T). `moments` holds Q's lower half, and is overwritten.
template <class T>
inline void prior_gradient(int n, int np, const Prior<T>& prior, double* moments, double* room, double total, T* dtril) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < i; ++j) moments[long(j) * np + i] = moments[long(i) * np + j];
  for (int i = 0; i < n; ++i) {  // room = Q W^T
    double* row = room + long(i) * np;
    for (int j = 0; j < n; ++j) row[j] = 0;
    for (int k = 0; k < n; ++k) {
      const double q = moments[long(i) * np + k];
      const T* white = prior.white_turned + long(k) * np;  // W^T[k, j], nonzero for j >= k
      for (int j = k; j < n; ++j) row[j] += q * double(white[j]);
    }
  }
  for (int i = 0; i < n; ++i) {
    double* row = moments + long(i) * np;
    for (int j = 0; j <= i; ++j) row[j] = 0;
    for (int k = 0; k < n; ++k) {
      const double p = prior.precision[long(i) * np + k];
      const double* other = room + long(k) * np;
      for (int j = 0; j <= i; ++j) row[j] -= p * other[j];
    }
    for (int j = 0; j < n; ++j) dtril[long(i) * n + j] = j <= i ? T(row[j]) : T(0);
    dtril[long(i) * n + i] += T(total * double(prior.white[long(i) * np + i]));
  }
}

}  // namespace EPURE_ISA
}  // namespace epure
