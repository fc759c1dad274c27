#include "masks.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace epure {
namespace {

constexpr int kCounted = 16;  // up to so many components, equal masks are found by counting rather than by sorting

// Bit c is set where byte c is.
unsigned code_of(const unsigned char* mask, int components) {
  unsigned bits = 0;
  for (int c = 0; c < components; ++c) bits |= unsigned(mask[c] != 0) << c;
  return bits;
}

// The same of eight bytes that are 0 or 1, in one multiplication: it moves byte c to bit 56 + c.
unsigned code_of_eight(const unsigned char* mask) {
  std::uint64_t word = 0;
  std::memcpy(&word, mask, 8);
  return unsigned((word & 0x0101010101010101u) * 0x0102040810204080u >> 56);
}

bool little_endian() {
  const std::uint16_t one = 1;
  unsigned char first = 0;
  std::memcpy(&first, &one, 1);
  return first == 1;
}

std::vector<long long> count_rows(long rows, int components, const unsigned char* mask, long long* order) {
  std::vector<long long> begin{0}, count((std::size_t(1) << components) + 1, 0);
  std::vector<std::uint16_t> code(rows);
  // rows that have eight bytes from their first on
  const long bytes = rows * components;
  const long quick = components <= 8 && bytes >= 8 && little_endian() ? (bytes - 8) / components + 1 : 0;
  const unsigned own = (1u << components) - 1;
  for (long b = 0; b < rows; ++b) {
    const unsigned char* at = mask + b * components;
    code[b] = std::uint16_t(b < quick ? code_of_eight(at) & own : code_of(at, components));
    ++count[code[b] + 1u];
  }
  for (std::size_t m = 1; m < count.size(); ++m) {
    if (count[m]) begin.push_back(begin.back() + count[m]);
    count[m] += count[m - 1];
  }
  for (long b = 0; b < rows; ++b) order[count[code[b]]++] = b;
  return begin;
}

std::vector<long long> sort_rows(long rows, int components, const unsigned char* mask, long long* order) {
  const auto compare = [&](long long a, long long b) {
    return std::memcmp(mask + a * components, mask + b * components, components);
  };
  std::vector<long long> begin{0};
  for (long b = 0; b < rows; ++b) order[b] = b;
  std::stable_sort(order, order + rows, [&](long long a, long long b) { return compare(a, b) < 0; });
  for (long b = 1; b < rows; ++b)
    if (compare(order[b - 1], order[b])) begin.push_back(b);
  if (rows) begin.push_back(rows);
  return begin;
}

}  // namespace

std::vector<long long> group_rows(long rows, int components, const unsigned char* mask, long long* order) {
  const auto group = components <= kCounted ? count_rows : sort_rows;
  return group(rows, components, mask, order);
}

}  // namespace epure
