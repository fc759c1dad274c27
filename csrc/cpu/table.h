// Included once per instruction set, with EPURE_ISA, EPURE_BYTES (of a vector) and EPURE_NAME set.
#pragma once

#include "assemble.h"
#include "condition.h"
#include "elbo.h"
#include "evidence.h"
#include "orders.h"
#include "shared.h"

namespace epure {
namespace EPURE_ISA {

template <class T>
constexpr Kernels<T> kernels() {
  using V = Lanes<T, EPURE_BYTES / int(sizeof(T))>;
  return {Traits<V>::width, elbo_forward<V>,  elbo_backward<V>,    assemble<V>,         assemble_backward<V>,
          condition<V>,     factor_orders<V>, condition_shared<V>, evidence_forward<V>, evidence_backward<V>};
}

const InstructionSet table{EPURE_NAME, kernels<float>(), kernels<double>()};

}  // namespace EPURE_ISA
}  // namespace epure
