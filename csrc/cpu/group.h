// A group: as many matrices as a vector has lanes, walked by one thread.
#pragma once

#include <new>

#include "kernels.h"
#include "pool.h"
#include "transpose.h"

namespace epure {
namespace EPURE_ISA {

// Hands out pieces of a thread's scratch memory; first measured with start = null.
template <class V>
struct Arena {
  V* start;
  std::size_t used = 0;
  V* take(std::size_t count) {
    V* piece = start ? start + used : nullptr;
    used += count;
    return piece;
  }
};

// The rows of a group. The batch's end repeats its last row.
template <class V>
struct Group {
  static constexpr int width = Traits<V>::width;
  long row[width];
  int valid;

  Group(long first, long rows, const long long* order = nullptr) {
    valid = int(rows - first < width ? rows - first : width);
    for (int l = 0; l < width; ++l) {
      const long at = first + (l < valid ? l : valid - 1);
      row[l] = order ? long(order[at]) : at;
    }
  }
  void load(const ScalarOf<V>* from, long stride, int count, V* out) const {
    const ScalarOf<V>* rows[width];
    for (int l = 0; l < width; ++l) rows[l] = from + row[l] * stride;
    load_lanes<V>(rows, 0, count, out);
  }
  // past the cache where asked for and possible; then end_stream() is due
  void store(const V* in, int count, ScalarOf<V>* to, long stride, bool past = false) const {
    ScalarOf<V>* rows[width];
    for (int l = 0; l < width; ++l) rows[l] = to + row[l] * stride;
    if (past && valid == width && stream_lanes<V>(in, count, rows)) return;
    store_lanes<V>(in, count, rows, valid);
  }
  // The first row whose lane is set, or `first` if that is earlier.
  long earliest(V bad, long first) const {
    for (int l = 0; l < valid; ++l)
      if (!(lane(bad, l) == 0) && (first < 0 || row[l] < first)) first = row[l];
    return first;
  }
};

// 1 in the lanes of x that are not finite, else `bad`.
template <class V>
inline V not_finite(V x, V bad) {
  const V none = x - x;
  return choose(none == none, bad, splat<V>(1));
}

constexpr long kStarved = -2;  // in the place of a bad row: a thread had no memory

// Runs `work(rank)` on the call's threads and returns the earliest bad row of all. No exception may leave a thread.
template <class Work>
struct Crew {
  const Work& work;
  long worst[256];
  static void enter(void* self, int rank) {
    Crew& crew = *static_cast<Crew*>(self);
    try {
      crew.worst[rank] = crew.work(rank);
    } catch (const std::bad_alloc&) {
      crew.worst[rank] = kStarved;
    }
  }
};
// `cost` of an item in vector operations, roughly: waking a thread for less than some 20 us of work costs more than it saves.
template <class Work>
inline long on_threads(int threads, long items, double cost, const Work& work) {
  const double useful = 1.0 + double(items) * cost / 40e3;
  const long most = useful < 256.0 ? long(useful) : 256;
  const long wanted = items < most ? items : most;
  int count = threads < wanted ? threads : int(wanted);
  count = count < 1 ? 1 : count > 256 ? 256 : count;
  Crew<Work> crew{work, {}};
  for (int i = 0; i < count; ++i) crew.worst[i] = -1;
  run_parallel(count, Crew<Work>::enter, &crew);
  long first = -1;
  for (int i = 0; i < count; ++i) {
    if (crew.worst[i] == kStarved) throw std::bad_alloc();
    if (crew.worst[i] >= 0 && (first < 0 || crew.worst[i] < first)) first = crew.worst[i];
  }
  return first;
}

// Of one factorisation and what goes with it.
inline double matrix_cost(double np) { return np * np * np / 6 + 8 * np * np; }

}  // namespace EPURE_ISA
}  // namespace epure
