// What every kernel shares: one block is the team of one matrix, and the per-matrix headers are those that the CPU runs.
#pragma once

#define EPURE_ISA device
#include "calls.h"

#include "../cholesky.h"

namespace epure {
namespace cuda {

using namespace device;

namespace {

// A block. The sum goes through shared memory and is whole in every thread.
struct Block {
  static constexpr bool alone = false;
  EPURE_HD int rank() const {
#if defined(__CUDA_ARCH__)
    return threadIdx.x;
#else
    return 0;
#endif
  }
  EPURE_HD int size() const { return kThreads; }
  EPURE_HD void sync() const {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#endif
  }
  template <class V>
  EPURE_HD V sum(V x) const {
#if defined(__CUDA_ARCH__)
    __shared__ V part[kThreads];
    __syncthreads();
    part[threadIdx.x] = x;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (int(threadIdx.x) < half) part[threadIdx.x] += part[threadIdx.x + half];
      __syncthreads();
    }
    return part[0];
#else
    return x;
#endif
  }
};

constexpr int kVectors = 14;  // of np numbers each, beside the matrix

EPURE_HD long team_numbers(int np) { return long(np) * np + long(kVectors) * np; }

// A team's memory: shared where it fits, else its part of the scratch.
template <class T, class AnyCall>
__device__ T* team_memory(const AnyCall& call) {
  extern __shared__ __align__(16) unsigned char shared[];
  if (!call.scratch) return reinterpret_cast<T*>(shared);
  return call.scratch + long(blockIdx.x) * team_numbers(call.shape.np);
}

// Vectors of np numbers, one after the other behind the matrix; returns where the next would lie.
template <class T, int Count>
__device__ T* take_vectors(T* memory, int np, T** const (&vectors)[Count]) {
  T* at = memory + long(np) * np;
  for (T** vector : vectors) {
    *vector = at;
    at += np;
  }
  return at;
}

template <class T>
__device__ void load_vector(const T* from, int n, int np, T pad, T* to) {
  for (int i = threadIdx.x; i < np; i += kThreads) to[i] = i < n ? from[i] : pad;
}

template <class T>
__device__ void store_vector(const T* from, int n, T* to) {
  for (int i = threadIdx.x; i < n; i += kThreads) to[i] = from[i];
}

// Row b's KL, and whether it has none.
template <class T, class AnyCall>
__device__ void store_divergence(const AnyCall& call, long b, T kl, T bad) {
  if (threadIdx.x != 0) return;
  call.kl[b] = kl;
  call.bad[b] = bad != T(0) || !(kl - kl == T(0));
}

inline int shared_limit() {
  int device = 0, limit = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 48 << 10;
  cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return limit - (4 << 10);  // the static part: the corner and the sums
}

template <class AnyCall>
int launch(void (*kernel)(AnyCall), const AnyCall& call, long shared) {
  if (call.rows == 0) return cudaSuccess;
  if (shared > (48 << 10)) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared));
    if (error != cudaSuccess) return error;
  }
  const int teams = call.rows < kMaxTeams ? int(call.rows) : kMaxTeams;
  kernel<<<teams, kThreads, shared, reinterpret_cast<cudaStream_t>(call.stream)>>>(call);
  return cudaGetLastError();
}

template <class T, class AnyCall>
long shared_bytes(const AnyCall& call) {
  return call.scratch ? 0 : team_numbers(call.shape.np) * long(sizeof(T));
}

}  // namespace
}  // namespace cuda
}  // namespace epure
