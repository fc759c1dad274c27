// The launches that work on packed or whole covariances: fused step, assembly, exact conditioning.
#include "team.cuh"

#include "../condition.h"
#include "../elbo.h"

namespace epure {
namespace cuda {
namespace {

template <class T>
__device__ Prior<T> prior_at(const T* room, int np) {
  const long size = long(np) * np;
  return Prior<T>{room + 3 * size, room, room + size, room + 2 * size, room[3 * size + np]};
}

template <class T>
__device__ Room<T> room_of(T* memory, int np, AnyCorner<T>* corner) {
  Room<T> room{};
  room.rows = memory;
  room.corner = corner;
  take_vectors<T>(memory, np, {&room.variance, &room.mean, &room.noise, &room.scale, &room.centred, &room.white,
                               &room.sample, &room.dvariance, &room.dmean, &room.dscale});
  return room;
}

template <class T>
__device__ void load_room(const Call<T>& call, long b, Room<T>& room) {
  const int n = call.shape.n, np = call.shape.np;
  room.coupling = const_cast<T*>(call.coupling) + b * call.shape.k;  // read only
  load_vector(call.variance + b * n, n, np, T(1), room.variance);
  load_vector(call.mean + b * n, n, np, T(0), room.mean);
  load_vector(call.noise + b * n, n, np, T(0), room.noise);
  __syncthreads();
}

template <class T>
__global__ void __launch_bounds__(kThreads) elbo_forward_kernel(Call<T> call) {
  __shared__ AnyCorner<T> corner;
  const int n = call.shape.n, np = call.shape.np;
  Room<T> room = room_of(team_memory<T>(call), np, &corner);
  const Prior<T> prior = prior_at(call.prior, np);
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_room(call, b, room);
    T* columns = call.factors ? call.factors + b * (packed_columns(np) + np) : nullptr;
    T kl, bad = 0;
    elbo_forward(Block{}, call.shape, prior, call.shrink, room, columns, kl, bad);
    if (columns) store_vector(room.scale, np, columns + packed_columns(np));
    store_vector(room.sample, n, call.sample + b * n);
    store_divergence(call, b, kl, bad);
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) elbo_backward_kernel(Call<T> call) {
  __shared__ AnyCorner<T> corner;
  const int n = call.shape.n, np = call.shape.np;
  Room<T> room = room_of(team_memory<T>(call), np, &corner);
  const Prior<T> prior = prior_at(call.prior, np);
  T* own = call.sums ? call.sums + blockIdx.x * (long(np) * np + np) : nullptr;
  const PriorSums<T> sums{own, own ? own + long(np) * np : nullptr};
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_room(call, b, room);
    const T* columns = call.factors + b * (packed_columns(np) + np);
    load_vector(columns + packed_columns(np), np, np, T(1), room.scale);
    load_vector(call.dsample + b * n, n, np, T(0), room.sample);
    room.dcoupling = call.dcoupling + b * call.shape.k;
    __syncthreads();
    elbo_backward(Block{}, call.shape, prior, call.shrink, room, columns, call.dkl[b], sums);
    store_vector(room.dmean, n, call.dmean + b * n);
    store_vector(room.dvariance, n, call.dvariance + b * n);
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) assemble_kernel(Call<T> call) {
  const int n = call.shape.n, np = call.shape.np;
  extern __shared__ __align__(16) unsigned char shared[];
  T *variance = reinterpret_cast<T*>(shared), *scale = variance + np;
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    const T* coupling = call.coupling + b * call.shape.k;
    load_vector(call.variance + b * n, n, np, T(1), variance);
    __syncthreads();
    scale_factors<T>(Block{}, call.shape, call.shrink, variance, coupling, scale);
    T* out = call.tril + b * n * n;
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
__global__ void __launch_bounds__(kThreads) condition_kernel(Call<T> call) {
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
int elbo_forward(const Call<T>& call, std::uintptr_t stream) {
  return launch(elbo_forward_kernel<T>, call, shared_bytes<T>(call), stream);
}
template <class T>
int elbo_backward(const Call<T>& call, std::uintptr_t stream) {
  return launch(elbo_backward_kernel<T>, call, shared_bytes<T>(call), stream);
}
template <class T>
int assemble(const Call<T>& call, std::uintptr_t stream) {
  return launch(assemble_kernel<T>, call, 2 * call.shape.np * long(sizeof(T)), stream);
}
template <class T>
int condition(const Call<T>& call, std::uintptr_t stream) {
  return launch(condition_kernel<T>, call, shared_bytes<T>(call), stream);
}
const char* describe(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

#define EPURE_INSTANTIATE(T)                                            \
  template long scratch_size<T>(int);                                   \
  template int elbo_forward<T>(const Call<T>&, std::uintptr_t);         \
  template int elbo_backward<T>(const Call<T>&, std::uintptr_t);        \
  template int assemble<T>(const Call<T>&, std::uintptr_t);             \
  template int condition<T>(const Call<T>&, std::uintptr_t);
EPURE_INSTANTIATE(float)
EPURE_INSTANTIATE(double)

}  // namespace cuda
}  // namespace epure
