// The launches of the conjugate posterior.
#include "team.cuh"

#include "../evidence.h"

namespace epure {
namespace cuda {
namespace {

// A room in `memory`, and what lies behind it.
template <class T>
__device__ EvidenceRoom<T> evidence_room(T* memory, int np, T*& rest) {
  EvidenceRoom<T> room{};
  room.rows = memory;
  rest = take_vectors<T>(memory, np, {&room.evidence, &room.apart, &room.noise, &room.inverse, &room.white,
                                      &room.pulled, &room.mean, &room.sample});
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
  T* rest;
  EvidenceRoom<T> room = evidence_room(team_memory<T>(call), np, rest);
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
    store_divergence(call, b, kl, bad);
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) evidence_backward_kernel(EvidenceCall<T> call) {
  const int n = call.shape.n, np = call.shape.np;
  T* pull;
  EvidenceRoom<T> room = evidence_room(team_memory<T>(call), np, pull);
  T* slope = pull + np;
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

}  // namespace

template <class T>
int evidence_forward(const EvidenceCall<T>& call, std::uintptr_t stream) {
  return launch(evidence_forward_kernel<T>, call, shared_bytes<T>(call), stream);
}
template <class T>
int evidence_backward(const EvidenceCall<T>& call, std::uintptr_t stream) {
  return launch(evidence_backward_kernel<T>, call, shared_bytes<T>(call), stream);
}

#define EPURE_INSTANTIATE(T)                                                \
  template int evidence_forward<T>(const EvidenceCall<T>&, std::uintptr_t); \
  template int evidence_backward<T>(const EvidenceCall<T>&, std::uintptr_t);
EPURE_INSTANTIATE(float)
EPURE_INSTANTIATE(double)

}  // namespace cuda
}  // namespace epure
