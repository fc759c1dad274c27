// The operations on a GPU, or their absence.
#pragma once

#include "../arguments.h"

namespace epure {

#if defined(EPURE_CUDA)
const Operations& cuda_operations();
void define_cuda(py::module_& m);
#else
inline const Operations& cuda_operations() {
  throw py::type_error("a tensor is on a GPU, and the extension is built without CUDA");
}
inline void define_cuda(py::module_& m) { m.attr("cuda") = false; }
#endif

}  // namespace epure
