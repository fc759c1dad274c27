// Chooses the instruction set when the module is first used.
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace epure {
#if defined(EPURE_X86)
#if defined(_MSC_VER)
#include <intrin.h>
static bool runs_avx2() {
  int info[4];
  __cpuid(info, 1);
  const bool fma = info[2] & (1 << 12), saved = info[2] & (1 << 27);
  __cpuidex(info, 7, 0);
  return fma && saved && (info[1] & (1 << 5)) && (_xgetbv(0) & 6) == 6;
}
#else
static bool runs_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#endif

static const InstructionSet& pick() {
#if defined(EPURE_X86)
  const char* asked = std::getenv("EPURE_ISA");
  if (!(asked && !std::strcmp(asked, "base")) && runs_avx2()) return avx2::table;
#endif
  return base::table;
}

const InstructionSet& instruction_set() {
  static const InstructionSet& chosen = pick();
  return chosen;
}

}  // namespace epure
