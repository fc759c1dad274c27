// What the CUDA kernels offer. Pointers are of memory on the GPU, those of `shape` too; all work is queued on `stream`.
#pragma once

#include <cstdint>

#include "../calls.h"

namespace epure {
namespace cuda {

constexpr int kThreads = 64;    // of a block: one matrix, a thread per pair of rows
constexpr int kMaxTeams = 1024;  // blocks; each walks over the batch

// What a launch needs beside the operation's arguments.
template <class T>
struct Launch {
  std::uintptr_t stream;
  T* scratch;  // scratch_size() numbers a team, or null
  int* bad;    // (B,) 1 where there is no factor
};

// Here `factors` holds factor_size() numbers a row.
template <class T>
struct ElboCall : epure::ElboCall<T>, Launch<T> {
  T* sums;  // (teams, np * np + np), zeroed; null: the prior needs no gradient
};

template <class T>
struct AssembleCall : epure::AssembleCall<T>, Launch<T> {};

template <class T>
struct ConditionCall : epure::ConditionCall<T>, Launch<T> {};

// Here `kept` holds np * np numbers a row.
template <class T>
struct EvidenceCall : epure::EvidenceCall<T>, Launch<T> {
  const T* prior;  // A (np, np), then m (np,): reversed and padded, see ../evidence.h
  T* spare;        // np * np numbers a team, in the place of `kept` where that is null
};

// Numbers of scratch a team needs where a block's shared memory does not hold its matrix, else 0.
template <class T>
long scratch_size(int np);

// Each returns a cudaError_t.
template <class T>
int elbo_forward(const ElboCall<T>& call);
template <class T>
int elbo_backward(const ElboCall<T>& call);
template <class T>
int assemble(const AssembleCall<T>& call);
template <class T>
int condition(const ConditionCall<T>& call);
template <class T>
int evidence_forward(const EvidenceCall<T>& call);
template <class T>
int evidence_backward(const EvidenceCall<T>& call);

const char* describe(int error);

}  // namespace cuda
}  // namespace epure
