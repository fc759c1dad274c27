// Runs every CPU kernel of both instruction sets on odd sizes, and the per-matrix headers by a team of threads, for the
// sanitizers (csrc/sanitize.sh); no Python in it.
#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#define EPURE_ISA team  // the headers once more, on plain numbers
#include "cpu/kernels.h"
#include "cpu/masks.h"
#include "cpu/pool.h"
#include "elbo.h"
#include "evidence.h"

using namespace epure;

namespace {

// 64-byte aligned and exactly as long as asked for, so that the address sanitizer sees one step beyond.
template <class T>
struct Numbers {
  T* data;
  explicit Numbers(std::size_t count, bool random = true) {
    data = static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64)));
    for (std::size_t i = 0; i < count; ++i) data[i] = random ? T(std::rand() % 2001 - 1000) / T(700) : T(0);
  }
  ~Numbers() { ::operator delete(data, std::align_val_t(64)); }
  Numbers(const Numbers&) = delete;
};

void demand(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "stress: %s\n", what);
  std::exit(1);
}

template <class T>
void stress(const Kernels<T>& kernels, const std::vector<int>& sizes, long rows, int threads) {
  std::vector<int> start, offset, component;
  int n = 0, k = 0;
  for (std::size_t c = 0; c < sizes.size(); ++c) {
    const int from = n;
    for (int i = 0; i < sizes[c]; ++i, ++n) {
      start.push_back(from);
      offset.push_back(k);
      component.push_back(int(c));
      k += from;
    }
  }
  const int np = n + n % 2;
  if (n % 2) {
    start.push_back(0);
    offset.push_back(k);
  }
  const Shape shape{n, np, k, start.data(), offset.data()};
  const Batch batch{shape, rows, threads, int(sizes.size()), component.data()};
  const std::size_t bn = std::size_t(rows) * n, bk = std::size_t(rows) * k, square = std::size_t(n) * n;
  Numbers<T> mean(bn), variance(bn), coupling(bk), noise(bn), prior_mean(n), tril(square), dsample(bn), dkl(rows);
  for (std::size_t i = 0; i < bn; ++i) variance.data[i] = std::fabs(variance.data[i]) + T(0.1);
  for (int i = 0; i < n; ++i)
    for (int j = i; j < n; ++j) tril.data[i * n + j] = T(i == j);
  const long groups = (rows + kernels.lanes - 1) / kernels.lanes;
  Numbers<T> sample(bn, false), kl(rows, false), prior(prior_size(np), false);
  Numbers<T> factors(std::size_t(groups) * factor_size(np) * kernels.lanes, false), dmean(bn), dvariance(bn), dcoupling(bk);
  Numbers<T> dprior_mean(n), dprior_tril(square), covariance(rows * square), again(bk), centre(bn), conditional(rows * square, false);
  for (bool keep : {true, false}) {
    ElboCall<T> call{};
    static_cast<Batch&>(call) = batch;
    call.shrink = T(0.9);
    call.mean = mean.data;
    call.variance = variance.data;
    call.coupling = coupling.data;
    call.noise = noise.data;
    call.prior_mean = prior_mean.data;
    call.prior_tril = tril.data;
    call.sample = sample.data;
    call.kl = kl.data;
    call.prior = prior.data;
    call.factors = keep ? factors.data : nullptr;
    call.dsample = dsample.data;
    call.dkl = dkl.data;
    call.dmean = dmean.data;
    call.dvariance = dvariance.data;
    call.dcoupling = keep ? dcoupling.data : again.data;
    call.dprior_mean = dprior_mean.data;
    call.dprior_tril = dprior_tril.data;
    demand(kernels.elbo_forward(call) == -1, "a row without a factor");
    kernels.elbo_backward(call);
  }
  for (std::size_t i = 0; i < bk; ++i)
    demand(std::fabs(dcoupling.data[i] - again.data[i]) <= T(1e-3) * (1 + std::fabs(again.data[i])), "gradients differ");
  AssembleCall<T> assemble{batch,           T(0.9),         variance.data,  coupling.data,
                           covariance.data, covariance.data, dvariance.data, dcoupling.data};
  demand(kernels.assemble(assemble) == -1, "a bad row");
  kernels.assemble_backward(assemble);
  const int components = int(sizes.size());
  std::vector<unsigned char> shown(std::size_t(rows) * components);
  for (std::size_t i = 0; i < shown.size(); ++i) shown[i] = i % 3 != 0;
  Numbers<T> kept(std::size_t(groups) * np * np * kernels.lanes, false), conjugate(rows * square, false);
  for (bool full : {true, false}) {
    EvidenceCall<T> call{};
    static_cast<Batch&>(call) = batch;
    call.prior_mean = prior_mean.data;
    call.prior_tril = tril.data;
    call.centre = mean.data;
    call.precision = variance.data;
    call.noise = full ? noise.data : nullptr;
    call.mask = shown.data();
    call.mean = centre.data;
    call.sample = full ? sample.data : nullptr;
    call.kl = kl.data;
    call.tril = full ? conjugate.data : nullptr;
    call.kept = full ? kept.data : nullptr;
    demand(kernels.evidence_forward(call) == -1, "a row without a posterior");
    call.kept = kept.data;
    call.dmean = full ? dsample.data : nullptr;
    call.dsample = full ? dsample.data : nullptr;
    call.dkl = dkl.data;
    call.dcentre = dmean.data;
    call.dprecision = dvariance.data;
    kernels.evidence_backward(call);
  }
  if (sizes.size() < 2) return;
  std::vector<unsigned char> mask(std::size_t(rows) * components);
  std::vector<long long> order(rows);
  for (long b = 0; b < rows; ++b) {
    order[b] = rows - 1 - b;
    for (int c = 0; c < components; ++c) mask[b * components + c] = (b / 5 + c) % components == 0;
  }
  const long long cuts[] = {0, rows / 3, rows, 0, rows};
  for (bool packed : {true, false}) {
    ConditionCall<T> call{};
    static_cast<Batch&>(call) = batch;
    call.shrink = T(0.9);
    call.mean = mean.data;
    call.variance = packed ? variance.data : nullptr;
    call.coupling = packed ? coupling.data : nullptr;
    call.covariance = packed ? nullptr : covariance.data;
    call.observed = dsample.data;
    call.noise = packed ? noise.data : nullptr;
    call.mask = mask.data();
    call.order = order.data();
    call.masks = packed ? 2 : 1;  // cut somewhere, and not at all: groups of one mask and of several
    call.begin = packed ? cuts : cuts + 3;
    call.centre = centre.data;
    call.sample = packed ? sample.data : nullptr;
    call.tril = packed ? nullptr : conditional.data;
    demand(kernels.condition(call) == -1, "a row without a conditional");
  }
  std::vector<long long> orders(2 * n);
  for (int i = 0; i < n; ++i) orders[i] = n - 1 - i, orders[n + i] = (i + 1) % n;
  Numbers<T> identity(square), ordered(2 * square);
  for (std::size_t i = 0; i < square; ++i) identity.data[i] = T(i % (n + 1) == 0);
  demand(kernels.factor_orders({{shape, 2, threads, components, nullptr}, identity.data, orders.data(), ordered.data}) == -1, "an order without a factor");
  const std::vector<long long> begin{0, rows / 3, rows};
  std::vector<unsigned char> masks(2 * components, 0);
  masks[0] = masks[2 * components - 1] = 1;
  Numbers<T> two(2 * square);
  for (std::size_t i = 0; i < 2 * square; ++i) two.data[i] = tril.data[i % square];
  const SharedCall<T> shared{batch,      {order.data(), 2, begin.data()}, prior_mean.data, two.data, dsample.data,
                             noise.data, masks.data(),                   centre.data,     sample.data};
  for (int m : {0, 1}) std::sort(order.begin() + begin[m], order.begin() + begin[m + 1]);
  demand(kernels.condition_shared(shared) == -1, "a row that is not finite");
}

