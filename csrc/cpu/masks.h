// Rows grouped by equal masks.
#pragma once

#include <vector>

namespace epure {

// Puts rows with equal masks (B, C) side by side, in the order of their masks read as binary numbers, first component
// lowest, and within a mask as they come. Returns where each distinct mask begins in `order`, and the end.
std::vector<long long> group_rows(long rows, int components, const unsigned char* mask, long long* order);

}  // namespace epure
