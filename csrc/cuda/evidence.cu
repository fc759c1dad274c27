// The launches of the conjugate posterior.
#include "team.cuh"

#include "../evidence.h"

namespace epure {
namespace cuda {
namespace {

// A workspace in `memory`, and what lies behind it.
template <class T>
__device__ EvidenceWorkspace<T> evidence_workspace(T* memory, int np, T*& rest) {
  EvidenceWorkspace<T> work{};
  work.rows = memory;
  rest = take_vectors<T>(memory, np, {&work.evidence, &work.apart, &work.noise, &work.inverse, &work.white,
                                      &work.pulled, &work.mean, &work.sample});
  return work;
}

// Row b's evidence, reversed; `middle` (np,) likewise, or (N,) in the entries' own order.
template <class T>
__device__ void load_evidence(const EvidenceCall<T>& call, long b, const T* middle, bool reversed, EvidenceWorkspace<T>& work) {
  const int n = call.shape.n;
  for (int i = threadIdx.x; i < call.shape.np; i += kThreads) {
    const int own = n - 1 - i;
    const long at = b * n + own;
    const bool seen = i < n && call.mask[b * call.components + call.component[own]];
    work.evidence[i] = seen ? call.precision[at] : T(0);
    work.apart[i] = seen ? call.centre[at] - middle[reversed ? i : own] : T(0);
    work.noise[i] = i < n && call.noise ? call.noise[at] : T(0);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) evidence_forward_kernel(EvidenceCall<T> call) {
  __shared__ AnyCorner<T> corner;
  const int n = call.shape.n, np = call.shape.np;
  const long matrix = square(np);
  T* rest;
  EvidenceWorkspace<T> work = evidence_workspace(team_memory<T>(call), np, rest);
  work.corner = &corner;
  const Whitening<T> prior{call.prior, call.prior + matrix};
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_evidence(call, b, prior.mean, true, work);
    __syncthreads();
    T* turned = call.kept ? call.kept + b * matrix : call.spare + blockIdx.x * matrix;
    T kl, bad = 0;
    evidence_forward(Block{}, np, prior, work, turned, kl, bad);
    for (int i = threadIdx.x; i < n; i += kThreads) {
      call.mean[b * n + n - 1 - i] = work.mean[i];
      if (call.sample) call.sample[b * n + n - 1 - i] = work.sample[i];
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
  EvidenceWorkspace<T> work = evidence_workspace(team_memory<T>(call), np, pull);
  T* slope = pull + np;
  for (long b = blockIdx.x; b < call.rows; b += gridDim.x) {
    load_evidence(call, b, call.mean + b * n, false, work);
    for (int i = threadIdx.x; i < np; i += kThreads) {
      const long at = b * n + n - 1 - i;
      work.sample[i] = i < n && call.dsample ? call.dsample[at] : T(0);
      work.mean[i] = work.sample[i] + (i < n && call.dmean ? call.dmean[at] : T(0));
    }
    __syncthreads();
    const T* turned = call.kept + b * square(np);
    evidence_backward(Block{}, np, work, turned, call.dkl ? call.dkl[b] : T(0), pull, slope);
    for (int i = threadIdx.x; i < n; i += kThreads) {
      const int own = n - 1 - i;
      call.dcentre[b * n + own] = pull[i] * work.evidence[i];
      call.dprecision[b * n + own] = call.mask[b * call.components + call.component[own]] ? slope[i] : T(0);
    }
    __syncthreads();
  }
}

}  // namespace

template <class T>
int evidence_forward(const EvidenceCall<T>& call) {
  return launch(evidence_forward_kernel<T>, call, shared_bytes<T>(call));
}
template <class T>
int evidence_backward(const EvidenceCall<T>& call) {
  return launch(evidence_backward_kernel<T>, call, shared_bytes<T>(call));
}

#define EPURE_INSTANTIATE(T)                                \
  template int evidence_forward<T>(const EvidenceCall<T>&); \
  template int evidence_backward<T>(const EvidenceCall<T>&);
EPURE_INSTANTIATE(float)
EPURE_INSTANTIATE(double)

}  // namespace cuda
}  // namespace epure
