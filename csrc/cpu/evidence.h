// The conjugate posterior over the batch.
#pragma once

#include <memory>

#include "../evidence.h"
#include "group.h"

namespace epure {
namespace EPURE_ISA {

// The prior reversed and padded.
template <class T>
struct Reversed {
  std::unique_ptr<T[]> numbers;
  int np;
  Reversed(int n, int np, const T* mean, const T* tril) : numbers(new T[std::size_t(np) * np + np]()), np(np) {
    T* root = numbers.get();
    for (int i = 0; i < n; ++i)
      for (int j = 0; j <= i; ++j) root[i * np + j] = tril[long(n - 1 - j) * n + n - 1 - i];
    for (int i = n; i < np; ++i) root[i * np + i] = T(1);
    for (int i = 0; i < n; ++i) root[np * np + i] = mean[n - 1 - i];
  }
  Whitening<T> view() const { return {numbers.get(), numbers.get() + std::size_t(np) * np}; }
};

// The vectors; what a factorisation needs beside them is the forward pass's own.
template <class V>
inline EvidenceWorkspace<V> make_evidence_workspace(Arena<V>& arena, int np) {
  EvidenceWorkspace<V> work{};
  V** const pieces[] = {&work.evidence, &work.apart,  &work.noise, &work.inverse,
                        &work.white,    &work.pulled, &work.mean,  &work.sample};
  for (V** piece : pieces) *piece = arena.take(np);
  return work;
}

template <class V>
inline void reverse(V* values, int n) {
  for (int i = 0, j = n - 1; i < j; ++i, --j) {
    const V kept = values[i];
    values[i] = values[j];
    values[j] = kept;
  }
}

// Rows of a (B, N) tensor into lanes, entries reversed, the padding 0; null reads as zeros.
template <class V>
inline void load_reversed(const Group<V>& group, const ScalarOf<V>* from, int n, int np, V* out) {
  if (from) {
    group.load(from, n, n, out);
    reverse(out, n);
  }
  for (int i = from ? n : 0; i < np; ++i) out[i] = splat<V>(0);
}

template <class V>
inline void store_reversed(const Group<V>& group, V* in, int n, ScalarOf<V>* to) {
  reverse(in, n);
  group.store(in, n, to, n);
}

// Puts 0 where the row's mask says that a component was not observed, whatever stands there.
template <class V>
inline void hide(const EvidenceCall<ScalarOf<V>>& call, const Group<V>& group, V* values) {
  for (int l = 0; l < Traits<V>::width; ++l) {
    const unsigned char* mask = call.mask + group.row[l] * call.components;
    for (int i = 0; i < call.shape.n; ++i)
      if (!mask[call.component[call.shape.n - 1 - i]]) set_lane(values[i], l, ScalarOf<V>(0));
  }
}

// Evidence and y - centre, hidden where the mask says so.
template <class V>
inline void load_evidence(const EvidenceCall<ScalarOf<V>>& call, const Group<V>& group, int np, const V* middle,
                          const EvidenceWorkspace<V>& work) {
  const int n = call.shape.n;
  load_reversed(group, call.precision, n, np, work.evidence);
  load_reversed(group, call.centre, n, np, work.apart);
  for (int i = 0; i < np; ++i) work.apart[i] -= middle[i];
  hide(call, group, work.evidence);
  hide(call, group, work.apart);
  load_reversed(group, call.noise, n, np, work.noise);
}

template <class V>
long evidence_forward(const EvidenceCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const int n = call.shape.n, np = call.shape.np;
  const long square = long(np) * np, groups = (call.rows + W - 1) / W;
  const Reversed<T> reversed(n, np, call.prior_mean, call.prior_tril);
  const Whitening<T> prior = reversed.view();
  Counter counter;
  return on_threads(call.threads, groups, 0.5 * double(square) * np + 8.0 * double(square), [&](int) {
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * std::size_t(2 * square + 9 * np)))};
    AnyCorner<V> corner;
    EvidenceWorkspace<V> work = make_evidence_workspace<V>(arena, np);
    work.rows = arena.take(square);
    work.corner = &corner;
    V *own = arena.take(square), *line = arena.take(np);
    long first = -1;
    for (long g; (g = take(counter)) < groups;) {
      const Group<V> group(g * W, call.rows);
      for (int i = 0; i < np; ++i) line[i] = splat<V>(prior.mean[i]);
      load_evidence(call, group, np, line, work);
      V* turned = call.kept ? reinterpret_cast<V*>(call.kept) + g * square : own;
      V kl, bad = splat<V>(0);
      evidence_forward(Solo{}, np, prior, work, turned, kl, bad);
      bad = not_finite(kl, bad);
      for (int i = 0; i < n; ++i) {
        bad = choose(work.evidence[i] < splat<V>(0), splat<V>(1), bad);
        bad = not_finite(work.sample[i], bad);
      }
      first = group.earliest(bad, first);
      group.store(&kl, 1, call.kl, 1);
      store_reversed(group, work.mean, n, call.mean);
      if (call.sample) store_reversed(group, work.sample, n, call.sample);
      for (int i = 0; call.tril && i < n; ++i) {
        const int a = n - 1 - i;
        const V* row = turned + row_at(np, a);
        for (int j = 0; j < n; ++j) line[j] = j <= i ? row[2 * (n - 1 - j)] : splat<V>(0);
        group.store(line, n, call.tril + long(i) * n, long(n) * n);
      }
    }
    return first;
  });
}

template <class V>
long evidence_backward(const EvidenceCall<ScalarOf<V>>& call) {
  constexpr int W = Traits<V>::width;
  const int n = call.shape.n, np = call.shape.np;
  const long square = long(np) * np, groups = (call.rows + W - 1) / W;
  Counter counter;
  return on_threads(call.threads, groups, 0.2 * double(square) * np + 8.0 * double(square), [&](int) {
    Arena<V> arena{static_cast<V*>(scratch(sizeof(V) * 10 * std::size_t(np)))};
    const EvidenceWorkspace<V> work = make_evidence_workspace<V>(arena, np);
    V *pull = arena.take(np), *slope = arena.take(np);
    for (long g; (g = take(counter)) < groups;) {
      const Group<V> group(g * W, call.rows);
      load_reversed(group, static_cast<const ScalarOf<V>*>(call.mean), n, np, pull);
      load_evidence(call, group, np, pull, work);
      load_reversed(group, call.dmean, n, np, work.mean);
      load_reversed(group, call.dsample, n, np, work.sample);
      for (int i = 0; i < np; ++i) work.mean[i] += work.sample[i];
      V dkl = splat<V>(0);
      if (call.dkl) group.load(call.dkl, 1, 1, &dkl);
      const V* turned = reinterpret_cast<const V*>(call.kept) + g * square;
      evidence_backward(Solo{}, np, work, turned, dkl, pull, slope);
      for (int i = 0; i < np; ++i) pull[i] = pull[i] * work.evidence[i];
      hide(call, group, slope);
      store_reversed(group, pull, n, call.dcentre);
      store_reversed(group, slope, n, call.dprecision);
    }
    return -1L;
  });
}

}  // namespace EPURE_ISA
}  // namespace epure
