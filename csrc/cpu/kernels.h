// What the CPU offers: a table of kernels per instruction set.
#pragma once

#include "../calls.h"

namespace epure {

// Each returns the first row that has no factor or is not finite, or -1.
template <class T>
struct Kernels {
  int lanes;
  long (*elbo_forward)(const ElboCall<T>&);
  long (*elbo_backward)(const ElboCall<T>&);
  long (*assemble)(const AssembleCall<T>&);
  long (*assemble_backward)(const AssembleCall<T>&);
  long (*condition)(const ConditionCall<T>&);
  long (*factor_orders)(const OrdersCall<T>&);
  long (*condition_shared)(const SharedCall<T>&);
  long (*evidence_forward)(const EvidenceCall<T>&);
  long (*evidence_backward)(const EvidenceCall<T>&);
};

struct InstructionSet {
  const char* name;
  Kernels<float> f32;
  Kernels<double> f64;
};

namespace base {
extern const InstructionSet table;
}
#if defined(EPURE_X86)
namespace avx2 {
extern const InstructionSet table;
}
#endif

// The best one that this processor runs; EPURE_ISA=base in the environment asks for the baseline (for tests).
const InstructionSet& instruction_set();

}  // namespace epure
