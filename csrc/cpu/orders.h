// Cholesky factors of one matrix with its entries in several orders, a lane each.
#pragma once

#include "../condition.h"
#include "group.h"

namespace epure {
namespace EPURE_ISA {

template <class V>
long factor_orders(const OrdersCall<ScalarOf<V>>& call) {
  using T = ScalarOf<V>;
  constexpr int W = Traits<V>::width;
  const int n = call.shape.n, np = call.shape.np;
  Counter counter;
  return on_threads(call.threads, (call.rows + W - 1) / W, matrix_cost(np), [&](int) {
    V* rows = static_cast<V*>(scratch(sizeof(V) * std::size_t(np) * np));
    AnyCorner<V> corner;
    long first = -1;
    for (long g; (g = take(counter)) * W < call.rows;) {
      const Group<V> group(g * W, call.rows);
      for (int i = 0; i < np; ++i)
        for (int j = 0; j <= i; ++j)
          for (int l = 0; l < W; ++l) {
            const long long* order = call.order + group.row[l] * n;
            set_lane(rows[row_at(np, i) + 2 * j], l, i < n ? call.matrix[order[i] * n + order[j]] : T(i == j));
          }
      V bad = splat<V>(0);
      Stored<V> source{rows, np};
      Ignore sink;
      factor(Solo{}, np, 0, rows, static_cast<V*>(nullptr), corner, bad, source, sink);
      first = group.earliest(bad, first);
      for (int l = 0; l < group.valid; ++l) {
        T* out = call.factor + group.row[l] * n * n;
        for (int i = 0; i < n; ++i)
          for (int j = 0; j < n; ++j) out[i * n + j] = j > i ? T(0) : lane(rows[row_at(np, i) + 2 * j], l);
      }
    }
    return first;
  });
}

}  // namespace EPURE_ISA
}  // namespace epure
