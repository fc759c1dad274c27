// The arguments of every operation, the same on the CPU and on a GPU, and the sizes of the buffers between its passes.
// Pointers are of contiguous tensors; B rows, N entries, K couplings, C components.
#pragma once

#include "common.h"

namespace epure {

// What every call has.
struct Batch {
  Shape shape;
  long rows;
  int threads;
  int components;
  const int* component;  // (N,) the component of an entry
};

template <class T>
struct ElboCall : Batch {
  T shrink;
  const T *mean, *variance, *coupling, *noise;  // (B, N), but coupling (B, K)
  const T *prior_mean, *prior_tril;             // (N,), (N, N)
  T* prior;       // prior_size() numbers, made forward, read backward
  T* factors;     // factor_size() numbers a lane; null: factorise again in the reverse pass
  T *sample, *kl;  // (B, N), (B,)
  const T *dsample, *dkl;
  T *dmean, *dvariance, *dcoupling;
  T *dprior_mean, *dprior_tril;  // null: not wanted
};

template <class T>
struct AssembleCall : Batch {
  T shrink;
  const T *variance, *coupling;
  T* covariance;         // (B, N, N)
  const T* dcovariance;  // (B, N, N)
  T *dvariance, *dcoupling;
};

// Rows with equal masks side by side.
struct MaskGroups {
  const long long* order;  // (B,) rows sorted by mask, ascending within one
  long masks;
  const long long* begin;  // (M + 1,) where a mask's rows begin in it
};

// Exact conditioning, each row with a covariance and a subset of its own. No model calls it: theirs share a prior.
template <class T>
struct ConditionCall : Batch, MaskGroups {
  T shrink;
  const T* mean;                 // (B, N)
  const T *variance, *coupling;  // packed covariances, or
  const T* covariance;           // (B, N, N)
  const T *observed, *noise;     // (B, N); noise may be null
  const unsigned char* mask;     // (B, C)
  T *centre, *sample;            // (B, N); sample may be null
  T* tril;                       // (B, N, N), zeroed; may be null
};

// Exact conditioning under one prior: rows grouped by mask, a factor per mask.
template <class T>
struct SharedCall : Batch, MaskGroups {
  const T *prior_mean, *factor;  // (N,), (M, N, N): Cholesky factors of the covariance with the observed entries first
  const T *observed, *noise;     // (B, N); noise may be null
  const unsigned char* mask;     // (M, C)
  T *centre, *sample;            // (B, N); sample may be null
};

// Cholesky factors of one matrix with its entries taken in each of the orders; a row is an order.
template <class T>
struct OrdersCall : Batch {
  const T* matrix;         // (N, N)
  const long long* order;  // (B, N)
  T* factor;               // (B, N, N)
};

// The conjugate posterior: a prior times the evidence of the components that a row's mask shows.
template <class T>
struct EvidenceCall : Batch {
  const T *prior_mean, *prior_tril;     // (N,), (N, N)
  const T *centre, *precision, *noise;  // (B, N); noise may be null
  const unsigned char* mask;            // (B, C)
  T *mean, *sample, *kl, *tril;         // (B, N) twice, (B,), (B, N, N); sample and tril may be null
  T* kept;                              // square() numbers a lane, for the reverse pass; may be null forward
  const T *dmean, *dsample, *dkl;       // null: zeros
  T *dcentre, *dprecision;
};

EPURE_HD long square(int np) { return long(np) * np; }
EPURE_HD long prior_size(int np) { return 3 * square(np) + np + 1; }
EPURE_HD long factor_size(int np) { return packed_columns(np) + np; }

}  // namespace epure
