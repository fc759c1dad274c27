// The CUDA launches: one block is the team of one matrix, and the per-matrix headers are those that the CPU runs.
#define EPURE_ISA device
#include "calls.h"

#include "../condition.h"
#include "../elbo.h"
#include "../evidence.h"

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

template <class T>
long team_numbers(int np) {
  return long(np) * np + long(kVectors) * np;
}

// A team's memory: shared where it fits, else its part of the scratch.
template <class T, class AnyCall>
__device__ T* team_memory(const AnyCall& call) {
  extern __shared__ __align__(16) unsigned char shared[];
  if (!call.scratch) return reinterpret_cast<T*>(shared);
  return call.scratch + long(blockIdx.x) * (long(call.shape.np) * call.shape.np + long(kVectors) * call.shape.np);
}

template <class T>
__device__ void load_vector(const T* from, int n, int np, T pad, T* to) {
  for (int i = threadIdx.x; i < np; i += kThreads) to[i] = i < n ? from[i] : pad;
}

template <class T>
__device__ void store_vector(const T* from, int n, T* to) {
  for (int i = threadIdx.x; i < n; i += kThreads) to[i] = from[i];
}

template <class T>
__device__ Prior<T> prior_at(const T* room, int np) {
  const long size = long(np) * np;
  return Prior<T>{room + 3 * size, room, room + size, room + 2 * size, room[3 * size + np]};
}

template <class T>
__device__ Room<T> room_of(T* memory, int np, AnyCorner<T>* corner) {
  Room<T> room{};
  room.rows = memory;
  T* at = memory + long(np) * np;
  T** const pieces[] = {&room.variance, &room.mean,   &room.noise,     &room.scale, &room.centred,
                        &room.white,    &room.sample, &room.dvariance, &room.dmean, &room.dscale};
  for (T** piece : pieces) {
    *piece = at;
    at += np;
  }
  room.corner = corner;
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
    if (threadIdx.x == 0) {
      call.kl[b] = kl;
      call.bad[b] = bad != T(0) || !(kl - kl == T(0));
    }
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
      int next = 0;
      for (int i = 0; i < n; ++i)
        if (mask[call.component[i]]) entry[next++] = i;
      known = next;
      for (int i = 0; i < n; ++i)
        if (!mask[call.component[i]]) entry[next++] = i;
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
    factor(Block{}, np, rows, static_cast<T*>(nullptr), corner, bad, source, sink);
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

template <class T>
__device__ EvidenceRoom<T> evidence_room(T* memory, int np) {
  EvidenceRoom<T> room{};
  room.rows = memory;
  T* at = memory + long(np) * np;
  T** const pieces[] = {&room.evidence, &room.apart,  &room.noise, &room.inverse,
                        &room.white,    &room.pulled, &room.mean,  &room.sample};
  for (T** piece : pieces) {
    *piece = at;
    at += np;
  }
  return room;
}

// Row b's evidence, reversed; `middle` (np,) likewise, or (N,) in the entries' own order.
template <class T>
__device__ void load_evidence(const EvidenceCall<T>& call, long b, const T* middle, bool reversed, EvidenceRoom<T>& room) {
  const int n = call.shape.n;
  for (int i = threadIdx.x; i < call.shape.np; i += kThreads) {
    const int own = n - 1 - i;
    const long at = b * n + own;
    const bool seen = i < n && call.mask[b * call.components + call.component[own]];
    room.evidence[i] = seen ? call.precision[at] : T(0);
    room.apart[i] = seen ? call.centre[at] - middle[reversed ? i : own] : T(0);
    room.noise[i] = i < n && call.noise ? call.noise[at] : T(0);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) evidence_forward_kernel(EvidenceCall<T> call) {
  __shared__ AnyCorner<T> corner;
  const int n = call.shape.n, np = call.shape.np;
  const long square = long(np) * np;
  EvidenceRoom<T> room = evidence_room(team_memory<T>(call), np);
  room.corner = &corner;
  const Whitening<T> prior{call.prior, call.prior + square};
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_evidence(call, b, prior.mean, true, room);
    __syncthreads();
    T* turned = call.turned + (call.keep ? b : long(blockIdx.x)) * square;
    T kl, bad = 0;
    evidence_forward(Block{}, np, prior, room, turned, kl, bad);
    for (int i = threadIdx.x; i < n; i += kThreads) {
      call.mean[b * n + n - 1 - i] = room.mean[i];
      if (call.sample) call.sample[b * n + n - 1 - i] = room.sample[i];
    }
    for (int at = threadIdx.x; call.tril && at < n * n; at += kThreads) {
      const int i = at / n, j = at % n;
      call.tril[b * n * n + at] = j <= i ? turned[row_at(np, n - 1 - i) + 2 * (n - 1 - j)] : T(0);
    }
    if (threadIdx.x == 0) {
      call.kl[b] = kl;
      call.bad[b] = bad != T(0) || !(kl - kl == T(0));
    }
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) evidence_backward_kernel(EvidenceCall<T> call) {
  const int n = call.shape.n, np = call.shape.np;
  T* memory = team_memory<T>(call);
  EvidenceRoom<T> room = evidence_room(memory, np);
  T *pull = memory + long(np) * np + 8 * np, *slope = pull + np;
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_evidence(call, b, call.mean + b * n, false, room);
    for (int i = threadIdx.x; i < np; i += kThreads) {
      const long at = b * n + n - 1 - i;
      room.sample[i] = i < n && call.dsample ? call.dsample[at] : T(0);
      room.mean[i] = room.sample[i] + (i < n && call.dmean ? call.dmean[at] : T(0));
    }
    __syncthreads();
    const T* turned = call.turned + b * long(np) * np;
    evidence_backward(Block{}, np, room, turned, call.dkl ? call.dkl[b] : T(0), pull, slope);
    for (int i = threadIdx.x; i < n; i += kThreads) {
      const int own = n - 1 - i;
      call.dcentre[b * n + own] = pull[i] * room.evidence[i];
      call.dprecision[b * n + own] = call.mask[b * call.components + call.component[own]] ? slope[i] : T(0);
    }
    __syncthreads();
  }
}

int shared_limit() {
  int device = 0, limit = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 48 << 10;
  cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return limit - (4 << 10);  // the static part: the corner and the sums
}

template <class AnyCall>
int launch(void (*kernel)(AnyCall), const AnyCall& call, long shared, std::uintptr_t stream) {
  if (call.rows == 0) return cudaSuccess;
  if (shared > (48 << 10)) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared));
    if (error != cudaSuccess) return error;
  }
  const int teams = call.rows < kMaxTeams ? int(call.rows) : kMaxTeams;
  kernel<<<teams, kThreads, shared, reinterpret_cast<cudaStream_t>(stream)>>>(call);
  return cudaGetLastError();
}