// A team of threads on one matrix, as a block is on a GPU: what one of them writes without waiting, the thread sanitizer
// sees; what they find is compared with what a lone thread finds.
struct Crew {
  static constexpr int count = 5;
  pthread_barrier_t gate;
  double part[count];
  Crew() { pthread_barrier_init(&gate, nullptr, count); }
  ~Crew() { pthread_barrier_destroy(&gate); }
};
struct Member {
  static constexpr bool alone = false;
  Crew* crew;
  int own;
  int rank() const { return own; }
  int size() const { return Crew::count; }
  void sync() const { pthread_barrier_wait(&crew->gate); }
  double sum(double x) const {
    sync();
    crew->part[own] = x;
    sync();
    double total = 0;
    for (double part : crew->part) total += part;
    return total;
  }
};

template <class Work>
void by_crew(const Work& work) {
  Crew crew;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < Crew::count; ++rank) threads.emplace_back([&, rank] { work(Member{&crew, rank}); });
  for (std::thread& thread : threads) thread.join();
}

using Values = std::vector<double>;

void demand_equal(const Values& a, const Values& b, const char* what) {
  for (std::size_t i = 0; i < a.size(); ++i) demand(std::fabs(a[i] - b[i]) <= 1e-10 * (1 + std::fabs(b[i])), what);
}

// The vectors of a workspace come first in `memory`, np numbers each; what they hold afterwards is the result.
template <class Workspace, std::size_t Count>
Workspace workspace_in(double* memory, int np, double* Workspace::* const (&vectors)[Count]) {
  Workspace work{};
  for (std::size_t i = 0; i < Count; ++i) work.*vectors[i] = memory + i * np;
  return work;
}

