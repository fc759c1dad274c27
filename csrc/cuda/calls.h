// What the CUDA body offers. Pointers are device pointers; all work is queued on `stream`.
#pragma once

#include <cstdint>

#include "../common.h"

namespace epure {
namespace cuda {

constexpr int kThreads = 64;    // of a block: one matrix, a thread per pair of rows
constexpr int kMaxTeams = 1024;  // blocks; each walks over the batch

template <class T>
struct Call {
  Shape shape;  // start and offset on the device
  long rows;
  T shrink;
  const T *mean, *variance, *coupling, *noise;
  const T* prior;  // as ElboCall::prior
  T *sample, *kl, *factors, *scratch;  // factors: group_size() numbers a row
  int* bad;                            // (B,) 1 where there is no factor
  const T *dsample, *dkl;
  T *dmean, *dvariance, *dcoupling;
  T* sums;  // (teams, np * np + np), zeroed; null: the prior needs no gradient
  // conditioning
  const T *covariance, *observed;
  const unsigned char* mask;
  const int* component;
  int components;
  T *centre, *tril;
};

// The conjugate posterior. Of `shape` only n and np count.
template <class T>
struct EvidenceCall {
  Shape shape;
  long rows;
  const T* prior;                       // A (np, np), then m (np,): reversed and padded, see ../evidence.h
  const T *centre, *precision, *noise;  // (B, N); noise may be null
  const unsigned char* mask;            // (B, C)
  const int* component;                 // (N,)
  int components;
  T *mean, *sample, *kl, *tril;         // sample and tril may be null; the reverse pass reads the mean
  T* turned;                            // np * np numbers a row where `keep`, for the reverse pass, else a team
  bool keep;
  int* bad;
  const T *dmean, *dsample, *dkl;       // null: zeros
  T *dcentre, *dprecision;
  T* scratch;
};

// Numbers of scratch a team needs where a block's shared memory does not hold its matrix, else 0.
template <class T>
long scratch_size(int np);

// Each returns a cudaError_t.
template <class T>
int elbo_forward(const Call<T>& call, std::uintptr_t stream);
template <class T>
int elbo_backward(const Call<T>& call, std::uintptr_t stream);
template <class T>
int assemble(const Call<T>& call, std::uintptr_t stream);  // covariance written to `tril`
template <class T>
int condition(const Call<T>& call, std::uintptr_t stream);

template <class T>
int evidence_forward(const EvidenceCall<T>& call, std::uintptr_t stream);
template <class T>
int evidence_backward(const EvidenceCall<T>& call, std::uintptr_t stream);

const char* describe(int error);

}  // namespace cuda
}  // namespace epure
