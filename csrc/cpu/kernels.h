// What the CPU body offers, one table per instruction set.
#pragma once

#include "../common.h"

namespace epure {

template <class T>
struct ElboCall {
  Shape shape;
  long rows;
  int threads;
  T shrink;
  // (B, N), but coupling (B, K), prior_mean (N,), prior_tril (N, N), kl and dkl (B,)
  const T *mean, *variance, *coupling, *noise, *prior_mean, *prior_tril;
  T *sample, *kl;
  T* prior;    // prior_size() numbers, made forward, read backward
  T* factors;  // group_size() numbers per group of lanes, or null: factorise again in the reverse pass
  const T *dsample, *dkl;
  T *dmean, *dvariance, *dcoupling;
  T *dprior_mean, *dprior_tril;  // null: not wanted
};

template <class T>
struct AssembleCall {
  Shape shape;
  long rows;
  int threads;
  T shrink;
  const T *variance, *coupling;
  T* covariance;         // (B, N, N)
  const T* dcovariance;  // (B, N, N)
  T *dvariance, *dcoupling;
};

// Exact conditioning, each row on its own subset of entries.
template <class T>
struct ConditionCall {
  Shape shape;
  long rows;
  int threads;
  T shrink;
  const T* mean;            // (B, N)
  const T *variance, *coupling;  // packed covariances, or
  const T* covariance;      // (B, N, N)
  const T *observed, *noise;  // (B, N); noise may be null
  const unsigned char* mask;  // (B, C)
  const int* component;       // (N,) the component of an entry
  int components;
  const long long* order;     // (B,) rows with equal masks side by side
  long masks;
  const long long* begin;     // (M + 1,) where a mask's rows begin in it
  T *centre, *sample;       // (B, N)
  T* tril;                  // (B, N, N), zeroed; may be null
};

// Cholesky factors of one matrix (N, N) with its entries taken in each of the orders.
template <class T>
struct OrdersCall {
  int n;
  long orders;
  int threads;
  const T* matrix;
  const long long* order;  // (M, N)
  T* factor;               // (M, N, N)
};

// Exact conditioning under one prior: rows grouped by mask, a factor per mask.
template <class T>
struct SharedCall {
  int n;
  long rows, masks;
  int threads;
  const T *prior_mean, *factor;  // (N,), (M, N, N): Cholesky factors of the covariance with the observed entries first
  const T *observed, *noise;     // (B, N); noise may be null
  const unsigned char* mask;     // (M, C)
  const int* component;          // (N,)
  int components;
  const long long* order;        // (B,) rows sorted by mask, ascending within one
  const long long* begin;        // (M + 1,) where a mask's rows begin in it
  T *centre, *sample;
};

// The conjugate posterior: a prior times the evidence of the components that a row's mask shows.
template <class T>
struct EvidenceCall {
  int n;
  long rows;
  int threads;
  const T *prior_mean, *prior_tril;        // (N,), (N, N)
  const T *centre, *precision, *noise;     // (B, N); noise may be null
  const unsigned char* mask;               // (B, C)
  const int* component;                    // (N,)
  int components;
  T *mean, *sample, *kl, *tril;            // (B, N) twice, (B,), (B, N, N); sample and tril may be null
  T* kept;                                 // np * np numbers a lane, for the reverse pass; may be null forward
  const T *dmean, *dsample, *dkl;          // null: zeros
  T *dcentre, *dprecision;
};

// Sizes, in numbers, of what the forward pass keeps.
inline long padded(long count) { return (count + 15) / 16 * 16; }
inline long prior_size(int np) { return padded(3L * np * np + np + 1); }
inline long group_size(int np) { return packed_columns(np) + np; }  // times the lanes of a group

// Each returns the first row that has no factor or is not finite, or -1.
template <class T>
struct Kernels {
  int lanes;
  long (*elbo_forward)(const ElboCall<T>&);
  long (*elbo_backward)(const ElboCall<T>&);
  long (*assemble)(const AssembleCall<T>&);
  long (*assemble_backward)(const AssembleCall<T>&);
  long (*condition)(const ConditionCall<T>&);
  long (*factor_orders)(const OrdersCall<T>&);
  long (*condition_shared)(const SharedCall<T>&);
  long (*evidence_forward)(const EvidenceCall<T>&);
  long (*evidence_backward)(const EvidenceCall<T>&);
};

struct Body {
  const char* name;
  Kernels<float> single;
  Kernels<double> twice;
};

// The best body this processor runs; EPURE_ISA=base in the environment asks for the baseline (for tests).
const Body& body();

}  // namespace epure
