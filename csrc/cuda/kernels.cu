// The launches that work on packed or whole covariances: fused step, assembly, exact conditioning.
#include "team.cuh"

#include "../condition.h"
#include "../elbo.h"

namespace epure {
namespace cuda {
namespace {

template <class T>
__device__ Prior<T> prior_at(const T* work, int np) {
  const long size = long(np) * np;
  return Prior<T>{work + 3 * size, work, work + size, work + 2 * size, work[3 * size + np]};
}

template <class T>
__device__ Workspace<T> workspace_of(T* memory, int np, AnyCorner<T>* corner) {
  Workspace<T> work{};
  work.rows = memory;
  work.corner = corner;
  take_vectors<T>(memory, np, {&work.variance, &work.mean, &work.noise, &work.scale, &work.centred, &work.white,
                               &work.sample, &work.dvariance, &work.dmean, &work.dscale});
  return work;
}

template <class T>
__device__ void load_workspace(const ElboCall<T>& call, long b, Workspace<T>& work) {
  const int n = call.shape.n, np = call.shape.np;
  work.coupling = const_cast<T*>(call.coupling) + b * call.shape.k;  // read only
  load_vector(call.variance + b * n, n, np, T(1), work.variance);
  load_vector(call.mean + b * n, n, np, T(0), work.mean);
  load_vector(call.noise + b * n, n, np, T(0), work.noise);
  __syncthreads();
}

template <class T>
__global__ void __launch_bounds__(kThreads) elbo_forward_kernel(ElboCall<T> call) {
  __shared__ AnyCorner<T> corner;
  const int n = call.shape.n, np = call.shape.np;
  Workspace<T> work = workspace_of(team_memory<T>(call), np, &corner);
  const Prior<T> prior = prior_at(call.prior, np);
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_workspace(call, b, work);
    T* columns = call.factors ? call.factors + b * factor_size(np) : nullptr;
    T kl, bad = 0;
    elbo_forward(Block{}, call.shape, prior, call.shrink, work, columns, kl, bad);
    if (columns) store_vector(work.scale, np, columns + packed_columns(np));
    store_vector(work.sample, n, call.sample + b * n);
    store_divergence(call, b, kl, bad);
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) elbo_backward_kernel(ElboCall<T> call) {
  __shared__ AnyCorner<T> corner;
  const int n = call.shape.n, np = call.shape.np;
  Workspace<T> work = workspace_of(team_memory<T>(call), np, &corner);
  const Prior<T> prior = prior_at(call.prior, np);
  T* own = call.sums ? call.sums + blockIdx.x * (long(np) * np + np) : nullptr;
  const PriorSums<T> sums{own, own ? own + long(np) * np : nullptr};
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_workspace(call, b, work);
    const T* columns = call.factors + b * factor_size(np);
    load_vector(columns + packed_columns(np), np, np, T(1), work.scale);
    load_vector(call.dsample + b * n, n, np, T(0), work.sample);
    work.dcoupling = call.dcoupling + b * call.shape.k;
    __syncthreads();
    elbo_backward(Block{}, call.shape, prior, call.shrink, work, columns, call.dkl[b], sums);
    store_vector(work.dmean, n, call.dmean + b * n);
    store_vector(work.dvariance, n, call.dvariance + b * n);
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) assemble_kernel(AssembleCall<T> call) {
  const int n = call.shape.n, np = call.shape.np;
  extern __shared__ __align__(16) unsigned char shared[];
  T *variance = reinterpret_cast<T*>(shared), *scale = variance + np;
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    const T* coupling = call.coupling + b * call.shape.k;
    load_vector(call.variance + b * n, n, np, T(1), variance);
    __syncthreads();
    scale_factors<T>(Block{}, call.shape, call.shrink, variance, coupling, scale);
    T* out = call.covariance + b * n * n;
    for (int at = threadIdx.x; at < n * n; at += kThreads) {
      const int i = at / n, j = at % n, high = i > j ? i : j, low = i > j ? j : i;
      T x = i == j ? variance[i] : T(0);
      if (low < call.shape.start[high]) x = coupling[call.shape.offset[high] + low] * scale[high] * scale[low];
      out[at] = x;
    }
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) condition_kernel(ConditionCall<T> call) {
  __shared__ AnyCorner<T> corner;
  __shared__ int known;
  const int n = call.shape.n, np = call.shape.np;
  T* rows = team_memory<T>(call);
  T* at = rows + long(np) * np;
  T *variance = at, *scale = at + np, *seen = at + 2 * np, *noise = at + 3 * np, *drive = at + 4 * np;
  T *shift = at + 5 * np, *spread = at + 6 * np;
  int* entry = reinterpret_cast<int*>(at + 7 * np);
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    const unsigned char* mask = call.mask + b * call.components;
    if (threadIdx.x == 0) {
      known = observed_first(mask, call.component, n, entry);
      for (int i = n; i < np; ++i) entry[i] = i;
    }
    const T* coupling = call.coupling ? call.coupling + b * call.shape.k : nullptr;
    if (coupling) {
      load_vector(call.variance + b * n, n, np, T(1), variance);
      __syncthreads();
      scale_factors<T>(Block{}, call.shape, call.shrink, variance, coupling, scale);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < np; i += kThreads) {
      const int own = entry[i];
      for (int j = 0; j <= i; ++j) {
        const int other = entry[j], high = own > other ? own : other, low = own > other ? other : own;
        T x = i == j ? T(1) : T(0);
        if (i < n && call.covariance)
          x = call.covariance[(b * n + high) * n + low];
        else if (i < n)
          x = i == j ? variance[own]
                     : low < call.shape.start[high]
                           ? coupling[call.shape.offset[high] + low] * scale[high] * scale[low]
                           : T(0);
        rows[row_at(np, i) + 2 * j] = x;
      }
      if (i % 2 == 0) rows[row_at(np, i) + 2 * (i + 1)] = T(0);
      seen[i] = i < known;
      drive[i] = i < known ? call.observed[b * n + own] - call.mean[b * n + own] : T(0);
      noise[i] = i >= known && i < n && call.noise ? call.noise[b * n + own] : T(0);
      shift[i] = spread[i] = T(0);
    }
    __syncthreads();
    T bad = 0;
    Stored<T> source{rows, np};
    Conditioner<T> sink{seen, noise, drive, shift, spread, known, known};
    factor(Block{}, np, 0, rows, static_cast<T*>(nullptr), corner, bad, source, sink);
    for (int i = threadIdx.x; i < n; i += kThreads) {
      const long to = b * n + entry[i];
      const T middle = i < known ? call.observed[to] : call.mean[to] + shift[i];
      call.centre[to] = middle;
      if (call.sample) call.sample[to] = middle + spread[i];
      for (int j = known; call.tril && i >= known && j <= i; ++j)
        call.tril[(b * n + entry[i]) * n + entry[j]] = rows[row_at(np, i) + 2 * j];
    }
    if (threadIdx.x == 0) call.bad[b] = bad != T(0);
    __syncthreads();
  }
}

}  // namespace

template <class T>
long scratch_size(int np) {
  const long numbers = team_numbers(np);
  return numbers * long(sizeof(T)) <= shared_limit() ? 0 : numbers;
}
template <class T>
int elbo_forward(const ElboCall<T>& call) {
  return launch(elbo_forward_kernel<T>, call, shared_bytes<T>(call));
}
template <class T>
int elbo_backward(const ElboCall<T>& call) {
  return launch(elbo_backward_kernel<T>, call, shared_bytes<T>(call));
}
template <class T>
int assemble(const AssembleCall<T>& call) {
  return launch(assemble_kernel<T>, call, 2 * call.shape.np * long(sizeof(T)));
}
template <class T>
int condition(const ConditionCall<T>& call) {
  return launch(condition_kernel<T>, call, shared_bytes<T>(call));
}
const char* describe(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

#define EPURE_INSTANTIATE(T)                             \
  template long scratch_size<T>(int);                    \
  template int elbo_forward<T>(const ElboCall<T>&);      \
  template int elbo_backward<T>(const ElboCall<T>&);     \
  template int assemble<T>(const AssembleCall<T>&);      \
  template int condition<T>(const ConditionCall<T>&);
EPURE_INSTANTIATE(float)
EPURE_INSTANTIATE(double)

}  // namespace cuda
}  // namespace epure