template <class T, class AnyCall>
long shared_bytes(const AnyCall& call) {
  return call.scratch ? 0 : team_numbers<T>(call.shape.np) * long(sizeof(T));
}

}  // namespace

template <class T>
long scratch_size(int np) {
  const long numbers = team_numbers<T>(np);
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
template <class T>
int evidence_forward(const EvidenceCall<T>& call, std::uintptr_t stream) {
  return launch(evidence_forward_kernel<T>, call, shared_bytes<T>(call), stream);
}
template <class T>
int evidence_backward(const EvidenceCall<T>& call, std::uintptr_t stream) {
  return launch(evidence_backward_kernel<T>, call, shared_bytes<T>(call), stream);
}
const char* describe(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

#define EPURE_INSTANTIATE(T)                                            \
  template long scratch_size<T>(int);                                   \
  template int elbo_forward<T>(const Call<T>&, std::uintptr_t);         \
  template int elbo_backward<T>(const Call<T>&, std::uintptr_t);        \
  template int assemble<T>(const Call<T>&, std::uintptr_t);             \
  template int condition<T>(const Call<T>&, std::uintptr_t);            \
  template int evidence_forward<T>(const EvidenceCall<T>&, std::uintptr_t); \
  template int evidence_backward<T>(const EvidenceCall<T>&, std::uintptr_t);
EPURE_INSTANTIATE(float)
EPURE_INSTANTIATE(double)

}  // namespace cuda
}  // namespace epure