void stress_team(int components, int each) {
  using namespace team;
  const int n = components * each, np = n + n % 2;
  std::vector<int> start(np, 0), offset(np, 0);
  int k = 0;
  for (int i = 0; i < n; ++i) {
    start[i] = i / each * each;
    offset[i] = k;
    k += start[i];
  }
  const Shape shape{n, np, k, start.data(), offset.data()};
  const std::size_t square = std::size_t(np) * np;
  Numbers<double> coupling(k), given(18 * np), root(square), identity(square, false), zeros(np, false);
  for (int i = 0; i < np; ++i) {
    identity.data[i * np + i] = 1;
    for (int j = 0; j < np; ++j) root.data[i * np + j] *= j < i;
    root.data[i * np + i] = 1;
    for (int v : {0, 10}) given.data[v * np + i] = std::fabs(given.data[v * np + i]) + 0.1;
  }
  Values kl[2], vectors[2], matrices[2], gradients[2];
  for (int way : {0, 1}) {
    vectors[way].assign(given.data, given.data + 18 * np);
    vectors[way].resize(23 * np);
    matrices[way].resize(5 * square);
    gradients[way].resize(k);
    kl[way].resize(2);
    double *values = vectors[way].data(), *rows = matrices[way].data();
    const Prior<double> prior{zeros.data, identity.data, identity.data, identity.data, 0};
    Workspace<double> work = workspace_in<Workspace<double>>(
        values, np, {&Workspace<double>::variance, &Workspace<double>::mean, &Workspace<double>::noise, &Workspace<double>::scale,
                     &Workspace<double>::centred, &Workspace<double>::white, &Workspace<double>::sample, &Workspace<double>::dvariance,
                     &Workspace<double>::dmean, &Workspace<double>::dscale});
    if (n % 2) values[0 * np + n] = 1, values[1 * np + n] = values[2 * np + n] = 0;
    work.rows = rows;
    work.coupling = coupling.data;
    work.dcoupling = gradients[way].data();
    const PriorSums<double> sums{rows + 2 * square, values + 20 * np};
    EvidenceWorkspace<double> posterior = workspace_in<EvidenceWorkspace<double>>(
        values + 10 * np, np,
        {&EvidenceWorkspace<double>::evidence, &EvidenceWorkspace<double>::apart, &EvidenceWorkspace<double>::noise,
         &EvidenceWorkspace<double>::inverse, &EvidenceWorkspace<double>::white, &EvidenceWorkspace<double>::pulled,
         &EvidenceWorkspace<double>::mean, &EvidenceWorkspace<double>::sample});
    posterior.rows = rows + 3 * square;
    AnyCorner<double> corner;
    work.corner = posterior.corner = &corner;
    const Whitening<double> white{root.data, zeros.data};
    const auto run = [&](const auto& team) {
      double own = 0, other = 0, bad = 0, *turned = rows + 4 * square;
      elbo_forward(team, shape, prior, 0.9, work, rows + square, own, bad);
      team.sync();
      elbo_backward(team, shape, prior, 0.9, work, rows + square, 0.7, sums);
      evidence_forward(team, np, white, posterior, turned, other, bad);
      team.sync();
      evidence_backward(team, np, posterior, turned, 0.7, values + 21 * np, values + 22 * np);
      if (team.rank() != 0) return;
      demand(bad == 0, "a team's matrix without a factor");
      kl[way][0] = own;
      kl[way][1] = other;
    };
    if (way)
      by_crew(run);
    else
      run(Solo{});
  }
  demand_equal(kl[1], kl[0], "a team's KL");
  demand_equal(vectors[1], vectors[0], "a team's vectors");
  demand_equal(matrices[1], matrices[0], "a team's matrices");
  demand_equal(gradients[1], gradients[0], "a team's gradients");
}

void stress_masks() {
  for (int components : {1, 3, 5, 8, 9, 17})
    for (long rows : {0L, 1L, 2L, 7L, 8L, 100L}) {
      std::vector<unsigned char> mask(rows * components);
      std::vector<long long> order(rows);
      for (unsigned char& byte : mask) byte = std::rand() % 2;
      const auto begin = group_rows(rows, components, mask.data(), order.data());
      const auto row = [&](long at) { return std::vector<unsigned char>(&mask[0] + order[at] * components, &mask[0] + (order[at] + 1) * components); };
      for (std::size_t m = 0; m + 1 < begin.size(); ++m)
        for (long at = begin[m]; at < begin[m + 1]; ++at) demand(row(at) == row(begin[m]), "rows of different masks");
      demand(begin.back() == rows, "rows without a mask");
    }
}

void stress_set(const InstructionSet& set) {
  for (int threads : {1, 3})
    for (long rows : {0L, 1L, 7L, 33L, 70L})
      for (const std::vector<int>& sizes : std::vector<std::vector<int>>{{1, 1}, {3}, {3, 2, 4}, {8, 8, 5}, {16, 16, 16, 16, 16}}) {
        stress(set.f32, sizes, rows, threads);
        stress(set.f64, sizes, rows, threads);
      }
}

}  // namespace

int main() {
  for (int components : {1, 3, 5})
    for (int each : {1, 3, 5}) stress_team(components, each);
  stress_masks();
  stress_set(base::table);
#if defined(EPURE_X86)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) stress_set(avx2::table);
#endif
  std::puts("stress: fine");
  return 0;
}
