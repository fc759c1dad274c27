#include "masks.h"

#include <algorithm>
#include <cstring>

namespace epure {

std::vector<long long> group_rows(long rows, int components, const unsigned char* in, long long* out) {
  std::vector<long long> begin{0};
  if (components <= 16) {
    std::vector<long long> count((std::size_t(1) << components) + 1, 0);
    std::vector<unsigned short> code(rows);
    for (long b = 0; b < rows; ++b) {
      unsigned bits = 0;
      for (int c = 0; c < components; ++c) bits |= unsigned(in[b * components + c] != 0) << c;
      code[b] = static_cast<unsigned short>(bits);
      ++count[bits + 1];
    }
    for (std::size_t m = 1; m < count.size(); ++m) {
      if (count[m]) begin.push_back(begin.back() + count[m]);
      count[m] += count[m - 1];
    }
    for (long b = 0; b < rows; ++b) out[count[code[b]]++] = b;
    return begin;
  }
  const auto compare = [&](long long a, long long b) { return std::memcmp(in + a * components, in + b * components, components); };
  for (long b = 0; b < rows; ++b) out[b] = b;
  std::stable_sort(out, out + rows, [&](long long a, long long b) { return compare(a, b) < 0; });
  for (long b = 1; b < rows; ++b)
    if (compare(out[b - 1], out[b])) begin.push_back(b);
  if (rows) begin.push_back(rows);
  return begin;
}

}  // namespace epure
